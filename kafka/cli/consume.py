"""`kafka-turbo consume`: the records of a topic on standard output."""

from __future__ import annotations

import argparse
import json
import os

from kafka._codec import check_topic
from kafka.cli.exits import OK, Failure, Usage
from kafka.cli.progress import human
from kafka.cli.reader import EARLIEST, LATEST, Reader
from kafka.cli.settings import configs
from kafka.cli.streams import STDERR, Output, say
from kafka.errors import KafkaConfigurationError, KafkaError
from kafka.records import Record

_HIGHEST = 2**63 - 1  # offset


def run(options: argparse.Namespace) -> int:
    if options.max is not None and options.max < 0:
        raise Usage(f"--max takes a number of records, not {options.max}")
    offset = options.offset
    # No longer than the highest: int() refuses thousands of digits.
    is_number = offset.isascii() and offset.isdecimal() and len(offset.lstrip("0")) <= len(str(_HIGHEST))
    if offset not in ("beginning", "end") and not (is_number and int(offset) <= _HIGHEST):
        raise Usage(f"--offset takes beginning, end or a number up to {_HIGHEST}, not {offset[:100]!r}")
    try:
        check_topic(options.topic)
    except ValueError as error:
        raise Usage(str(error)) from None
    out = Output()
    try:
        with Reader(**configs(options)) as reader:
            try:
                count = _print(reader, options, out)
            finally:
                out.flush()  # what came before a failure, too
    except KafkaConfigurationError as error:
        raise Usage(str(error)) from None
    except (KafkaError, NotImplementedError) as error:
        raise Failure(str(error)) from None
    if not options.quiet and os.isatty(STDERR):
        say(f"{human(count)} records")
    return OK


def _print(reader: Reader, options: argparse.Namespace, out: Output) -> int:
    topic = options.topic
    there = reader.partitions(topic)
    partitions = sorted(set(options.partition or there))
    for partition in partitions:
        if partition not in there:
            raise Failure(f"topic {topic} has no partition {partition}: it has {len(there)}, 0 to {len(there) - 1}")
    ends = None if options.follow else reader.offsets(topic, partitions, LATEST)
    if options.offset in ("beginning", "end"):
        begin = reader.offsets(topic, partitions, EARLIEST if options.offset == "beginning" else LATEST)
    else:
        begin = dict.fromkeys(partitions, int(options.offset))
    count = 0
    most = float("inf") if options.max is None else options.max
    if count >= most:
        return count
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
