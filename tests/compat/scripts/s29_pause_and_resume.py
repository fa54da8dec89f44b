from common import report
from consuming import T0, T1, consumer, drain, fill, places, values

fill(30)
reader = consumer(max_poll_records=1)
reader.assign([T0, T1])
first = drain(reader, 1)
reader.pause(T0, T1)
paused = places(reader.paused())
while_paused = [len(reader.poll(300)) for _ in range(2)]
reader.resume(T0)
one = drain(reader, 10 - (first[0].partition == 0))
reader.resume(T1)
both = drain(reader, 20 - len(first) - len(one))
report(
    paused=paused,
    while_paused=while_paused,
    one={record.partition for record in one} == {0},
    all=values(first + one + both),
    again=places(reader.paused()),
    log=None,
)
