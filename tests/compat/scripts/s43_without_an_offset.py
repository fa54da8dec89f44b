from common import attempt, report
from consuming import T0, consumer, drain, fill, values

fill(9)
reader = consumer(auto_offset_reset="none")
reader.assign([T0])
no_offset = attempt(reader.poll, 5000)
position = attempt(reader.position, T0)
reader.seek(T0, 0)
read = drain(reader, 3)
reader.seek(T0, 100)
out_of_range = attempt(reader.poll, 5000)
resets = consumer()
resets.assign([T0])
resets.seek(T0, 100)
again = drain(resets, 3)
latest = consumer(auto_offset_reset="latest")
latest.assign([T0])
end = latest.position(T0)
report(
    no_offset=no_offset,
    position=position,
    read=values(read),
    out_of_range=out_of_range,
    again=values(again),
    end=end,
    log=None,
)
