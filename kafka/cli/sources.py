"""Files cut into records: pieces of about a megabyte, each as a list of values and a list of keys."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple, Protocol

from kafka._codec import scan_csv, scan_lines
from kafka.cli import Failure

CHUNK = 1024 * 1024


class Piece(NamedTuple):
    """Records in the order of the file; `keys` is None where none were asked for. `size`: bytes of the file."""

    values: list[bytes]
    keys: list[bytes | None] | None
    size: int


class Format(NamedTuple):
    """`kind`: lines, csv or json; `key`: the column or field of the key; `limit`: bytes that a record may have."""

    kind: str = "lines"
    key: str | None = None
    delimiter: bytes = b","
    has_header: bool = True
    limit: int = 1024 * 1024


def read(file: BinaryIO, name: str, format: Format) -> Iterator[Piece]:
    """The records of a file that is open unbuffered; `name` is for messages.

    Raises Failure at the first record that cannot be read, behind all before it.
    """
    kinds: dict[str, Callable[[str, Format], _Cutter]] = {"lines": _Lines, "csv": _Csv, "json": _Json}
    cut = kinds[format.kind](name, format).cut
    rest = b""
    final = False
    while not final:
        chunk = file.read(CHUNK)
        final = not chunk
        data = rest + chunk
        values, keys, consumed, problem = cut(data, final)
        rest = data[consumed:]
        if values:
            yield Piece(values, keys, consumed)
        if problem is not None:
            raise Failure(problem)
        if len(rest) > format.limit:
            raise Failure(f"{name}: {len(rest)} bytes without the end of a record, the limit is {format.limit}")


# values, keys, bytes used up, what is wrong behind them
_Cut = tuple[list[bytes], "list[bytes | None] | None", int, "str | None"]


class _Cutter(Protocol):
    def cut(self, data: bytes, final: bool) -> _Cut: ...


class _Lines:
    def __init__(self, name: str, format: Format) -> None:
        if format.key is not None:
            raise Failure("lines have no columns: --key needs --format csv or json")

    def cut(self, data: bytes, final: bool) -> _Cut:
        values, consumed = scan_lines(data, 0, final)
        return values, None, consumed, None


class _Csv:
    """Values are raw rows; a file's first row names its columns and is no record, unless there is no such row."""

    def __init__(self, name: str, format: Format) -> None:
        self.name = name
        self.format = format
        self.column: int | None = None  # not known yet
        self.rows = 0

    def cut(self, data: bytes, final: bool) -> _Cut:
        delimiter = self.format.delimiter
        header = False
        if self.column is None:
            rows, _, consumed, _ = scan_csv(data, 0, -1, delimiter, final=final)
            if not rows:
                return [], None, consumed, None
            header = self.format.has_header
            self.column = self._find_column(rows[0] if header else None)
        values, keys, consumed, errors = scan_csv(data, 0, self.column, delimiter, final=final)
        problem = None
        if errors:
            index, reason = errors[0]
            problem = f"{self.name}, row {self.rows + index + 1}: {reason}"
            del values[index:], keys[index:]
        self.rows += len(values)
        if header:
            del values[:1], keys[:1]
        return values, keys if self.column >= 0 else None, consumed, problem

    def _find_column(self, header: bytes | None) -> int:
        key = self.format.key
        if key is None:
            return -1
        if header is not None:
            try:
                text = header.decode("utf-8-sig")
            except UnicodeDecodeError:
                raise Failure(f"{self.name}: the first row is not text in UTF-8 and names no columns") from None
            try:
                names = next(csv.reader([text], delimiter=self.format.delimiter.decode("latin-1")))
            except csv.Error as error:  # a NUL before Python 3.11, a field that is too long
                raise Failure(f"{self.name}: the first row names no columns: {error}") from None
            if key in names:
                return names.index(key)
            if not key.isdecimal():
                shown = ", ".join(names)
                raise Failure(f"{self.name}: there is no column {key!r} among {shown[:300]}")
        if not key.isdecimal():
            raise Failure(f"without a header, --key is an index from 0 on, not {key!r}")
        return int(key)


class _Json:
    """Values are raw lines, each of which must be JSON; blank lines are no records."""

    def __init__(self, name: str, format: Format) -> None:
        self.name = name
        self.key = format.key
        self.lines = 0

    def cut(self, data: bytes, final: bool) -> _Cut:
        lines, consumed = scan_lines(data, 0, final)
        values: list[bytes] = []
        keys: list[bytes | None] = []
        problem = None
        key_of: Callable[[object], bytes | None] | None = None if self.key is None else self._key_of
        for line in lines:
            self.lines += 1
            if not line.strip():
                continue
            try:
                found = json.loads(line)
                if key_of is not None:
                    keys.append(key_of(found))
            except (ValueError, KeyError, RecursionError) as error:
                reason = str(error.args[0]) if isinstance(error, KeyError) else f"is no JSON: {error}"
                problem = f"{self.name}, line {self.lines}: {reason}"
                break
            values.append(line)
        return values, None if key_of is None else keys, consumed, problem

    def _key_of(self, found: object) -> bytes | None:
        """Text as UTF-8, null as no key, anything else as the JSON it is."""
        if not isinstance(found, dict) or self.key not in found:
            raise KeyError(f"there is no field {self.key!r}")
        value = found[self.key]
        if value is None:
            return None
        return (value if isinstance(value, str) else json.dumps(value)).encode()
