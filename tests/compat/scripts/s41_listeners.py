from common import attempt, report, topic
from consuming import consumer, drain, fill, places

from kafka import ConsumerRebalanceListener

fill(6)
events = []


class Listener(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        events.append(["revoked", places(revoked), type(revoked).__name__])

    def on_partitions_assigned(self, assigned):
        events.append(["assigned", places(assigned), type(assigned).__name__])


reader = consumer(group_id=f"group-{topic}")
reader.subscribe([topic], listener=Listener())
drain(reader, 6)
joined = [event for event in events if event[1]]
reader.close()


class Commits(Listener):
    def on_partitions_revoked(self, revoked):
        if revoked:
            done.append(committing.commit())


done = []
committing = consumer(group_id=f"other-{topic}", enable_auto_commit=False)
committing.subscribe([topic], listener=Commits())
drain(committing, 6)
report(
    joined=joined,
    revoked=[event for event in events if event[0] == "revoked" and event[1]],
    close=attempt(committing.close),
    done=done,
    log=None,
)
