from common import attempt, report, topic
from consuming import T0, T1, T2, consumer, drain, fill

from kafka import OffsetAndMetadata

fill(30)
reader = consumer(group_id=f"group-{topic}", enable_auto_commit=False)
reader.assign([T0, T1])
before = reader.committed(T0)
drain(reader, 20)
committed = reader.commit()
both = [reader.committed(T0), reader.committed(T1), reader.committed(T2)]
reader.commit({T0: OffsetAndMetadata(3, "note", -1)})
whole = reader.committed(T0, metadata=True)
reader.commit({T1: OffsetAndMetadata(4)})
report(
    before=before,
    committed=committed,
    both=both,
    whole=list(whole),
    kind=type(whole).__name__,
    short=list(reader.committed(T1, metadata=True)),
    number=attempt(reader.commit, {T0: 5}),
    long=attempt(reader.commit, {T0: OffsetAndMetadata(3, "x" * 5000)}),
    position=reader.position(T0),
    log=None,
)
