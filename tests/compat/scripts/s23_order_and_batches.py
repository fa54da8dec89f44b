from common import bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(
    bootstrap_servers=bootstrap, batch_size=200, linger_ms=2, max_in_flight_requests_per_connection=1
)
futures = [producer.send(topic, b"%05d" % i, partition=0) for i in range(2000)]
producer.flush()
one = KafkaProducer(bootstrap_servers=bootstrap, batch_size=0)
alone = [one.send(topic, b"%d" % i, partition=1).get(20).offset for i in range(5)]
one.close()
report(offsets=[future.get().offset for future in futures] == list(range(2000)), alone=alone)
producer.close()
