"""How fast is the hot path alone: the accumulator and the IO turn, with a hand-made produce request between them?

    python bench/hot_path.py [--records N] [--threads N] [--idle CALLS] [--many | --column]
                             [--batch-size BYTES]
                             [--bootstrap HOST:PORT --topic TOPIC] [--keep FILE]

Records of 100 bytes, each with its own number, go to 6 partitions of a discarding broker in another process, or of a
real one. `--idle` adds so many calls of the calibration loop per batch on the IO thread: what the core may cost. Prints
JSON: records a second from the first send to the last answer, records per second of this process's processor time, and
the latter as a ratio to a calibration loop of the same run, before it and after it: that holds still on a machine that
others use too, and on a faster one.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kafka._codec import Accumulator, Batch
from kafka.drivers._turn import Turn
from kafka.producer.waiting import WaitingProducer, Waits, wait_for

PARTITIONS = 6
IN_FLIGHT = 5


def calibrate() -> float:
    """Calls a second of processor time of a builtin from a plain loop: what Python gets from this machine."""
    values = [b"x"] * 1_000_000
    start = time.thread_time()
    spend(values)
    return len(values) / (time.thread_time() - start)


def spend(values: list[bytes]) -> None:
    append = deque(maxlen=1).append
    for value in values:
        append(value)


class IoThread(threading.Thread):
    """One connection, requests of up to one batch per partition, five in flight: no metadata, no errors."""

    def __init__(self, address: tuple[str, int], topic: str, turn: Turn, accumulator: Accumulator, idle: int) -> None:
        super().__init__(daemon=True)
        self.turn, self.accumulator, self.idle = turn, accumulator, [b"x"] * idle
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        turn.add(1, self.socket.fileno())
        self.topic = topic.encode()
        self.stopping = False
        self.turns = self.batches = self.requests = 0

    def request(self, correlation: int, batches: list[Batch]) -> list[Any]:
        head = struct.pack(">hhih", 0, 8, correlation, 5) + b"bench"
        head += struct.pack(">hhiih", -1, -1, 30000, 1, len(self.topic)) + self.topic + struct.pack(">i", len(batches))
        buffers: list[Any] = [b""]
        size = 0
        for batch in batches:
            batch.stamp()
            head += struct.pack(">ii", batch.partition, batch.size)
            buffers += [head, batch]
            size += len(head) + batch.size
            head = b""
            spend(self.idle)
        buffers[0] = struct.pack(">i", size)
        return buffers

    def run(self) -> None:
        turn, accumulator = self.turn, self.accumulator
        accumulator.waits.io_thread = threading.get_ident()
        in_flight: deque[list[Batch]] = deque()
        ready: deque[Any] = deque()
        received = b""
        correlation = rotation = 0
        while not (self.stopping and not in_flight and not ready):
            now = accumulator.now()
            until = accumulator.next_deadline() if len(in_flight) < IN_FLIGHT else now + 1
            wait = 0.0 if ready and len(in_flight) < IN_FLIGHT else max(0.0, min(until - now, 0.1))
            if wait and not accumulator.sleep(now + wait):
                wait = 0
            events = turn.run(wait)
            accumulator.awake()
            self.turns += 1
            now = accumulator.now()
            for _, event in events:
                if event is True:
                    continue
                if not isinstance(event, bytes):
                    raise ConnectionError(f"the broker went away: {event}")
                received += event
            while len(received) >= 4 and len(received) >= 4 + (size := struct.unpack_from(">i", received)[0]):
                at = 4 + 4 + 4 + 2 + len(self.topic) + 4
                for batch in in_flight.popleft():
                    partition, code, base = struct.unpack_from(">ihq", received, at)
                    assert partition == batch.partition and code == 0, (partition, batch, code)
                    batch.complete(base)
                    at += 36
                received = received[4 + size :]
            ready.extend(accumulator.take_ready(now))
            while ready and len(in_flight) < IN_FLIGHT:
                batches = []
                while ready and len(batches) < PARTITIONS:
                    batch = ready[0].pull(now)
                    if batch is None:
                        ready.popleft()
                        continue
                    batch.bind(rotation % PARTITIONS)
                    rotation += 1
                    batches.append(batch)
                if batches:
                    correlation += 1
                    turn.send(1, self.request(correlation, batches))
                    in_flight.append(batches)
                    self.batches += len(batches)
                    self.requests += 1
                del batches
            accumulator.wake_waiters()


def produce(options: argparse.Namespace, address: tuple[str, int]) -> dict[str, Any]:
    turn = Turn()
    accumulator = Accumulator(
        turn,
        memory=32 << 20,
        linger=0.005,
        delivery_timeout=120.0,
        batch_size=options.batch_size,
        waits=Waits(),
    )
    producer = WaitingProducer(accumulator)
    io_thread = IoThread(address, options.topic, turn, accumulator, options.idle)
    io_thread.start()
    share = options.records // options.threads

    def values(first: int, count: int) -> Any:
        made = [b"%0100d" % number for number in range(first, first + count)]
        if options.column:
            import pyarrow

            return pyarrow.array(made, pyarrow.binary())
        return made

    def one_by_one(first: int) -> None:
        send, topic = producer.send, options.topic
        for start in range(first, first + share, 100_000):
            for value in prepared[start]:
                send(topic, value)

    def many(first: int) -> None:
        for start in range(first, first + share, 100_000):
            producer.send_many(options.topic, prepared[start])

    prepared = {
        start: values(start, min(100_000, first + share - start))
        for first in range(0, share * options.threads, share)
        for start in range(first, first + share, 100_000)
    }
    work = many if options.many or options.column else one_by_one
    threads = [threading.Thread(target=work, args=(n * share,)) for n in range(options.threads)]
    calibration = calibrate()
    start = time.perf_counter()
    cpu_start = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accumulator.begin_flush()
    for cell in accumulator.unresolved():
        assert wait_for(cell, 60), "no answer within 60 s"
    rate = share * options.threads / (time.perf_counter() - start)
    cpu_rate = share * options.threads / (time.process_time() - cpu_start)
    calibration = (calibration + calibrate()) / 2
    io_thread.stopping = True
    turn.wake()
    io_thread.join()
    io_thread.socket.close()
    return {
        "records": share * options.threads,
        "records_per_second": round(rate),
        "records_per_cpu_second": round(cpu_rate),
        "calls_per_cpu_second": round(calibration),
        "ratio": round(cpu_rate / calibration, 4),
        "batches": io_thread.batches,
        "requests": io_thread.requests,
        "turns": io_thread.turns,
        "memory_left": accumulator.used,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--idle", type=int, default=0, help="calls of the calibration loop per batch")
    parser.add_argument("--many", action="store_true", help="send_many in place of send")
    parser.add_argument("--column", action="store_true", help="send_many with an Arrow array of binary")
    parser.add_argument("--batch-size", type=int, default=0, help="0: grow while the connection is busy")
    parser.add_argument("--bootstrap", help="a real broker, leader of all partitions")
    parser.add_argument("--topic", default="bench")
    parser.add_argument("--keep", help="where the discarding broker keeps the batches")
    options = parser.parse_args()
    if options.bootstrap:
        host, _, port = options.bootstrap.rpartition(":")
        print(json.dumps(produce(options, (host, int(port)))))
        return
    command = [sys.executable, str(Path(__file__).with_name("_discarding_broker.py"))]
    if options.keep:
        command += ["--keep", options.keep]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as broker:
        assert broker.stdout is not None
        print(json.dumps(produce(options, ("127.0.0.1", int(broker.stdout.readline())))))
        broker.communicate()


if __name__ == "__main__":
    main()
