"""`kafka-turbo produce`: records from files or standard input, sent with `send_many`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

from kafka.cli import FAILED, INTERRUPTED, OK, Failure
from kafka.cli.progress import Progress, human
from kafka.cli.sources import Format, read
from kafka.errors import DeliveryFailed, KafkaError, KafkaTimeoutError

if TYPE_CHECKING:
    from kafka.producer import KafkaProducer

_BOOTSTRAP_TIMEOUT_MS = 10_000  # a person waits for the answer
_PATIENCE_AFTER_INTERRUPT = 5.0  # seconds for what was sent already
_TICK = 0.2


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
) -> None:
    """Sends every record of the files ("-": standard input) and waits for all outcomes, which `delivery` counts.

    Stops reading at the first failure. Raises Failure for what cannot be read, KafkaError for what cannot be sent,
    both behind the outcomes of what was sent before.
    """
    try:
        _send(producer, topic, names, format, delivery, progress)
    except Exception:
        wait(producer, delivery, progress)
        raise
    wait(producer, delivery, progress)


def _send(
    producer: KafkaProducer,
    topic: str,
    names: Iterable[str],
    format: Format,
    delivery: Delivery,
    progress: Callable[[Delivery], None],
) -> None:
    for name in names:
        with _opened(name) as file:
            for piece in read(file, "standard input" if name == "-" else name, format):
                try:
                    delivery.add(producer.send_many(topic, piece.values, piece.keys), piece.size)
                except KafkaTimeoutError as error:
                    accepted = getattr(error, "future", None)
                    if accepted is not None:
                        delivery.add(accepted, 0)
                    raise
                progress(delivery)
                if delivery.failed:
                    return


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


def _opened(name: str) -> BinaryIO:
    try:
        if name == "-":
            return open(0, "rb", buffering=0, closefd=False)
        return open(name, "rb", buffering=0)
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from None


def _configs(pairs: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise Failure(f"--config takes NAME=VALUE, not {pair!r}")
        try:
            value = json.loads(text)  # numbers, true, null
        except ValueError:
            value = text
        yield name, value


def _format(options: argparse.Namespace, limit: int) -> Format:
    try:
        delimiter = options.delimiter.encode("latin-1").replace(b"\\t", b"\t")
    except UnicodeEncodeError:
        delimiter = b""
    if len(delimiter) != 1 or delimiter in b'\r\n"':
        raise Failure(f"--delimiter takes one ASCII character, not {options.delimiter!r}")
    return Format(options.format, options.key, delimiter, not options.no_header, limit)


def run(options: argparse.Namespace) -> int:
    for name in options.files:
        if name != "-":
            _opened(name).close()  # before anything is sent
    configs: dict[str, Any] = {
        "bootstrap_servers": options.bootstrap,
        "bootstrap_timeout_ms": _BOOTSTRAP_TIMEOUT_MS,
        "client_id": "kafka-turbo-cli",
        **dict(_configs(options.config)),
    }
    from kafka.producer import KafkaProducer

    try:
        producer = KafkaProducer(**configs)
    except (KafkaError, NotImplementedError) as error:
        raise Failure(str(error)) from None
    format = _format(options, producer.config["max_request_size"])
    delivery = Delivery()
    problem = ""
    code = OK
    with ExitStack() as stack:
        stack.callback(_close, producer)
        progress = stack.enter_context(Progress(options.quiet, options.files))
        try:
            send_files(producer, options.topic, options.files, format, delivery, progress.show_delivery)
        except KeyboardInterrupt:
            code = INTERRUPTED
            problem = "interrupted"
            wait(producer, delivery, progress.show_delivery, _PATIENCE_AFTER_INTERRUPT)
        except (Failure, KafkaError, OSError, ValueError) as error:
            code = FAILED
            problem = str(error)
    if delivery.failed or delivery.unknown:
        code = code or FAILED
    if code:
        _complain(problem, delivery)
    elif progress.on:
        print(summary(delivery), file=sys.stderr)
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
    print(
        f"kafka-turbo produce: {' '.join((problem + ': ' + outcome if problem else outcome).split())}", file=sys.stderr
    )
    for place, error in list(delivery.errors.items())[:5]:
        print(f"  {place[0]}[{place[1]}]: {' '.join(str(error).split())}", file=sys.stderr)


def summary(delivery: Delivery) -> str:
    seconds = max(delivery.seconds, 1e-9)
    return (
        f"{human(delivery.acknowledged)} records acknowledged in {seconds:.2f} s: "
        f"{human(delivery.acknowledged / seconds)} records/s, {delivery.size / seconds / 1e6:.1f} MB/s"
    )
