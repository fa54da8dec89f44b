"""Metadata on the simulated network: what is asked when, whom to believe, and what to do when nobody answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from kafka.core.cluster.routes import Leader
from kafka.core.cluster.snapshot import BrokerInfo
from kafka.errors import (
    KafkaError,
    Persisted,
    UnknownTopicOrPartitionError,
)
from kafka.protocol import MetadataRequest
from kafka.result import Err, Ok
from kafka.testing.sim_broker import Injection
from tests.sim.producing import SimProducer
from tests.sim.pump import Pump
from tests.sim.world import World

UNKNOWN = 3


def ready(seed: int = 1, **config: Any) -> World:
    world = World(seed, **config)
    assert isinstance(world.bootstrap(), Ok)
    return world


def nothing(version: int) -> Any:
    return MetadataRequest(topics=[])


def know(world: World, name: str, partitions: int = 3) -> None:
    world.cluster.create_topic(name, partitions)
    world.core.metadata.want(name, world.now)
    assert world.run(2.0, lambda: world.core.snapshot.partitions(name) == partitions)


def on_metadata(world: World, change: Callable[[Any, Any, Any], None], *brokers: int) -> list[list[str]]:
    """Has brokers (default: all) pass their answers through `change(broker, request, answer)`; the topics asked for."""
    asked: list[list[str]] = []

    def handle(broker: Any, header: Any, request: Any) -> Any:
        asked.append([topic.name for topic in request.topics])
        answer = original(broker, header, request)
        change(broker, request, answer)
        return answer

    original = world.cluster.brokers[0].handlers[MetadataRequest.API_KEY]
    for broker in world.cluster.brokers:
        if not brokers or broker.id in brokers:
            broker.handlers[MetadataRequest.API_KEY] = handle
    return asked


def unchanged(broker: Any, request: Any, answer: Any) -> None:
    pass


def notices(world: World) -> list[str]:
    return [entry[2] for entry in world.simulation.trace if entry[1] == "warning"]


# -- what is asked, and when ---------------------------------------------------------------------------------------


def metadata_requests(world: World) -> int:
    return sum(key == 3 for broker in world.cluster.brokers for key, _ in broker.requests)


def test_topics_are_asked_for_when_wanted_and_then_kept() -> None:
    world = ready()
    world.cluster.create_topic("t", 3)
    before = metadata_requests(world)
    world.core.metadata.want("t", world.now)
    assert world.run(1.0, lambda: world.core.snapshot.partitions("t") == 3)
    for _ in range(100):
        world.core.metadata.want("t", world.now)
        world.run(0.01)
    assert metadata_requests(world) == before + 1


def test_metadata_is_refreshed_when_it_is_old() -> None:
    world = ready(metadata_max_age=30.0)
    world.cluster.create_topic("t", 3)
    world.core.metadata.want("t", world.now)
    world.run(1.0)
    world.cluster.move_leader("t", 0, 2)
    world.run(31.0)
    assert world.core.snapshot.leader("t", 0) == 2


def test_a_topic_that_does_not_exist_yet_is_asked_for_ever_more_slowly() -> None:
    world = ready()
    before = metadata_requests(world)
    world.core.metadata.want("later", world.now)
    world.run(20.0)
    asked = metadata_requests(world) - before
    assert 15 <= asked <= 35
    topic = world.core.snapshot.topics["later"]
    assert topic.error is not None and topic.error.errno == 3 and topic.failing_since is not None  # type: ignore[attr-defined]
    world.cluster.create_topic("later", 2)
    world.run(1.5)
    assert world.core.snapshot.partitions("later") == 2
    assert world.core.snapshot.topics["later"].error is None
    before = metadata_requests(world)
    world.run(20.0)
    assert metadata_requests(world) == before


@pytest.mark.parametrize("allowed", [True, False])
def test_topics_are_created_by_mention_if_allowed(allowed: bool) -> None:
    world = ready(allow_auto_create_topics=allowed)
    world.cluster.auto_create = 4
    world.core.metadata.want("new", world.now)
    world.run(3.0)
    assert world.core.snapshot.partitions("new") == (4 if allowed else 0)


def test_stale_metadata_does_not_cause_a_storm() -> None:
    world = ready()
    world.cluster.create_topic("t", 3)
    world.core.metadata.want("t", world.now)
    world.run(1.0)
    before = metadata_requests(world)
    for _ in range(500):
        world.core.metadata.refresh("t", world.now)
        world.run(0.01)
    assert 3 <= metadata_requests(world) - before <= 25


def test_many_topics_travel_in_few_requests() -> None:
    world = ready()
    before = metadata_requests(world)
    for index in range(500):
        world.cluster.create_topic(f"t{index}", 2)
        world.core.metadata.want(f"t{index}", world.now)
    world.run(2.0)
    assert all(world.core.snapshot.partitions(f"t{index}") == 2 for index in range(500))
    assert metadata_requests(world) - before <= 3


def test_very_many_topics_are_asked_about_bit_by_bit() -> None:
    world = ready(metadata_max_age=60.0)
    asked = on_metadata(world, unchanged)
    for index in range(2500):
        world.cluster.create_topic(f"t{index}", 1)
        world.core.metadata.want(f"t{index}", world.now)
    assert world.run(1.0, lambda: len(world.core.snapshot.topics) == 2500)
    world.run(65.0)
    assert [len(names) for names in asked] == [1000, 1000, 500, 999, 1000, 501], "the brokers count as one"
    assert {name for names in asked[3:] for name in names} == set(world.core.snapshot.topics)


def test_very_many_topics_in_trouble_leave_room_for_the_others() -> None:
    world = ready()
    know(world, "t", 1)
    for index in range(1500):
        world.core.metadata.want(f"nope{index}", world.now)
    world.run(1.0)
    world.cluster.move_leader("t", 0, 2)
    world.core.metadata.refresh("t", world.now)
    assert world.run(1.0, lambda: world.core.snapshot.leader("t", 0) == 2)


def test_each_request_names_only_what_is_needed() -> None:
    world = ready(metadata_max_age=60.0)
    know(world, "a")
    asked = on_metadata(world, unchanged)
    know(world, "b")
    world.core.metadata.refresh("a", world.now)
    world.run(1.0)
    world.core.metadata.refresh(None, world.now)
    world.run(1.0)
    assert asked == [["b"], ["a"], []]
    world.run(60.0)
    assert [sorted(names) for names in asked[3:]] == [["a", "b"]], "all topics in use for old age, never all there are"


def test_a_topic_in_trouble_does_not_keep_the_others_from_growing_old() -> None:
    world = ready(metadata_max_age=20.0, unknown_topic_grace=1000.0)
    know(world, "t")
    world.core.metadata.want("later", world.now)
    world.run(1.0)
    world.cluster.move_leader("t", 0, 2)
    world.run(21.0)
    assert world.core.snapshot.leader("t", 0) == 2


def test_a_topic_in_trouble_does_not_slow_down_the_others() -> None:
    world = ready(unknown_topic_grace=1000.0)
    know(world, "t")
    world.core.metadata.want("later", world.now)
    world.run(10.0)  # asked for once a second by now
    for _ in range(5):
        world.run(world.simulation.random.random())
        world.cluster.move_leader("t", 0, to := (world.core.snapshot.leader("t", 0) + 1) % 3)
        world.core.metadata.refresh("t", world.now)
        assert world.run(0.15, lambda to=to: world.core.snapshot.leader("t", 0) == to)  # type: ignore[misc]
    world.cluster.create_topic("new", 1)
    world.core.metadata.want("new", world.now)
    assert world.run(0.02, lambda: world.core.snapshot.partitions("new") == 1)


def test_troubles_long_ago_do_not_slow_down_the_next() -> None:
    world = ready(metadata_max_age=1e6)
    know(world, "t")
    for _ in range(500):
        world.core.metadata.refresh("t", world.now)
        world.run(0.01)
    world.run(60.0)
    world.core.metadata.refresh("t", world.now)
    world.run(0.05)
    world.cluster.move_leader("t", 0, 2)  # that answer came too early
    world.core.metadata.refresh("t", world.now)
    assert world.run(0.15, lambda: world.core.snapshot.leader("t", 0) == 2)


def test_one_request_is_under_way_at_a_time() -> None:
    world = ready()
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = 0.5
    asked = on_metadata(world, unchanged)
    for index in range(40):
        world.cluster.create_topic(f"t{index}", 1)
        world.core.metadata.want(f"t{index}", world.now)
        world.core.metadata.refresh("t0", world.now)
        world.run(0.05)
    assert 3 <= len(asked) <= 4
    world.run(2.0)
    assert all(world.core.snapshot.partitions(f"t{index}") for index in range(40))


def test_answers_that_differ_each_time_do_not_cause_a_storm() -> None:
    world = ready()
    know(world, "t")

    def flapping(broker: Any, request: Any, answer: Any) -> None:
        for topic in answer.topics:
            for partition in topic.partitions:
                partition.leader_id = -1
                partition.isr_nodes = [len(asked)]

    asked = on_metadata(world, flapping)
    world.core.metadata.refresh("t", world.now)
    world.run(10.0)
    assert 50 <= len(asked) <= 130


def test_a_topic_that_an_answer_leaves_out_is_asked_for_again_slowly() -> None:
    world = ready()
    world.cluster.create_topic("t", 1)

    def forgetful(broker: Any, request: Any, answer: Any) -> None:
        answer.topics = []

    asked = on_metadata(world, forgetful)
    world.core.metadata.want("t", world.now)
    world.run(10.0)
    assert 8 <= len(asked) <= 20


# -- idle topics ---------------------------------------------------------------------------------------------------


def test_a_topic_that_nobody_uses_is_forgotten() -> None:
    world = ready(metadata_max_age=50.0, metadata_max_idle=120.0)
    know(world, "idle")
    know(world, "busy")
    asked = on_metadata(world, unchanged)
    for _ in range(300):
        world.core.metadata.want("busy", world.now)
        world.run(1.0)
    assert list(world.core.snapshot.topics) == ["busy"]
    assert [sorted(names) for names in asked] == [["busy", "idle"]] * 2 + [["busy"]] * 4


def test_a_forgotten_topic_is_asked_for_at_once_when_wanted_again() -> None:
    world = ready(metadata_max_age=10.0, metadata_max_idle=20.0)
    know(world, "t")
    world.run(40.0)
    assert "t" not in world.core.snapshot.topics
    know(world, "other")  # somebody else's refresh is no help
    assert "t" not in world.core.snapshot.topics
    world.core.metadata.want("t", world.now)
    assert world.run(0.1, lambda: world.core.snapshot.partitions("t") == 3)
    asked = on_metadata(world, unchanged)
    world.run(15.0)
    assert asked and all("t" in names for names in asked)


def test_a_topic_with_batches_to_deliver_is_not_forgotten() -> None:
    world = ready(metadata_max_age=10.0, metadata_max_idle=20.0)
    know(world, "t")
    know(world, "u")
    pump = Pump(world, "t")
    pump.on = False
    world.run(60.0)
    assert "t" in world.core.snapshot.topics and "u" not in world.core.snapshot.topics


def test_a_troubled_topic_that_nobody_wants_is_given_up() -> None:
    world = ready(metadata_max_age=1e6, metadata_max_idle=60.0)
    know(world, "t", 1)
    world.cluster.move_leader("t", 0, -1)
    world.core.metadata.refresh("t", world.now)
    world.run(80.0)
    asked = on_metadata(world, unchanged)
    world.run(30.0)
    assert asked == []


def test_a_producers_records_arrive_after_its_topic_was_forgotten() -> None:
    world = ready(metadata_max_age=10.0, metadata_max_idle=20.0)
    world.cluster.create_topic("t", 3)
    producer = SimProducer(world)
    producer.learn("t")
    producer.put("t", b"key")
    assert world.run(5.0, producer.all_done)
    world.run(60.0)
    assert "t" not in world.core.snapshot.topics
    for partition in range(3):
        world.cluster.move_leader("t", partition, 2)
    for _ in range(10):
        producer.put("t", b"key")
        producer.put("t")
    assert world.run(5.0, producer.all_done)
    assert "t" in world.core.snapshot.topics
    producer.check("t")


# -- topics that are not there -------------------------------------------------------------------------------------


def test_an_unknown_topic_has_its_grace_and_is_then_gone() -> None:
    world = ready(unknown_topic_grace=30.0)
    world.core.metadata.want("nope", world.now)
    world.run(29.0)
    assert not world.core.snapshot.topics["nope"].is_gone
    world.run(3.0)
    topic = world.core.snapshot.topics["nope"]
    assert topic.is_gone and isinstance(topic.error, UnknownTopicOrPartitionError) and not topic.error.retriable
    assert "nope" in str(topic.error) and "Hint" in str(topic.error)
    before = metadata_requests(world)
    world.run(100.0)
    assert metadata_requests(world) == before, "nobody wants it any more"
    world.cluster.create_topic("nope", 2)
    world.core.metadata.want("nope", world.now)
    assert world.run(1.0, lambda: world.core.snapshot.partitions("nope") == 2)
    assert world.core.snapshot.topics["nope"].error is None


def test_a_verdict_is_kept_up_to_date_while_the_topic_is_wanted() -> None:
    world = ready(unknown_topic_grace=5.0)
    asked = on_metadata(world, unchanged)
    for _ in range(600):
        world.core.metadata.want("nope", world.now)
        world.run(0.1)
        assert world.now < 6.5 or world.core.snapshot.topics["nope"].is_gone
    assert 50 <= len(asked) <= 90
    world.cluster.create_topic("nope", 1)
    world.core.metadata.want("nope", world.now)
    assert world.run(1.5, lambda: world.core.snapshot.partitions("nope") == 1)


def test_who_waits_again_is_told_at_once() -> None:
    world = ready(unknown_topic_grace=5.0)
    producer = SimProducer(world)
    for limit in (7.0, 0.5, 2.0, 2.0):
        answers: list[KafkaError | None] = []
        producer.produce.await_topic("nope", answers.append, world.now)
        assert world.run(limit, lambda answers=answers: bool(answers)), limit  # type: ignore[misc]


def test_an_old_verdict_does_not_count() -> None:
    world = ready(unknown_topic_grace=5.0)
    world.core.metadata.want("nope", world.now)
    world.run(8.0)
    assert world.core.snapshot.topics["nope"].is_gone
    world.run(20.0)
    world.core.metadata.want("nope", world.now)
    world.run(4.0)
    assert not world.core.snapshot.topics["nope"].is_gone
    world.run(3.0)
    assert world.core.snapshot.topics["nope"].is_gone


@pytest.mark.parametrize("key", [None, b"key"])
def test_records_of_a_topic_that_is_gone_fail_with_its_error(key: bytes | None) -> None:
    world = ready(unknown_topic_grace=10.0)
    world.cluster.create_topic("t", 2)
    producer = SimProducer(world, idempotent=True)
    producer.learn("t")
    world.cluster.delete_topic("t")
    world.core.metadata.refresh("t", world.now)
    world.run(8.0)
    late = producer.put("t", key)
    assert not late.is_done
    start = world.now
    assert world.run(30.0, producer.all_done)
    error = late.exception
    assert isinstance(error, UnknownTopicOrPartitionError) and error.persisted is Persisted.NOT_PERSISTED
    assert world.now - start < 5.0 and producer.accumulator.used == 0
    world.cluster.create_topic("t", 2)
    again = producer.put("t", key)
    assert world.run(5.0, producer.all_done) and again.exception is None


def test_who_waits_for_an_unknown_topic_is_told_at_the_end_of_its_grace() -> None:
    world = ready(unknown_topic_grace=10.0)
    producer = SimProducer(world)
    answers: list[KafkaError | None] = []
    producer.produce.await_topic("nope", answers.append, world.now)
    start = world.now
    assert world.run(60.0, lambda: bool(answers))
    assert isinstance(answers[0], UnknownTopicOrPartitionError) and not answers[0].retriable
    assert 10.0 <= world.now - start <= 12.0


def test_a_keyless_record_to_an_unknown_topic_does_not_wait_for_its_delivery_timeout() -> None:
    world = ready(unknown_topic_grace=10.0)
    producer = SimProducer(world)
    start = world.now
    future = producer.put("nope")
    assert world.run(60.0, producer.all_done)
    assert isinstance(future.exception, UnknownTopicOrPartitionError) and 10.0 <= world.now - start <= 12.0
    world.cluster.create_topic("nope", 1)
    again = producer.put("nope")
    assert world.run(5.0, producer.all_done)
    assert again.exception is None
    producer.check("nope")


def test_a_request_for_the_leader_of_a_topic_that_is_gone_fails_with_its_error() -> None:
    world = ready(unknown_topic_grace=10.0)
    promise = world.request(Leader("nope", 0), MetadataRequest, nothing, timeout=60.0)
    assert world.run(60.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Err) and isinstance(promise.result.error, UnknownTopicOrPartitionError)


# -- whom to believe -----------------------------------------------------------------------------------------------


def test_one_brokers_word_does_not_take_a_topic_away() -> None:
    world = ready()
    know(world, "t", 6)
    before = world.core.snapshot.topics["t"].partitions

    def restarting(broker: Any, request: Any, answer: Any) -> None:
        for topic in answer.topics:
            topic.error_code, topic.partitions, topic.topic_id = UNKNOWN, (), bytes(16)

    on_metadata(world, restarting)
    world.core.metadata.refresh("t", world.now)
    world.run(5.0)
    known = world.core.snapshot.topics["t"]
    assert known.partitions is before and known.error is not None and known.error.retriable
    assert world.core.snapshot.leader("t", 4) == 1

    def recovering(broker: Any, request: Any, answer: Any) -> None:
        for topic in answer.topics:
            topic.error_code, topic.partitions, topic.topic_id = 0, topic.partitions[:2], world.cluster.topics["t"].id

    for broker in world.cluster.brokers:
        broker.handlers[MetadataRequest.API_KEY] = World(1).cluster.brokers[0].handlers[MetadataRequest.API_KEY]
    on_metadata(world, recovering)
    world.run(2.0)
    assert world.core.snapshot.partitions("t") == 6 and world.core.snapshot.topics["t"].error is None


def test_a_broker_that_is_starting_and_knows_nothing_is_passed_over() -> None:
    world = ready(3)
    know(world, "t", 3)

    def starting(broker: Any, request: Any, answer: Any) -> None:
        answer.brokers, answer.controller_id = (), -1
        for topic in answer.topics:
            topic.error_code, topic.partitions = UNKNOWN, ()

    asked = on_metadata(world, starting, 0, 1)
    for id in range(3):
        world.brokers.ensure(id, world.now)
    for _ in range(10):
        world.core.metadata.refresh("t", world.now)
        world.run(1.5)
        assert world.core.snapshot.topics["t"].error is None and len(world.core.snapshot.brokers) == 3
    assert asked, "brokers 0 and 1 were never asked"


def test_another_broker_is_asked_whether_a_topic_is_really_unknown() -> None:
    """The only broker that the client is connected to has lost touch with the others, and with what they do."""
    world = ready()
    world.cluster.create_topic("t", 2)
    lost = next(id for id in range(3) if world.channel(id).is_ready)

    def deny(broker: Any, request: Any, answer: Any) -> None:
        for topic in answer.topics:
            topic.error_code, topic.partitions, topic.topic_id = UNKNOWN, (), bytes(16)

    asked = on_metadata(world, deny, lost)
    world.core.metadata.want("t", world.now)
    assert world.run(1.0, lambda: world.core.snapshot.partitions("t") == 2)
    assert asked == [["t"]]


def test_a_hint_is_taken_and_a_refresh_follows() -> None:
    world = ready()
    know(world, "t", 6)
    before = world.core.snapshot
    asked = on_metadata(world, unchanged)
    world.cluster.move_leader("t", 4, 2)
    world.core.metadata.hint("t", 4, 2, 1, None, world.now)
    after = world.core.snapshot
    assert after.leader("t", 4) == 2 and after.brokers == before.brokers
    assert [after.leader("t", p) for p in range(4)] == [before.leader("t", p) for p in range(4)]
    world.run(1.0)
    assert asked == [["t"]]
    # A broker that nobody has heard of is reachable once the hint names its endpoint.
    world.core.metadata.hint("t", 5, 9, 7, None, world.now)
    assert world.core.snapshot.leader("t", 5) == 2
    world.core.metadata.hint("t", 5, 9, 7, BrokerInfo(9, "kafka9", 9092), world.now)
    assert world.core.snapshot.leader("t", 5) == 9 and 9 in world.core.nodes.nodes
    assert len(world.core.snapshot.brokers) == 4


def recreate(world: World, name: str, partitions: int) -> None:
    world.cluster.create_topic(name, partitions)


def test_a_topic_made_anew_is_seen_in_two_looks() -> None:
    world = ready()
    know(world, "t", 6)
    for partition in range(6):
        world.cluster.move_leader("t", partition, 2)
    world.core.metadata.refresh("t", world.now)
    world.run(2.0)
    old = world.core.snapshot.topic_id("t")
    recreate(world, "t", 2)
    asked = on_metadata(world, unchanged)
    world.core.metadata.refresh("t", world.now)
    world.run(0.05)
    assert world.core.snapshot.topic_id("t") == old and len(asked) == 1
    world.run(1.0)
    topic = world.core.snapshot.topics["t"]
    assert topic.id == world.cluster.topics["t"].id != old and len(asked) == 2
    assert [p.leader_epoch for p in topic.partitions] == [0, 0]


def test_a_topic_made_anew_long_after_is_seen_at_once() -> None:
    world = ready(metadata_max_age=1000.0)
    know(world, "t", 6)
    world.run(60.0)
    recreate(world, "t", 2)
    asked = on_metadata(world, unchanged)
    world.core.metadata.refresh("t", world.now)
    world.run(0.05)
    assert world.core.snapshot.topic_id("t") == world.cluster.topics["t"].id and len(asked) == 1


def test_brokers_that_disagree_about_a_topics_id_do_not_make_it_flap() -> None:
    world = ready()
    know(world, "t", 2)
    old = world.core.snapshot.topics["t"]
    recreate(world, "t", 4)

    def behind(broker: Any, request: Any, answer: Any) -> None:
        for topic in answer.topics:
            topic.topic_id, topic.partitions = old.id, topic.partitions[:2]

    on_metadata(world, behind, 1)
    seen = []
    for _ in range(300):
        world.core.metadata.refresh("t", world.now)
        world.run(0.1)
        seen.append(world.core.snapshot.topic_id("t"))
    changes = sum(one != other for one, other in pairwise(seen))
    assert changes == 1 and seen[-1] == world.cluster.topics["t"].id and world.core.snapshot.partitions("t") == 4


def test_a_topic_that_somebody_waits_for_is_not_forgotten() -> None:
    world = ready(metadata_max_idle=100.0)
    producer = SimProducer(world)
    world.cluster.create_topic("t", 1)
    world.cluster.injected[MetadataRequest.API_KEY] = Injection((5,), 1.0, world.now + 320.0)
    answers: list[Any] = []
    producer.produce.await_topic("t", answers.append, world.now)
    assert world.run(400.0, lambda: bool(answers)) and answers == [None]


def test_who_does_not_wait_any_longer_leaves_nothing() -> None:
    world = ready()
    producer = SimProducer(world)
    for broker in world.cluster.brokers:
        broker.pause()
    for _ in range(100):
        answers: list[Any] = []
        producer.produce.await_topic("t", answers.append, world.now)
        world.run(0.05)
        producer.produce.forget_waiter("t", answers.append)
    assert not producer.produce.topics["t"].waiters


@pytest.mark.parametrize("after", [0.0, 7.0])
def test_who_wants_a_partition_that_was_just_added_waits_for_it(after: float) -> None:
    world = ready()
    producer = SimProducer(world)
    topic = world.cluster.create_topic("t", 2)
    producer.learn("t")
    answers: list[Any] = []
    asked = metadata_requests(world)
    producer.produce.await_topic("t", answers.append, world.now, 3)
    world.run(after)
    assert not answers
    assert metadata_requests(world) - asked < 12, "with growing pauses"
    topic.partitions.append(world.cluster.new_partition(topic, 2, [0, 1, 2]))
    assert world.run(2.0, lambda: bool(answers)) and answers == [None]
    future = producer.put("t", partition=2)
    assert world.run(5.0, lambda: future.is_done) and future.succeeded()
    asked = metadata_requests(world)
    world.run(60.0)
    assert metadata_requests(world) == asked, "nobody wants more any longer"


def test_who_wanted_a_partition_in_vain_leaves_nothing() -> None:
    world = ready()
    producer = SimProducer(world)
    world.cluster.create_topic("t", 2)
    producer.learn("t")
    answers: list[Any] = []
    producer.produce.await_topic("t", answers.append, world.now, 3)
    world.run(3.0)
    producer.produce.forget_waiter("t", answers.append)
    world.run(3.0)
    asked = metadata_requests(world)
    world.run(60.0)
    assert not answers and not producer.produce.topics["t"].waiters and metadata_requests(world) == asked
