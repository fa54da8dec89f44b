from common import report
from consuming import T0, T1, T2, consumer, drain, fill, places, values

fill(30)
reader = consumer()
reader.assign([T0, T1])
both = drain(reader, 20)
reader.assign([T1, T2])
changed = places(reader.assignment())
third = drain(reader, 10)
kept = reader.position(T1)
reader.assign([T2])
reader.seek(T2, 8)
last = drain(reader, 2)
reader.unsubscribe()
report(
    both=values(both),
    changed=changed,
    third=values(third),
    kept=kept,
    last=values(last),
    none=places(reader.assignment()),
    log=None,
)
