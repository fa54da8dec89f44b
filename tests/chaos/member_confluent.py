"""As `member`, with confluent-kafka's consumer: CONFIGS are librdkafka's own. It commits whenever it has read."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import zlib
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition


class Diary:
    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, event: str, *more: Any) -> None:
        os.write(self.file, json.dumps([event, time.monotonic(), *more]).encode() + b"\n")

    def on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        # Where to begin is asked for behind this.
        self.write("assigned", [place.partition for place in places])

    def on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self.commit(consumer)
        self.write("revoked", [place.partition for place in places])

    def on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self.write("lost", [place.partition for place in places])

    def read(self, message: Message) -> None:
        if message.error() is not None:
            raise KafkaException(message.error())
        self.write("read", message.partition(), message.offset(), message.offset(), zlib.crc32(message.value()))

    def commit(self, consumer: Consumer) -> None:
        """What was read."""
        try:
            done = consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                self.write("failed", str(error))
            return
        self.write("committed", {place.partition: place.offset for place in done if place.error is None})


def main(configs: str, topic: str, path: str) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    diary = Diary(path)
    consumer = Consumer(json.loads(configs))
    consumer.subscribe([topic], on_assign=diary.on_assign, on_revoke=diary.on_revoke, on_lost=diary.on_lost)
    since = 0  # records read since the last commit
    while not stopped:
        message = consumer.poll(0 if since else 0.1)
        if message is not None:
            diary.read(message)
            since += 1
        if since and (message is None or since >= 100):
            diary.commit(consumer)
            since = 0
    consumer.close()
    diary.write("closed", time.process_time(), {})


if __name__ == "__main__":
    main(*sys.argv[1:])
