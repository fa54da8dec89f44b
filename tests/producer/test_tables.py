"""send_table(): each row of a table is a record; the JSON of a row is that of its dict."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest

from kafka import KafkaProducer
from kafka._codec import ArrowTable, murmur2
from kafka.errors import DeliveryFailed, KafkaTimeoutError
from kafka.producer import tables
from kafka.serializer.json import CompactJsonSerializer
from kafka.testing import EmbeddedCluster
from tests.arrow_capsules import Column
from tests.producer.brokers import ScriptedCluster


@pytest.fixture
def producer(cluster: ScriptedCluster) -> Iterator[KafkaProducer]:
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as made:
        yield made


PEOPLE = pyarrow.table(
    {
        "id": ["a", "b", None, "größer"],
        "n": pyarrow.array([1, None, -(2**63), 2**63 - 1], pyarrow.int64()),
        "at": pyarrow.array([1000, 2000, 3000, 4000], pyarrow.timestamp("us")),
        "body": [b"1", None, b"3", b"4"],
    }
)

WIDE = pyarrow.table(
    {
        "int8": pyarrow.array([-128, None, 127], pyarrow.int8()),
        "uint8": pyarrow.array([255, 0, None], pyarrow.uint8()),
        "int16": pyarrow.array([-(2**15), 5, None], pyarrow.int16()),
        "uint16": pyarrow.array([2**16 - 1, 5, None], pyarrow.uint16()),
        "int32": pyarrow.array([-(2**31), 5, None], pyarrow.int32()),
        "uint32": pyarrow.array([2**32 - 1, 5, None], pyarrow.uint32()),
        "uint64": pyarrow.array([2**64 - 1, 2**63, None], pyarrow.uint64()),
        "float": pyarrow.array([0.1, -0.0, None], pyarrow.float32()),
        "double": pyarrow.array([1e16, 1e-7, 123456.0]),
        "odd": pyarrow.array([math.nan, math.inf, -math.inf]),
        "bool": [True, False, None],
        "null": pyarrow.nulls(3),
        'te"xt\n': ['a"\\\n\x00\x7f\u2028', "größer 😀", None],
        "large": pyarrow.array(["a", "", None], pyarrow.large_string()),
        "view": pyarrow.array(["longer than twelve bytes", "", None], pyarrow.string_view()),
        "words": pyarrow.array(["x", None, "x"]).dictionary_encode(),
        "list": [[1, None, 3], [], None],
        "texts": pyarrow.array([["a", None], None, [""]], pyarrow.large_list(pyarrow.string())),
        "struct": [{"a": 1, "b": {"c": "x"}}, {"a": None, "b": None}, None],
        "structs": [[{"a": [1.5]}, None], [], None],
    }
)


def expected(rows: list[dict[str, Any]]) -> list[bytes | None]:
    return [CompactJsonSerializer().serialize("t", [], row) for row in rows]


def json_of(table: Any) -> list[bytes | None]:
    source, found = ArrowTable(table), []
    while source.next_batch():
        for start in range(0, source.rows, 2):
            found += source.json(start, min(2, source.rows - start)).tolist()
    return found


def test_the_json_of_a_row_is_that_of_its_dict() -> None:
    assert json_of(WIDE) == expected(WIDE.to_pylist())
    many = pyarrow.concat_tables([WIDE, WIDE.slice(1), WIDE.slice(1, 1), WIDE.slice(0, 0)])
    assert json_of(many) == expected(many.to_pylist())
    (batch,) = WIDE.to_batches()
    assert json_of(batch.slice(1)) == expected(WIDE.to_pylist()[1:])
    frame = polars.from_arrow(WIDE.drop(["null", "odd"]))
    assert json_of(frame) == expected(frame.to_dicts())  # type: ignore[union-attr]
    assert json_of(pyarrow.table({})) == []


@pytest.mark.parametrize(
    ("column", "name"),
    [([b"x"], "binary"), ([datetime.datetime(2020, 1, 1)], "timestamp"), ([datetime.date(2020, 1, 1)], "date32"),
     (pyarrow.array([1], pyarrow.decimal128(5)), "decimal"), ([[b"x"]], "binary")],
)  # fmt: skip
def test_what_json_has_nothing_for_is_named(producer: KafkaProducer, column: Any, name: str) -> None:
    table = pyarrow.table({"fine": [1], "odd one": column})
    with pytest.raises(TypeError, match=f"column 'odd one' is of {name}, which JSON has nothing for: cast it"):
        producer.send_table("t", table)


def test_text_that_is_no_utf8_is_refused() -> None:
    broken = pyarrow.Array.from_buffers(
        pyarrow.string(), 1, [None, pyarrow.py_buffer(b"\0\0\0\0\2\0\0\0"), pyarrow.py_buffer(b"\xc3\x28")]
    )
    with pytest.raises(ValueError, match="column 'a' has text that is no UTF-8"):
        json_of(pyarrow.table({"a": broken}))


def test_each_row_is_a_record(cluster: ScriptedCluster, producer: KafkaProducer) -> None:
    done: list[int] = []
    future = producer.send_table(
        "t", PEOPLE, key="id", value="body", headers={"who": "id"}, timestamp="at", progress=done.append
    )
    found = future.get(10)
    assert len(future) == len(found) == 4 and done == [4] and future.is_done and future[3].is_ok()  # type: ignore[union-attr]
    records = sorted(cluster.records("t", 0), key=lambda record: record.timestamp)
    assert [(r.key, r.value, r.timestamp, r.headers) for r in records] == [
        (b"a", b"1", 1, (("who", b"a"),)),
        (b"b", None, 2, (("who", b"b"),)),
        (None, b"3", 3, (("who", None),)),
        ("größer".encode(), b"4", 4, (("who", "größer".encode()),)),
    ]


def test_a_table_in_pieces(cluster: ScriptedCluster, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PIECE", 3)
    table = pyarrow.Table.from_batches([pyarrow.record_batch({"n": list(range(k, k + 7))}) for k in (0, 7)])
    done: list[int] = []
    future = producer.send_table("t", table, headers=[("h", b"1")], progress=done.append)
    assert [metadata.offset for metadata in future.get(10)] == list(range(14))
    assert done == [3, 6, 7, 10, 13, 14] and future[-1] == future[13]
    assert [record.value for record in cluster.records("t", 0)] == [b'{"n":%d}' % n for n in range(14)]
    with pytest.raises(IndexError, match="row 14 of 14"):
        future[14]
    called: list[Any] = []
    future.add_callback(called.append)
    assert len(called[0]) == 14


def test_what_decides_on_the_partition(cluster: ScriptedCluster, producer: KafkaProducer) -> None:
    table = pyarrow.table({"who": ["x", "y", "z", "x"], "n": [1, 2, 3, 4], "key": [b"k"] * 4})
    found = producer.send_table("t4", table, key="key", value="who", partition_by="who").get(10)
    wanted = [(murmur2(who) & 0x7FFFFFFF) % 4 for who in (b"x", b"y", b"z", b"x")]
    assert [metadata.partition for metadata in found] == wanted and len(set(wanted)) > 1
    with pytest.raises(TypeError, match=r"partition_by \(column 'n'\) is an Arrow array of int64"):
        producer.send_table("t4", table, value="who", partition_by="n")


class First:
    def __call__(self, key: Any, partitions: Any, available: Any) -> Any:
        return partitions[0]


def test_a_partitioner_of_ones_own_decides_alone(cluster: ScriptedCluster) -> None:
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, partitioner=First(), value_serializer="json") as producer:
        with pytest.raises(ValueError, match="has a partitioner of its own"):
            producer.send_table("t4", PEOPLE, value="body", key="id", partition_by="id")
        with pytest.raises(ValueError, match="this producer's partitioner wants to see an object"):
            producer.send_table("t4", PEOPLE.select(["id"]))


def test_what_is_wrong_is_named_and_what_was_taken_counted(
    cluster: ScriptedCluster, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PIECE", 2)
    for option in ("key", "value", "timestamp", "partition_by"):
        with pytest.raises(ValueError, match=f"{option}: table has no column 'nope'; it has 'id', 'n', 'at', 'body'"):
            producer.send_table("t", PEOPLE, **{option: "nope"})
    with pytest.raises(TypeError, match="a single column is what send_many takes"):
        producer.send_table("t", pyarrow.chunked_array([["a"]]))
    with pytest.raises(TypeError, match=r"must speak Arrow's C data interface .* not list"):
        producer.send_table("t", [{"a": 1}])
    with pytest.raises(ValueError, match="record 2 needs a key or a value") as caught:
        producer.send_table("t", pyarrow.table({"v": ["a", "b", None, "d"]}), value="v")
    assert caught.value.accepted == 2 and len(caught.value.future.get(10)) == 2  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"timestamp \(column 'id'\)"):
        producer.send_table("t", PEOPLE, value="body", timestamp="id")
    with pytest.raises(ValueError, match=r"timestamp \(column 'n'\) is null in row 1"):
        producer.send_table("t", PEOPLE, value="body", timestamp="n")


def test_progress_that_raises_ends_it(producer: KafkaProducer) -> None:
    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        producer.send_table("t", PEOPLE.select(["n"]), progress=stop)
    assert caught.value.accepted == 4  # type: ignore[attr-defined]


def test_serializers_are_given_text_or_bytes(cluster: ScriptedCluster) -> None:
    seen: list[Any] = []

    def upper(item: Any) -> Any:
        seen.append(item)
        return None if item is None else item.upper().encode()

    with KafkaProducer(bootstrap_servers=cluster.bootstrap, key_serializer=upper, value_serializer="json") as producer:
        producer.send_table("t", PEOPLE.select(["id", "n"]).slice(0, 1), key="id").get(10)
    assert seen == ["a"] and [(r.key, r.value) for r in cluster.records("t", 0)] == [(b"A", b'{"id":"a","n":1}')]


def test_pandas(cluster: ScriptedCluster, producer: KafkaProducer) -> None:
    frame = pandas.DataFrame({
        "id": ["a", None, "c"], "n": [1, 2, 3], "f": [1.5, math.nan, 2.0], "ok": [True, False, True],
        "raw": numpy.array([b"x", b"y", b"z"], object), "at": pandas.to_datetime([1, 2, 3], unit="s"),
    })  # fmt: skip
    producer.send_table("t", frame[["id", "n", "f", "ok"]], key="id", timestamp="n").get(10)
    found = sorted(cluster.records("t", 0), key=lambda record: record.timestamp)
    assert [(r.key, r.timestamp) for r in found] == [(b"a", 1), (None, 2), (b"c", 3)]
    assert [json.loads(r.value or b"") for r in found] == [
        {"id": "a", "n": 1, "f": 1.5, "ok": True},
        {"id": None, "n": 2, "f": None, "ok": False},
        {"id": "c", "n": 3, "f": 2.0, "ok": True},
    ]
    producer.send_table("t", frame, key="raw", value="raw", timestamp="at").get(10)
    assert [(r.key, r.timestamp) for r in cluster.records("t", 0)[3:]] == [(b"x", 1000), (b"y", 2000), (b"z", 3000)]
    with pytest.raises(TypeError, match="row 0 of the table is no JSON"):
        producer.send_table("t", frame)
    with pytest.raises(TypeError, match="a single column"):
        producer.send_table("t", frame["id"])
    with pytest.raises(TypeError, match="int64"):
        producer.send_table("t", frame, value="n")


def test_polars(cluster: ScriptedCluster, producer: KafkaProducer) -> None:
    frame = polars.DataFrame({"id": ["a", "b"], "n": [1, None]})
    producer.send_table("t", frame, key="id").get(10)
    assert sorted(cluster.values("t")) == [b'{"id":"a","n":1}', b'{"id":"b","n":null}']


def test_a_table_that_does_not_hold_together_is_refused(producer: KafkaProducer) -> None:
    with pytest.raises(TypeError, match="a single column is what send_many takes"):
        producer.send_table("t", Column(b"z", [None, b"\0" * 8, b""], 1))
    with pytest.raises(ValueError, match="has been released"):
        producer.send_table("t", Column(b"+s", [None], 1, gone=True))
    table = ArrowTable(pyarrow.table({"a": [1]}))
    with pytest.raises(ValueError, match="next_batch"):
        table.json(0, 1)
    assert table.next_batch()
    for start, count in [(-1, 1), (0, 2), (2, 0), (0, -1)]:
        with pytest.raises(IndexError, match="the batch has 1 rows"):
            table.json(start, count)


def test_it_waits_for_memory_and_tells_what_it_took() -> None:
    table = pyarrow.table({"v": [b"x" * 1000] * 5000})
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, buffer_memory=1 << 20, max_block_ms=300)
        assert len(producer.send_table("t", table, value="v").get(30)) == 5000
    with pytest.raises(KafkaTimeoutError) as caught:
        producer.send_table("t", table, value="v")
    assert 0 < caught.value.accepted < 5000  # type: ignore[attr-defined]
    with pytest.raises(DeliveryFailed):
        producer.close(0)
