"""What every client has, seen on one that is no producer: asking and waiting, and its end."""

from __future__ import annotations

import gc
import logging
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reader import LATEST, Reader

from kafka.client import Cluster
from kafka.config import ClientConfig
from kafka.config.key import Key, Kind
from kafka.errors import ConfigurationValueError, IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.testing import EmbeddedCluster
from tests.producer.brokers import ScriptedCluster


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(topics={"t": 2}) as cluster:
        yield cluster


@pytest.fixture
def reader(embedded: EmbeddedCluster) -> Iterator[Reader]:
    with Reader(embedded.bootstrap) as reader:
        yield reader


def never(answer: Any, now: float) -> None:
    pass


def in_thread(call: Callable[[], Any]) -> list[BaseException]:
    """Waits in `call` on a thread of its own, which then ends; the list gets what was raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    threading.Thread(target=run, daemon=True).start()
    return raised


def wait_for(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


# -- asking ------------------------------------------------------------------------------------------------------------


def test_an_answer_is_what_the_question_gets(reader: Reader) -> None:
    assert reader._ask(lambda answer, now: answer(now - time.monotonic()), 5.0, "the time") == pytest.approx(0, abs=1)
    assert reader._ask(lambda answer, now: answer("with the time", now), 5.0, "more") == "with the time"


def test_without_an_answer_it_says_what_was_asked_and_forgets(reader: Reader) -> None:
    forgotten: list[Any] = []
    asked: list[Any] = []
    with pytest.raises(KafkaTimeoutError, match="Nothing was heard of the weather within 0.05 s"):
        reader._ask(lambda answer, now: asked.append(answer), 0.05, "the weather", forgotten.append)
    assert forgotten == asked != []


def test_what_is_known_to_be_wrong_is_said(cluster: ScriptedCluster) -> None:
    with Reader(cluster.bootstrap) as reader:
        cluster.stop()
        reader._driver.call(lambda now: reader._core.metadata.refresh(None, now))
        wait_for(lambda: any(health.error for health in reader.health()))
        with pytest.raises(KafkaTimeoutError, match="of the weather within 0.05 s. .*refused"):
            reader._ask(never, 0.05, "the weather")
        assert not reader.bootstrap_connected()
        assert [health.node_id >= 0 for health in reader.health()] == [True]


def test_an_answer_that_comes_before_it_is_forgotten_counts(reader: Reader) -> None:
    asked: list[Any] = []

    def forget(answer: Any) -> None:
        answer("just in time")

    assert reader._ask(lambda answer, now: asked.append(answer), 0.05, "the weather", forget) == "just in time"


def test_the_io_thread_does_not_wait_for_itself(reader: Reader) -> None:
    refused: list[Any] = []

    def ask(now: float) -> None:
        for call in (lambda: reader._ask(never, 5.0, "the weather"), reader.close, lambda: reader.partitions("t")):
            with pytest.raises(IllegalStateError, match="in a callback would wait for the thread it runs on") as caught:
                call()
            refused.append(str(caught.value))

    reader._driver.call(ask)
    wait_for(lambda: len(refused) == 3 or not reader._driver.is_alive())
    assert "waiting for the weather" in refused[0] and "close()" in refused[1]
    assert reader.partitions("t") == [0, 1]


def test_a_dead_io_thread_is_noticed(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    def bug(now: float) -> None:
        raise ZeroDivisionError("a bug")

    waiting = in_thread(lambda: reader._ask(never, 60.0, "the weather"))
    reader._driver.call(bug)
    wait_for(lambda: waiting)
    assert isinstance(waiting[0], IllegalStateError) and isinstance(waiting[0].__cause__, ZeroDivisionError)
    assert str(waiting[0]).endswith(
        "The IO thread of <Reader kafka-turbo-cli open> has ended; its log says why. "
        "Nothing will be heard of the weather."
    )
    began = time.monotonic()
    with pytest.raises(IllegalStateError, match="IO thread .* has ended"):
        reader.partitions("t")
    assert time.monotonic() - began < 0.5
    assert "a bug" in caplog.text


def test_a_bug_fails_what_the_core_was_asked(cluster: ScriptedCluster) -> None:
    with Reader(cluster.bootstrap) as reader:
        cluster.freeze()
        waiting = in_thread(lambda: reader.partitions("t"))
        wait_for(lambda: any(health.in_flight for health in reader.health()))

        def bug(now: float) -> None:
            raise ZeroDivisionError("a bug")

        reader._driver.call(bug)
        wait_for(lambda: waiting, 0.5)  # told, rather than found out a second later
        assert isinstance(waiting[0], KafkaError) and "ended by a bug in kafka-turbo" in str(waiting[0])
        cluster.thaw()


class Told:
    """A desk that notes what the driver tells it."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.until = 0.0
        self.has_work = False

    def begin(self) -> None:
        self.heard.append(("begin", threading.get_ident()))

    def sleep(self, until: float) -> bool:
        self.until = until
        self.heard.append("sleep")
        return not self.has_work

    def awake(self) -> None:
        self.heard.append("awake")

    def after_turn(self) -> None:
        self.heard.append("after_turn")

    def close(self) -> None:
        self.heard.append("close")

    def abandon(self, error: KafkaError) -> None:
        self.heard.append(error)


class WithDesk(Reader):
    def _equip(self, turn: Any) -> Told:
        self.desk = Told()
        return self.desk


@pytest.mark.parametrize("bug", [False, True])
def test_a_desk_is_told_of_every_turn_and_of_the_end(embedded: EmbeddedCluster, bug: bool) -> None:
    reader = WithDesk(embedded.bootstrap)
    desk, thread = reader.desk, reader._driver._thread
    seen = len(desk.heard)
    desk.has_work = True  # so that it does not sleep again
    reader._driver.wake()
    wait_for(lambda: len(desk.heard) > seen + 30)
    desk.has_work = False
    assert reader.partitions("t") == [0, 1]
    if bug:
        reader._driver.call(lambda now: 1 / 0)  # type: ignore[arg-type, return-value]
        wait_for(lambda: not thread.is_alive())
    reader.close()
    assert desk.heard[0] == ("begin", thread.ident) and desk.until - time.monotonic() < 5
    turns = [call for call in desk.heard[1:-2] if call != "sleep"]
    assert turns == ["awake", "after_turn"] * (len(turns) // 2) and "sleep" in desk.heard
    close, error = desk.heard[-2:]
    assert close == "close" and ("ended by a bug" if bug else "WithDesk was closed") in str(error)


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_is_once_and_for_all(embedded: EmbeddedCluster) -> None:
    reader = Reader(embedded.bootstrap)
    assert repr(reader) == "<Reader kafka-turbo-cli open>" and reader.bootstrap_connected()
    thread = reader._driver._thread
    reader.close()
    assert not thread.is_alive() and repr(reader) == "<Reader kafka-turbo-cli closed>"
    reader.close()
    for call in (lambda: reader.partitions("t"), lambda: next(reader.batches("t", {0: 0}))):
        with pytest.raises(IllegalStateError, match="Reader is closed already; make a new one"):
            call()
    assert reader.health() and not reader.bootstrap_connected()


def test_whoever_waits_while_it_is_closed_is_told(reader: Reader, cluster: ScriptedCluster) -> None:
    waiting = in_thread(lambda: reader._ask(never, 60.0, "the weather"))
    reader.close()
    wait_for(lambda: waiting)
    assert "Reader was closed" in str(waiting[0])
    with Reader(cluster.bootstrap) as other:
        cluster.freeze()
        waiting = in_thread(lambda: other.partitions("t"))
        wait_for(lambda: any(health.in_flight for health in other.health()))
    wait_for(lambda: waiting, 0.5)
    assert "Reader was closed" in str(waiting[0])
    cluster.thaw()


@pytest.mark.parametrize("round", range(20))
def test_several_threads_close_it(embedded: EmbeddedCluster, round: int) -> None:
    reader = Reader(embedded.bootstrap)
    closing = [in_thread(reader.close) for _ in range(3)]
    asking = in_thread(lambda: [reader.partitions("t") for _ in range(1000)])
    wait_for(lambda: asking)
    assert isinstance(asking[0], IllegalStateError) and not any(closing)


def test_a_with_block_closes_it_whatever_happens(embedded: EmbeddedCluster) -> None:
    with pytest.raises(ZeroDivisionError), Reader(embedded.bootstrap) as reader:
        raise ZeroDivisionError
    assert not reader._driver.is_alive()


def test_one_that_is_dropped_ends(embedded: EmbeddedCluster, caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader(embedded.bootstrap)
    thread, gone = reader._driver._thread, weakref.ref(reader)
    del reader
    gc.collect()
    assert gone() is None
    thread.join(5)
    assert not thread.is_alive()
    assert not [line for line in caplog.records if line.levelno >= logging.WARNING and line.name.startswith("kafka")]


def test_one_that_cannot_start_leaves_no_thread(cluster: ScriptedCluster) -> None:
    cluster.stop()
    with pytest.raises(KafkaTimeoutError, match="refused") as caught:
        Reader(cluster.bootstrap)
    wait_for(lambda: "kafka-turbo-cli-io" not in [thread.name for thread in threading.enumerate()])
    assert caught.tb is not None  # which keeps it from being dropped


def test_it_cannot_be_pickled(reader: Reader) -> None:
    with pytest.raises(TypeError, match="a Reader cannot be pickled"):
        pickle.dumps(reader)


# -- what is known, and what it can be told ----------------------------------------------------------------------------


def test_moments_of_its_health_are_wall_clock(cluster: ScriptedCluster) -> None:
    with Reader(cluster.bootstrap) as reader:
        assert [health.node_id for health in reader.health()] == [1]
        cluster.stop()
        reader._driver.call(lambda now: reader._core.metadata.refresh(None, now))
        wait_for(lambda: reader.health()[0].failing_since is not None)
        failing_since = reader.health()[0].failing_since
        assert failing_since is not None and abs(failing_since - time.time()) < 5


def test_the_cluster_that_partitioners_see(reader: Reader) -> None:
    assert reader.offsets("t", [0, 1], LATEST) == {0: 0, 1: 0}
    cluster = Cluster(reader._core.snapshot)
    assert cluster.topics() == {"t"}
    assert cluster.partitions_for_topic("t") == cluster.available_partitions_for_topic("t") == {0, 1}
    assert cluster.partitions_for_topic("u") is cluster.available_partitions_for_topic("u") is None


def test_a_configuration_speaks_of_its_own_client() -> None:
    class OwnConfig(ClientConfig):
        CLIENT = "OwnClient"
        first = Key(Kind("int", "a number", lambda value: -int(value)), 1, "The first.")

    config = OwnConfig({"first": 2, "retry_backoff_ms": 5})
    assert config.first == -2 and config.values["first"] == 2
    assert next(iter(config.values)) == "first" and config.for_core().retry_backoff == 0.005
    with pytest.raises(
        ConfigurationValueError, match="OwnClient has no configuration key 'frist' .did you mean 'first'"
    ):
        OwnConfig({"frist": 1})
    with pytest.raises(NotImplementedError, match="OwnClient does not implement kafka_client yet"):
        OwnConfig({"kafka_client": len})
    with pytest.raises(ConfigurationValueError, match="linger_ms"):
        ClientConfig({"linger_ms": 5})
    with pytest.raises(ConfigurationValueError, match="reconnect_backoff_max_ms .* must be at least"):
        ClientConfig({"reconnect_backoff_max_ms": 1})


def test_a_client_that_is_not_told_to_creates_no_topics() -> None:
    assert not ClientConfig({}).for_core().allow_auto_create_topics
