"""`kafka-turbo produce`: records from files or standard input, sent with `send_many`."""

from __future__ import annotations

import argparse
import errno
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

from kafka._codec import check_topic
from kafka.cli.exits import FAILED, INTERRUPTED, OK, Failure, Usage, in_one_line
from kafka.cli.progress import Progress, human
from kafka.cli.settings import configs
from kafka.cli.sources import Format, Piece, check, read
from kafka.cli.streams import Input, say
from kafka.errors import (
    DeliveryFailed,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)

if TYPE_CHECKING:
    from kafka.producer import KafkaProducer

_PATIENCE_AFTER_INTERRUPT = 5.0  # seconds for what was sent already
_TICK = 0.2

Headers = list[tuple[str, "bytes | None"]]


class Delivery:
    """What became of what was sent so far, in records; `size` in bytes read, `seconds` from the first read on."""

    def __init__(self) -> None:
        self.read = 0
        self.size = 0
        self.acknowledged = 0
        self.failed = 0
        self.errors: dict[Any, BaseException] = {}
        self.seconds = 0.0
        self._started = time.monotonic()
        self._open: deque[Any] = deque()

    def add(self, future: Any, size: int) -> None:
        self.read += len(future)
        self.size += size
        self._open.append(future)
        self.look()

    def look(self) -> None:
        """Counts the outcomes that are known by now."""
        while self._open and self._open[0].is_done:
            future = self._open.popleft()
            error = future.exception
            if error is not None:
                self.failed += error.count
                for place, reason in error.errors.items():
                    self.errors.setdefault(place, reason)
            self.acknowledged += len(future) - (0 if error is None else error.count)
        self.seconds = time.monotonic() - self._started

    @property
    def unknown(self) -> int:
        """Records whose outcome is not known."""
        return self.read - self.acknowledged - self.failed


def send_files(
    producer: KafkaProducer,
    topic: str,
    names: Iterable[str],
    format: Format,
    delivery: Delivery,
    progress: Callable[[Delivery], None] = lambda delivery: None,
    partition: int | None = None,
    headers: Headers | None = None,
) -> None:
    """Sends every record of the files ("-": standard input) and waits for all outcomes, which `delivery` counts.

    `headers` are every record's. Stops reading at the first failure. Raises Failure for what cannot be read, KafkaError
    for what cannot be sent, both behind the outcomes of what was sent before.
    """
    try:
        _send_all(producer, topic, names, format, delivery, progress, partition, headers)
    except Exception:
        wait(producer, delivery, progress)
        raise
    wait(producer, delivery, progress)


def _send_all(
    producer: KafkaProducer,
    topic: str,
    names: Iterable[str],
    format: Format,
    delivery: Delivery,
    progress: Callable[[Delivery], None],
    partition: int | None,
    headers: Headers | None,
) -> None:
    if partition is not None and partition not in (there := producer.partitions_for(topic)):
        raise Failure(f"topic {topic} has no partition {partition}: it has {len(there)}, 0 to {len(there) - 1}")
    for name in names:
        with _opened(name) as file:
            for piece in read(file, "standard input" if name == "-" else name, format):
                try:
                    _send(producer, topic, piece, delivery, partition, headers)
                except MessageSizeTooLargeError as error:
                    _send_before(error, producer, topic, piece, delivery, partition, headers)
                progress(delivery)
                if delivery.failed:
                    return


def _send(
    producer: KafkaProducer,
    topic: str,
    piece: Piece,
    delivery: Delivery,
    partition: int | None,
    headers: Headers | None,
) -> None:
    each = None if headers is None else [headers] * len(piece.values)
    try:
        delivery.add(producer.send_many(topic, piece.values, piece.keys, each, partition=partition), piece.size)
    except BaseException as error:  # Ctrl-C too: what was accepted before is counted
        accepted = getattr(error, "future", None)
        if accepted is not None:
            delivery.add(accepted, 0)
        raise


def _send_before(
    error: MessageSizeTooLargeError,
    producer: KafkaProducer,
    topic: str,
    piece: Piece,
    delivery: Delivery,
    partition: int | None,
    headers: Headers | None,
) -> NoReturn:
    """One record is too large: send what stands before it, and raise a Failure that says where it is."""
    index: int | None = getattr(error, "index", None)
    if index is None:  # it was taken for small enough, and those before it are accepted
        index = int(getattr(error, "accepted", 0))
    elif index > 0:
        keys = None if piece.keys is None else piece.keys[:index]
        _send(producer, topic, Piece(piece.values[:index], keys, 0, piece.place), delivery, partition, headers)
    raise Failure(f"{piece.place(index)}: {error}".replace(f"values[{index}]: ", "")) from None


def wait(
    producer: KafkaProducer,
    delivery: Delivery,
    progress: Callable[[Delivery], None],
    patience: float = float("inf"),
) -> None:
    """Waits until all outcomes are known, at most `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            producer.flush(timeout=max(0.0, min(_TICK, deadline - time.monotonic())))
        except KafkaTimeoutError:
            pass
        except DeliveryFailed:
            pass  # the futures tell
        delivery.look()
        progress(delivery)
        if not delivery.unknown or time.monotonic() >= deadline:
            return


def _opened(name: str) -> Input:
    try:
        return Input(name)
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from None


def _check_readable(name: str) -> None:
    """Before anything is sent. It does not open the file: a named pipe's data is lost to who opens and closes it."""
    try:
        if stat.S_ISDIR(os.stat(name).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(name, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise Failure(f"{name or repr(name)}: {error.strerror}") from None


def _bytes(text: str) -> bytes:
    """What was typed, where \\t is a tab."""
    return os.fsencode(text).replace(b"\\t", b"\t")


def _format(options: argparse.Namespace) -> Format:
    delimiter = _bytes(options.delimiter)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in b'\r\n"':
        raise Usage(f"--delimiter takes one ASCII character, not {options.delimiter!r}")
    if options.key_delimiter == "":
        raise Usage("--key-delimiter takes a character or more, not ''")
    key_delimiter = None if options.key_delimiter is None else _bytes(options.key_delimiter)
    format = Format(
        options.format,
        options.key,
        delimiter,
        not options.no_header,
        key_delimiter=key_delimiter,
        tombstones=options.tombstones,
    )
    check(format)
    return format


def _headers(options: argparse.Namespace) -> Headers | None:
    found: Headers = []
    for pair in options.header:
        name, equals, value = pair.partition("=")
        if not name.isprintable():  # among others what is no UTF-8
            raise Usage(f"--header takes NAME=VALUE, not {pair!r}")
        found.append((name, os.fsencode(value) if equals else None))
    return found or None


def run(options: argparse.Namespace) -> int:
    try:
        check_topic(options.topic)
    except ValueError as error:
        raise Usage(str(error)) from None
    if options.partition is not None and not 0 <= options.partition < 1 << 31:
        raise Usage(f"--partition takes the number of one, from 0 on, not {options.partition}")
    format = _format(options)
    headers = _headers(options)
    for name in options.files:
        if name != "-":
            _check_readable(name)
    from kafka.producer import KafkaProducer

    try:
        producer = KafkaProducer(**configs(options))
    except KafkaConfigurationError as error:
        raise Usage(str(error)) from None
    except (KafkaError, NotImplementedError) as error:
        raise Failure(str(error)) from None
    format = format._replace(limit=producer.config["max_request_size"])
    delivery = Delivery()
    problem = ""
    code = OK
    with ExitStack() as stack:
        stack.callback(_close, producer)
        progress = stack.enter_context(Progress(options.quiet, options.files))
        show = progress.show_delivery
        try:
            send_files(producer, options.topic, options.files, format, delivery, show, options.partition, headers)
        except KeyboardInterrupt:
            code = INTERRUPTED
            problem = "interrupted"
            try:
                wait(producer, delivery, show, _PATIENCE_AFTER_INTERRUPT)
            except KeyboardInterrupt:
                delivery.look()  # who presses it twice does not want to wait
        except (Failure, KafkaError, OSError, ValueError) as error:
            code = error.code if isinstance(error, Failure) else FAILED
            problem = str(error)
    if delivery.failed or delivery.unknown:
        code = code or FAILED
    if code:
        _complain(problem, delivery)
    elif progress.on:
        say(summary(delivery))
    return code


def _close(producer: KafkaProducer) -> None:
    try:
        producer.close(timeout=0, null_logger=True)
    except KafkaError:
        pass  # said already, with the counts


def _complain(problem: str, delivery: Delivery) -> None:
    outcome = f"{human(delivery.acknowledged)} records acknowledged, {human(delivery.failed)} failed"
    if delivery.unknown:
        outcome += f", {human(delivery.unknown)} given up unanswered"
    problem = in_one_line(problem).rstrip(".")
    say(f"kafka-turbo produce: {problem}: {outcome}" if problem else f"kafka-turbo produce: {outcome}")
    for place, error in list(delivery.errors.items())[:5]:
        say(f"  {place[0]}[{place[1]}]: {in_one_line(str(error))}")


def summary(delivery: Delivery) -> str:
    seconds = max(delivery.seconds, 1e-9)
    return (
        f"{human(delivery.acknowledged)} records acknowledged in {seconds:.2f} s: "
        f"{human(delivery.acknowledged / seconds)} records/s, {delivery.size / seconds / 1e6:.1f} MB/s"
    )
