from common import attempt, report
from consuming import T0, consumer

reader = consumer()
report(
    assignment=sorted(reader.assignment()),
    paused=sorted(reader.paused()),
    subscription=reader.subscription(),
    poll=reader.poll(100),
    position=attempt(reader.position, T0),
    highwater=attempt(reader.highwater, T0),
    seek=attempt(reader.seek, T0, 1),
    beginning=attempt(reader.seek_to_beginning, T0),
    end=attempt(reader.seek_to_end, T0),
    pause=attempt(reader.pause, T0),
    resume=attempt(reader.resume, T0),
    commit=attempt(reader.commit),
    commit_async=attempt(reader.commit_async),
    committed=attempt(reader.committed, T0),
    unsubscribe=reader.unsubscribe(),
    assign_nothing=attempt(reader.assign, []),
    close=[reader.close(), reader.close()],
    log=None,
)
