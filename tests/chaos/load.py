"""A process that produces numbered records as fast as it is told, and reports on itself: `python -m tests.chaos.load`.

    python -m tests.chaos.load CONFIGS TOPIC RATE SECONDS

CONFIGS are those of the producer, in JSON. RATE is records a second of both threads together, 0 for as many as
possible. One thread sends with keys, one without, both through send_many. Every second, and at last, a line of JSON. It
ends before SECONDS are over when its standard input ends. Nothing in here grows with time.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer
from tests.chaos.sessions import Sessions

# A record's value: who sent it, and its number there.
VALUE = struct.Struct(">HQ")
KEYED, KEYLESS = 0, 1
CHUNK = 500
KEYS = [b"key %d" % number for number in range(CHUNK)]
BURST = 0.5  # seconds of sending that may be made up for at once


class Sender(threading.Thread):
    def __init__(
        self, producer: KafkaProducer, topic: str, number: int, rate: float, until: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.producer = producer
        self.topic = topic
        self.number = number
        self.rate = rate
        self.over = until
        self.sent = self.delivered = self.failed = 0
        self.counting = threading.Lock()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            keys = KEYS if self.number == KEYED else None
            pack, number = VALUE.pack, self.number
            due = time.monotonic()
            while not self.over():
                values = [pack(number, count) for count in range(self.sent, self.sent + CHUNK)]
                records = self.producer.send_many(self.topic, values, keys=keys)
                self.sent += CHUNK
                records.add_callback(self.on_delivered).add_errback(self.on_failed)
                if self.rate:
                    due = max(due + CHUNK / self.rate, time.monotonic() - BURST)
                    if (early := due - time.monotonic()) > 0:
                        time.sleep(early)
        except BaseException as error:
            self.error = error

    # Called on the IO thread, or at once where all was over already.

    def on_delivered(self, _: object) -> None:
        with self.counting:
            self.delivered += CHUNK

    def on_failed(self, error: BaseException) -> None:
        with self.counting:
            self.failed += CHUNK
            self.error = self.error or error


def rss() -> int:
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(configs: str, topic: str, rate: str, seconds: str) -> None:
    sessions = Sessions()
    producer = KafkaProducer(linger_ms=5, hooks=[sessions], **json.loads(configs))
    producer.partitions_for(topic)
    began = time.monotonic()
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()

    def over() -> bool:
        return stopped.is_set() or time.monotonic() - began >= float(seconds)

    senders = [Sender(producer, topic, number, float(rate) / 2, over) for number in (KEYED, KEYLESS)]

    def report(**more: Any) -> None:
        counts = {name: [getattr(sender, name) for sender in senders] for name in ("sent", "delivered", "failed")}
        print(json.dumps({"time": time.monotonic() - began, "rss": rss(), **counts, **more}), flush=True)

    for sender in senders:
        sender.start()
    while not over():
        report()
        stopped.wait(1)
    for sender in senders:
        sender.join()
    producer.flush()
    counted = {name: getattr(sessions, name) for name in ("connections", "renewals", "ends")}
    report(errors=[repr(sender.error) for sender in senders if sender.error], last=True, **counted)
    producer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
