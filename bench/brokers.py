"""What the candidates are measured on: a broker that discards; Apache Kafka on one node, on three, and over TLS."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from . import environments
from .environments import Missing

# Nodes of the tests live for seconds and are not compiled well; these are. The last of equal options counts.
_JVM = ("-XX:TieredStopAtLevel=4", "-Xms1g", "-Xmx1g")
# What was sent is thrown away soon: a run sends gigabytes.
_SOON_GONE = {"segment.bytes": str(64 << 20), "retention.bytes": str(64 << 20)}
_CHECKS = {"log.retention.check.interval.ms": "5000"}


class Broker:
    """Where clients connect to, and how many records have come. A context manager."""

    bootstrap = ""
    ca: str | None = None

    def __init__(self) -> None:
        self._stack = ExitStack()

    def start(self) -> None:
        raise NotImplementedError

    def topic(self, name: str, partitions: int, *, kept: bool = False) -> str:
        """The name of a topic that is there, of so many partitions; `kept`: what is in it stays."""
        raise NotImplementedError

    def count(self, topic: str) -> int:
        """How many records there are or were in it; the broker's word."""
        raise NotImplementedError

    def __enter__(self) -> Broker:
        with self._stack:
            self.start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


class Discarding(Broker):
    """It counts all records alike, whatever their topic."""

    def start(self) -> None:
        program = environments.discarding_broker()
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._stack.callback(self._process.communicate)
        self.bootstrap = f"127.0.0.1:{int(self._line())}"

    def _line(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise Missing("the broker that discards has ended")
        return line

    def topic(self, name: str, partitions: int, *, kept: bool = False) -> str:
        return f"{name}-{partitions}"

    def count(self, topic: str) -> int:
        with suppress(BrokenPipeError):  # `_line` says so
            print(file=self._process.stdin, flush=True)
        records: int = json.loads(self._line())["records"]
        return records


class Kafka(Broker):
    def __init__(self, nodes: int = 1, *, tls: bool = False) -> None:
        super().__init__()
        self._nodes, self._tls = nodes, tls
        self._made: dict[str, int] = {}

    def start(self) -> None:
        import kafka_jars
        from broker.cluster import KafkaCluster

        try:
            cluster = self._over_tls() if self._tls else KafkaCluster(self._nodes, _CHECKS)
        except kafka_jars.Unavailable as missing:
            raise Missing(str(missing)) from None
        for node in cluster.nodes:
            node.jvm = _JVM
        self._cluster = self._stack.enter_context(cluster)
        self.bootstrap = cluster.addresses["SSL"] if self._tls else cluster.bootstrap
        from kafka import KafkaConsumer

        self._consumer = self._stack.enter_context(KafkaConsumer(bootstrap_servers=cluster.bootstrap))

    def _over_tls(self) -> Any:
        from broker.tls import TlsKafka
        from certificates import Certificates

        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        certificates = Certificates(Path(folder))
        self.ca = certificates["ca.pem"]
        return TlsKafka(certificates)

    def topic(self, name: str, partitions: int, *, kept: bool = False) -> str:
        if name not in self._made:
            self._cluster.create_topic(name, partitions, {} if kept else _SOON_GONE)
            self._made[name] = partitions
        return name

    def count(self, topic: str) -> int:
        from kafka import TopicPartition

        ends = self._consumer.end_offsets([TopicPartition(topic, number) for number in range(self._made[topic])])
        return sum(ends.values())


BROKERS: dict[str, Callable[[], Broker]] = {
    "discarding": Discarding,
    "Kafka": Kafka,
    "Kafka, 3 nodes": lambda: Kafka(3),
    "Kafka, TLS": lambda: Kafka(tls=True),
}


def settled(broker: Broker, topic: str, expected: int, seconds: float = 10.0) -> int:
    """The count, once it is what was expected: without acknowledgements records may still be on their way."""
    end = time.monotonic() + seconds
    while (found := broker.count(topic)) < expected and time.monotonic() < end:
        time.sleep(0.02)
    return found
