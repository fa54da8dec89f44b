from common import report, topic
from consuming import consumer

reader = consumer()
topics = reader.topics()
report(
    there=topic in topics,
    kind=type(topics).__name__,
    internal="__consumer_offsets" in topics,
    partitions=sorted(reader.partitions_for_topic(topic)),
    partitions_kind=type(reader.partitions_for_topic(topic)).__name__,
    log=None,
)
