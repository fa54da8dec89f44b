from common import bootstrap, report, topic

from kafka import KafkaProducer


def offset(acks):
    with KafkaProducer(bootstrap_servers=bootstrap, acks=acks) as producer:
        return [producer.config["acks"], producer.send(topic, b"v", partition=0).get(20).offset]


report(one=offset(1), everyone=offset("all"), minus_one=offset(-1), none=offset(0))
