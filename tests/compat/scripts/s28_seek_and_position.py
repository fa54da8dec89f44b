from common import attempt, report
from consuming import T0, T1, consumer, drain, fill, values

fill(30)
reader = consumer()
reader.assign([T0])
start = reader.position(T0)
first = drain(reader, 2)
after = reader.position(T0)
reader.seek(T0, 7)
sought = reader.position(T0)
rest = drain(reader, 3)
reader.seek_to_beginning(T0)
begin = reader.position(T0)
reader.seek_to_end()
end = reader.position(T0)
report(
    start=start,
    first=values(first),
    after=after,
    sought=sought,
    rest=values(rest),
    begin=begin,
    end=end,
    negative=attempt(reader.seek, T0, -1),
    fraction=attempt(reader.seek, T0, 1.5),
    true=attempt(reader.seek, T0, True),
    of_another=attempt(reader.seek, T1, 1),
    a_tuple=attempt(reader.seek, ("t", 0), 1),
    position_of_a_tuple=attempt(reader.position, ("t", 0)),
    highwater=reader.highwater(T0),
    log=None,
)
