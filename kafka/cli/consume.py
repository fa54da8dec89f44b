"""`kafka-turbo consume`: the records of a topic on standard output."""

from __future__ import annotations

import argparse
import base64
import json
import os
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka._codec import ConsumerRecord, check_topic
from kafka.cli.exits import OK, Failure, Usage
from kafka.cli.progress import human
from kafka.cli.settings import configs
from kafka.cli.streams import STDERR, Output, say
from kafka.cli.topics import partitions
from kafka.config.key import SharedName
from kafka.errors import KafkaConfigurationError, KafkaError
from kafka.structs import TopicPartition

if TYPE_CHECKING:
    from kafka.consumer import KafkaConsumer

_HIGHEST = 2**63 - 1  # offset
_AT_ONCE = 10_000  # records
_TURN_MS = 1000


class Place(NamedTuple):
    """Where to begin: `kind` is beginning, end, offset, last (so many before the end) or time (ms since 1970)."""

    kind: str
    number: int = 0


def run(options: argparse.Namespace) -> int:
    if options.max is not None and options.max < 0:
        raise Usage(f"--max takes a number of records, not {options.max}")
    place = _place(options.offset or "beginning")
    try:
        check_topic(options.topic)
    except ValueError as error:
        raise Usage(str(error)) from None
    settings = _settings(options)
    options.group = settings.get("group_id")
    in_group = options.group is not None
    if in_group and (options.offset is not None or options.partition):
        raise Usage("--group reads what the group gives it, where that has come to: leave out --offset and --partition")
    out = Output()
    printer = _Printer(options, out)
    from kafka.consumer import KafkaConsumer

    try:
        with KafkaConsumer(**settings) as consumer:
            try:
                if in_group:
                    _print_group(consumer, options, printer)
                else:
                    _print_assigned(consumer, options, place, printer)
            except KeyboardInterrupt:
                if in_group:  # what is printed is read
                    consumer.close(timeout_ms=5000)
                raise
            finally:
                out.flush()  # what came before a failure, too
    except KafkaConfigurationError as error:
        raise Usage(str(error)) from None
    except (KafkaError, NotImplementedError) as error:
        raise Failure(str(error)) from None
    if not options.quiet and os.isatty(STDERR):
        say(f"{human(printer.count)} records")
    return OK


def _place(text: str) -> Place:
    if text in ("beginning", "end"):
        return Place(text)
    if text.startswith("@"):
        return Place("time", _time(text[1:]))
    kind, digits = ("last", text[1:]) if text.startswith("-") else ("offset", text)
    # No longer than the highest: int() refuses thousands of digits.
    is_number = digits.isascii() and digits.isdecimal() and len(digits.lstrip("0")) <= len(str(_HIGHEST))
    if not is_number or int(digits) > _HIGHEST:
        raise Usage(
            f"--offset takes beginning, end or a number up to {_HIGHEST}, not {text[:100]!r}; or -N, the last N, or "
            "@TIME, in milliseconds since 1970 or as 2026-11-29T03:00"
        )
    return Place(kind, int(digits))


def _time(text: str) -> int:
    """In milliseconds since 1970; without a zone it is local."""
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return int(text)
    try:
        # Before Python 3.11, Z is not understood.
        return round(datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise Usage(
            f"--offset @TIME takes milliseconds since 1970, 2026-11-29T03:00 or 2026-11-29T03:00Z, not {text[:100]!r}"
        ) from None


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    given = configs(options)
    if options.group is None:
        # A group that a file names for all programs is not joined: this one would take partitions from them.
        given = {key: value for key, value in given.items() if not (key == "group_id" and isinstance(key, SharedName))}
    else:
        given["group_id"] = options.group
    if options.read_uncommitted:
        given["isolation_level"] = "read_uncommitted"
    return {
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "reconnect_backoff_max_ms": 1000,
        **given,
    }


class _Printer:
    """Prints records until there are as many as were asked for."""

    def __init__(self, options: argparse.Namespace, out: Output) -> None:
        self.count = 0
        self._most = options.max
        self._at_once = options.follow or options.group is not None
        self._lines = _lines(options)
        self._out = out

    @property
    def room(self) -> int:
        """How many more to ask for; 0: enough."""
        return _AT_ONCE if self._most is None else min(_AT_ONCE, self._most - self.count)

    def print(self, polled: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        for records in polled.values():
            self.count += len(records)
            self._out.write(self._lines(records))
        if self._at_once:
            self._out.flush()


def _print_assigned(consumer: KafkaConsumer, options: argparse.Namespace, place: Place, printer: _Printer) -> None:
    """What there is, from `place` on; to where it ends now, or for ever."""
    topic = options.topic
    there = partitions(consumer, topic)
    wanted = sorted(set(options.partition or there))
    for partition in wanted:
        if partition not in there:
            raise Failure(f"topic {topic} has no partition {partition}: it has {len(there)}, 0 to {len(there) - 1}")
    if not printer.room:
        return
    tps = [TopicPartition(topic, partition) for partition in wanted]
    offsets: dict[TopicPartition, int] = {}
    if place.kind in ("end", "last"):
        offsets = {tp: max(0, end - place.number) for tp, end in consumer.end_offsets(tps).items()}
    elif place.kind != "time":
        offsets = dict.fromkeys(tps, place.number)
    bounded = consumer.read_to_end(offsets, dict.fromkeys(tps, place.number) if place.kind == "time" else {})
    while not bounded.is_done and printer.room:
        printer.print(bounded.poll(_TURN_MS, printer.room))
    while options.follow and printer.room:
        printer.print(consumer.poll(_TURN_MS, printer.room))


def _print_group(consumer: KafkaConsumer, options: argparse.Namespace, printer: _Printer) -> None:
    """What the group gives us; with `--exit` to where our partitions end when we get them."""
    from kafka.consumer.bounded import BoundedRead

    partitions(consumer, options.topic)  # or there is nothing to wait for
    consumer.subscribe([options.topic])
    bounded: BoundedRead | None = None
    while printer.room:
        assigned = consumer.assignment()
        if not options.exit or not assigned:
            printer.print(consumer.poll(_TURN_MS, printer.room))
        elif bounded is None or not bounded.is_current:
            starts = {tp: consumer.position(tp) or 0 for tp in assigned}
            bounded = BoundedRead(consumer, starts, consumer.end_offsets(assigned))
        elif bounded.is_done:
            return
        else:
            printer.print(bounded.poll(_TURN_MS, printer.room))


def _lines(options: argparse.Namespace) -> Callable[[list[ConsumerRecord]], bytes]:
    """What makes lines of records."""
    if options.format == "json":
        return _json(_in_base64 if options.base64 else _text)
    if options.base64:
        encode = base64.b64encode
        if options.format == "values":
            return lambda records: b"".join([encode(record.value or b"") + b"\n" for record in records])
        return lambda records: b"".join(
            [encode(record.key or b"") + b"\t" + encode(record.value or b"") + b"\n" for record in records]
        )
    if options.format == "values":
        return lambda records: b"\n".join([record.value or b"" for record in records]) + b"\n"
    return lambda records: b"".join([b"%b\t%b\n" % (record.key or b"", record.value or b"") for record in records])


def _json(shown: Callable[[bytes | None], str | None]) -> Callable[[list[ConsumerRecord]], bytes]:
    encode = json.JSONEncoder(ensure_ascii=False).encode

    def lines(records: list[ConsumerRecord]) -> bytes:
        found = [
            encode(
                {
                    "topic": record.topic,
                    "partition": record.partition,
                    "offset": record.offset,
                    "timestamp": record.timestamp,
                    "key": shown(record.key),
                    "value": shown(record.value),
                    "headers": [[name, shown(value)] for name, value in record.headers],
                }
            )
            for record in records
        ]
        return ("\n".join(found) + "\n").encode()

    return lines


def _text(data: bytes | None) -> str | None:
    """UTF-8; bytes that are none are shown as \\xNN."""
    return None if data is None else data.decode(errors="backslashreplace")


def _in_base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
