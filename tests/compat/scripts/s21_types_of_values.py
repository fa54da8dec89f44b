from array import array

from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap)


class Octets(bytes):
    pass


def sizes(value, key=None):
    return list(producer.send(topic, value, key, partition=0).get(20)[6:8])


report(
    octets=attempt(sizes, b"abc"),
    array_of_bytes=attempt(sizes, bytearray(b"abc"), bytearray(b"k")),
    view=attempt(sizes, memoryview(b"abcdef")[1:4], memoryview(b"k")),
    subclass=attempt(sizes, Octets(b"abc")),
    text=attempt(sizes, "abc"),
    number=attempt(sizes, 5),
    items=attempt(sizes, [b"abc"]),
    other_buffer=attempt(sizes, array("B", b"abc")),
    text_key=attempt(sizes, b"abc", "k"),
)
producer.close()
