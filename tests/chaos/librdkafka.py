"""librdkafka's mock cluster: brokers that somebody else wrote, out of the library inside confluent-kafka.

    with MockCluster(3) as mock:
        mock.create_topic("t", partitions=4)
        mock.produce_errors(1, 6, 6)             # broker 1's next two answers to Produce
        KafkaProducer(bootstrap_servers=mock.bootstrap)

It checks no sequence numbers: what it is sent twice it has twice.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_int16, c_int32, c_size_t, c_void_p
from pathlib import Path
from typing import Any

_PRODUCER = 0
_PRODUCE, _METADATA, _INIT_PRODUCER_ID = 0, 3, 22
# Its answers of all flexible versions have a byte too many.
_NOT_FLEXIBLE = {_PRODUCE: 8, _METADATA: 8, _INIT_PRODUCER_ID: 1}


def _library() -> Any:
    """The library as confluent-kafka has loaded it."""
    import confluent_kafka  # noqa: F401

    maps = Path("/proc/self/maps").read_text().splitlines()
    library = ctypes.CDLL(next(line.split()[-1] for line in maps if "librdkafka" in line))
    for name, result, *arguments in (
        ("rd_kafka_conf_new", c_void_p),
        ("rd_kafka_conf_set", c_int, c_void_p, c_char_p, c_char_p, c_char_p, c_size_t),
        ("rd_kafka_new", c_void_p, c_int, c_void_p, c_char_p, c_size_t),
        ("rd_kafka_destroy", None, c_void_p),
        ("rd_kafka_mock_cluster_new", c_void_p, c_void_p, c_int),
        ("rd_kafka_mock_cluster_destroy", None, c_void_p),
        ("rd_kafka_mock_cluster_bootstraps", c_char_p, c_void_p),
        ("rd_kafka_mock_set_apiversion", c_int, c_void_p, c_int16, c_int16, c_int16),
        ("rd_kafka_mock_topic_create", c_int, c_void_p, c_char_p, c_int, c_int),
        ("rd_kafka_mock_partition_set_leader", c_int, c_void_p, c_char_p, c_int32, c_int32),
        ("rd_kafka_mock_broker_set_down", c_int, c_void_p, c_int32),
        ("rd_kafka_mock_broker_set_up", c_int, c_void_p, c_int32),
        ("rd_kafka_mock_broker_push_request_error_rtts", c_int, c_void_p, c_int32, c_int16, c_size_t),
        ("rd_kafka_mock_clear_request_errors", None, c_void_p, c_int16),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockCluster:
    """Brokers 1, 2, ... on ports of their own, in threads of librdkafka's."""

    def __init__(self, brokers: int) -> None:
        self._library = _library()
        error = ctypes.create_string_buffer(200)
        quiet = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(quiet, b"log_level", b"0", error, len(error))
        self._handle = self._library.rd_kafka_new(_PRODUCER, quiet, error, len(error))
        assert self._handle, error.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, brokers)
        self.bootstrap = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode().split(",")
        for api_key, last in _NOT_FLEXIBLE.items():
            self._call("set_apiversion", api_key, 0, last)

    def __enter__(self) -> MockCluster:
        return self

    def __exit__(self, *error: object) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, f"rd_kafka_mock_{name}")(self._cluster, *arguments)
        assert code == 0, (name, arguments, code)

    def create_topic(self, name: str, partitions: int) -> None:
        self._call("topic_create", name.encode(), partitions, 1)

    def lead(self, topic: str, partition: int, broker: int) -> None:
        self._call("partition_set_leader", topic.encode(), partition, broker)

    def down(self, broker: int) -> None:
        self._call("broker_set_down", broker)

    def up(self, broker: int) -> None:
        self._call("broker_set_up", broker)

    def produce_errors(self, broker: int, *errors: int) -> None:
        """What the broker answers to its next Produce requests, each of which it does not obey."""
        for error in errors:
            self._call("broker_push_request_error_rtts", broker, _PRODUCE, 1, c_int(error), c_int(0))

    def forget_errors(self) -> None:
        """Those that no request has met yet."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, _PRODUCE)
