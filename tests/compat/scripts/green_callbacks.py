"""Callbacks in a program whose threads are greenlets. Arguments: the brokers, a topic, the statement that patches."""

import sys

bootstrap, topic, patch = sys.argv[1:]
library = patch.partition(".")[0]
if patch.endswith("# late"):
    from kafka import KafkaConsumer, KafkaProducer
if library == "gevent":
    import gevent.monkey

    exec(patch)
    from gevent import Timeout, getcurrent, sleep, spawn
    from gevent.event import Event
    from gevent.queue import Queue

    def kill(greenlet):
        greenlet.kill()
else:
    import eventlet

    exec(patch)
    from eventlet import Timeout, getcurrent, kill, sleep, spawn
    from eventlet.event import Event as Once
    from eventlet.queue import Queue

    class Event(Once):
        set = Once.send


import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402

from kafka import KafkaConsumer, KafkaProducer, TopicPartition  # noqa: E402
from kafka.errors import IllegalStateError, KafkaTimeoutError  # noqa: E402

outcome = {}
producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20)

# What another thread puts in would never wake whoever gets it. Nothing else keeps the hub going here.
queue = Queue()
offsets = []
for _ in range(5):
    producer.send(topic, b"v").add_callback(queue.put)
    with Timeout(5, False):
        offsets.append(queue.get().offset)
outcome["got"] = len(offsets)

# Callbacks run one after the other, and where greenlets do; they may wait, which holds up no delivery and no greenlet.
order, ran_in, release = [], set(), Event()


def first(metadata):
    ran_in.add(type(getcurrent()).__name__)
    release.wait()
    order.append("first")


producer.send(topic, b"1").add_callback(first).add_callback(lambda _: order.append("second"))
flushing = spawn(producer.flush)
outcome["delivered beside it"] = producer.send(topic, b"2").add_callback(lambda _: order.append("third")).get(5).topic
outcome["order before"] = list(order)
release.set()
with Timeout(5, False):
    (flushing.wait if library == "eventlet" else flushing.join)()
producer.flush()
outcome["order"] = order
outcome["in a greenlet"] = "reenlet" in "".join(ran_in) or "GreenThread" in ran_in

# In a callback: the same as on the IO thread.
refused = []


def careless(metadata):
    for call in (producer.flush, producer.close, lambda: producer.send(topic, b"3").get(1)):
        try:
            call()
        except IllegalStateError as error:
            refused.append(str(error))


done = Queue()
producer.send(topic, b"v").add_callback(careless).add_both(done.put)
with Timeout(5, False):
    done.get()
outcome["refused"] = len(refused)

# A greenlet that is killed while it waits leaves the others alone.
waiting = spawn(lambda: producer.send(topic, b"v").get(10))
sleep(0)
kill(waiting)
ran = []
producer.send(topic, b"v").add_callback(lambda _: 1 / 0).add_callback(ran.append)
producer.flush()
outcome["after one that raises"] = len(ran)

ticks = 0


def tick():
    global ticks
    while True:
        ticks += 1
        sleep(0.005)


ticking = spawn(tick)

# A consumer that waits lets others run, and hears of what comes.
consumer = KafkaConsumer(bootstrap_servers=bootstrap)
consumer.assign([TopicPartition(topic, 0)])
consumer.seek_to_end()
consumer.position(TopicPartition(topic, 0))
before, reading = ticks, spawn(lambda: consumer.poll(20_000))
sleep(0.2)
outcome["others run beside a consumer"] = ticks - before > 5
producer.send(topic, b"read").get(5)
with Timeout(5, False):
    found = reading.wait() if library == "eventlet" else reading.get()
    outcome["read"] = sum(map(len, found.values()))
consumer.close()
try:
    producer._ask(lambda answer, now: None, 0.3, "nothing")
except KafkaTimeoutError:
    outcome["others run"] = ticks > 5
kill(ticking)

producer.close()


def hubs():
    kind = gevent.hub.Hub if library == "gevent" else eventlet.hubs.hub.BaseHub
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


# A thread of ours has no hub of its own, which would stay. "localhost": one thread has another look it up.
with KafkaProducer(bootstrap_servers=bootstrap.replace("127.0.0.1", "localhost")) as again:
    again.send(topic, b"again").get(5)
    outcome["hubs"] = hubs()
if library == "gevent":
    outcome["nothing keeps the hub"] = gevent.wait(timeout=4)
child = os.fork()
if child == 0:
    if library == "eventlet":
        eventlet.hubs.use_hub()
    again = KafkaProducer(bootstrap_servers=bootstrap)
    got = Queue()
    again.send(topic, b"child").add_callback(got.put)
    with Timeout(5, False):
        got.get()
        again.close()
        os._exit(0)
    os._exit(1)
outcome["child"] = os.waitpid(child, 0)[1]
print(json.dumps(outcome))
