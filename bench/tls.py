"""What does TLS cost a producer?

    python bench/tls.py [--records N] [--rounds N] [--piece BYTES]

Records of 100 bytes by `send_many` to one partition of a discarding broker in another process, in plain text and over
TLS, encrypted in the turn ("direct") and by Python's `ssl` ("python"), with and without a thread that computes in
Python all the time. The broker is Python, too, so the rates without such a thread are rather its own. Prints JSON:
medians of records a second, and the IO thread's processor time for one.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import trustme

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kafka import KafkaProducer
from kafka.drivers import openssl, tls
from kafka.testing import EmbeddedCluster

CHUNK = 50_000


def broker(certificate: str) -> None:
    """The broker's process: serves until its standard input ends."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with EmbeddedCluster(tls=context, discard=True, topics={"bench": 1}) as cluster:
        print(cluster.bootstrap, flush=True)
        sys.stdin.read()


def measure(records: int, computing: bool, **configs: Any) -> tuple[float, float]:
    """Records a second, nanoseconds of the IO thread's processor time a record."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))

    values = [bytes(100)] * CHUNK
    thread = threading.Thread(target=compute)
    with KafkaProducer(linger_ms=5, **configs) as producer:
        producer.send("bench", b"warm").get(10)
        used: list[float] = []

        def io_time() -> float:
            told = threading.Event()
            producer._driver.call(lambda now: (used.append(time.thread_time()), told.set()))  # type: ignore[func-returns-value]
            told.wait(10)
            return used[-1]

        if computing:
            thread.start()
        before = io_time()
        start = time.perf_counter()
        for _ in range(records // CHUNK):
            producer.send_many("bench", values)
        producer.flush()
        seconds = time.perf_counter() - start
        spent = io_time() - before
        stop.set()
    if computing:
        thread.join()
    return records / seconds, spent / records * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--piece", type=int, default=tls.PIECE, help="how much Python's ssl encrypts at once")
    parser.add_argument("--broker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.broker is not None:
        broker(options.broker)
        return
    tls.PIECE = options.piece
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        leaf.private_key_and_cert_chain_pem.write_to_path(f"{folder}/server.pem")
        secure = {"security_protocol": "SSL", "ssl_cafile": authority.cert_pem.bytes()}
        brokers = []
        for certificate, configs in (("", {}), (f"{folder}/server.pem", secure)):
            command = [sys.executable, __file__, "--broker", certificate]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            brokers.append((process, {"bootstrap_servers": process.stdout.readline().strip(), **configs}))
        for _ in range(options.rounds):
            for computing in (False, True):
                for engine, (_, configs) in zip(("", tls.DIRECT, tls.PYTHON), (*brokers, brokers[-1]), strict=True):
                    os.environ[openssl.SWITCH] = engine
                    name = f"{engine or 'PLAINTEXT'}{', computing' if computing else ''}"
                    share = options.records // 4 if computing else options.records
                    found.setdefault(name, []).append(measure(share, computing, **configs))
                    print(name, *map(round, found[name][-1]), file=sys.stderr)
        for process, _ in brokers:
            process.communicate()
    print(
        json.dumps(
            {
                name: {
                    "records_per_second": round(statistics.median(rate for rate, _ in runs)),
                    "io_nanoseconds_per_record": round(statistics.median(spent for _, spent in runs)),
                }
                for name, runs in found.items()
            }
        )
    )


if __name__ == "__main__":
    main()
