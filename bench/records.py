"""How fast are record batches read and written, compressed, and cut out of files?

    python bench/records.py [FILE.csv COLUMN]

Prints JSON: for each case the median over rounds of CPU time, so that other work on the machine weighs less, as records
(rows) a second or microseconds a call. The file stands for a data set whose key is the named column; without one, rows
of much the same size are made up. Python's own csv module is beside the scan.
"""

from __future__ import annotations

import csv
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kafka._codec import scan_csv, scan_json, scan_keyed_lines, scan_lines
from kafka.records import CODECS, RecordBatchBuilder, decompress, read_batches
from kafka.records.compression import Codec

ROUNDS = 7
NOW = 1_700_000_000_000


def seconds(function: Callable[[], Any]) -> float:
    """Median CPU seconds of a call."""
    calls = 1
    times = []
    while len(times) < ROUNDS:
        start = time.process_time()
        for _ in range(calls):
            function()
        taken = time.process_time() - start
        if taken < 0.05:
            calls *= 2
        else:
            times.append(taken / calls)
    return statistics.median(times)


def some_rows() -> bytes:
    rng = random.Random(1)
    head = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,carrier,flight,tailnum,origin,dest,time_hour\n"
    return (head + "".join(
        f"2013,{rng.randrange(1, 13)},{rng.randrange(1, 29)},{rng.randrange(2400)},{rng.randrange(2400)},"
        f"{rng.randrange(-20, 100)},{rng.randrange(2400)},{rng.choice(['UA', 'AA', 'B6', 'DL'])},{rng.randrange(9999)},"
        f"N{rng.randrange(99999)},EWR,IAH,2013-01-01T10:00:00Z\n"
        for _ in range(100_000)
    )).encode()  # fmt: skip


def scans(data: bytes, name: str) -> dict[str, float]:
    column = data[: data.index(b"\n")].decode().split(",").index(name)
    rows = data.count(b"\n")
    # 256 KiB at a time, as a reader does who lets other threads run in between.
    at, chunks = 0, []
    while at < len(data):
        end = data.rfind(b"\n", at, at + (1 << 18)) + 1
        chunks.append(data[at:end])
        at = end

    def document(row: bytes) -> bytes:
        text = row.decode("latin-1")
        return json.dumps({"start": text[:10], "row": text}).encode() + b"\n"

    documents = [b"".join(map(document, chunk.splitlines())) for chunk in chunks]

    def each(scan: Callable[[bytes], Any], pieces: list[bytes] = chunks) -> float:
        def run() -> None:
            for chunk in pieces:
                scan(chunk)

        return rows / seconds(run) / 1e6

    def with_csv() -> None:
        for row in csv.reader(io.StringIO(data.decode(), newline="")):
            row[column]

    return {
        "lines, M/s": each(lambda chunk: scan_lines(chunk, 0)),
        "csv with key, M/s": each(lambda chunk: scan_csv(chunk, 0, column)),
        "csv without key, M/s": each(lambda chunk: scan_csv(chunk, 0, -1)),
        "lines with key, M/s": each(lambda chunk: scan_keyed_lines(chunk, 0, b",")),
        "json with key, M/s": each(lambda chunk: scan_json(chunk, 0, b"start"), documents),
        "Python's csv, M/s": rows / seconds(with_csv) / 1e6,
        "bytes a row": len(data) / rows,
    }


def reads(size: int) -> dict[str, float]:
    builder = RecordBatchBuilder()
    while len(builder) < 128 * 1024:
        builder.append(NOW + builder.count, b"key", bytes(size))
    data = builder.build() * 20
    count = 20 * builder.count

    def read() -> None:
        for result in read_batches(data):
            result.unwrap().records().unwrap()

    def write() -> None:
        fresh = RecordBatchBuilder()
        value = bytes(size)
        for _ in range(builder.count):
            fresh.append(NOW, b"key", value)
        fresh.build()

    return {
        "read, M records/s": count / seconds(read) / 1e6,
        "headers and CRC alone, us a batch of 128 KiB": seconds(lambda: read_batches(data)) / 20 * 1e6,
        "RecordBatchBuilder, M records/s": builder.count / seconds(write) / 1e6,
    }


def codecs(data: bytes) -> dict[str, dict[str, float]]:
    found = {}
    for codec in CODECS[1:]:
        compress = Codec(codec).compress
        packed = compress(data)
        found[codec] = {
            "compress, us": seconds(lambda compress=compress: compress(data)) * 1e6,
            "decompress, us": seconds(lambda codec=codec, packed=packed: decompress(codec, packed).unwrap()) * 1e6,
            "ratio": len(data) / len(packed),
        }
    return found


def rounded(value: Any) -> Any:
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else round(value, 2)


def main() -> None:
    data, column = (Path(sys.argv[1]).read_bytes(), sys.argv[2]) if len(sys.argv) > 2 else (some_rows(), "carrier")
    answer: dict[str, Any] = {f"{size}-byte values": reads(size) for size in (100, 1000)}
    answer |= {f"{size >> 10} KiB": codecs(data[:size]) for size in (16384, 262144)}
    answer["scan"] = scans(data, column)
    print(json.dumps(rounded(answer), indent=2))


if __name__ == "__main__":
    main()
