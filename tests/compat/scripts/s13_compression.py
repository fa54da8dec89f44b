from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

done = {}
for name in (None, "gzip", "snappy", "lz4", "zstd"):
    with KafkaProducer(bootstrap_servers=bootstrap, compression_type=name, linger_ms=200) as producer:
        futures = [producer.send(topic, b"%d %s" % (i, b"x" * i), key=b"%d" % i, partition=0) for i in range(200)]
    done[str(name)] = [sum(f.succeeded() for f in futures), futures[-1].value.serialized_value_size]
report(done=done, unknown=attempt(KafkaProducer, bootstrap_servers=bootstrap, compression_type="brotli"))
