from common import attempt, bootstrap, report

from kafka import KafkaProducer

report(
    log=None,
    unknown=attempt(KafkaProducer, bootstrap_servers=bootstrap, linger=5),
    times=attempt(KafkaProducer, bootstrap_servers=bootstrap, delivery_timeout_ms=1000, linger_ms=5),
    compression=attempt(KafkaProducer, bootstrap_servers=bootstrap, compression_type="GZIP"),
    dns=attempt(KafkaProducer, bootstrap_servers=bootstrap, client_dns_lookup="sometimes"),
    port=attempt(KafkaProducer, bootstrap_servers="localhost:port"),
    positional=attempt(KafkaProducer, bootstrap),
)
