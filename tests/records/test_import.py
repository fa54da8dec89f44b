import subprocess
import sys

import pytest

import kafka.records


def test_every_name_is_there():
    for name in kafka.records.__all__:
        assert getattr(kafka.records, name) is not None
    assert set(kafka.records.__all__) <= set(dir(kafka.records))
    with pytest.raises(AttributeError, match=r"'kafka\.records' has no attribute 'nothing'"):
        kafka.records.nothing  # noqa: B018


@pytest.mark.parametrize("first", ["kafka._codec", "kafka.records.crc", "kafka.records.batch"])
def test_the_extension_and_the_package_load_in_any_order(first):
    # The accumulator takes its CRC from kafka.records, which is written in terms of the extension.
    program = (
        f"import {first}, sys; assert {first == 'kafka.records.batch'} == ('kafka.records.batch' in sys.modules);"
        "import kafka._codec; from kafka.records import read_batches; assert read_batches(b'') == []"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
