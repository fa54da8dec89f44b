"""`kafka-turbo consume`: the records of a topic on standard output."""

from __future__ import annotations

import argparse
import json
import sys

from kafka.cli import OK, Failure
from kafka.cli.progress import human
from kafka.cli.reader import EARLIEST, LATEST, Reader
from kafka.errors import KafkaError
from kafka.records import Record


def run(options: argparse.Namespace) -> int:
    try:
        with Reader(options.bootstrap) as reader:
            count = _print(reader, options)
    except KafkaError as error:
        raise Failure(str(error)) from None
    if not options.quiet and sys.stderr.isatty():
        print(f"{human(count)} records", file=sys.stderr)
    return OK


def _print(reader: Reader, options: argparse.Namespace) -> int:
    topic = options.topic
    there = reader.partitions(topic)
    partitions = sorted(set(options.partition or there))
    for partition in partitions:
        if partition not in there:
            raise Failure(f"topic {topic} has no partition {partition}: it has {len(there)}, 0 to {len(there) - 1}")
    ends = None if options.follow else reader.offsets(topic, partitions, LATEST)
    if options.offset.isdecimal():
        begin = dict.fromkeys(partitions, int(options.offset))
    elif options.offset in ("beginning", "end"):
        begin = reader.offsets(topic, partitions, EARLIEST if options.offset == "beginning" else LATEST)
    else:
        raise Failure(f"--offset takes beginning, end or a number, not {options.offset!r}")
    count = 0
    most = float("inf") if options.max is None else options.max
    out = sys.stdout.buffer
    for partition, batch in reader.batches(topic, begin, ends):
        lines = []
        for record in batch.records().unwrap():
            if count >= most:
                break
            if record.offset < begin[partition] or (ends is not None and record.offset >= ends[partition]):
                continue
            lines.append(_line(record, topic, partition, options.format))
            count += 1
        out.write(b"".join(lines))
        if options.follow:
            out.flush()
        if count >= most:
            break
    out.flush()
    return count


def _line(record: Record, topic: str, partition: int, format: str) -> bytes:
    if format == "values":
        return (record.value or b"") + b"\n"
    if format == "pairs":
        return (record.key or b"") + b"\t" + (record.value or b"") + b"\n"
    shown = {
        "topic": topic,
        "partition": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": _text(record.key),
        "value": _text(record.value),
        "headers": [[name, _text(value)] for name, value in record.headers],
    }
    return json.dumps(shown, ensure_ascii=False).encode() + b"\n"


def _text(data: bytes | None) -> str | None:
    """UTF-8; bytes that are none are shown as \\xNN."""
    return None if data is None else data.decode(errors="backslashreplace")
