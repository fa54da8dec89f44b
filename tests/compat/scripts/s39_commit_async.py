import time

from common import report, topic
from consuming import T0, T1, consumer, drain, fill

from kafka import OffsetAndMetadata
from kafka.future import Future

fill(6)
told = []
reader = consumer(group_id=f"group-{topic}", enable_auto_commit=False)
reader.assign([T0, T1])
drain(reader, 4)
future = reader.commit_async(callback=lambda offsets, response: told.append([offsets[T0].offset, response]))
at_once = list(told)
named = reader.commit_async({T0: OffsetAndMetadata(1)}, lambda offsets, response: told.append([len(offsets), response]))
deadline = time.monotonic() + 10
while len(told) < 2 and time.monotonic() < deadline:
    reader.poll(100)
refused = reader.commit_async({T0: OffsetAndMetadata(1, "x" * 5000)}, lambda *both: told.append(type(both[1]).__name__))
while len(told) < 3 and time.monotonic() < deadline:
    reader.poll(100)
report(
    future=isinstance(future, Future),
    at_once=at_once,
    told=sorted(told[:2]) + told[2:],
    done=[future.is_done, named.is_done],
    succeeded=[future.succeeded(), named.succeeded(), refused.succeeded()],
    failed=[future.failed(), refused.failed()],
    error=type(refused.exception).__name__,
    committed=[reader.committed(T0), reader.committed(T1)],
    log=None,
)
