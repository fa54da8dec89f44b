from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer
from kafka.partitioner import DefaultPartitioner, Partitioner, StickyPartitioner, murmur2

seen = []


class Own(Partitioner):
    def partition(self, topic, key, serialized_key, value, serialized_value, cluster):
        seen.append([topic, key, serialized_key.decode(), value, sorted(cluster.partitions_for_topic(topic))])
        if value == "break":
            raise ZeroDivisionError("mine")
        return None if value == "none" else 99 if value == "far" else 2


class Between:
    def partition(self, topic, serialized_key, cluster):
        return max(cluster.available_partitions_for_topic(topic))


def producer(partitioner):
    return KafkaProducer(
        bootstrap_servers=bootstrap, partitioner=partitioner, key_serializer=str.encode, value_serializer=str.encode
    )


with producer(Own()) as own:
    good = own.send(topic, "v", key="k").get(20).partition
    breaks = attempt(own.send, topic, "break", key="k")
    none = attempt(own.send, topic, "none", key="k")
    explicit = own.send(topic, "v", key="k", partition=0).get(20).partition
with producer(Between()) as between:
    last = between.send(topic, "v", key="k").get(20).partition
with producer(StickyPartitioner()) as sticky:
    keyed = [sticky.send(topic, "v", key=key).get(20).partition for key in "abcdef"]
with producer(DefaultPartitioner()) as default:
    same = [default.send(topic, "v", key=key).get(20).partition for key in "abcdef"]
report(
    good=good, breaks=breaks, none=none, explicit=explicit, last=last, keyed=keyed, same=same, seen=seen,
    hashes=[murmur2(data) for data in (b"", b"a", b"foobar", b"\xff" * 33)],
)  # fmt: skip
