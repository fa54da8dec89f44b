import pickle

from common import attempt, report, topic
from consuming import consumer, drain, fill

fill(6)
with consumer(topic, group_id=f"group-{topic}") as reader:
    drain(reader, 6)


def leave_with_an_error():
    with consumer(topic) as other:
        next(other)
        raise KeyError("mine")


another = consumer()
report(
    after=attempt(reader.poll),
    error=attempt(leave_with_an_error),
    pickled="raised" in attempt(pickle.dumps, another),
    log=None,
)
