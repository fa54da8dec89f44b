"""Our producer in a program that gevent has patched. Arguments: the brokers, a topic of one partition."""

import sys

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402

import gevent  # noqa: E402

from kafka import KafkaProducer  # noqa: E402
from kafka.errors import IllegalStateError, KafkaTimeoutError  # noqa: E402

bootstrap, topic = sys.argv[1:3]
outcome = {}
ticks = 0


def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.01)


gevent.spawn(tick)
# "localhost": so that there is a name to look up.
producer = KafkaProducer(bootstrap_servers=bootstrap.replace("127.0.0.1", "localhost"), buffer_memory=200_000)

# Greenlets that wait let others run, and hear of what they wait for at once.
sending = [gevent.spawn(lambda: producer.send_many(topic, [bytes(1000)] * 1000).get(20)) for _ in range(4)]
outcome["delivered"] = sum(len(greenlet.get()) for greenlet in sending)
before = ticks
try:
    producer._ask(lambda answer, now: None, 0.5, "nothing")
except KafkaTimeoutError:
    outcome["others_ran"] = ticks - before > 10

# A callback is on the thread that frees memory, so it is refused what it would wait for.
refused = []


def fill(metadata):
    try:
        for _ in range(10):
            producer.send(topic, bytes(150_000))
    except KafkaTimeoutError as error:
        refused.append(error)
    try:
        producer.flush()
    except IllegalStateError as error:
        refused.append(error)


producer.send(topic, b"x").add_callback(fill).get(20)
producer.flush(20)
outcome["refused"] = [type(error).__name__ for error in refused]

child = os.fork()
if child == 0:
    producer.send(topic, b"child").get(20)
    producer.close()
    os._exit(0)
outcome["child"] = os.waitpid(child, 0)[1]

# Ctrl-C, and a timeout of gevent's own.
with gevent.Timeout(0.2, False):
    producer._ask(lambda answer, now: None, 30.0, "nothing")
gevent.get_hub().NOT_ERROR += (KeyboardInterrupt,)
gevent.spawn_later(0.2, os.kill, os.getpid(), signal.SIGINT)
try:
    producer._ask(lambda answer, now: None, 30.0, "nothing")
except KeyboardInterrupt:
    outcome["interrupted"] = True

producer.close()


def threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0


KafkaProducer(bootstrap_servers=bootstrap).close()
before = threads()
for _ in range(10):
    KafkaProducer(bootstrap_servers=bootstrap).close()
gevent.sleep(0.2)
outcome["more_threads"] = threads() > before + 2
left_open = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=60_000)
left_open.send(topic, b"at the end")
print(json.dumps(outcome))
