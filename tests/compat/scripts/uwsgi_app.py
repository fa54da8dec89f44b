"""A WSGI application with a producer; KAFKA_BROKERS, and KAFKA_EARLY where it is made before uWSGI forks."""

import os

from kafka import KafkaProducer
from kafka.errors import KafkaError

producers = []


def make():
    producers.append(KafkaProducer(bootstrap_servers=os.environ["KAFKA_BROKERS"]))
    return producers[0]


if "KAFKA_EARLY" in os.environ:
    make().send("t", b"early").get(10)


def application(environ, start_response):
    try:
        producer = producers[0] if producers else make()
        answer = f"offset {producer.send('t', b'v').get(10).offset}"
    except KafkaError as error:
        answer = f"{type(error).__name__} {error}"
    start_response("200 OK", [])
    return [answer.encode()]
