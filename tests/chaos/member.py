"""A process that is a member of a group and writes down what happens to it: `python -m tests.chaos.member`.

    python -m tests.chaos.member CONFIGS TOPIC FILE

CONFIGS are those of the consumer, in JSON; without `enable_auto_commit` it commits whenever it has read. It ends with
SIGTERM, as it should, or with SIGKILL. FILE gets a line of JSON for each event: its name, the time (the machine's
processes share the clock), and

    assigned [partition, ...]           the time is when the poll began in which that was heard
    revoked, lost [partition, ...]
    read partition first last check     offsets without a gap, and a checksum of the values
    committed {partition: offset}       and known to be
    failed what                         a commit
    closed seconds {"renewals": ...}    processor time of the process; see `Sessions`
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Collection
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import CommitFailedError, KafkaTimeoutError, RebalanceInProgressError
from kafka.hooks.consumer import OffsetsCommitted
from tests.chaos.sessions import Sessions


class Diary(ConsumerRebalanceListener, Sessions):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.poll_began = time.monotonic()

    def write(self, event: str, when: float, *more: Any) -> None:
        os.write(self.file, json.dumps([event, when, *more]).encode() + b"\n")

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.write("assigned", self.poll_began, [tp.partition for tp in assigned])

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.write("revoked", time.monotonic(), [tp.partition for tp in revoked])

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        self.write("lost", time.monotonic(), [tp.partition for tp in lost])

    def on_offsets_committed(self, event: OffsetsCommitted) -> None:
        if event.error is None:
            offsets = {tp.partition: found.offset for tp, found in event.offsets.items()}
            self.write("committed", time.monotonic(), offsets)
        else:
            self.write("failed", time.monotonic(), repr(event.error))

    def read(self, polled: dict[TopicPartition, list[Any]]) -> None:
        now = time.monotonic()
        for tp, records in polled.items():
            first, last = records[0].offset, records[-1].offset
            assert [record.offset for record in records] == list(range(first, last + 1)), (tp, first, last)
            self.write("read", now, tp.partition, first, last, zlib.crc32(b"".join(each.value for each in records)))


def main(configs: str, topic: str, path: str) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    diary = Diary(path)
    settings = json.loads(configs)
    consumer = KafkaConsumer(**settings, hooks=[diary])
    consumer.subscribe([topic], listener=diary)
    while not stopped:
        diary.poll_began = time.monotonic()
        polled = consumer.poll(100)
        diary.read(polled)
        if polled and not settings.get("enable_auto_commit", True):
            try:
                consumer.commit()
            except (CommitFailedError, RebalanceInProgressError, KafkaTimeoutError):
                pass  # written down by the hook; others read the records again
    consumer.close()
    counted = {name: getattr(diary, name) for name in ("connections", "renewals", "ends")}
    diary.write("closed", time.monotonic(), time.process_time(), counted)


if __name__ == "__main__":
    main(*sys.argv[1:])
