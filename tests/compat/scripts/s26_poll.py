from common import attempt, report, topic
from consuming import T0, consumer, fill, places

fill(30)
reader = consumer(max_poll_records=4)
nothing = reader.poll()
reader.assign([T0])
sizes = []
while sum(sizes) < 10:
    polled = reader.poll(timeout_ms=1000)
    sizes += [len(records) for records in polled.values()]
empty = reader.poll(timeout_ms=100)
report(
    nothing=nothing,
    largest=max(sizes),
    total=sum(sizes),
    empty=empty,
    kind=type(empty).__name__,
    position=reader.position(T0),
    half=attempt(lambda: len(reader.poll(0.5))),
    negative=attempt(lambda: len(reader.poll(-1))),
    none_wanted=attempt(lambda: len(reader.poll(max_records=0))),
    text=attempt(lambda: len(reader.poll(max_records="3"))),
    true=attempt(lambda: len(reader.poll(max_records=True))),
    keys=places(set(polled)),
    topic=topic == T0.topic,
    log=None,
)
