"""Columns of pyarrow, polars, NumPy and pandas: what they hold arrives."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest

from kafka import KafkaProducer
from kafka.producer.waiting import WaitingProducer
from kafka.testing import EmbeddedCluster
from tests.producer.test_accumulator import Setup
from tests.producer.test_columns import Upper, sent

ITEMS = [b"", None, b"short", b"longer than twelve bytes", None, "größer".encode()]
PLAIN = [b"", b"a", b"bc", b"longer than twelve bytes"]


def values_of(column: Any, rows: int) -> list[bytes | None]:
    found = sent(column, [b"k"] * rows)
    assert sent([b"v"] * rows, column, partition=0) == [(value, b"v") for _, value in found]
    return [value for _, value in found]


@pytest.mark.parametrize(
    "kind",
    [pyarrow.binary(), pyarrow.large_binary(), pyarrow.binary_view(), pyarrow.dictionary(pyarrow.int8(),
     pyarrow.binary()), pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()],
    ids=str,
)  # fmt: skip
def test_pyarrow(kind: pyarrow.DataType) -> None:
    items = ITEMS if "string" not in str(kind) else [None if item is None else item.decode() for item in ITEMS]
    if pyarrow.types.is_dictionary(kind):
        array = pyarrow.array(items, pyarrow.binary()).dictionary_encode()
    else:
        array = pyarrow.array(items, kind)
    assert values_of(array, 6) == ITEMS
    assert values_of(array[2:5], 3) == ITEMS[2:5]
    assert values_of(array[6:], 0) == []
    chunked = pyarrow.chunked_array([array, array[:0], array[1:4]])
    assert values_of(chunked, 9) == ITEMS + ITEMS[1:4]
    assert values_of(chunked[5:8], 3) == (ITEMS + ITEMS[1:4])[5:8]
    assert values_of(pyarrow.chunked_array([], kind), 0) == []


def test_pyarrow_fixed_sizes_and_what_is_not_bytes() -> None:
    array = pyarrow.array([b"abc", None, b"def"], pyarrow.binary(3))
    assert values_of(array, 3) == [b"abc", None, b"def"] and values_of(array[1:], 2) == [None, b"def"]
    assert values_of(pyarrow.nulls(2), 2) == [None, None]
    with pytest.raises(TypeError, match="values is an Arrow array of int64.*cast it to binary or string"):
        sent(pyarrow.array([1, 2]))
    with pytest.raises(TypeError, match="keys is an Arrow array of timestamp"):
        sent([b"v"], pyarrow.array([0], pyarrow.timestamp("us")))
    with pytest.raises(TypeError, match="values is a table"):
        sent(pyarrow.table({"a": [b"x"]}))


def test_polars() -> None:
    series = polars.Series("s", ITEMS, dtype=polars.Binary)
    assert values_of(series, 6) == ITEMS and values_of(series[2:5], 3) == ITEMS[2:5]
    both = polars.concat([series, series], rechunk=False)
    assert both.n_chunks() == 2 and values_of(both, 12) == ITEMS * 2
    text = [None if item is None else item.decode() for item in ITEMS]
    assert values_of(polars.Series(text), 6) == ITEMS
    assert values_of(polars.Series(text, dtype=polars.Categorical), 6) == ITEMS
    with pytest.raises(TypeError, match=r"values \(column 'n'\) is an Arrow array of int64"):
        sent(polars.Series("n", [1]))


def test_numpy() -> None:
    plain = numpy.array(PLAIN, "S")
    assert values_of(plain, 4) == PLAIN and values_of(plain[::-2], 2) == PLAIN[::-2]
    void = numpy.array([b"ab\0", b"cd\0"], "V3")
    assert values_of(void, 2) == [b"ab\0", b"cd\0"]
    structured = numpy.array([(1, 2), (3, 4)], [("a", "<u2"), ("b", "u1")])
    assert values_of(structured, 2) == [b"\1\0\2", b"\3\0\4"]
    assert values_of(numpy.frombuffer(b"abcdef", numpy.uint8).reshape(2, 3), 2) == [b"abc", b"def"]
    assert values_of(numpy.frombuffer(b"abcdef", numpy.uint8).reshape(3, 2).T, 2) == [b"ace", b"bdf"]
    assert values_of(numpy.array(ITEMS, object), 6) == ITEMS
    assert values_of(numpy.array([], "S5"), 0) == []
    objects, times = numpy.zeros(2, [("o", object)]), numpy.zeros(2, "M8[s]")
    wrong_ones = {"int64": numpy.arange(3), "<U1": numpy.array(["a"]), "datetime64": times, "'O'": objects}
    for name, wrong in wrong_ones.items():
        with pytest.raises(TypeError, match=f"values is a NumPy array of .*{name}.*cast it"):
            sent(wrong)


def test_numpy_that_hides_some_is_not_taken_for_all() -> None:
    hidden = numpy.ma.masked_array(numpy.array([b"a", b"b"]), [False, True])
    with pytest.raises(TypeError, match="MaskedConstant"):
        sent(hidden)


def test_pandas() -> None:
    assert values_of(pandas.Series(ITEMS, dtype=object), 6) == ITEMS
    assert values_of(pandas.Series([b"a", float("nan"), pandas.NA, b"b"], dtype=object), 4) == [b"a", None, None, b"b"]
    arrow = pandas.Series(pyarrow.array(ITEMS), dtype=pandas.ArrowDtype(pyarrow.binary()))
    assert values_of(arrow, 6) == ITEMS
    text = pandas.Series(["a", None, "größer"], dtype="string")
    assert values_of(text, 3) == [b"a", None, "größer".encode()]
    with pytest.raises(TypeError, match="int64"):
        sent(pandas.Series([1, 2]))
    with pytest.raises(TypeError, match="must be a column, not a DataFrame"):
        sent(pandas.DataFrame({"a": [b"x"]}))


@pytest.mark.parametrize("column", [pyarrow.array([b"a", None]), polars.Series([b"a", None]),
                                    numpy.array([b"a", None], object)], ids=["pyarrow", "polars", "numpy"])  # fmt: skip
def test_a_serializer_is_given_what_the_library_makes_of_it(column: Any) -> None:
    seen = []

    class Seeing(Upper):
        def serialize(self, topic: str, headers: Any, data: Any) -> Any:
            seen.append(data)
            return super().serialize(topic, headers, data)

    with (
        EmbeddedCluster(topics={"t": 1}) as cluster,
        KafkaProducer(bootstrap_servers=cluster.bootstrap, value_serializer=Seeing()) as producer,
    ):
        producer.send_many("t", column, [b"k", b"k"]).get(20)
    assert seen == [b"a", None]


def test_a_text_of_a_library_is_no_column_and_a_table_none_either() -> None:
    for text in (numpy.str_("abc"), numpy.bytes_(b"abc"), pandas.DataFrame({"a": [b"1"], "b": [b"2"]})):
        for options in ({}, {"keys": [b"k"]}):
            with pytest.raises(TypeError):
                sent(text, **options)
    with pytest.raises(TypeError, match="must be a column, not a DataFrame"):
        with_serializer(pandas.DataFrame({"a": [b"1"], "b": [b"2"]}))


def with_serializer(values: Any) -> None:
    it = Setup(linger=0)
    it.accumulator.set_partition_count("t", 1)
    WaitingProducer(it.accumulator, value_serializer=Upper()).send_many("t", values)


def test_texts_of_pandas_where_there_is_no_pyarrow() -> None:
    code = """
    import sys
    sys.modules["pyarrow"] = None
    import pandas
    from tests.producer.test_columns import sent
    for column in (pandas.Series([b"a", None, b"c"], dtype="category"), pandas.Series(["a", None, "c"], dtype="str"),
                   pandas.Series(["a", None, "c"], dtype=object).astype("category")):
        print([value for _, value in sent(column, [b"k"] * 3)])
    """
    out = subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)], text=True)
    assert out == "[b'a', None, b'c']\n" * 3


def test_none_of_them_is_imported() -> None:
    script = """if True:
        import sys
        from kafka import KafkaProducer
        from kafka.testing import EmbeddedCluster
        with EmbeddedCluster(topics={"t": 1}) as cluster:
            with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
                producer.send_many("t", memoryview(bytes(30)).cast("B", (3, 10))).get(20)
        assert not {"numpy", "pandas", "polars", "pyarrow"} & sys.modules.keys()
    """
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
