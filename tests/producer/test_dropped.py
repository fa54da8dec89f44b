"""Producers that nobody closes: dropped, or left in a process that runs no atexit; each in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from kafka.protocol import ProduceRequest
from tests.processes import Script
from tests.producer.brokers import SILENCE, TOPIC_AUTHORIZATION_FAILED, Node, ScriptedCluster, refuse_all

# They hold the clock to account: not for builds that are slower by design.
pytestmark = pytest.mark.timing


@pytest.mark.parametrize("linger", [0, 60_000])
def test_what_a_dropped_producer_took_is_delivered(cluster: ScriptedCluster, linger: int) -> None:
    """Whoever drops it is not kept waiting; its IO thread ends by itself."""
    script = Script(
        f"""
        before, begun, futures = threading.active_count(), time.monotonic(), []
        def send(number):
            producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms={linger})
            for _ in range(1000):
                future = producer.send("t", b"%d" % number)
            return future
        futures = [send(number) for number in range(5)]
        assert [future.get(10).topic for future in futures] == ["t"] * 5
        while threading.active_count() > before:
            assert time.monotonic() - begun < 20
            time.sleep(0.01)
        """,
        cluster.bootstrap,
    )
    assert script.end() == ("", "")
    assert len(cluster.values("t")) == 5000


def test_the_end_of_the_process_waits_for_those_that_were_dropped(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        def send():
            producer = KafkaProducer(bootstrap_servers=bootstrap)
            for number in range(5000):
                producer.send("t", b"%d" % number)
        send()
        """,
        cluster.bootstrap,
    )
    assert script.end() == ("", "")
    assert len(cluster.values("t")) == 5000


def test_dropped_with_a_frozen_broker_the_end_says_what_is_left_and_why(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        producer = KafkaProducer(bootstrap_servers=bootstrap, client_id="mine")
        producer.send("t", b"warm").get(10)
        print("freeze", flush=True)
        sys.stdin.readline()
        for number in range(7):
            producer.send("t", b"%d" % number)
        began = time.monotonic()
        del producer
        assert time.monotonic() - began < 0.5
        print("ending", flush=True)
        """,
        cluster.bootstrap,
    )
    assert script.line() == "freeze"
    cluster.freeze()
    script.go_on()
    assert script.line() == "ending"
    began = time.monotonic()
    _, log = script.end(20)
    assert 4 < time.monotonic() - began < 7.5
    (warning,) = [line for line in log.splitlines() if line.startswith("LOG")]
    assert (
        "<KafkaProducer mine> was dropped without close(): DeliveryFailed: 7 records could not be delivered" in warning
    )
    assert "IllegalStateError: t[0]: <KafkaProducer mine> was dropped without close(), and this was not" in warning
    assert "Traceback" not in log


def test_dropped_and_refused_says_why(cluster: ScriptedCluster) -> None:
    cluster.script = lambda node, header, request: (
        refuse_all(request, TOPIC_AUTHORIZATION_FAILED) if isinstance(request, ProduceRequest) else None
    )
    script = Script(
        """
        KafkaProducer(bootstrap_servers=bootstrap).send("t", b"x")
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        producer.send("t", b"x").add_errback(lambda error: None)  # which looks at it
        del producer
        """,
        cluster.bootstrap,
    )
    _, log = script.end()
    (warning,) = [line for line in log.splitlines() if line.startswith("LOG")]
    assert "was dropped without close(): DeliveryFailed: 1 record could not be delivered" in warning
    assert "[Error 29] TopicAuthorizationFailedError: t[0]: " in warning, warning


def test_a_finalizer_neither_waits_nor_logs(cluster: ScriptedCluster) -> None:
    """A collection may run anywhere: in a log handler, with its lock held, that the IO thread needs next."""
    script = Script(
        """
        class Handler(logging.Handler):
            def emit(self, record):
                if record.name == "mine":
                    holder.clear()
                    gc.collect()
                    time.sleep(0.3)
                lines.append(record)
        lines, holder = [], []
        logging.getLogger().handlers[:] = [Handler()]
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        print("freeze", flush=True)
        sys.stdin.readline()
        producer.send("t", b"x").add_errback(lambda error: logging.getLogger("other").error("failed"))
        cycle = [producer]
        cycle.append(cycle)
        holder.append(cycle)
        del producer, cycle
        gc.collect()
        began = time.monotonic()
        logging.getLogger("mine").error("something")
        assert time.monotonic() - began < 1.0
        assert [record.name for record in lines] == ["mine"]
        print("thaw", flush=True)
        """,
        cluster.bootstrap,
    )
    assert script.line() == "freeze"
    cluster.freeze()
    script.go_on()
    assert script.line() == "thaw"
    cluster.thaw()
    assert script.end() == ("", "")
    assert cluster.values("t") == [b"x"]


def test_dropped_by_a_callback_on_its_own_io_thread(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        before, begun = threading.active_count(), time.monotonic()
        holder = [KafkaProducer(bootstrap_servers=bootstrap, linger_ms=100)]
        def drop(metadata):
            holder[0].send("t", b"second")
            holder.clear()
        holder[0].send("t", b"first").add_callback(drop)
        while holder or threading.active_count() > before:
            assert time.monotonic() - begun < 10
            time.sleep(0.01)
        """,
        cluster.bootstrap,
    )
    assert script.end() == ("", "")
    assert cluster.values("t") == [b"first", b"second"]


def test_dropped_its_serializers_and_reporters_are_closed(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        from kafka.serializer import Serializer
        closed = []
        class Tells(Serializer):
            def serialize(self, topic, headers, data):
                return data
            def close(self):
                closed.append(threading.current_thread().name)
        KafkaProducer(bootstrap_servers=bootstrap, client_id="mine", value_serializer=Tells()).send("t", b"x")
        began = time.monotonic()
        while not closed:
            assert time.monotonic() - began < 10
            time.sleep(0.01)
        assert closed == ["mine-io"]
        """,
        cluster.bootstrap,
    )
    assert script.end() == ("", "")


def test_the_child_of_a_fork_leaves_a_dropped_producers_records_to_its_parent(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        print("freeze", flush=True)
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        sys.stdin.readline()
        future = producer.send("t", b"parent")
        del producer
        def child():
            try:
                future.get(5)
            except KafkaError as error:
                assert "forked" in str(error)
            else:
                raise AssertionError
        in_child(child)
        print("thaw", flush=True)
        assert future.get(10).offset == 0
        """,
        cluster.bootstrap,
    )
    assert script.line() == "freeze"
    time.sleep(0.1)
    cluster.freeze()
    script.go_on()
    assert script.line() == "thaw"
    cluster.thaw()
    script.end()
    assert cluster.values("t") == [b"parent"]


# -- memory ------------------------------------------------------------------------------------------------------------

KEPT = {
    "closed": "kept.append(producer.send('t', b'v', b'k')); producer.close()",
    "dropped": "kept.append(producer.send_many('t4', [b'v'] * 1000, [b'k'] * 1000))",
    "never used": "producer.close()",
    "lookup timed out": "refused(producer.partitions_for, 'nope'); producer.close()",
    "a failed callback": "kept.append(producer.send('t', b'v').add_callback(lambda _: 1 / 0)); producer.close()",
    "failed": "kept.append(producer.send('closed', b'v', partition=0)); refused(producer.close)",
    "failed, many": "kept.append(producer.send_many('closed', [b'v'] * 9, partition=0)); refused(producer.close)",
    "unsent": "kept.append(producer.send('nope', b'v')); refused(producer.close, 0)",
    "in flight": "kept.append(producer.send('silent', b'v' * 90_000)); time.sleep(0.2); refused(producer.close, 0)",
    "in flight, doubtful": "kept.append(producer.send('silent', b'v')); time.sleep(0.6); refused(producer.close, 0)",
    "interrupted": "interrupted(producer.send('silent', b'v').get); refused(producer.close, 0)",
}


@pytest.mark.parametrize("how", KEPT)
def test_a_kept_future_keeps_nothing_of_its_producer(cluster: ScriptedCluster, how: str) -> None:
    """Nor need a collector look for it: its memory and its descriptors go with the last reference."""
    cluster.leaders.update(silent=[1], closed=[1])

    def script(node: Node, header: Any, request: Any) -> Any:
        if isinstance(request, ProduceRequest) and request.topic_data[0].name == "silent":
            return SILENCE
        if isinstance(request, ProduceRequest) and request.topic_data[0].name == "closed":
            return refuse_all(request, TOPIC_AUTHORIZATION_FAILED)
        return None

    cluster.script = script
    process = Script(
        f"""
        logging.disable()
        def refused(call, *arguments):
            try:
                call(*arguments)
            except KafkaError:
                return
            raise AssertionError
        def interrupted(call):
            def interrupt(*arguments):
                raise ZeroDivisionError
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                call()
            except ZeroDivisionError:
                pass
        kept = []
        def use():
            producer = KafkaProducer(
                bootstrap_servers=bootstrap, max_block_ms=100, request_timeout_ms=300, delivery_timeout_ms=400
            )
            {KEPT[how]}
        def descriptors():
            return len(os.listdir("/dev/fd"))
        use()
        gc.collect()
        gc.disable()
        while threading.active_count() > 1:
            time.sleep(0.01)
        before = descriptors()
        for _ in range(3):
            use()
        began = time.monotonic()
        while descriptors() > before:
            assert time.monotonic() - began < 10, (before, os.listdir("/dev/fd"))
            time.sleep(0.01)
        """,
        cluster.bootstrap,
    )
    assert process.end() == ("", "")


# -- processes that end without atexit ---------------------------------------------------------------------------------

ENDS = {
    "own, dropped": "producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=1000); send(producer)",
    "own, kept": "kept.append(KafkaProducer(bootstrap_servers=bootstrap, linger_ms=1000)); send(kept[0])",
    "inherited": "send(inherited)",
    "own, and an error": "producer = KafkaProducer(bootstrap_servers=bootstrap); send(producer); 1 / 0",
    "own, and an exit": "producer = KafkaProducer(bootstrap_servers=bootstrap); send(producer); sys.exit(3)",
    "a thread that Python waits for": (
        "inherited.send('t', b'first'); "
        "threading.Thread(target=lambda: (time.sleep(0.5), send(inherited), time.sleep(0.1))).start()"
    ),
    "own, begun once the work was over": (
        "threading.Thread(target=lambda: (time.sleep(0.5), send(KafkaProducer(bootstrap_servers=bootstrap)))).start()"
    ),
    "own, the second of a thread that goes on": (
        "KafkaProducer(bootstrap_servers=bootstrap).close(); "
        "threading.Thread(target=lambda: (time.sleep(0.5), send(KafkaProducer(bootstrap_servers=bootstrap)))).start()"
    ),
}


WORK = """
import sys, threading, time
from kafka import KafkaProducer
kept = []
inherited = None
def send(producer):
    for number in range(1000):
        producer.send("t", b"%d" % number)
def work(bootstrap):
    WAY
"""


@pytest.mark.parametrize(
    ("method", "way"),
    [("fork", way) for way in ENDS] + [("forkserver", way) for way in ENDS if "inherited" not in ENDS[way]],
)
def test_what_a_multiprocessing_child_sent_is_delivered_when_it_ends(
    cluster: ScriptedCluster, method: str, way: str, tmp_path: Path
) -> None:
    (tmp_path / "work.py").write_text(WORK.replace("WAY", ENDS[way]))
    script = Script(
        f"""
        import multiprocessing, warnings
        sys.path.insert(0, {str(tmp_path)!r})
        import work
        warnings.simplefilter("ignore", DeprecationWarning)
        if "inherited" in {ENDS[way]!r}:
            work.inherited = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=1000)
        child = multiprocessing.get_context({method!r}).Process(target=work.work, args=(bootstrap,))
        child.start()
        child.join(25)
        print(child.exitcode)
        """,
        cluster.bootstrap,
    )
    out, log = script.end(40)
    assert out.strip() == {"own, and an error": "1", "own, and an exit": "3"}.get(way, "0")
    assert "LOG" not in log
    values = cluster.values("t")
    assert len(values) == 1000 + values.count(b"first")


def test_a_multiprocessing_child_waits_5_seconds_for_a_frozen_broker(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        go = os.dup(0)  # multiprocessing closes a child's standard input
        def work():
            def send():
                producer = KafkaProducer(bootstrap_servers=bootstrap)
                producer.send("t", b"warm").get(10)
                print("freeze", flush=True)
                os.read(go, 1)
                producer.send_many("t", [b"x"] * 7)
                print("ending", flush=True)
            send()
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(25)
        print(child.exitcode)
        """,
        cluster.bootstrap,
    )
    assert script.line() == "freeze"
    cluster.freeze()
    script.go_on()
    assert script.line() == "ending"
    began = time.monotonic()
    out, log = script.end(30)
    assert 4 < time.monotonic() - began < 8 and out.strip() == "0"
    (warning,) = [line for line in log.splitlines() if line.startswith("LOG")]
    assert "was dropped without close(): DeliveryFailed: 7 records could not be delivered" in warning
