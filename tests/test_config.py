import pytest

from kafka.consumer.config import ConsumerConfig
from kafka.errors import KafkaConfigurationError
from kafka.partitioner import DefaultPartitioner, Partitioner
from kafka.producer.config import DEFAULT_CONFIG, ProducerConfig
from kafka.records.compression import LEVELS
from kafka.serializer import JsonSerializer, Serializer, SerializeWrapper

NOT_IMPLEMENTED = {name for name, key in ProducerConfig.KEYS.items() if not key.implemented}


def parse(**configs):
    return ProducerConfig(configs)


def refused(message, **configs):
    with pytest.raises(KafkaConfigurationError, match=message) as caught:
        parse(**configs)
    assert isinstance(caught.value, ValueError)


def test_every_key_either_is_an_attribute_or_is_named_as_missing():
    config = parse()
    assert set(ProducerConfig.KEYS) == set(DEFAULT_CONFIG)
    working = set(DEFAULT_CONFIG) - NOT_IMPLEMENTED
    assert all(hasattr(config, name) for name in working | {"batch_size_given", "values"})
    assert not any(hasattr(config, name) for name in NOT_IMPLEMENTED)


def test_the_defaults_may_be_given_explicitly():
    assert parse(**DEFAULT_CONFIG).linger_ms == 0


@pytest.mark.parametrize("key", sorted(NOT_IMPLEMENTED))
def test_a_key_that_is_not_implemented_says_so_by_name_and_keeps_its_value_to_itself(key):
    value = {"client_dns_lookup": "resolve_canonical_bootstrap_servers_only"}.get(key)
    with pytest.raises(NotImplementedError, match=key) as caught:
        parse(**{key: value or "se-cret"})
    assert "se-cret" not in str(caught.value)


def test_all_the_keys_that_are_not_implemented_are_named_at_once():
    with pytest.raises(NotImplementedError, match="selector, kafka_client yet; leave them"):
        parse(selector=int, kafka_client=len, linger_ms=5)


def test_a_transactional_id_needs_idempotence():
    assert parse(transactional_id="t").enable_idempotence
    assert parse(transactional_id="t", transaction_timeout_ms=1e3).transaction_timeout_ms == 1000
    for wrong in ({"enable_idempotence": False}, {"acks": 1}, {"retries": 0}):
        with pytest.raises(ValueError, match="transactional_id does not go with"):
            parse(transactional_id="t", **wrong)
    for key, value in (("transactional_id", ""), ("transactional_id", 5), ("transaction_timeout_ms", 0)):
        with pytest.raises(ValueError, match=f"{key} must be"):
            parse(**{key: value})


def test_a_falsy_value_is_not_mistaken_for_the_default():
    with pytest.raises(NotImplementedError, match="kafka_client"):
        parse(kafka_client="")
    refused("ssl_check_hostname must be True or False", ssl_check_hostname=0)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("linger", "linger_ms"),
        ("bootstrap.servers", "bootstrap_servers"),
        ("bootstrap-server", "bootstrap_servers"),
        ("batchSize", "batch_size"),
        ("api_version_auto_timeout_ms", "bootstrap_timeout_ms"),
    ],
)
def test_an_unknown_key_names_the_nearest(key, nearest):
    refused(f"'{key}' .did you mean '{nearest}'", **{key: 1})


@pytest.mark.parametrize(("given", "patience"), [({}, 3.0), ({"bootstrap_timeout_ms": 15_000}, 15.0)])
def test_the_time_that_was_given_for_the_first_answer_is_used(given, patience):
    assert parse(**given).for_core().bootstrap_patience == patience


class Unshowable:
    def __repr__(self):
        raise ZeroDivisionError


@pytest.mark.parametrize("config", [ProducerConfig, ConsumerConfig])
@pytest.mark.parametrize("value", [int, 10**5000, "x" * 100_000, [[]], object(), Unshowable(), print], ids=range(7))
def test_what_keys_make_of_odd_values(config, value):
    """Each takes them, or refuses them in one readable message."""
    refused = []
    for name in config.KEYS:
        try:
            config({name: value})
        except (KafkaConfigurationError, NotImplementedError) as error:
            refused.append(str(error))
    assert refused and max(map(len, refused)) < 1000


def test_an_unknown_key_without_a_neighbour_and_several_at_once():
    refused("no configuration key 'zzzzqqq'[.]$", zzzzqqq=1)
    refused("key 'ack' .did you mean 'acks'.., nor 'retrys' .did you mean 'retries'", ack=1, retrys=1)


def test_the_dict_shows_what_was_given_and_what_came_of_it():
    config = parse(bootstrap_servers=["a:1", "b:2"], acks="all", compression_type="none")
    assert config.values["bootstrap_servers"] == ["a:1", "b:2"]
    assert config.values["acks"] == -1
    assert config.values["compression_type"] is None
    assert config.values["client_id"] == config.client_id
    assert set(config.values) == set(DEFAULT_CONFIG)
    assert config.values is not DEFAULT_CONFIG


def test_client_ids_are_numbered():
    first, second = parse().client_id, parse().client_id
    assert first != second
    assert first.startswith("kafka-turbo-producer-")
    assert parse(client_id="mine").client_id == "mine"


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("localhost", [("localhost", 9092)]),
        ("h:1", [("h", 1)]),
        (" a:1 , b ,", [("a", 1), ("b", 9092)]),
        (["a:1", "b:2", "a:1"], [("a", 1), ("b", 2)]),
        (("a:1",), [("a", 1)]),
        ({"a:1": None}.keys(), [("a", 1)]),
        ("[::1]:9093", [("::1", 9093)]),
        ("[::1]", [("::1", 9092)]),
        ("::1", [("::1", 9092)]),
        ("fe80::1%eth0", [("fe80::1%eth0", 9092)]),
        ("2001:db8::1,[2001:db8::2]:9", [("2001:db8::1", 9092), ("2001:db8::2", 9)]),
        ("PLAINTEXT://h:1", [("h", 1)]),
        ("kafka://h:1/", [("h", 1)]),
    ],
)
def test_bootstrap_servers(given, parsed):
    assert parse(bootstrap_servers=given).bootstrap_servers == tuple(parsed)


BAD_ADDRESSES = ["h:", ":9092", "h:x", "h:0", "h:65536", "h:-1", "h:1:2", "[::1", "[::1]x", "[h]:1", "[]:1", "h:\u0663"]


@pytest.mark.parametrize("given", ["", " , ", [], *BAD_ADDRESSES])
def test_bootstrap_servers_that_are_none(given):
    refused("bootstrap_servers", bootstrap_servers=given)


@pytest.mark.parametrize("given", [None, 9092, b"h:1", ["h:1", None], [("h", 1)], iter(["h:1"])])
def test_bootstrap_servers_of_a_wrong_type(given):
    refused("bootstrap_servers must be", bootstrap_servers=given)


def test_a_secure_prefix_is_never_taken_for_plain_text():
    refused("'SASL_SSL://h:1' asks for SASL_SSL", bootstrap_servers="SASL_SSL://h:1")


@pytest.mark.parametrize(("given", "parsed"), [(0, 0), (1, 1), (-1, -1), ("all", -1)])
def test_acks(given, parsed):
    assert parse(acks=given).acks == parsed


@pytest.mark.parametrize("given", [2, -2, "1", True, None, "ALL", b"all"])
def test_acks_that_are_none(given):
    refused("acks must be", acks=given)


def test_compression():
    for name in ("gzip", "snappy", "lz4", "zstd"):
        assert parse(compression_type=name).compression_type == name
    assert parse(compression_type="zstd", compression_level=-5).compression_level == -5
    refused("compression_type must be", compression_type="brotli")
    refused("compression_type must be", compression_type=["gzip"])
    for name, (lowest, highest, _) in LEVELS.items():
        for level in (lowest, highest):
            assert parse(compression_type=name, compression_level=level).compression_level == level
        for level in (lowest - 1, highest + 1):
            wrong = f"compression_level must be {lowest} to {highest} for {name}, not {level}"
            refused(wrong, compression_type=name, compression_level=level)
    refused("needs a compression_type that has levels", compression_type="snappy", compression_level=1)
    refused("needs a compression_type that has levels", compression_level=1)


def test_numbers():
    config = parse(batch_size=1e5, linger_ms=0.5, max_block_ms=float("inf"), retries=3, max_request_size=2**31 - 1)
    assert (config.batch_size, config.linger_ms, config.max_block_ms, config.retries) == (100000, 0.5, float("inf"), 3)
    assert type(config.batch_size) is int
    assert parse().retries == float("inf")
    for key, value in {
        "batch_size": -1,
        "buffer_memory": 0,
        "linger_ms": float("nan"),
        "max_block_ms": -1,
        "retries": 1.5,
        "request_timeout_ms": float("inf"),
        "max_in_flight_requests_per_connection": 0,
        "send_buffer_bytes": 0,
        "max_request_size": 2**31,
    }.items():
        refused(f"{key} must be .* not ", **{key: value})
    for key in ("batch_size", "linger_ms", "retries", "max_request_size"):
        for value in ("5", None, True, b"5", [5]):
            refused(f"{key} must be .* not .*{type(value).__name__}", **{key: value})


def test_a_wrong_name_is_wrong_whether_or_not_the_key_is_implemented():
    refused("must be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL', not 'TLS'", security_protocol="TLS")
    refused("client_dns_lookup must be", client_dns_lookup="sometimes")


def test_the_limits_that_a_message_names_are_those_that_hold():
    refused("batch_size must be a whole number of bytes from 0 to 2147483647, not 2147483648", batch_size=2**31)
    assert parse(batch_size=2**31 - 1).batch_size == 2**31 - 1
    refused("transaction_timeout_ms must be .* from 1 to 2147483647, not", transaction_timeout_ms=2**31)
    refused("compression_level must be .* from -2147483648 to 2147483647, or None for", compression_level=2**31)


def test_whether_a_batch_size_was_given_is_known():
    assert not parse().batch_size_given
    assert parse(batch_size=16384).batch_size_given


def test_a_record_must_have_time_for_one_request():
    assert parse(delivery_timeout_ms=30005, linger_ms=5).delivery_timeout_ms == 30005
    refused("delivery_timeout_ms .30000. must be at least", delivery_timeout_ms=30000, linger_ms=5)
    refused("reconnect_backoff_max_ms", reconnect_backoff_max_ms=1)


def test_api_version():
    assert parse(api_version=(2, 5)).api_version == (2, 5)
    assert parse(api_version="2.5.0").api_version == (2, 5, 0)
    assert parse(api_version="auto").api_version is None
    for value in ("newest", (), (-1,), 3, b""):
        refused("api_version must be", api_version=value)


def test_socket_options():
    assert parse(socket_options=[]).socket_options == ()
    assert parse(socket_options=[[6, 1, 1]]).socket_options == ((6, 1, 1),)
    for value in (None, [(6, 1)], [("6", 1, 1)], [(6, 1, None)], [6]):
        refused("socket_options must be", socket_options=value)


def test_serializers_of_every_kind():
    class New(Serializer):
        def serialize(self, topic, headers, data):
            return b"%s %d %d" % (topic.encode(), len(headers), data)

    class Old(Serializer):
        closed = False

        def serialize(self, topic, value):
            return b"%s %d" % (topic.encode(), value)

        def close(self):
            self.closed = True

    class Unrelated:
        def serialize(self, topic, value):
            return b"%d" % value

    config = parse(key_serializer=str.encode, value_serializer=New())
    assert config.key_serializer.serialize("t", [], "k") == b"k"
    assert isinstance(config.values["key_serializer"], SerializeWrapper)
    assert config.value_serializer.serialize("t", [("h", b"")], 5) == b"t 1 5"
    old = Old()
    config = parse(key_serializer=old, value_serializer=Unrelated())
    assert config.key_serializer.serialize("t", [], 5) == b"t 5"
    assert config.value_serializer.serialize("t", [], 5) == b"5"
    config.key_serializer.close()
    config.value_serializer.close()
    assert old.closed
    assert parse(value_serializer=JsonSerializer()).value_serializer.serialize("t", [], {"a": None}) == b'{"a": null}'
    assert parse().key_serializer is None
    refused("value_serializer must be a function, a", value_serializer="yaml")


def test_a_type_error_inside_a_serializer_is_the_users_own():
    class Broken(Serializer):
        def serialize(self, topic, headers, data):
            raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        parse(value_serializer=Broken()).value_serializer.serialize("t", [], 1)


def test_partitioners_of_every_kind():
    class Snapshot:
        def topics(self):
            return {"t"}

        def partitions_for_topic(self, topic):
            return {2, 0, 1} if topic == "t" else None

        def available_partitions_for_topic(self, topic):
            return {2, 1}

    class Between:
        def partition(self, topic, serialized_key, cluster):
            return max(cluster.partitions_for_topic(topic))

    class Own(Partitioner):
        def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
            return value

    def old(key, everything, available):
        assert (key, everything, available) == (b"k", [0, 1, 2], [1, 2])
        return available[0]

    def chosen(partitioner):
        return parse(partitioner=partitioner).partitioner.partition("t", "k", b"k", 7, b"v", Snapshot())

    assert chosen(Between()) == 2
    assert chosen(Own()) == 7
    assert chosen(old) == 1
    assert type(parse().partitioner) is DefaultPartitioner
    assert type(parse(partitioner="murmur2").partitioner) is DefaultPartitioner
    assert [parse(partitioner=name).partitioner for name in ("crc32", "round_robin")] == ["crc32", "round_robin"]
    refused("partitioner must be 'murmur2', 'crc32', 'round_robin'", partitioner="random")
    refused("partitioner must be an instance, not the class itself: DefaultPartitioner", partitioner=DefaultPartitioner)
    refused("partitioner must be", partitioner=None)
