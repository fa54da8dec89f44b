"""What is measured: a row for each question. Everybody in a row has the same settings.

A row is a name, where (a broker), who (contenders, we first), what (`do` and `how`, see candidates/scenario.py) and
which settings differ from `SETTINGS`. A bar is what we mean to reach: of `rate`, at least; of all else, at most.
A reader reads a topic that is filled first, with `fill` records, where a row says how many.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .contenders import AIOKAFKA, COLUMNS, CONFLUENT, FRANZ, JAVA, KAFKA_PYTHON, MANY, TURBO

SETTINGS: dict[str, Any] = {
    "acks": "all",
    "idempotence": True,
    "linger_ms": 5,
    "batch_size": 131072,
    "compression": None,
    "buffer_memory": 64 << 20,
    "partitions": 6,
    "values": "100",
}


_PERCENTILES = ("p50_ms", "p99_ms", "p999_ms")
# What ratios are made of, and what tables show, by what is done; of all else it is the rate.
MEASURED = {
    "latency": _PERCENTILES,
    "arrive": _PERCENTILES,
    "first": ("p50_ms",),
    "join": ("p50_ms", "stood_ms", "taken"),
    "idle": ("cpu_percent",),
    "slow": ("peak_mb",),
}


@dataclass(frozen=True)
class Bar:
    """`measure` is to be `value`, or so many times that of the contender `of`."""

    measure: str
    value: float
    of: str | None = None


@dataclass(frozen=True)
class Row:
    name: str
    section: str
    broker: str
    who: tuple[str, ...]
    do: str = "produce"
    how: str = "send"
    settings: dict[str, Any] = field(default_factory=dict)
    bars: tuple[Bar, ...] = ()
    quick: bool = False

    @property
    def measures(self) -> tuple[str, ...]:
        return MEASURED.get(self.do, ("rate",))


def times(value: float, *of: str) -> tuple[Bar, ...]:
    return tuple(Bar("rate", value, name) for name in of)


PRODUCE, KAFKA, LATENCY, READ = "Producing", "Producing to Apache Kafka", "Delivery latency", "Reading"
WAIT = "Waiting, joining and holding"
_ALL = (TURBO, MANY, FRANZ, CONFLUENT, JAVA, AIOKAFKA, KAFKA_PYTHON)
_MAIN = (TURBO, FRANZ, CONFLUENT)
_WITH_JAVA = (*_MAIN, JAVA)
_PYTHON = (TURBO, CONFLUENT)
_READERS = (TURBO, CONFLUENT, AIOKAFKA)
_AHEAD = times(1, FRANZ, JAVA)
_FEW = 600  # records to be there, where the rest is not read
# They take long to start, or to do anything.
NOT_QUICK = (JAVA, AIOKAFKA, KAFKA_PYTHON)


def discarded(name: str, who: tuple[str, ...], how: str = "send", *bars: Bar, quick: bool = False, **more: Any) -> Row:
    return Row(name, PRODUCE, "discarding", who, "produce", how, more, bars, quick)


def written(
    name: str, who: tuple[str, ...], broker: str = "Kafka", *bars: Bar, quick: bool = False, **more: Any
) -> Row:
    how = more.pop("how", "send")
    return Row(name, KAFKA, broker, who, "produce", how, more, bars, quick)


def delivered(name: str, offered: int, who: tuple[str, ...] = _WITH_JAVA, quick: bool = False, **more: Any) -> Row:
    settings = {"offered": offered, **more}
    bars = (Bar("p50_ms", 1, CONFLUENT), Bar("p99_ms", 1, CONFLUENT), Bar("p999_ms", 1, CONFLUENT))
    return Row(name, LATENCY, "Kafka", who, "latency", "callback", settings, bars, quick)


def read(name: str, who: tuple[str, ...], how: str = "value", *bars: Bar, quick: bool = False, **more: Any) -> Row:
    return Row(name, READ, "Kafka", who, "consume", how, {"fill": 4_000_000, **more}, bars, quick)


def waited(name: str, do: str, who: tuple[str, ...], how: str, *bars: Bar, **more: Any) -> Row:
    return Row(name, WAIT, "Kafka", who, do, how, more, bars)


ROWS: tuple[Row, ...] = (
    discarded("100 B", _ALL, "send", *times(2, FRANZ), quick=True),
    discarded("100 B, 16 KiB batches", _WITH_JAVA, "send", *times(1.7, FRANZ), Bar("cpu_us", 0.22), batch_size=16384),
    discarded(
        "100 B, a callback each", _MAIN, "callback", Bar("rate", 2.5e6), Bar("cpu_us", 0.5), quick=True
    ),
    discarded("100 B, futures kept", _PYTHON, "futures", Bar("rate", 4e6)),
    discarded("add_callback on futures that have ended", (TURBO,), "callback later", Bar("rate", 4e6)),
    discarded("100 B, 2 headers", _MAIN, "headers", Bar("rate", 3.5e6)),
    discarded("100 B, keyed, 10,000 keys", _MAIN, "keyed", *times(2.5, FRANZ)),
    discarded("1 KB", _ALL, "send", *times(1.2, FRANZ), values="1000", quick=True),
    discarded("10 KB", _ALL, "send", *times(1.15, FRANZ), Bar("cpu_us", 1, FRANZ), values="10000", quick=True),
    discarded("100 KB", _WITH_JAVA, "send", *times(1.2, FRANZ), Bar("cpu_us", 1, FRANZ), values="100000"),
    discarded("JSON", _WITH_JAVA, values="json"),
    discarded("JSON, lz4", _WITH_JAVA, "send", *times(1.4, FRANZ), values="json", compression="lz4"),
    discarded(
        "JSON, zstd", _WITH_JAVA, "send", *times(1.5, FRANZ, CONFLUENT), values="json", compression="zstd", quick=True
    ),
    discarded("JSON, gzip", _WITH_JAVA, "send", *times(1.5, FRANZ), values="json", compression="gzip"),
    discarded("JSON, snappy", _WITH_JAVA, "send", *times(1.4, FRANZ), values="json", compression="snappy"),
    discarded("dicts as JSON", _PYTHON, "dicts", Bar("rate", 1e6), values="json"),
    discarded("100 B, an Arrow column", (TURBO,), "column", Bar("rate", 9e6), Bar("cpu_us", 0.1)),
    discarded("100 B, 1 partition", _MAIN, partitions=1),
    discarded("100 B, 100 partitions", _MAIN, partitions=100),
    discarded("100 B, 10,000 topics", _MAIN, "topics", topics=10_000),
    discarded("100 B, 4 threads", _PYTHON, threads=4),
    discarded("100 B, 2 processes", _MAIN, processes=2),
    written("Kafka, 100 B", (TURBO, MANY, FRANZ, CONFLUENT, JAVA), "Kafka", *times(1, FRANZ), quick=True),
    written("Kafka, 1 KB", _WITH_JAVA, values="1000"),
    written("Kafka, 10 KB", _WITH_JAVA, values="10000"),
    written("Kafka, JSON, zstd", _WITH_JAVA, values="json", compression="zstd"),
    written("Kafka, acks=1", _WITH_JAVA, acks=1, idempotence=False),
    written("Kafka, acks=0", _WITH_JAVA, acks=0, idempotence=False),
    written("Kafka, transactions of 10,000", _MAIN, how="transactions"),
    written("Kafka, 3 nodes, 100 B", _WITH_JAVA, "Kafka, 3 nodes"),
    written("Kafka, 3 nodes, 1 KB", _WITH_JAVA, "Kafka, 3 nodes", values="1000"),
    written("Kafka, TLS, 100 B", _WITH_JAVA, "Kafka, TLS", *times(1.5, CONFLUENT), *times(1, JAVA)),
    delivered("latency, 5,000/s", 5_000, quick=True),
    delivered("latency, 50,000/s", 50_000),
    delivered("latency, 5,000/s, beside a computing thread", 5_000, _PYTHON, computing=True),
    delivered("latency, 50,000/s, beside a computing thread", 50_000, _PYTHON, computing=True),
    read(
        "reading 100 B", (TURBO, FRANZ, CONFLUENT, JAVA, AIOKAFKA, KAFKA_PYTHON), "value", Bar("rate", 4e6),
        *times(1, FRANZ), *times(6, AIOKAFKA), Bar("cpu_us", 0.28), quick=True,
    ),
    read(
        "reading 100 B, 16 KiB batches from Java", _WITH_JAVA, "value", Bar("rate", 4e6), *times(1, FRANZ),
        batch_size=16384, filled_by=JAVA,
    ),
    read("reading 100 B, poll(500)", _READERS, "poll", Bar("rate", 4e6), max_records=500),
    read("reading 100 B, poll(10,000)", _READERS, "poll", Bar("rate", 4e6), max_records=10_000),
    read("reading 100 B, six fields", _READERS, "fields", Bar("rate", 2e6)),
    read("reading 100 B as columns", (COLUMNS, TURBO), "value", Bar("rate", 8e6), *times(1.5, TURBO)),
    read(
        "reading 100 B, beside a computing thread", _READERS, "value", Bar("rate", 1e6), *times(3, AIOKAFKA),
        computing=True,
    ),
    read("reading JSON, lz4", _WITH_JAVA, "value", *_AHEAD, values="json", compression="lz4", fill=3_000_000),
    read("reading JSON, zstd", _WITH_JAVA, "value", *_AHEAD, values="json", compression="zstd", fill=3_000_000),
    read("reading 1 KB", _WITH_JAVA, "value", *_AHEAD, values="1000", fill=800_000),
    read("reading 10 KB", _WITH_JAVA, "value", *_AHEAD, values="10000", fill=100_000),
    waited(
        "from a send to its reader, 5,000/s: p50, p99, p99.9, ms", "arrive", (TURBO, JAVA, CONFLUENT, AIOKAFKA), "poll",
        Bar("p50_ms", 0.5), Bar("p99_ms", 1.1, JAVA), offered=5_000, linger_ms=0, seconds=2.5,
    ),
    waited(
        "from making a consumer to its first record, ms", "first", (TURBO, AIOKAFKA), "value", Bar("p50_ms", 30),
        Bar("p50_ms", 1.5, AIOKAFKA), fill=_FEW, times=20,
    ),
    waited(
        "a third member, classic: until it reads, ms; others without, ms; taken from them", "join", _PYTHON, "classic",
        Bar("p50_ms", 500), Bar("p50_ms", 1, CONFLUENT), Bar("stood_ms", 500), fill=_FEW, times=3,
    ),
    waited(
        "a third member, new protocol: until it reads, ms; others without, ms; taken from them", "join", _PYTHON,
        "consumer", Bar("p50_ms", 1, CONFLUENT), Bar("taken", 2), fill=_FEW, times=3,
    ),
    waited(
        "5 records of 0.9 MB a second of 200 partitions: peak, MB", "slow", (TURBO,), "poll", Bar("peak_mb", 150),
        values="900000", fill=800, partitions=200, seconds=6,
    ),
    # The last there: a broker with so many partitions is a slower one.
    waited(
        "idle, 1,000 partitions: % of a processor", "idle", (TURBO,), "poll", Bar("cpu_percent", 0.5),
        partitions=1000, seconds=4,
    ),
)  # fmt: skip
