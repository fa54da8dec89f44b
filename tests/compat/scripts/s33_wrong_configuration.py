from common import attempt, bootstrap, report

from kafka import KafkaConsumer


def made(**configs):
    attempt_of = attempt(KafkaConsumer, **{"bootstrap_servers": bootstrap, **configs})
    if isinstance(attempt_of, dict):
        return attempt_of
    attempt_of.close()
    return "made"


report(
    unknown=made(nothing_such=1),
    instance=made(group_instance_id="x"),
    instance_and_group=made(group_instance_id="x", group_id="g"),
    wait=made(fetch_max_wait_ms=40000),
    isolation=made(isolation_level="sometimes"),
    heartbeat=made(group_id="g", heartbeat_interval_ms=50000),
    strategy=made(group_id="g", partition_assignment_strategy=["range"][0]),
    bytes_group=made(group_id=b"g"),
    short_poll=made(group_id="g", max_poll_interval_ms=1000),
    smallest=made(auto_offset_reset="smallest"),
    nobody=made(bootstrap_servers="127.0.0.1:1", bootstrap_timeout_ms=1500),
    log=None,
)
