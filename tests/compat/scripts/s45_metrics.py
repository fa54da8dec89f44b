from common import report, topic
from consuming import consumer, drain, fill

NAMES = {
    "bytes-consumed-rate", "fetch-latency-avg", "fetch-latency-max", "fetch-rate", "fetch-size-avg", "fetch-size-max",
    "records-consumed-rate", "records-lag-max", "records-per-request-avg",
}  # fmt: skip
fill(30)
reader = consumer(topic, group_id=f"group-{topic}")
drain(reader, 30)
reader.commit()
metrics = reader.metrics()
fetching = metrics["consumer-fetch-manager-metrics"]
raw = reader.metrics(raw=True)
name = next(iter(raw))
off = consumer(metrics_enabled=False)
report(
    groups=sorted(group for group in metrics if "node-" not in group and group.count(".") == 0),
    names=sorted(NAMES & fetching.keys()),
    lag=fetching["records-lag-max"],
    coordinator=isinstance(metrics["consumer-coordinator-metrics"], dict),
    raw=[type(name).__name__, isinstance(raw, dict)],
    off=off.metrics(),
    log=None,
)
