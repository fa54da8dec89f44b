from common import bootstrap, report, topic
from consuming import T0, consumer, drain, values

from kafka import KafkaProducer

with KafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"id-{topic}") as producer:
    producer.init_transactions()
    for number, commits in enumerate((True, False, True)):
        producer.begin_transaction()
        producer.send(topic, b"%d" % number, partition=0).get(10)
        producer.commit_transaction() if commits else producer.abort_transaction()
    producer.begin_transaction()
    producer.send(topic, b"9", partition=0).get(10)
    committed = consumer(isolation_level="read_committed")
    committed.assign([T0])
    dirty = consumer()
    dirty.assign([T0])
    report(
        committed=values(drain(committed, 2)),
        nothing_more=committed.poll(500),
        dirty=values(drain(dirty, 4)),
        end=[committed.end_offsets([T0])[T0], dirty.end_offsets([T0])[T0]],
        log=None,
    )
    producer.abort_transaction()
