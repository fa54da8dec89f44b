from common import attempt, report
from consuming import T0, T1, T2, consumer, fill, places

from kafka import TopicPartition

fill(5, partitions=2, timestamp_ms=1000000)
reader = consumer()
found = reader.offsets_for_times({T0: 1000000, T1: 1000001, T2: 0})
report(
    beginning=places(reader.beginning_offsets([T0, T1, T2])),
    end=places(reader.end_offsets([T0, T1, T2])),
    none=[reader.beginning_offsets([]), reader.end_offsets([])],
    at=[found[T0].offset, found[T0].timestamp, found[T1], found[T2]],
    kind=type(found[T0]).__name__,
    fields=list(found[T0]._fields),
    negative=attempt(reader.offsets_for_times, {T0: -1}),
    unknown=attempt(reader.end_offsets, [TopicPartition(T0.topic, 99)], timeout_ms=1500),
    unknown_times=attempt(reader.offsets_for_times, {TopicPartition(T0.topic, 99): 1}, timeout_ms=1500),
    log=None,
)
