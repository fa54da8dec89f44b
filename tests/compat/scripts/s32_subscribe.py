from common import attempt, report, topic
from consuming import T0, consumer, places

reader = consumer()
facts = {
    "nothing": attempt(reader.subscribe),
    "empty": attempt(reader.subscribe, []),
    "text": attempt(reader.subscribe, topic),
    "bytes": attempt(reader.subscribe, [topic.encode()]),
    "illegal": attempt(reader.subscribe, ["a b"]),
    "both": attempt(reader.subscribe, [topic], pattern="x"),
    "listener": attempt(reader.subscribe, [topic], listener=object()),
}
subscribed = reader.subscribe([topic])
names = sorted(reader.subscription())
assign = attempt(reader.assign, [T0])
while not reader.assignment():
    reader.poll(100)
assigned = places(reader.assignment())
reader.unsubscribe()
left = [reader.subscription(), sorted(reader.assignment())]
reader.assign([T0, T0])
report(
    **facts,
    subscribed=subscribed,
    names=names,
    assign=assign,
    assigned=assigned,
    left=left,
    once=places(reader.assignment()),
    without=reader.subscription(),
    subscribe=attempt(reader.subscribe, [topic]),
    a_tuple=attempt(reader.assign, [("t", 0)]),
    log=None,
)
