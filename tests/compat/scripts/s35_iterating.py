from common import attempt, report, topic
from consuming import consumer, fill, values

reader = consumer(topic, consumer_timeout_ms=1500)
before = list(reader)
fill(9)
first = list(reader)
ended = attempt(next, reader, "ended")
fill(3)
second = list(reader)
report(
    before=before,
    first=values(first),
    ended=ended,
    second=values(second),
    itself=iter(reader) is reader,
    log=None,
)
