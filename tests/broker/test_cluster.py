"""The fixture itself: Kafka starts, Java's tools agree with each other, a node survives a kill and a pause."""

import time

import pytest
from broker import wire

pytestmark = pytest.mark.kafka


def test_what_java_produced_is_seen_alike_by_three_of_its_tools(kafka_cluster):
    kafka_cluster.create_topic("fixture.tools", partitions=2, configs={"max.message.bytes": "100000"})
    lines = [b"k%d\tv%d" % (number, number) for number in range(50)] + [b"k\t\xc3\xa9\x1f"]
    options = ("--reader-property", "parse.key=true", "--compression-codec", "lz4")
    kafka_cluster.console_produce("fixture.tools", lines, *options)

    ends = kafka_cluster.end_offsets("fixture.tools")
    assert set(ends) == {0, 1}
    assert sum(ends.values()) == 51

    records = kafka_cluster.console_consume("fixture.tools", 51)
    assert sorted(b"%b\t%b" % (record.key, record.value) for record in records) == sorted(lines)
    assert {(record.partition, record.offset) for record in records} == {(p, o) for p in ends for o in range(ends[p])}
    assert all(record.timestamp.startswith("CreateTime:") for record in records)

    batches = kafka_cluster.dump_log("fixture.tools", 0)
    assert sum(int(batch.fields["count"]) for batch in batches) == ends[0]
    assert {(batch.fields["compresscodec"], batch.fields["isvalid"]) for batch in batches} == {("lz4", "true")}
    assert [len(batch.records) for batch in batches] == [int(batch.fields["count"]) for batch in batches]


def test_creating_a_topic_twice_is_the_brokers_error(kafka_cluster):
    kafka_cluster.create_topic("fixture.twice")
    with pytest.raises(wire.BrokerError) as caught:
        kafka_cluster.create_topic("fixture.twice")
    assert caught.value.code == 36


@pytest.mark.slow
def test_three_nodes_lose_one_and_get_it_back():
    from broker.cluster import KafkaCluster

    with KafkaCluster(nodes=3, configs={"broker.session.timeout.ms": "4000"}) as cluster:
        cluster.create_topic("t", partitions=3)
        assert set(cluster.leaders("t").values()) <= {1, 2, 3}
        victim = cluster.nodes[cluster.leaders("t")[0] - 1]
        other = next(node for node in cluster.nodes if node is not victim)

        victim.kill()
        assert not victim.alive
        until(lambda: wire.leaders(other.port, "t")[0] not in (-1, victim.node_id))
        cluster.console_produce("t", [b"while one is down"])

        port = victim.port
        victim.start()
        victim.wait_ready()
        assert victim.port == port

        victim.pause()
        with pytest.raises(TimeoutError):
            wire.api_versions(victim.port, timeout=0.3)
        victim.resume()
        wire.api_versions(victim.port)
        assert sum(cluster.end_offsets("t").values()) == 1
        processes, folder = [node.process for node in cluster.nodes], cluster.folder
    assert all(process.returncode is not None for process in processes)
    assert not folder.exists()


def until(condition, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
