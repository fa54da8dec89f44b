from common import attempt, report, topic
from consuming import T0, consumer, places

reader = consumer()
reader.assign([T0])
reader.poll(100)
reader.close()
report(
    again=reader.close(),
    poll=attempt(reader.poll),
    next=attempt(next, reader, "ended"),
    assignment=places(reader.assignment()),
    subscription=reader.subscription(),
    connected=reader.bootstrap_connected(),
    topics=attempt(reader.topics),
    unsubscribe=attempt(reader.unsubscribe),
    paused=sorted(reader.paused()),
    metrics=isinstance(reader.metrics(), dict),
    of=topic == T0.topic,
    log=None,
)
