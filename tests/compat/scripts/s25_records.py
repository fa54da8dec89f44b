import pickle

from common import attempt, report, topic
from consuming import T1, consumer, fill

fill(1, timestamp_ms=1234567890123, key=b"k", headers=[("a", b"1"), ("b", b"")])
fill(2, timestamp_ms=1234567890124)
reader = consumer(topic)
records = [next(reader) for _ in range(3)]
first = next(record for record in records if record.key == b"k")
plain = next(record for record in records if record.partition == T1.partition)


def text(fields):
    return [field.decode() if isinstance(field, bytes) else str(field) for field in fields]


report(
    fields=list(first._fields),
    values=text(first),
    plain=text(plain),
    names=sorted(first._asdict()),
    unpacked=len([*first]),
    index=first[1] == first.partition,
    slice=text(first[:2]),
    replaced=first._replace(offset=7).offset,
    wrong_replace=attempt(first._replace, nothing=1),
    same=first == pickle.loads(pickle.dumps(first)),
    other=first == plain,
    hash=attempt(hash, first),
    printed=repr(plain),
    changed=attempt(setattr, first, "offset", 5),
    log=None,
)
