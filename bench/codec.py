"""How fast is the codec, beside kio's and kafka-python's?

`python bench/codec.py [--check]` prints JSON on standard output and a table on standard error.

Three interpreters stand by in one run: this one, and one each for kio and kafka-python in environments of their own
(made once under .cache/ by pip). Every round times each of them in turn, first place rotating, so that whatever else
the machine does falls on all of them. Reported are medians over the rounds, in microseconds of CPU time per call; a
ratio is the median of the rounds' ratios. Before the clock starts, all three must have decoded the same values and
encoded the same bytes.

`frame` is what the client really does for a request: the frame as a list of buffers for sendmsg, records not copied.
Its peers there are the same `encode` calls to bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from environments import python_with

ROOT = Path(__file__).resolve().parent.parent
PEERS = {"kio": "kio==0.6.5", "kafka-python": "kafka-python==3.0.12"}
OURS = "kafka-turbo"
BLOCK_SECONDS = 0.03

# Case -> peer -> at least how many times faster than it we mean to be.
TARGETS = {
    "decode Metadata v12, 100 topics x 12": {"kio": 2.0, "kafka-python": 8.0},
    "encode Produce v9, 1 x 16 KiB": {"kio": 5.0, "kafka-python": 5.0},
    "encode Produce v9, 100 x 1 KiB": {"kio": 5.0, "kafka-python": 5.0},
    "frame Produce v9, 1 x 16 KiB": {"kio": 5.0, "kafka-python": 5.0},
    "frame Produce v9, 100 x 1 KiB": {"kio": 5.0, "kafka-python": 5.0},
}
DECODE, *ENCODES = TARGETS
SHAPES = {case: (1, 16384) if "16 KiB" in case else (100, 1024) for case in ENCODES}


def metadata_v12() -> bytes:
    """The body of a Metadata v12 response, put together by hand: 3 brokers, 100 topics of 12 partitions."""

    def text(value: str) -> bytes:
        return bytes([len(value) + 1]) + value.encode()

    def nodes(*ids: int) -> bytes:
        return struct.pack(f">B{len(ids)}i", len(ids) + 1, *ids)

    parts = [struct.pack(">iB", 0, 3 + 1)]
    parts += [
        struct.pack(">i", i) + text(f"kafka-{i}.internal") + struct.pack(">i", 9092) + text("a") + b"\0"
        for i in range(3)
    ]
    parts += [text("9JvpNgqTQDKPX5ofMOVX7Q"), struct.pack(">iB", 1, 100 + 1)]
    for topic in range(100):
        name = f"orders.by-region.{topic:03}"
        parts += [
            struct.pack(">h", 0),
            text(name),
            hashlib.md5(name.encode()).digest(),
            struct.pack(">?B", False, 12 + 1),
        ]
        for p in range(12):
            replicas = nodes(p % 3, (p + 1) % 3, (p + 2) % 3)
            parts += [struct.pack(">hiii", 0, p, p % 3, 7), replicas, replicas, nodes(), b"\0"]
        parts += [struct.pack(">i", -(2**31)), b"\0"]
    return b"".join(parts) + b"\0"


def batches(case: str) -> list[bytes]:
    count, size = SHAPES[case]
    return [bytes([number % 251]) * size for number in range(count)]


# --- the three codecs: case -> (what to time, a digest of what it gives) -------------------------------------------

Cases = dict[str, tuple[Callable[[], Any], Any]]


def digest_of_topics(topics: Any, name: Callable[[Any], str]) -> list[Any]:
    return [
        [
            name(topic),
            [
                [p.partition_index, p.leader_id, p.leader_epoch, *p.replica_nodes, *p.isr_nodes]
                for p in topic.partitions
            ],
        ]
        for topic in topics
    ]


def turbo() -> Cases:
    sys.path.insert(0, str(ROOT))
    from kafka.protocol import MetadataResponse, ProduceRequest, decode, encode, encode_request

    data = metadata_v12()
    topics = decode(MetadataResponse, 12, data).unwrap().topics
    cases: Cases = {DECODE: (lambda: decode(MetadataResponse, 12, data), digest_of_topics(topics, lambda t: t.name))}
    for case in ENCODES:
        parts = [
            ProduceRequest.PartitionProduceData(index=index, records=batch) for index, batch in enumerate(batches(case))
        ]
        topic = ProduceRequest.TopicProduceData(name="orders", partition_data=parts)
        request = ProduceRequest(transactional_id=None, acks=-1, timeout_ms=30000, topic_data=[topic])
        body = encode(request, 9).unwrap()
        if case.startswith("frame"):
            frame = b"".join(encode_request(request, 9, 1, "bench").unwrap())
            assert frame.endswith(body)
            cases[case] = (lambda request=request: encode_request(request, 9, 1, "bench"), digest_of(body))
        else:
            cases[case] = (lambda request=request: encode(request, 9), digest_of(body))
    return cases


def kio() -> Cases:
    import datetime

    from kio.schema.metadata.v12.response import MetadataResponse
    from kio.schema.produce.v9.request import PartitionProduceData, ProduceRequest, TopicProduceData
    from kio.serial import entity_reader, entity_writer

    data = metadata_v12()
    read = entity_reader(MetadataResponse)
    write = entity_writer(ProduceRequest)
    topics = read(data, 0)[0].topics
    cases: Cases = {DECODE: (lambda: read(data, 0), digest_of_topics(topics, lambda t: t.name))}
    for case in ENCODES:
        parts = tuple(PartitionProduceData(index=index, records=batch) for index, batch in enumerate(batches(case)))
        topic = TopicProduceData(name="orders", partition_data=parts)
        request = ProduceRequest(
            transactional_id=None, acks=-1, timeout=datetime.timedelta(seconds=30), topic_data=(topic,)
        )

        def run(request: Any = request) -> bytes:
            buffer = io.BytesIO()
            write(buffer, request)
            return buffer.getvalue()

        cases[case] = (run, digest_of(run()))
    return cases


def kafka_python() -> Cases:
    from kafka.protocol.metadata import MetadataResponse
    from kafka.protocol.producer import ProduceRequest

    data = metadata_v12()
    topics = MetadataResponse.decode(data, version=12).topics
    cases: Cases = {
        DECODE: (lambda: MetadataResponse.decode(data, version=12), digest_of_topics(topics, lambda t: t.name))
    }
    for case in ENCODES:
        topic_data = ProduceRequest.TopicProduceData
        parts = [topic_data.PartitionProduceData(index=i, records=batch) for i, batch in enumerate(batches(case))]
        topic = topic_data(name="orders", partition_data=parts)
        request = ProduceRequest(transactional_id=None, acks=-1, timeout_ms=30000, topic_data=[topic], version=9)
        cases[case] = (lambda request=request: request.encode(), digest_of(request.encode()))
    return cases


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


CODECS = {OURS: turbo, "kio": kio, "kafka-python": kafka_python}


def work(codec: str) -> None:
    """One of the three interpreters: prints its digests, then for each `case, loops` line the CPU seconds they took."""
    cases = CODECS[codec]()
    print(json.dumps({case: digest for case, (_, digest) in cases.items()}), flush=True)
    for line in sys.stdin:
        case, loops = json.loads(line)
        call = cases[case][0]
        repeated = range(loops)
        start = time.process_time()
        for _ in repeated:
            call()
        print(time.process_time() - start, flush=True)


# --- the run -----------------------------------------------------------------------------------------------------


class Worker:
    def __init__(self, codec: str, python: str | Path) -> None:
        command = [str(python), str(Path(__file__).resolve()), "--worker", codec]
        # kafka-python has our import name: its worker must not see this checkout.
        path = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=path)
        self.digests = json.loads(self._line())

    def seconds(self, case: str, loops: int) -> float:
        assert self.process.stdin is not None
        print(json.dumps([case, loops]), file=self.process.stdin, flush=True)
        return float(self._line())

    def close(self) -> None:
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a codec of the benchmark failed: see above")
        return line


def measure(rounds: int) -> dict[str, Any]:
    workers = {OURS: Worker(OURS, sys.executable)}
    workers |= {peer: Worker(peer, python_with(PEERS[peer])) for peer in PEERS}
    result: dict[str, Any] = {"python": platform.python_version(), "versions": PEERS, "cases": {}}
    for case, targets in TARGETS.items():
        for name, worker in workers.items():
            assert worker.digests[case] == workers[OURS].digests[case], f"{name} and {OURS} disagree on {case}"
        loops = {name: calibrate(worker, case) for name, worker in workers.items()}
        times: dict[str, list[float]] = {name: [] for name in workers}
        order = list(workers)
        for _ in range(rounds):
            for name in order:
                times[name].append(workers[name].seconds(case, loops[name]) / loops[name] * 1e6)
            order.append(order.pop(0))
        ratios = {
            peer: statistics.median(theirs / ours for theirs, ours in zip(times[peer], times[OURS], strict=True))
            for peer in PEERS
        }
        result["cases"][case] = {
            "median_us": {name: statistics.median(values) for name, values in times.items()},
            "min_us": {name: min(values) for name, values in times.items()},
            "times_faster_than": ratios,
            "target": targets,
            "met": all(ratios[peer] >= target for peer, target in targets.items()),
        }
    for worker in workers.values():
        worker.close()
    return result


def calibrate(worker: Worker, case: str) -> int:
    loops = 1
    while (seconds := worker.seconds(case, loops)) < BLOCK_SECONDS / 4:
        loops *= 4
    return max(1, round(loops * BLOCK_SECONDS / seconds))


def table(result: dict[str, Any]) -> str:
    names = [OURS, *PEERS]
    lines = [
        f"{'median, CPU microseconds per call':<38}" + "".join(f"{name:>14}" for name in names) + "   times faster than"
    ]
    for case, row in result["cases"].items():
        times = "".join(f"{row['median_us'][name]:>14.2f}" for name in names)
        ratios = ", ".join(
            f"{peer} {row['times_faster_than'][peer]:.1f} (target {row['target'][peer]:g})" for peer in PEERS
        )
        lines.append(f"{case:<38}{times}   {ratios}{'' if row['met'] else '  MISSED'}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="The codec beside kio's and kafka-python's.")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--worker", choices=CODECS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.worker)
    result = measure(arguments.rounds)
    print(table(result), file=sys.stderr)
    print(json.dumps(result, indent=1))
    if arguments.check and not all(case["met"] for case in result["cases"].values()):
        raise SystemExit("a target is missed")
    return None


if __name__ == "__main__":
    main()
