from common import report, topic
from consuming import T0, consumer, drain, fill, places, values

group = f"group-{topic}"
fill(30)
first = consumer(topic, group_id=group)
read = drain(first, 30)
first.close()
fill(6)
second = consumer(topic, group_id=group, auto_offset_reset="latest")
more = drain(second, 6)
state = second.group_metadata()
second.close(autocommit=False)
third = consumer(topic, group_id=group)
again = drain(third, 6)
committed = third.committed(T0)
assigned = places(third.assignment())
third.close()
report(
    read=values(read),
    more=values(more),
    again=values(again),
    committed=committed,
    assigned=assigned,
    group=state.group_id == group,
    member=bool(state.member_id),
    generation=state.generation_id >= 1,
    log=None,
)
