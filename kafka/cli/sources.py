"""Files cut into records: pieces of about a megabyte, each as a list of values and a list of keys."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from kafka._codec import scan_csv, scan_json, scan_keyed_lines, scan_lines
from kafka.cli.exits import Failure, Usage

CHUNK = 1024 * 1024
_BOM = b"\xef\xbb\xbf"

Keys = list[bytes | None]


class Piece(NamedTuple):
    """Records in the order of the file; `keys` is None where none were asked for. `size`: bytes of the file.

    `place(index)` says where in the file the record of that index is, for messages.
    """

    values: list[bytes | None]
    keys: Keys | None
    size: int
    place: Callable[[int], str]


class Format(NamedTuple):
    """`kind`: lines, csv or json; `limit`: bytes that a record may have.

    `key`: the column or field of the key; `key_delimiter`: what ends the key at the beginning of a line, which the
    value follows. With `tombstones` an empty value of a line with a key is null.
    """

    kind: str = "lines"
    key: str | None = None
    delimiter: bytes = b","
    has_header: bool = True
    limit: int = 1024 * 1024
    key_delimiter: bytes | None = None
    tombstones: bool = False


def check(format: Format) -> None:
    """Raises Usage for what does not go together."""
    if format.kind == "lines":
        if format.key is not None:
            raise Usage("lines have no columns: --key needs --format csv or json")
        if format.tombstones and format.key_delimiter is None:
            raise Usage("--tombstones needs --key-delimiter: a record without a value must have a key")
        return
    if format.key_delimiter is not None:
        raise Usage(f"--key-delimiter is for lines: with --format {format.kind}, --key names what the key is")
    if format.tombstones:
        raise Usage(
            f"--tombstones is for lines with --key-delimiter: a record of --format {format.kind} is never empty"
        )
    if format.kind == "csv" and format.key is not None and not format.has_header and not _is_index(format.key):
        raise Usage(f"without a header, --key is an index from 0 on, not {format.key!r}")


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdecimal()


class Readable(Protocol):
    def read(self, size: int) -> bytes:
        """What is there now, `size` bytes at most; nothing: the end."""


def read(file: Readable, name: str, format: Format) -> Iterator[Piece]:
    """The records of a file; `name` is for messages.

    Raises Usage as `check` does, and Failure at the first record that cannot be read, behind all before it.
    """
    check(format)
    kinds: dict[str, Callable[[str, Format], _Cutter]] = {"lines": _Lines, "csv": _Csv, "json": _Json}
    cutter = kinds[format.kind](name, format)
    rest = b""
    final = False
    while not final:
        try:
            chunk = file.read(CHUNK)
        except OSError as error:
            raise Failure(f"{name}: {error.strerror}") from None
        final = not chunk
        data = rest + chunk
        cut = cutter.cut(data, final)
        rest = data[cut.consumed :]
        if cut.values:
            yield Piece(cut.values, cut.keys, cut.consumed, cut.place)
        if cut.problem is not None:
            raise Failure(cut.problem)
        if len(rest) > format.limit:
            raise Failure(
                f"{cutter.next_place()}: {len(rest)} bytes without the end of a record, the limit is {format.limit}"
            )


class _Cut(NamedTuple):
    """`problem`: what is wrong behind these records."""

    values: list[bytes | None]
    keys: Keys | None
    consumed: int
    problem: str | None
    place: Callable[[int], str]


class _Cutter(Protocol):
    def cut(self, data: bytes, final: bool) -> _Cut: ...

    def next_place(self) -> str:
        """Where in the file the first record is that has not been cut yet."""


class _Lines:
    def __init__(self, name: str, format: Format) -> None:
        self.name = name
        self.delimiter = format.key_delimiter
        self.tombstones = format.tombstones
        self.lines = 0

    def next_place(self) -> str:
        return f"{self.name}, line {self.lines + 1}"

    def cut(self, data: bytes, final: bool) -> _Cut:
        first = self.lines + 1
        values: list[bytes | None]
        keys: Keys | None = None
        problem = None
        if self.delimiter is None:
            lines, consumed = scan_lines(data, 0, final)
        else:
            lines, keys, consumed, whole = scan_keyed_lines(data, 0, self.delimiter, final)
            if not whole:
                shown = self.delimiter.decode(errors="backslashreplace")
                problem = f"{self.name}, line {first + len(lines)}: has no {shown!r} between key and value"
        values = [line or None for line in lines] if self.tombstones else list(lines)
        self.lines += len(lines)
        return _Cut(values, keys, consumed, problem, lambda index: f"{self.name}, line {first + index}")


class _Csv:
    """Values are raw rows; a file's first row names its columns and is no record, unless there is no such row."""

    def __init__(self, name: str, format: Format) -> None:
        self.name = name
        self.format = format
        self.column: int | None = None  # not known yet
        self.rows = 0

    def next_place(self) -> str:
        return f"{self.name}, row {self.rows + 1}"

    def cut(self, data: bytes, final: bool) -> _Cut:
        delimiter = self.format.delimiter
        header = False
        if self.column is None:
            rows, _, consumed, _ = scan_csv(data, 0, -1, delimiter, final=final)
            if not rows:
                return _Cut([], None, consumed, None, str)
            header = self.format.has_header
            self.column = self._find_column(rows[0])
        values, keys, consumed, errors = scan_csv(data, 0, self.column, delimiter, final=final)
        problem = None
        if errors:
            index, reason = errors[0]
            problem = f"{self.name}, row {self.rows + index + 1}: {reason}"
            del values[index:], keys[index:]
        first = self.rows + 1
        self.rows += len(values)
        if header:
            first += 1
            del values[:1], keys[:1]
        return _Cut(
            list(values),
            keys if self.column >= 0 else None,
            consumed,
            problem,
            lambda index: f"{self.name}, row {first + index}",
        )

    def _find_column(self, row: bytes) -> int:
        """The index of the key's column; -1: there is none. `row` is the file's first."""
        key = self.format.key
        if key is None:
            return -1
        try:
            text = row.decode("utf-8-sig", "strict" if self.format.has_header else "replace")
        except UnicodeDecodeError:
            raise Failure(f"{self.name}: the first row is not text in UTF-8 and names no columns") from None
        try:
            names = next(csv.reader([text], delimiter=self.format.delimiter.decode("latin-1")))
        except csv.Error as error:  # a NUL before Python 3.11, a field that is too long
            raise Failure(f"{self.name}: the first row names no columns: {error}") from None
        if self.format.has_header and key in names:
            return names.index(key)
        # No more digits than the number of columns can have: int() has its limits, and so has the scanner.
        if _is_index(key) and len(key.lstrip("0")) <= len(str(len(names))) and int(key.lstrip("0") or "0") < len(names):
            return int(key)
        shown = (
            ", ".join(names) if self.format.has_header else f"the {len(names)} of the first row, 0 to {len(names) - 1}"
        )
        raise Failure(f"{self.name}: there is no column {key!r} among {shown[:300]}")


class _Json:
    """Values are raw lines, each of which must be JSON; blank lines are no records."""

    def __init__(self, name: str, format: Format) -> None:
        self.name = name
        # As the command line had it, whatever its encoding.
        self.key = None if format.key is None else format.key.encode(errors="surrogateescape")
        self.lines = 0
        self.begun = False

    def next_place(self) -> str:
        return f"{self.name}, line {self.lines + 1}"

    def cut(self, data: bytes, final: bool) -> _Cut:
        start = 0
        if not self.begun:
            if len(data) < len(_BOM) and _BOM.startswith(data) and not final:
                return _Cut([], None, 0, None, str)
            self.begun = True
            start = len(_BOM) if data.startswith(_BOM) else 0
        values, keys, consumed, lines, wrong = scan_json(data, start, self.key, final)
        first = self.lines + 1
        self.lines += lines
        problem = None if wrong is None else f"{self.name}, line {first + wrong[0]}: {wrong[1]}"

        def place(index: int) -> str:
            numbers = [number for number, line in enumerate(scan_lines(data, start, final)[0]) if line.strip()]
            return f"{self.name}, line {first + numbers[index]}"

        return _Cut(list(values), None if self.key is None else keys, consumed, problem, place)
