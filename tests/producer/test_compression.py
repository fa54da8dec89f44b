"""What a producer says of the library that compresses for it: which one it is, or how it is installed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from kafka import KafkaProducer
from kafka.errors import UnsupportedCodecError
from kafka.testing import EmbeddedCluster


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"compression_type": "zstd"}, "batches are compressed with zstd, by zstandard"),
        ({"compression_type": "gzip"}, "batches are compressed with gzip, by isal.isal_zlib"),
        ({"compression_type": "gzip", "compression_level": 6}, "batches are compressed with gzip, by zlib_ng.zlib_ng"),
    ],
)
def test_the_library_is_logged(caplog: pytest.LogCaptureFixture, options: dict[str, object], said: str) -> None:
    caplog.set_level(logging.DEBUG, "kafka.producer")
    with EmbeddedCluster() as cluster, KafkaProducer(bootstrap_servers=cluster.bootstrap, **options):
        assert said in [record.getMessage() for record in caplog.records]


def test_a_library_that_is_missing_is_an_error_of_the_constructor(hide: Callable[..., None]) -> None:
    hide("cramjam", "snappy")
    before = threading.active_count()
    with pytest.raises(UnsupportedCodecError, match=r"pip install 'kafka-turbo\[snappy\]'"):
        KafkaProducer(bootstrap_servers="localhost:1", compression_type="snappy")
    assert threading.active_count() == before
