"""Standard input, output and error as they may be: closed, full, without blocking, pipes that nobody reads."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType

from kafka.cli.exits import Failure

STDIN, STDOUT, STDERR = 0, 1, 2
_NAMES = ("standard input", "standard output", "standard error")
_GATHERED = 64 * 1024
_TURN_MS = 200
_closed: set[int] = set()


def occupy() -> None:
    """Has /dev/null where a standard stream is closed: else the next socket would be opened there, and written to."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is not None:
            continue
        _closed.add(number)
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)


def check_open(number: int) -> None:
    """Raises Failure if the shell closed this standard stream."""
    if number in _closed:
        raise Failure(f"{_NAMES[number]} is closed")


def say(text: str) -> None:
    """A line or more on standard error."""
    show(f"{text}\n")


def show(text: str) -> None:
    """Text on standard error as it is. Where that takes nothing there is nobody to tell; the exit code does."""
    try:
        _write(STDERR, text.encode(errors="backslashreplace"))
    except OSError:
        pass


class Input:
    """A file, or standard input with "-" as its name, as it is: unbuffered, a pipe perhaps, which may not block.

    Every method raises OSError where the file cannot be opened or read; Failure where standard input is closed.
    """

    def __init__(self, name: str) -> None:
        if name == "-":
            check_open(STDIN)
        self._file = open(STDIN if name == "-" else name, "rb", buffering=0, closefd=name != "-")  # noqa: SIM115
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def __enter__(self) -> Input:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """What is there now, `size` bytes at most; waits for some. Nothing: the file has ended."""
        while True:
            # In turns: Ctrl-C just before a system call that waits does not end it.
            while not self._poll.poll(_TURN_MS):
                pass
            data: bytes | None = self._file.read(size)
            if data is not None:
                return data


class Output:
    """Standard output, for bytes. BrokenPipeError where nobody reads it any more, Failure where it takes nothing."""

    def __init__(self) -> None:
        check_open(STDOUT)
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _GATHERED:
            self.flush()

    def flush(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        try:
            _write(STDOUT, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failure(f"{_NAMES[STDOUT]}: {error.strerror}") from None


def _write(number: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(number, rest) :]
        except BlockingIOError:
            select.select([], [number], [])
