"""Clients that are no producers, and their process: Ctrl-C, forks, the interpreter's end; each in one of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from kafka import KafkaProducer
from kafka.testing import EmbeddedCluster
from tests.processes import Script
from tests.producer.brokers import ScriptedCluster

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(topics={"t": 2}) as cluster:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            producer.send_many("t", [b"%d" % n for n in range(10)], partition=0)
        yield cluster


BLOCKING = {
    "partitions": "call = lambda: reader.partitions('t')",
    "offsets": "call = lambda: reader.offsets('t', [0], LATEST)",
    "batches": "call = lambda: next(reader.batches('t', {0: 0}))",
    "constructor": "call = lambda: Reader(bootstrap)",
    "nothing": "call = lambda: reader._ask(lambda answer, now: None, 60.0, 'nothing', lambda answer: None)",
}


@pytest.mark.parametrize("name", BLOCKING)
def test_ctrl_c_interrupts_at_once(cluster: ScriptedCluster, name: str) -> None:
    code = f"""
    reader = Reader(bootstrap)
    print("freeze", flush=True)
    sys.stdin.readline()
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


@pytest.mark.parametrize("way", ["", "readers.clear(); gc.collect()", "sys.exit(0)"])
def test_one_that_nobody_closed_keeps_nobody_waiting(embedded: EmbeddedCluster, way: str) -> None:
    began = time.monotonic()
    script = Script(
        f"""
        readers = [Reader(bootstrap) for _ in range(3)]
        assert readers[0].partitions("t") == [0, 1]
        {way}
        """,
        embedded.bootstrap,
    )
    assert script.end() == ("", "")
    assert time.monotonic() - began < 4


def test_one_that_cannot_be_closed_at_the_end_does_not_keep_the_others(embedded: EmbeddedCluster) -> None:
    script = Script(
        """
        class Broken(Reader):
            def _finish(self, timeout, quiet):
                raise RuntimeError("its own")
        class Tells(Reader):
            def _finish(self, timeout, quiet):
                print("finished")
        readers = [kind(bootstrap) for kind in (Broken, Tells, Broken, Tells)]
        """,
        embedded.bootstrap,
    )
    out, log = script.end()
    assert out.split() == ["finished"] * 2
    assert log.count("was not closed before the interpreter's end") == 2


# -- forks -------------------------------------------------------------------------------------------------------------


def test_a_child_and_its_child_start_again(embedded: EmbeddedCluster) -> None:
    Script(
        """
        reader = Reader(bootstrap)
        pid, driver = reader._pid, reader._driver
        def grandchild():
            assert reader.partitions("t") == [0, 1]
            reader.close()
        def child():
            in_child(grandchild)                            # of one that has not used it
            assert reader._driver is driver and not driver.is_alive()
            assert reader.offsets("t", [0], LATEST) == {0: 10}
            assert reader._pid == os.getpid() != pid
            in_child(grandchild)                            # of one that has
            assert reader.partitions("t") == [0, 1]
        in_child(child)
        assert reader._driver is driver and driver.is_alive()
        assert reader.partitions("t") == [0, 1]
        reader.close()
        def closed():
            try:
                reader.partitions("t")
            except IllegalStateError as error:
                assert "closed already" in str(error)
            else:
                raise AssertionError
        in_child(closed)
        """,
        embedded.bootstrap,
    ).end()


def test_a_childs_close_is_its_own(embedded: EmbeddedCluster) -> None:
    Script(
        """
        reader = Reader(bootstrap)
        batches = reader.batches("t", {0: 0, 1: 0})
        assert next(batches)[0] == 0
        def child():
            try:
                next(batches)
            except IllegalStateError as error:
                assert "forked" in str(error)
            else:
                raise AssertionError
            reader.close()
            reader.close()
        in_child(child)
        def left():
            with reader:
                pass
        in_child(left)
        assert reader.partitions("t") == [0, 1]
        reader.close()
        """,
        embedded.bootstrap,
    ).end()


def test_a_child_keeps_none_of_its_parents_connections_open(embedded: EmbeddedCluster) -> None:
    script = Script(
        """
        reader = Reader(bootstrap)
        sockets = [connection.fileno() for connection in reader._driver._sockets.values()]
        assert sockets
        child = os.fork()
        if child == 0:
            for number in sockets:
                try:
                    os.fstat(number)
                except OSError:
                    continue
                os._exit(1)
            sys.stdin.readline()
            os._exit(0)
        reader.close()
        print("closed", flush=True)
        assert os.waitpid(child, 0)[1] == 0
        """,
        embedded.bootstrap,
    )
    before = {connection for node in embedded.nodes for connection in node.connections}
    assert script.line() == "closed"
    end = time.monotonic() + 5
    while {connection for node in embedded.nodes for connection in node.connections} & before:
        assert time.monotonic() < end
        time.sleep(0.01)
    script.go_on()
    script.end()


def test_a_fork_while_another_thread_starts_it(embedded: EmbeddedCluster) -> None:
    Script(
        """
        reader = Reader(bootstrap)
        held, done = threading.Event(), threading.Event()
        def start():                                        # as a child does that has threads of its own
            with reader._starting:
                reader._is_starting = True
                held.set()
                done.wait()
        thread = threading.Thread(target=start)
        thread.start()
        held.wait()
        in_child(lambda: reader.partitions("t"))
        done.set()
        thread.join()
        reader.close()
        """,
        embedded.bootstrap,
    ).end()


def test_a_fork_while_it_waits_is_told_to_the_child(embedded: EmbeddedCluster) -> None:
    """Its answer is the parent's."""
    Script(
        """
        reader = Reader(bootstrap)
        children = []
        signal.signal(signal.SIGALRM, lambda *arguments: children.append(os.fork()))
        asked = []
        def later(answer, now):
            reader._core.timers.at(now + 1.0, lambda now: answer("told"))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            answer = reader._ask(later, 10.0, "the weather")
        except IllegalStateError as error:
            assert children == [0] and "The process forked while it waited for the weather" in str(error), error
            assert reader.partitions("t") == [0, 1]
            os._exit(0)
        assert answer == "told" and children[0] > 0
        assert os.waitpid(children[0], 0)[1] == 0
        reader.close()
        """,
        embedded.bootstrap,
    ).end()


def test_a_callback_that_forks_and_returns_in_both(embedded: EmbeddedCluster) -> None:
    """The child's IO thread, which is all there is of it, leaves the parent's connections alone and ends."""
    Script(
        """
        reader = Reader(bootstrap)
        children = []
        def fork(answer, now):
            children.append(os.fork())
            answer(None)
        reader._ask(fork, 10.0, "a child")
        assert children[0] > 0
        for _ in range(200):
            assert reader.partitions("t") == [0, 1]
        assert os.waitpid(children[0], 0)[1] == 0
        reader.close()
        """,
        embedded.bootstrap,
    ).end()


@pytest.mark.parametrize("use", ["assert reader.partitions('t') == [0, 1]", "pass"])
def test_a_callback_that_forks_and_closes_it_in_the_child(embedded: EmbeddedCluster, use: str) -> None:
    Script(
        f"""
        reader = Reader(bootstrap)
        def fork(answer, now):
            def child():
                {use}                     # on what was the IO thread, and is none here
                reader.close()
            in_child(child)
            answer(None)
        reader._ask(fork, 10.0, "a child")
        assert reader.partitions("t") == [0, 1]
        reader.close()
        """,
        embedded.bootstrap,
    ).end()
