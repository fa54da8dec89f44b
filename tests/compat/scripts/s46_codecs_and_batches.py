from common import bootstrap, report, topic
from consuming import T0, consumer

from kafka import KafkaProducer

for codec in (None, "gzip", "snappy", "lz4", "zstd"):
    with KafkaProducer(bootstrap_servers=bootstrap, compression_type=codec, linger_ms=50) as producer:
        for number in range(200):
            producer.send(topic, b"%d %s" % (number, str(codec).encode()), partition=0, headers=[("n", b"%d" % number)])
reader = consumer()
reader.assign([T0])
records = [next(reader) for _ in range(1000)]
report(
    values=[record.value.decode() for record in records],
    offsets=[record.offset for record in records],
    headers=[[name, value.decode()] for record in records for name, value in record.headers],
    kinds=[type(records[0].headers).__name__, type(records[0].value).__name__],
    log=None,
)
