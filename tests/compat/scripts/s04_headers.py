from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap)


def send(headers):
    return producer.send(topic, b"v", partition=0, headers=headers).get(20).serialized_header_size


report(
    none=attempt(send, None),
    empty=attempt(send, []),
    one=attempt(send, [("key", b"value")]),
    repeated=attempt(send, [("k", b"1"), ("k", b"2"), ("", b"")]),
    unicode=attempt(send, [("\u00fc", "\u00fc".encode())]),
    a_tuple=attempt(send, (("k", b"v"),)),
    a_dict=attempt(send, {"k": b"v"}),
    text_value=attempt(send, [("k", "v")]),
    null_value=attempt(send, [("k", None)]),
    bytes_key=attempt(send, [(b"k", b"v")]),
    list_item=attempt(send, [["k", b"v"]]),
)
producer.close()
