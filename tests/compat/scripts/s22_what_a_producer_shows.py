import copy
import pickle

from common import bootstrap, report, topic

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError

servers = [bootstrap]
producer = KafkaProducer(bootstrap_servers=servers, client_id="mine", acks="all", linger_ms=3)
metadata = producer.send(topic, b"v", partition=0).get(20)
report(
    servers=producer.config["bootstrap_servers"] == servers,
    config={key: producer.config[key] for key in ("client_id", "acks", "linger_ms", "batch_size", "key_serializer")},
    connected=producer.bootstrap_connected(),
    metadata=pickle.loads(pickle.dumps(metadata)) == metadata == copy.copy(metadata),
    errors=[
        str(type(pickle.loads(pickle.dumps(e))).__name__)
        for e in (KafkaTimeoutError("x"), UnknownTopicOrPartitionError())
    ],
    text="KafkaProducer" in str(producer) and "mine" in str(producer),
    magic=KafkaProducer.max_usable_produce_magic((4, 0)),
)
producer.close()
