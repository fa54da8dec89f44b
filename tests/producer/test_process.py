"""Producers and their process: Ctrl-C, forks, the interpreter's end; each in a process of its own."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.processes import Script
from tests.producer.brokers import ScriptedCluster

# They hold the clock to account: not for builds that are slower by design.
pytestmark = pytest.mark.timing

# -- Ctrl-C ------------------------------------------------------------------------------------------------------------

BLOCKING = {
    "send, memory": "fill(); call = lambda: producer.send('t', bytes(100_000))",
    "send_many, memory": "fill(); call = lambda: producer.send_many('t', [bytes(1000)] * 100_000)",
    "send, metadata": "call = lambda: producer.send('nope', b'x', key=b'k')",
    "partitions_for": "call = lambda: producer.partitions_for('nope')",
    "flush": "producer.send('t', b'x'); call = producer.flush",
    "flush, timeout": "producer.send('t', b'x'); call = lambda: producer.flush(timeout=100)",
    "close": "producer.send('t', b'x'); call = producer.close",
    "close, timeout": "producer.send('t', b'x'); call = lambda: producer.close(timeout=100)",
    "get": "call = producer.send('t', b'x').get",
    "get, timeout": "future = producer.send('t', b'x'); call = lambda: future.get(timeout=100)",
    "get of many": "call = producer.send_many('t', [b'x', b'y']).get",
    "constructor": "call = lambda: KafkaProducer(bootstrap_servers=bootstrap)",
}


@pytest.mark.parametrize("name", BLOCKING)
def test_ctrl_c_interrupts_at_once(cluster: ScriptedCluster, name: str) -> None:
    code = f"""
    producer = KafkaProducer(bootstrap_servers=bootstrap, buffer_memory=200_000)
    producer.send("t", b"warm").get(10)
    print("freeze", flush=True)
    sys.stdin.readline()
    def fill():
        producer.send("t", bytes(150_000))
    {BLOCKING[name]}
    print("blocking", flush=True)
    try:
        call()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    os._exit(0)
    """
    script = Script(code, cluster.bootstrap)
    assert script.line() == "freeze"
    cluster.freeze()
    script.go_on()
    assert script.line() == "blocking"
    time.sleep(0.3)
    began = time.monotonic()
    script.process.send_signal(signal.SIGINT)
    line = script.line()
    seconds = time.monotonic() - began
    script.end()
    assert line == "interrupted"
    assert seconds < (2.0 if name == "constructor" else 1.0)


# -- the interpreter's end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("configs", ["", ", linger_ms=60_000"])
def test_what_nobody_closed_is_delivered_at_the_end(cluster: ScriptedCluster, configs: str) -> None:
    script = Script(
        f"""
        producer = KafkaProducer(bootstrap_servers=bootstrap{configs})
        for number in range(1000):
            producer.send("t", b"%d" % number)
        """,
        cluster.bootstrap,
    )
    out, log = script.end(10)
    assert len(cluster.values("t")) == 1000
    assert log == "" and out == ""


def test_at_the_end_a_frozen_broker_gets_5_seconds_and_a_warning(cluster: ScriptedCluster) -> None:
    ends = ("", "sys.exit(0)", "for future in futures: future.add_errback(lambda error: None)")
    scripts = [
        Script(
            f"""
            producers = [KafkaProducer(bootstrap_servers=bootstrap) for _ in range(2)]
            producers[0].send("t", b"warm").get(10)
            print("freeze", flush=True)
            sys.stdin.readline()
            futures = [producers[0].send("t", b"%d" % number) for number in range(7)]
            print("ending", flush=True)
            {end}
            """,
            cluster.bootstrap,
        )
        for end in ends
    ]
    assert [script.line() for script in scripts] == ["freeze"] * 3
    cluster.freeze()

    def end_of(script: Script) -> tuple[float, str]:
        script.go_on()
        assert script.line() == "ending"
        began = time.monotonic()
        _, log = script.end(20)
        return time.monotonic() - began, log

    with ThreadPoolExecutor(len(scripts)) as pool:
        for end, (seconds, log) in zip(ends, pool.map(end_of, scripts), strict=True):
            assert 4 < seconds < 7.5, end
            warnings = [line for line in log.splitlines() if line.startswith("LOG")]
            assert len(warnings) == 1 and "WARNING" in warnings[0] and "7" in warnings[0], (end, log)
            assert "Traceback" not in log, end


def test_at_the_end_a_kept_traceback_of_the_io_thread_disturbs_nothing(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        kept = []
        handler = logging.Handler()
        handler.emit = kept.append
        logging.getLogger("kafka").addHandler(handler)
        logging.getLogger("kafka").propagate = False
        with KafkaProducer(bootstrap_servers=bootstrap) as producer:
            producer.send("t", b"x").add_callback(lambda metadata: 1 / 0).get(10)
        assert len(kept) == 1 and kept[0].exc_info
        """,
        cluster.bootstrap,
    )
    assert script.end(20) == ("", "")


def test_at_the_end_one_that_cannot_be_closed_does_not_keep_the_others(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        from kafka.serializer import Serializer
        class Broken(Serializer):
            def serialize(self, topic, headers, data):
                return data
            def close(self):
                raise RuntimeError("the serializer's own")
        producers = [KafkaProducer(bootstrap_servers=bootstrap, value_serializer=Broken()) for _ in range(4)]
        for producer in producers:
            producer.send("t", b"x")
        """,
        cluster.bootstrap,
    )
    _, log = script.end(20)
    assert len(cluster.values("t")) == 4
    assert log.count("was not closed before the interpreter's end") == 4


def test_at_the_end_a_broker_that_is_gone(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        producer.send("t", b"warm").get(10)
        print("stop", flush=True)
        sys.stdin.readline()
        producer.send_many("t", [b"x"] * 9)
        print("ending", flush=True)
        """,
        cluster.bootstrap,
    )
    assert script.line() == "stop"
    cluster.stop()
    script.go_on()
    assert script.line() == "ending"
    began = time.monotonic()
    _, log = script.end(20)
    assert time.monotonic() - began < 7.5
    warnings = [
        line for line in log.splitlines() if "WARNING" in line and "was not closed" in line and "9 records" in line
    ]
    assert len(warnings) == 1, log
    assert "Traceback" not in log


def test_an_error_at_the_end_of_the_program_still_delivers(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=1000)
        producer.send("t", b"x")
        raise SystemExit("the program's own")
        """,
        cluster.bootstrap,
    )
    _, log = script.process.communicate(timeout=20)
    assert log.strip() == "the program's own" and script.process.returncode == 1
    assert cluster.values("t") == [b"x"]


# -- forks -------------------------------------------------------------------------------------------------------------


def test_fork_the_child_starts_empty_and_the_parents_records_go_once(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=300)
        producer.send("t", b"warm").get(10)
        futures = [producer.send("t", b"parent %d" % number) for number in range(100)]
        many = producer.send_many("t4", [b"parent"] * 10)
        heard = []
        futures[0].add_callback(heard.append)
        def child():
            for future in (*futures, many):
                began = time.monotonic()
                try:
                    future.get(5)
                except KafkaError as error:
                    assert "fork" in str(error), error
                else:
                    raise AssertionError("the parent's future has a value in the child")
                assert time.monotonic() - began < 1
            futures2 = [producer.send("t", b"child %d" % number) for number in range(50)]
            keyed = producer.send("t4", b"child", key=b"k")
            assert producer.buffered_bytes < 100_000
            producer.flush(10)
            assert all(future.succeeded() for future in (*futures2, keyed)), futures2
            assert not heard
            producer.close()
        in_child(child)
        producer.close()
        assert all(future.succeeded() for future in futures) and many.succeeded() and len(heard) == 1
        """,
        cluster.bootstrap,
    )
    script.end()
    values = [value for value in cluster.values("t") if value != b"warm"]
    assert sorted(values) == sorted([b"parent %d" % n for n in range(100)] + [b"child %d" % n for n in range(50)])
    assert sorted(value or b"" for value in cluster.values("t4")) == [b"child"] + [b"parent"] * 10


def test_fork_the_child_measures_anew_and_tells_the_same_hooks(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        class Hook:
            delivered = 0
            def on_batch_delivered(self, event):
                self.delivered += event.records

        hook = Hook()
        producer = KafkaProducer(bootstrap_servers=bootstrap, hooks=[hook])
        sent = lambda: producer.metrics()["producer-metrics"]["record-send-total"]
        for _ in range(3):
            producer.send("t", b"parent").get(10)
        assert (sent(), hook.delivered) == (3, 3), (sent(), hook.delivered)
        def child():
            producer.send("t", b"child").get(10)
            assert (sent(), hook.delivered) == (1, 4), (sent(), hook.delivered)
            producer.close()
        in_child(child)
        producer.send("t", b"parent").get(10)
        assert (sent(), hook.delivered) == (4, 4), (sent(), hook.delivered)
        producer.close()
        """,
        cluster.bootstrap,
    )
    script.end()


@pytest.mark.parametrize("way", ["exit", "drop", "collect"])
def test_fork_a_child_that_never_sends_just_ends(cluster: ScriptedCluster, way: str) -> None:
    script = Script(
        f"""
        producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=1000)
        future = producer.send("t", b"parent")
        child = os.fork()
        if child == 0:
            if {way!r} != "exit":
                del producer
                gc.collect() if {way!r} == "collect" else None
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert future.get(10).offset == 0
        """,
        cluster.bootstrap,
    )
    began = time.monotonic()
    _, log = script.end()
    assert time.monotonic() - began < 4
    assert log == ""
    assert cluster.values("t") == [b"parent"]


def test_fork_by_multiprocessing_and_by_threads_at_work(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)      # 3.12 says that forks and threads do not mix
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        def child(name):
            for number in range(100):
                producer.send("t", b"child %d %d" % (name, number))
            producer.flush(20)
        stop = threading.Event()
        sent = [0, 0]
        def work(name):
            while not stop.is_set():
                producer.send("t", b"parent %d %d" % (name, sent[name]))
                sent[name] += 1
                time.sleep(0.0005)
        threads = [threading.Thread(target=work, args=(name,)) for name in range(2)]
        for thread in threads: thread.start()
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=child, args=(name,)) for name in range(4)]
        for process in children: process.start(); time.sleep(0.05)
        for process in children: process.join(25)
        stop.set()
        for thread in threads: thread.join()
        print([process.exitcode for process in children])
        producer.close()
        print(sum(sent))
        """,
        cluster.bootstrap,
    )
    out, _ = script.end(60)
    codes, sent = out.splitlines()
    assert codes == "[0, 0, 0, 0]"
    values = cluster.values("t")
    assert len(values) == len(set(values)) == int(sent) + 400


def test_fork_several_threads_of_the_child_are_the_first_to_send(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        sys.setswitchinterval(1e-6)
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        children = []
        for number in range(20):
            child = os.fork()
            if child == 0:
                begin = threading.Barrier(4)
                def work(name):
                    begin.wait()
                    producer.send("t", b"child %d %d" % (number, name))
                threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
                producer.flush(20)
                io_threads = sum(thread.name.endswith("-io") and thread.is_alive() for thread in threading.enumerate())
                os._exit(0 if io_threads == 1 else 1)
            children.append(os.waitpid(child, 0)[1])
        producer.close()
        print(children)
        """,
        cluster.bootstrap,
    )
    out, _ = script.end(60)
    assert out.strip() == str([0] * 20)
    assert sorted(map(bytes, cluster.values("t"))) == sorted(
        b"child %d %d" % (number, name) for number in range(20) for name in range(4)
    )


def test_fork_whoever_sends_while_the_child_starts_is_refused(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        def child():
            start, refused = producer._start, []
            def interrupted():
                try:
                    producer.send("t", b"from a signal handler")
                except IllegalStateError as error:
                    refused.append(str(error))
                start()
            producer._start = interrupted
            future = producer.send("t", b"child")
            producer.flush(20)
            assert future.succeeded() and len(refused) == 1 and "fork" in refused[0]
        in_child(child)
        producer.close()
        """,
        cluster.bootstrap,
    )
    script.end()
    assert cluster.values("t") == [b"child"]


def test_fork_while_a_reporter_is_told(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        from kafka.metrics import AbstractMetricsReporter
        told = threading.Event()
        class Slow(AbstractMetricsReporter):
            def init(self, metrics): pass
            def metric_change(self, metric):
                if "topic" in metric.metric_name.group:
                    told.set()
                    time.sleep(0.3)
            def metric_removal(self, metric): pass
            def configure(self, configs): pass
            def close(self): pass
        producer = KafkaProducer(bootstrap_servers=bootstrap, metric_reporters=[Slow])
        producer.send("t", b"x")
        told.wait(10)
        in_child(producer.close)
        producer.close()
        """,
        cluster.bootstrap,
    )
    script.end(20)


def test_fork_while_a_thread_waits_for_memory(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        producer = KafkaProducer(bootstrap_servers=bootstrap, buffer_memory=200_000)
        producer.send("t", b"warm").get(10)
        print("freeze", flush=True)
        sys.stdin.readline()
        producer.send("t", bytes(150_000))
        thread = threading.Thread(target=lambda: producer.send("t", bytes(150_000)), daemon=True)
        thread.start()
        time.sleep(0.2)
        in_child(lambda: producer.send("t", bytes(150_000)))      # its memory is its own
        print("thaw", flush=True)
        thread.join(10)
        producer.close(timeout=10)
        """,
        cluster.bootstrap,
    )
    assert script.line() == "freeze"
    cluster.freeze()
    script.go_on()
    assert script.line() == "thaw"
    cluster.thaw()
    script.end()
    assert [len(value or b"") for value in cluster.values("t") if value != b"warm"] == [150_000] * 2


def test_fork_of_a_closed_producer_stays_closed(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        producer.close()
        def child():
            try:
                producer.send("t", b"x")
            except IllegalStateError:
                return
            raise AssertionError
        in_child(child)
        """,
        cluster.bootstrap,
    )
    script.end()


def test_fork_in_a_serializer(cluster: ScriptedCluster) -> None:
    script = Script(
        """
        children = []
        def serialize(value):
            if value == b"fork":
                children.append(os.fork())
            return value
        producer = KafkaProducer(bootstrap_servers=bootstrap, value_serializer=serialize)
        try:
            producer.send("t", b"fork").get(10)
        except KafkaError as error:
            assert children == [0] and "fork" in str(error)
            producer.send("t", b"again").get(10)
            os._exit(0)
        assert children[0] > 0, "the child's record went to the parent's buffer"
        assert os.waitpid(children[0], 0)[1] == 0
        """,
        cluster.bootstrap,
    )
    script.end()
    assert cluster.values("t") == [b"again", b"fork"]


def test_fork_in_a_callback_whose_child_sends_and_returns(cluster: ScriptedCluster) -> None:
    """There is no other thread in that child than the one which the callback runs on, and the new IO thread."""
    script = Script(
        """
        producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=500)
        children = []
        def fork(metadata):
            children.append(os.fork())
            if children[0] == 0:
                for number in range(100):
                    producer.send("t", b"child %d" % number)
        future = producer.send("t", b"parent").add_callback(fork)
        assert future.get(10).offset == 0
        began = time.monotonic()
        while not (children and os.waitpid(children[0], os.WNOHANG) == (children[0], 0)):
            if time.monotonic() - began > 15:
                os.kill(children[0], signal.SIGKILL)
                raise AssertionError("the child stays")
            time.sleep(0.01)
        producer.close()
        """,
        cluster.bootstrap,
    )
    script.end()
    assert len(cluster.values("t")) == 101


def test_pickling_says_why_not(cluster: ScriptedCluster) -> None:
    import pickle

    from kafka import KafkaProducer

    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer, pytest.raises(TypeError, match="pickle"):
        pickle.dumps(producer)
