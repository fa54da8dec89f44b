"""`send_table`: the rows of a table as records, a piece at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kafka._codec import ArrowTable, FutureTable, ProducerBase, Rows, as_rows, rows_of_list

if TYPE_CHECKING:
    from kafka.producer.config import ProducerConfig

PIECE = 65536  # rows: their JSON is in memory at one time

Headers = Sequence[tuple[str, bytes | None]]


class Table(Protocol):
    """A table that is read once, from its beginning to its end. `what` a column is for is named in errors."""

    @property
    def names(self) -> Sequence[str]: ...

    def pieces(self) -> Iterator[tuple[int, int]]:
        """(start, count) of rows, for the methods below, which are about where the iteration is."""

    def column(self, name: str, what: str, start: int, count: int) -> Rows: ...
    def is_text(self, name: str) -> bool: ...
    def milliseconds(self, name: str, what: str, start: int, count: int) -> list[int]: ...
    def json(self, start: int, count: int) -> Rows: ...
    def close(self) -> None: ...


class OfArrow(ArrowTable):
    """What speaks Arrow's C data interface."""

    def pieces(self) -> Iterator[tuple[int, int]]:
        while self.next_batch():
            for start in range(0, self.rows, PIECE):
                yield start, min(PIECE, self.rows - start)


class OfPandas:
    """A pandas.DataFrame, by its own methods: with NumPy's columns and objects, Arrow's library need not be there."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.names = list(frame.columns)
        if len(set(self.names)) < len(self.names):
            raise ValueError("table has several columns of the same name")

    def pieces(self) -> Iterator[tuple[int, int]]:
        for start in range(0, len(self._frame), PIECE):
            yield start, min(PIECE, len(self._frame) - start)

    def _series(self, name: str, what: str, start: int, count: int) -> Any:
        if name not in self.names:
            raise ValueError(f"{what}: table has no column {name!r}; it has {', '.join(map(repr, self.names))}")
        return self._frame[name].iloc[start : start + count]

    def column(self, name: str, what: str, start: int, count: int) -> Rows:
        series = self._series(name, what, start, count)
        rows = as_rows(series, what)
        if rows is None:  # of objects
            rows = rows_of_list(_without_missing(series).tolist(), f"{what} (column {name!r})", start)
        return rows

    def is_text(self, name: str) -> bool:
        return any(isinstance(item, str) for item in self._frame[name].iloc[:PIECE])

    def milliseconds(self, name: str, what: str, start: int, count: int) -> list[int]:
        series = self._series(name, what, start, count)
        if series.dtype.kind == "M" and not series.isna().any():
            return [int(item) for item in series.dt.as_unit("ms").astype("int64")]
        if series.dtype.kind in "iu":
            return [int(item) for item in series]
        raise TypeError(
            f"{what} (column {name!r}) is of {series.dtype}; a timestamp is a datetime64, none missing, or an "
            "integer of milliseconds"
        )

    def json(self, start: int, count: int) -> Rows:
        from kafka.serializer.json import CompactJsonSerializer

        serialize = CompactJsonSerializer().serialize
        records = _without_missing(self._frame.iloc[start : start + count]).to_dict("records")
        made: list[bytes | None] = []
        for number, record in enumerate(records):
            try:
                made.append(serialize("", [], record))
            except (TypeError, ValueError) as error:
                raise type(error)(f"row {start + number} of the table is no JSON: {error}") from error
        return rows_of_list(made, "value", start)

    def close(self) -> None:
        pass


def _without_missing(data: Any) -> Any:
    """NaN, NA and None of pandas are all None."""
    return data.astype(object).where(data.notna(), None)


class TableMethods(ProducerBase):
    """`send_table` of a producer."""

    if TYPE_CHECKING:
        _checked: ProducerConfig

        def _refuse_on_io_thread(self, what: str) -> None: ...

    def send_table(
        self,
        topic: str,
        table: Any,
        key: str | None = None,
        value: str = "json",
        headers: Headers | Mapping[str, str] | None = None,
        timestamp: str | None = None,
        partition_by: str | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> FutureTable:
        """Put a record for each row of a table in the buffer.

        `table`: anything with `__arrow_c_stream__` (pyarrow's Table, RecordBatch and RecordBatchReader, polars'
        DataFrame, DuckDB's relation), or a pandas.DataFrame. `key`, `value`: names of columns of bytes or text; "json"
        (the default) makes of each row the bytes that `value_serializer="json"` makes of its dict. `headers`: a list of
        (str, bytes) for all records, or {name: column}. `timestamp`: a column of timestamps, or of integers of
        milliseconds. `partition_by`: a column that decides on the partition as keys do, in place of `key`.
        `progress(rows)` is called each time that so many rows of the table are in the buffer.

        The table is read once, 65,536 rows at most at a time: each piece is checked as a whole before its first row is
        taken. Waits as `send_many` does, for each piece anew. Returns one future with an outcome for each row. Raises
        as `send_many` does, with `.accepted` and `.future`.
        """
        self._refuse_on_io_thread("send_table()")
        future = FutureTable()
        done = 0
        source: Table | None = None
        try:
            source = _table_of(table)
            sender = _Sender(self, self._checked, topic, source, key, value, headers, timestamp, partition_by)
            for start, count in source.pieces():
                future.add_part(sender.send(start, count, done))
                done += count
                if progress is not None:
                    progress(done)
        except BaseException as error:
            try:
                part = getattr(error, "future", None)
                if part is not None and part is not future:
                    future.add_part(part)
                error.accepted = len(future)  # type: ignore[attr-defined]
                error.future = future  # type: ignore[attr-defined]
            except Exception:
                pass  # somebody's own class may refuse
            raise
        finally:
            if source is not None:
                source.close()
        return future


class _Sender:
    """What is sent of each piece."""

    def __init__(
        self,
        producer: TableMethods,
        config: ProducerConfig,
        topic: str,
        source: Table,
        key: str | None,
        value: str,
        headers: Headers | Mapping[str, str] | None,
        timestamp: str | None,
        partition_by: str | None,
    ) -> None:
        self.producer, self.topic, self.source = producer, topic, source
        self.key, self.value, self.headers = key, value, headers
        self.timestamp, self.partition_by = timestamp, partition_by
        self.key_serializer, self.value_serializer = config.key_serializer, config.value_serializer
        named = {"key": key, "timestamp": timestamp, "partition_by": partition_by}
        if value != "json":
            named["value"] = value
        if isinstance(headers, Mapping):
            named.update((f"header {name!r}", column) for name, column in headers.items())
        for what, column in named.items():
            if column is not None and column not in source.names:
                raise ValueError(f"{what}: table has no column {column!r}; it has {', '.join(map(repr, source.names))}")

    def send(self, start: int, count: int, first: int) -> Any:
        source, timestamp = self.source, self.timestamp
        if self.value == "json":
            values: Any = source.json(start, count)
        else:
            values = self._column(self.value, "value", self.value_serializer, start, count)
        keys = None if self.key is None else self._column(self.key, "key", self.key_serializer, start, count)
        times = None if timestamp is None else source.milliseconds(timestamp, "timestamp", start, count)
        places = None
        if self.partition_by is not None:
            places = source.column(self.partition_by, "partition_by", start, count)
        headers: Any = None
        if isinstance(self.headers, Mapping):
            columns = [
                source.column(column, f"header {name!r}", start, count).tolist()
                for name, column in self.headers.items()
            ]
            headers = [list(zip(self.headers, row, strict=True)) for row in zip(*columns, strict=True)] or None
        elif self.headers is not None:
            headers = [self.headers] * count
        return self.producer._send_rows(self.topic, values, keys, headers, times, places, first)

    def _column(self, name: str, what: str, serializer: Any, start: int, count: int) -> Any:
        rows = self.source.column(name, what, start, count)
        if serializer is None:
            return rows
        items = rows.tolist()
        if self.source.is_text(name):
            return [None if item is None else item.decode() for item in items]
        return items


def _table_of(table: Any) -> Table:
    kind = type(table)
    if (kind.__module__ or "").partition(".")[0] == "pandas" and hasattr(table, "iloc"):
        if not hasattr(table, "columns"):
            raise TypeError("table must be a table; a single column is what send_many takes")
        return OfPandas(table)
    if hasattr(kind, "__arrow_c_stream__") or hasattr(kind, "__arrow_c_array__"):
        return OfArrow(table)
    raise TypeError(
        f"table must speak Arrow's C data interface (__arrow_c_stream__) or be a pandas.DataFrame, not {kind.__name__}"
    )
