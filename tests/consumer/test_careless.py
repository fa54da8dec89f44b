"""The careless user: interrupts, forks, second threads, wrong types, never closing."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import IllegalStateError, RecordDeserializationError
from kafka.testing import EmbeddedCluster
from tests.processes import Script

T0 = TopicPartition("t", 0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    with (
        EmbeddedCluster(topics={"t": 1, "empty": 1}) as cluster,
        KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer,
    ):
        for number in range(200):
            producer.send("t", b"%d" % number)
        producer.flush()
        yield cluster


@pytest.fixture
def consumer_defaults() -> dict[str, Any]:
    return {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 50}


CONSUMER = "from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition; T0 = TopicPartition('t', 0);"
BLOCKING = {
    "poll": "consumer.poll(timeout_ms=60000)",
    "iterating": "next(consumer)",
    "position": "consumer.position(TopicPartition('never', 0))",
    "commit": "consumer.commit({T0: OffsetAndMetadata(1, '', -1)})",
    "committed": "consumer.committed(T0)",
    "end_offsets": "consumer.end_offsets([TopicPartition('never', 0)], timeout_ms=60000)",
}


@pytest.mark.timing
@pytest.mark.parametrize("name", BLOCKING)
def test_ctrl_c_interrupts_at_once(cluster: EmbeddedCluster, name: str) -> None:
    assign = "consumer.assign([TopicPartition('never', 0)])" if name == "position" else "consumer.subscribe(['empty'])"
    if name in ("commit", "committed"):
        # Its coordinator does not answer.
        assign = "consumer._core.calls.request = consumer._core.calls.start = lambda *a, **k: None"
    code = f"""
    {CONSUMER}
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id={"'c'" if name.startswith("commit") else None})
    {assign}
    print("blocking", flush=True)
    try:
        {BLOCKING[name]}
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    os._exit(0)
    """
    script = Script(code, cluster.bootstrap)
    assert script.line() == "blocking"
    time.sleep(0.3)
    began = time.monotonic()
    script.process.send_signal(signal.SIGINT)
    assert script.line() == "interrupted"
    assert time.monotonic() - began < 1.0
    script.end()


def test_ctrl_c_in_a_with_block_leaves_soon_and_commits_nothing(cluster: EmbeddedCluster) -> None:
    code = f"""
    {CONSUMER}
    try:
        with KafkaConsumer("t", bootstrap_servers=bootstrap, group_id="ctrl-c", auto_offset_reset="latest") as consumer:
            print("in", flush=True)
            while True:
                consumer.poll(timeout_ms=60000)
    except KeyboardInterrupt:
        print("out", flush=True)
    """
    script = Script(code, cluster.bootstrap)
    assert script.line() == "in"
    time.sleep(0.5)
    script.process.send_signal(signal.SIGINT)
    assert script.line() == "out"
    script.end()
    assert not cluster.groups.get("ctrl-c").members
    assert not cluster.groups.get("ctrl-c").offsets


def test_the_child_of_a_fork_is_refused_and_the_parent_goes_on(cluster: EmbeddedCluster) -> None:
    code = f"""
    {CONSUMER}
    consumer = KafkaConsumer("t", bootstrap_servers=bootstrap, group_id="fork", auto_offset_reset="earliest")
    first = next(consumer)

    def child():
        for call in (
            consumer.poll, lambda: next(consumer), consumer.commit, consumer.commit_async, consumer.topics,
            lambda: consumer.position(T0), lambda: consumer.seek(T0, 1), consumer.unsubscribe,
        ):
            try:
                call()
            except IllegalStateError as error:
                assert "make one in the child" in str(error), error
            else:
                assert False, call
        with KafkaConsumer("t", bootstrap_servers=bootstrap, auto_offset_reset="earliest") as own:
            assert next(own).value == b"0"
        consumer.close()

    in_child(child)
    print(first.offset, next(consumer).offset, flush=True)
    consumer.close()
    """
    script = Script(code, cluster.bootstrap)
    assert script.line() == "0 1"
    script.end()


def test_dropped_without_close_its_thread_ends_and_the_group_hears_of_it(cluster: EmbeddedCluster) -> None:
    code = f"""
    {CONSUMER}
    def use():
        consumer = KafkaConsumer("t", bootstrap_servers=bootstrap, group_id="dropped", auto_offset_reset="earliest")
        next(consumer)
    use()
    gc.collect()
    for _ in range(200):
        if not [thread for thread in threading.enumerate() if "-io" in thread.name]:
            break
        time.sleep(0.05)
    else:
        print("still there", flush=True)
    print("over", flush=True)
    """
    script = Script(code, cluster.bootstrap)
    assert script.line() == "over"
    script.end()


def test_dropped_without_close_its_deserializers_are_closed(cluster: EmbeddedCluster) -> None:
    closed = threading.Semaphore(0)

    class Raw:
        def deserialize(self, topic: str, headers: object, data: bytes) -> bytes:
            return data

        def close(self) -> None:
            closed.release()
            raise RuntimeError  # which keeps the other one from nothing

    consumer = KafkaConsumer(bootstrap_servers=cluster.bootstrap, key_deserializer=Raw(), value_deserializer=Raw())
    del consumer
    gc.collect()
    assert closed.acquire(timeout=10) and closed.acquire(timeout=10)


def test_a_process_that_ends_without_close(cluster: EmbeddedCluster) -> None:
    code = f"""
    {CONSUMER}
    consumer = KafkaConsumer("t", bootstrap_servers=bootstrap, group_id="end", auto_offset_reset="earliest")
    next(consumer)
    print("end", flush=True)
    """
    script = Script(code, cluster.bootstrap)
    assert script.line() == "end"
    began = time.monotonic()
    script.end()
    assert time.monotonic() - began < 10
    assert not cluster.groups.get("end").members


def test_close_in_a_callback_of_a_commit_and_in_a_listener(make: Any) -> None:
    consumer = make(group_id="callback", enable_auto_commit=False)
    consumer.assign([T0])
    consumer.commit_async({T0: __import__("kafka").OffsetAndMetadata(1, "", -1)}, lambda *both: consumer.close())
    with pytest.raises(IllegalStateError, match="closed"):
        for _ in range(200):
            consumer.poll(50)

    told: list[str] = []

    class Closes(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked: Any) -> None:
            told.append("revoked")

        def on_partitions_assigned(self, assigned: Any) -> None:
            told.append("assigned")
            other.close()

    other = make(group_id="listener")
    other.subscribe(["t"], listener=Closes())
    with pytest.raises(IllegalStateError, match="closed"):
        for _ in range(200):
            other.poll(50)
    assert told[0] == "assigned" and told.count("assigned") == 1


@pytest.mark.parametrize("outer", ["close", "unsubscribe"])
@pytest.mark.parametrize("inner", ["close", "unsubscribe", "poll"])
def test_leaving_in_a_listener_that_is_told_of_it(make: Any, outer: str, inner: str) -> None:
    told: list[Any] = []

    class Leaves(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked: Any) -> None:
            told.append(revoked)
            getattr(consumer, inner)()

        def on_partitions_assigned(self, assigned: Any) -> None:
            pass

    consumer = make(group_id=f"{outer}-{inner}")
    consumer.subscribe(["t"], listener=Leaves())
    while not consumer.poll(100):
        pass
    getattr(consumer, outer)()
    consumer.close()
    assert told == [{T0}]


def test_close_in_a_callback_on_the_io_thread_says_why_not(make: Any) -> None:
    consumer = make(group_id="io")
    consumer.assign([T0])
    seen: list[Any] = []
    over = threading.Event()

    def callback(value: Any) -> None:
        for call in (consumer.close, lambda: consumer.committed(T0), consumer.topics):
            try:
                call()
            except IllegalStateError as error:
                seen.append(str(error))
        over.set()

    consumer.commit_async({}).add_callback(callback)
    assert over.wait(20)
    assert len(seen) == 3 and all("would wait for the thread" in text for text in seen)
    assert consumer.poll(5000)


def test_close_in_a_deserializer(make: Any) -> None:
    def deserialize(data: bytes) -> bytes:
        consumer.close()
        return data

    consumer = make(value_deserializer=deserialize)
    consumer.assign([T0])
    try:
        consumer.poll(5000)
    except (IllegalStateError, RecordDeserializationError):
        pass
    with pytest.raises(IllegalStateError, match="closed"):
        consumer.poll()


def test_a_deserializer_that_leaves_the_program(make: Any) -> None:
    """SystemExit and KeyboardInterrupt are no faults of a record: they pass, and the record is not lost."""
    raises: list[type[BaseException]] = [KeyboardInterrupt, SystemExit]

    def deserialize(data: bytes) -> bytes:
        if data == b"3" and raises:
            raise raises.pop()
        return data

    consumer = make(value_deserializer=deserialize)
    consumer.assign([T0])
    read: list[bytes] = []
    interrupted = 0
    while len(read) < 6:
        try:
            read += [record.value for record in consumer.poll(5000, max_records=2).get(T0, ())]
        except (KeyboardInterrupt, SystemExit):
            interrupted += 1
    assert interrupted == 2
    assert read[-1] == b"5" and b"3" in read


def some(consumer: KafkaConsumer) -> list[ConsumerRecord]:
    return [next(consumer)]


def polled(consumer: KafkaConsumer) -> list[ConsumerRecord]:
    return [record for records in consumer.poll(20).values() for record in records]


def columns(consumer: KafkaConsumer) -> list[int]:
    return [offset for found in consumer.poll_batches(20, 40) for offset in found.offsets]


@pytest.mark.parametrize(
    ("way", "deserializes"), [(some, False), (some, True), (polled, False), (polled, True), (columns, False)]
)
def test_from_many_threads(cluster: EmbeddedCluster, make: Any, way: Any, deserializes: bool) -> None:
    """It is for one thread at a time. Whoever comes second is told; nothing is lost, twice, or another record's."""
    topic = f"many-{way.__name__}-{deserializes}"
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, batch_size=2000) as producer:
        for number in range(5000):
            producer.send(topic, b"%d" % number, partition=0)
    ahead = sum(map(len, fetch_all(make(), topic)))

    def slow(data: bytes) -> bytes:
        time.sleep(0)  # another thread's turn
        return data

    consumer = make(
        max_poll_records=7, consumer_timeout_ms=500, **({"value_deserializer": slow} if deserializes else {})
    )
    consumer.assign([TopicPartition(topic, 0)])
    read: list[int] = []
    refused: list[str] = []
    errors: list[BaseException] = []

    def work() -> None:
        deadline = time.monotonic() + 60
        while len(read) < ahead and time.monotonic() < deadline:
            try:
                for record in way(consumer):
                    if not isinstance(record, int):
                        assert record.value == b"%d" % record.offset
                    read.append(record if isinstance(record, int) else record.offset)
            except IllegalStateError as error:
                refused.append(str(error))
                time.sleep(0.001)  # or those who spin leave nobody else a turn
            except StopIteration:
                pass
            except BaseException as error:
                errors.append(error)
                return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work) for _ in range(3)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
    finally:
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in threads)
    assert not errors
    assert sorted(read) == list(range(5000)) and consumer.position(TopicPartition(topic, 0)) == 5000
    assert all("is for one thread at a time" in each for each in refused)


def fetch_all(consumer: KafkaConsumer, topic: str) -> Any:
    return consumer.read_to_end({TopicPartition(topic, 0): 0}).poll(10_000, 10_000).values()


def test_a_second_thread_is_told_while_the_first_waits(make: Any) -> None:
    consumer = make()
    consumer.assign([TopicPartition("empty", 0)])
    thread = threading.Thread(target=consumer.poll, args=(60_000,))
    thread.start()
    while not consumer.reader:
        time.sleep(0.001)
    for call in (consumer.poll, consumer.poll_batches, lambda: next(consumer)):
        with pytest.raises(IllegalStateError, match="one thread at a time"):
            call()
    consumer.wakeup()
    thread.join(30)
    assert not thread.is_alive() and consumer.poll() == {}


def test_a_deserializer_that_reads_from_its_own_consumer(make: Any) -> None:
    consumer: KafkaConsumer
    consumer = make(value_deserializer=lambda data: consumer.poll(0))
    consumer.assign([T0])
    with pytest.raises(RecordDeserializationError) as caught:
        consumer.poll(10_000)
    assert isinstance(caught.value.__cause__, IllegalStateError)


def test_a_deserializer_that_has_its_own_records_taken_away(cluster: EmbeddedCluster) -> None:
    code = f"""
    {CONSUMER}
    calls = []
    def deserialize(data):
        if data == b"5" and not calls:
            calls.append(1)
            consumer.pause(T0)
            consumer.poll(0)
            consumer.seek(T0, 100)
            consumer.poll(0)
            time.sleep(0.3)
            junk = [bytearray(size) for size in range(100, 400) for _ in range(50)]
            consumer.resume(T0)
        return data
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", value_deserializer=deserialize
    )
    consumer.assign([T0])
    print(*(next(consumer).offset for _ in range(8)), flush=True)
    consumer.close()
    """
    script = Script(code, cluster.bootstrap)
    line = script.line()
    script.end()
    assert line == "0 1 2 3 4 5 100 101"


def test_records_at_hand_outlive_another_thread(cluster: EmbeddedCluster, make: Any) -> None:
    """That is in the middle of the next partition's."""
    cluster.create_topic("two", partitions=2)
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
        for partition in range(2):
            for number in range(3):
                producer.send("two", b"%d" % number, partition=partition)
    slow = threading.Event()

    def deserialize(data: bytes) -> int:
        if slow.is_set():
            time.sleep(0.3)
        return int(data)

    consumer = make(value_deserializer=deserialize)
    consumer.assign([TopicPartition("two", partition) for partition in range(2)])
    time.sleep(0.3)  # both have arrived
    real, others = consumer._reading.next, []
    threads = []

    def next_one(quiet: bool = False) -> Any:
        found = real(quiet)
        if quiet and found is not None and not threads:
            consumer.current = found  # as it is where threads switch here
            slow.set()
            threads.append(threading.Thread(target=lambda: others.append(next(consumer))))
            threads[0].start()
            time.sleep(0.1)
            slow.clear()
        return found

    consumer._reading.next = next_one
    read = polled(consumer)
    threads[0].join()
    for _ in range(5):
        read += polled(consumer)
    assert sorted((each.partition, each.offset) for each in read + others) == [
        (p, n) for p in range(2) for n in range(3)
    ]


def test_ctrl_c_as_reading_begins_leaves_nobody_behind(make: Any) -> None:
    consumer = make()
    consumer.assign([T0])

    def interrupted(thread: int) -> None:
        type(consumer)._enter(consumer, thread)
        raise KeyboardInterrupt

    consumer._enter = interrupted
    for call in (consumer.poll, consumer.poll_batches, lambda: next(consumer)):
        with pytest.raises(KeyboardInterrupt):
            call()
        assert consumer.reader == 0
    del consumer._enter
    assert next(consumer).offset == 0


def test_a_deserializer_that_pauses_and_raises(make: Any) -> None:
    def deserialize(data: bytes) -> bytes:
        if data == b"0":
            consumer.pause(T0)
            raise ValueError
        return data

    consumer = make(value_deserializer=deserialize)
    consumer.assign([T0])
    for _ in range(3):
        with pytest.raises(RecordDeserializationError):
            consumer.poll(5000)
    time.sleep(0.1)
    assert consumer._fetch.partitions[T0].buffered == 0 and consumer._fetch.used >= 0


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.assign("t"), TypeError),
        (lambda c: c.assign(T0), TypeError),
        (lambda c: c.assign(None), TypeError),
        (lambda c: c.assign([T0, TopicPartition("t", "0")]), TypeError),
        (lambda c: c.assign([T0, TopicPartition("t", 0.0)]), TypeError),
        (lambda c: c.assign([T0, TopicPartition("t", None)]), TypeError),
        (lambda c: c.assign([T0, TopicPartition("t", -1)]), ValueError),
        (lambda c: c.assign([T0, TopicPartition("t", 2**40)]), ValueError),
        (lambda c: c.assign([T0, TopicPartition(5, 0)]), TypeError),
        (lambda c: c.assign([T0, TopicPartition("\ud800", 0)]), ValueError),
        (lambda c: c.assign([T0, TopicPartition("x" * 70_000, 0)]), ValueError),
        (lambda c: c.beginning_offsets([TopicPartition("t", "0")]), TypeError),
        (lambda c: c.offsets_for_times({TopicPartition("t", None): 0}), TypeError),
        (lambda c: c.committed(TopicPartition("t", "0")), TypeError),
        (lambda c: c.commit({TopicPartition("t", "0"): OffsetAndMetadata(1, "", -1)}), TypeError),
        (lambda c: c.commit({T0: OffsetAndMetadata(2**64, "", -1)}), ValueError),
        (lambda c: c.commit({T0: OffsetAndMetadata(1, b"x", -1)}), TypeError),
        (lambda c: c.commit({T0: OffsetAndMetadata(1, "", None)}), TypeError),
        (lambda c: c.subscribe(5), TypeError),
        (lambda c: c.seek("t", 1), TypeError),
        (lambda c: c.seek(T0, "1"), ValueError),
        (lambda c: c.seek(T0, 2**63), ValueError),
        (lambda c: c.poll("1"), TypeError),
        (lambda c: c.poll(float("nan")), ValueError),
        (lambda c: c.poll(max_records="3"), TypeError),
        (lambda c: c.poll(max_records=2.5), TypeError),
        (lambda c: c.pause("t"), TypeError),
        (lambda c: c.position(0), TypeError),
        (lambda c: c.end_offsets("t"), TypeError),
        (lambda c: c.end_offsets(T0), TypeError),
        (lambda c: c.offsets_for_times({T0: "x"}), (TypeError, ValueError)),
        (lambda c: c.offsets_for_times([T0]), TypeError),
        (lambda c: c.committed("t"), TypeError),
        (lambda c: c.commit([T0]), TypeError),
        (lambda c: c.commit({T0: 5}), TypeError),
        (lambda c: c.commit_async(callback=5), TypeError),
        (lambda c: c.partitions_for_topic(5), TypeError),
    ],
)
def test_wrong_types_say_so_and_break_nothing(make: Any, call: Any, error: Any) -> None:
    consumer = make(group_id="types", enable_auto_commit=False)
    consumer.assign([T0])
    with pytest.raises(error) as caught:
        call(consumer)
    assert "cdef" not in str(caught.value)
    assert consumer.poll(5000)[T0][0].offset == 0
