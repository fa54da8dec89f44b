"""The client says who it is on each connection before anything else; what is refused, or cannot be had, is told."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.core.cluster.routes import ANY
from kafka.core.net.network import MOST_WORK
from kafka.core.sasl.oauthbearer import OAuthBearer, Token
from kafka.core.sasl.registered import Registered
from kafka.errors import (
    CredentialsError,
    IllegalSaslStateError,
    KafkaConnectionError,
    NoBrokersAvailable,
    ProtocolError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.protocol import MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest
from kafka.result import Err, Ok
from kafka.testing.model.aws import AwsKeys
from kafka.testing.model.sasl import Sasl, Session, unsecured_token
from kafka.testing.model.world import Hangup, Later
from kafka.testing.sim_broker import EPOCH
from tests.sim.authenticating import AWS, USERS, Make, Provider, aws_msk_iam, plain, scram, secured
from tests.sim.producing import SimProducer
from tests.sim.world import World

MECHANISMS: dict[str, Make | Provider] = {
    "PLAIN": plain(),
    "PLAIN, asked for": plain(lambda: ("bob", USERS["bob"])),
    "SCRAM-SHA-256": scram(),
    "SCRAM-SHA-512": scram(("a,b=c", "x"), "SCRAM-SHA-512"),
    "OAUTHBEARER": Provider(),
    "AWS_MSK_IAM": aws_msk_iam(),
    # Of whose tokens the end is not known:
    "OAUTHBEARER, once": lambda network: OAuthBearer(
        network, lambda: Token(unsecured_token("alice", EPOCH + 1e6), None), "the provider"
    ),
}


def told(world: World, timeout: float = 60.0) -> Any:
    result = world.bootstrap(timeout)
    assert isinstance(result, Err)
    return result.error


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("seed", range(3))
def test_each_mechanism(name: str, seed: int) -> None:
    world, sasl = secured(seed, MECHANISMS[name])
    if name == "AWS_MSK_IAM":
        sasl.mechanisms, sasl.aws = [name], {AWS.access: AwsKeys(AWS.secret)}
    assert isinstance(world.bootstrap(), Ok)
    assert sasl.counts["accepted"] >= 1 and not sasl.counts["refused"]
    for id in {event[2] for event in world.simulation.trace if event[1] == "opened"}:
        order = [event[1] for event in world.simulation.trace if event[2:3] == (id,)]
        order = [what for what in order if what in ("send", "received")]
        sends = [index for index, what in enumerate(order) if what == "send"]
        assert all(order[before + 1] == "received" for before in sends[:3])  # never the next before the answer


def test_over_tls_as_well() -> None:
    world, sasl = secured(1, scram(), tls=True)
    assert isinstance(world.bootstrap(), Ok) and sasl.counts["accepted"]


# -- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said", "hint"),
    [
        (plain(("alice", "wrong")), "Authentication failed: Invalid username or password", "Check the user name"),
        (scram(("alice", "wrong")), "invalid credentials with SASL mechanism SCRAM-SHA-256", "the password is wrong"),
        (scram(("nobody", "x")), "invalid credentials with SASL mechanism SCRAM-SHA-256", "it has no such user"),
        (scram(("alice", "x"), is_token=True), "invalid credentials with", "the delegation token has expired"),
        (Provider(-5.0), '{"status":"invalid_token"}', "issuer, audience, signature"),
    ],
)
def test_refused_credentials_are_told_in_the_brokers_words(make: Make | Provider, said: str, hint: str) -> None:
    world, sasl = secured(1, make, brokers=1)
    error = told(world)
    assert type(error) is SaslAuthenticationFailedError
    assert said in str(error) and "kafka0:9092: " in str(error) and hint in str(error)
    assert sasl.counts["refused"] == 2  # one more try, after a second
    assert 1.0 < world.now < 3.0 + 2 * sasl.refusals_take
    if isinstance(make, Provider):
        assert make.calls == 2  # with a fresh token


@pytest.mark.parametrize("seed", range(5))
def test_refused_by_all_of_three(seed: int) -> None:
    world, sasl = secured(seed, plain(("alice", "wrong")))
    assert type(told(world)) is SaslAuthenticationFailedError
    assert world.now < 3.0 + 6 * sasl.refusals_take


def test_a_user_that_the_broker_does_not_know_yet() -> None:
    world, sasl = secured(1, scram(("new", "secret")), brokers=1)
    world.simulation.at(0.6, lambda: sasl.users.update(new="secret"))
    assert isinstance(world.bootstrap(), Ok) and sasl.counts["refused"] == 1


def test_a_key_that_the_broker_does_not_know_yet() -> None:
    """The token's issuer has changed its key: what it gives next is known."""
    provider = Provider()
    world, sasl = secured(1, provider, brokers=1)
    sasl.takes_token = lambda claims: claims["number"] > 1
    assert isinstance(world.bootstrap(), Ok) and provider.calls == 2 and sasl.counts["refused"] == 1


def test_the_verdict_needs_an_answer_to_the_reason() -> None:
    """A refused token is no error at first: who does not answer it waits for ever."""
    world, _ = secured(1, Provider(-5.0), brokers=1, connection_setup_timeout=5.0)
    assert type(told(world)) is SaslAuthenticationFailedError and world.now < 4.0


def test_a_mechanism_that_is_not_offered() -> None:
    world, sasl = secured(1, plain(), brokers=1)
    sasl.mechanisms = ["SCRAM-SHA-512", "OAUTHBEARER"]
    error = told(world)
    assert type(error) is UnsupportedSaslMechanismError and "offers: OAUTHBEARER, SCRAM-SHA-512" in str(error)
    assert sasl.counts["refused"] == 1 and world.now < 1.0  # at once: another try would be in vain


def test_a_listener_without_sasl() -> None:
    world, _ = secured(1, plain(), brokers=1)
    world.cluster.sasl = None
    error = told(world)
    assert type(error) is IllegalSaslStateError and "security_protocol is 'PLAINTEXT'" in str(error) and world.now < 1.0


def test_a_listener_that_wants_sasl_of_a_client_without() -> None:
    world = World(1, brokers=1)
    world.cluster.authenticate(USERS)
    error = told(world)
    assert isinstance(error, NoBrokersAvailable) and "usually a listener that expects SASL" in str(error)


@pytest.mark.parametrize("seed", range(6))
def test_one_broker_that_refuses_fails_nobody_while_another_works(seed: int) -> None:
    world, sasl = secured(seed, plain())
    world.cluster.brokers[0].own_sasl = other = Sasl({}, world.simulation, sasl.wall)
    assert isinstance(world.bootstrap(), Ok)
    producer = SimProducer(world)
    world.cluster.create_topic("t", 2)
    for partition in world.cluster.topics["t"]:
        partition.move(1, world.simulation.random)
    for _ in range(20):
        producer.put("t")
    assert world.run(30.0, producer.all_done)
    producer.check("t")
    assert not sasl.counts["refused"] and other.counts["refused"] <= 60


@pytest.mark.parametrize("seed", range(6))
def test_a_refusal_outranks_brokers_that_cannot_be_reached(seed: int) -> None:
    world, sasl = secured(seed, plain(("alice", "wrong")))
    first, second = world.cluster.brokers[1:]
    world.network.black_holes.add((first.ip, first.port))
    second.stop()
    error = told(world)
    assert type(error) is SaslAuthenticationFailedError and "kafka0:9092" in str(error)
    assert world.now < 3.0 + 2 * sasl.refusals_take + 0.5


def test_of_a_brokers_addresses_the_one_that_refuses_counts() -> None:
    world, _ = secured(1, plain(("alice", "wrong")), brokers=1)
    broker = world.cluster.brokers[0]
    world.network.hosts[broker.host] = [(broker.ip,), ("10.9.9.9",)]
    assert type(told(world)) is SaslAuthenticationFailedError


def test_hung_up_on_in_the_middle() -> None:
    world, _ = secured(1, plain(), brokers=1)

    def hang_up(broker: Any, header: Any, request: Any) -> Any:
        raise Hangup("an error of its own")

    sasl = Sasl(USERS, world.simulation, lambda: EPOCH)
    sasl.plain = lambda: hang_up(None, None, None)  # type: ignore[method-assign]
    world.cluster.brokers[0].own_sasl = sasl
    error = told(world)
    assert isinstance(error, NoBrokersAvailable) and "its log says why" in str(error)


@pytest.mark.parametrize("asked", [SaslHandshakeRequest, SaslAuthenticateRequest])
def test_a_broker_that_falls_silent(monkeypatch: pytest.MonkeyPatch, asked: Any) -> None:
    world, _ = secured(1, scram(), brokers=1, connection_setup_timeout=1.0, bootstrap_patience=1.0)
    answer = Session.answer

    def silent(self: Session, sasl: Sasl, request: Any, is_early: bool) -> Any:
        return Later(lambda: None) if isinstance(request, asked) else answer(self, sasl, request, is_early)

    monkeypatch.setattr(Session, "answer", silent)
    error = told(world)
    assert "failed in stage sasl authentication: no answer within" in str(error)
    assert sum(event[1] == "connect" for event in world.simulation.trace) > 1  # each was given up


class Endless:
    """A mechanism that goes on for as long as it is answered."""

    def auth_bytes(self) -> bytes:
        return b"and"

    def receive(self, auth_bytes: bytes) -> None:
        pass

    def is_done(self) -> bool:
        return False

    def is_authenticated(self) -> bool:
        return False


def hostile(world: World, said: bytes) -> None:
    """From now on brokers say this to whatever a client says."""

    def forever() -> Any:
        while True:
            yield said

    sasl = world.cluster.sasl
    assert sasl is not None
    sasl.mechanisms.append("X-OWN")
    sasl.plain = sasl.oauthbearer = forever  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    ("said", "told_of"),
    [(b"then", "has no end within 50 steps"), (b"x" * 1_000_000, "has a part of 1000000 bytes; allowed are 65536")],
)
def test_a_conversation_without_an_end(said: bytes, told_of: str) -> None:
    world, _ = secured(1, lambda network: Registered("X-OWN", lambda host: Endless()), brokers=1)
    hostile(world, said)
    error = told(world)
    assert isinstance(error, ProtocolError) and told_of in str(error)
    assert world.now < 5.0


def test_nothing_is_sent_early_which_kafka_would_hold_back_over_tls() -> None:
    for seed in range(3):
        world, sasl = secured(seed, scram(), tls=True)
        sasl.early_frames_take = 0.3
        assert isinstance(world.bootstrap(), Ok)
        assert sasl.counts["accepted"] and not sasl.counts["early"]


def test_older_brokers() -> None:
    world, _ = secured(1, plain(), brokers=1)
    world.cluster.brokers[0].versions[36] = (0, 0)  # before Kafka 2.2: the end of a session is not told
    assert isinstance(world.bootstrap(), Ok)
    world, _ = secured(1, plain(), brokers=1)
    world.cluster.brokers[0].versions[17] = (0, 0)
    assert "older than Kafka 1.0" in str(told(world))


def test_refused_later_it_is_tried_again_and_batches_say_why() -> None:
    world, sasl = secured(1, plain(), brokers=1)
    world.bootstrap().unwrap()
    world.cluster.create_topic("t", 1)
    producer = SimProducer(world, delivery_timeout=20.0, idempotent=True)
    producer.put("t")
    assert world.run(10.0, producer.all_done)
    sasl.users["alice"] = "another"
    for link in list(world.cluster.brokers[0].connections):
        link.reset()
    future = producer.put("t")
    assert world.run(30.0, producer.all_done)
    error = future.exception
    assert "Invalid username or password" in str(error) and isinstance(error.__cause__, KafkaConnectionError)
    assert type(error.__cause__.__cause__) is SaslAuthenticationFailedError
    assert 5 < sasl.counts["refused"] <= 40  # by two names, at most once a second each: accounts are locked by more
    (health,) = [known for known in world.core.health(world.now) if known.node_id == 0]
    assert "Invalid username or password" in str(health.error)
    sasl.users["alice"] = USERS["alice"]
    future = producer.put("t")
    assert world.run(20.0, producer.all_done) and future.succeeded()


# -- credentials that are late, fail, hang ---------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3.0, 7.0])
@pytest.mark.parametrize("make", [plain(lambda: ("alice", USERS["alice"])), Provider()])
def test_credentials_that_are_late(make: Make | Provider, seconds: float) -> None:
    world, _ = secured(1, make)
    world.network.work_takes = lambda: seconds
    assert isinstance(world.bootstrap(30.0), Ok)
    assert world.now < (1.2 if isinstance(make, Provider) else 2.2) * seconds  # asked for one connection after another


def test_who_does_not_wait_for_credentials_is_not_held_up() -> None:
    world, _ = secured(1, plain(lambda: ("alice", USERS["alice"])))
    world.bootstrap().unwrap()
    world.network.work_takes = lambda: 5.0
    (ready,) = [id for id in world.core.nodes.nodes if world.channel(id).is_up and id >= 0]
    others = [id for id in world.core.nodes.nodes if id >= 0 and id != ready]
    for id in others:
        world.channel(id).ensure(world.now)
    assert world.run(1.0, lambda: all(world.channel(id).waits_for for id in others))
    promise = world.request(ANY, MetadataRequest, lambda version: MetadataRequest(topics=[]))
    assert world.run(1.0, lambda: promise.result is not None) and isinstance(promise.result, Ok)
    assert world.run(6.0, lambda: all(world.channel(id).is_open for id in others))


def test_credentials_that_hang() -> None:
    provider = Provider()
    world, _ = secured(1, provider)
    world.network.work_takes = lambda: float("inf")
    error = told(world, 100.0)
    assert type(error) is CredentialsError and str(error).endswith("provider has not returned within 10 s.")
    assert 10.0 <= world.now < 13.0
    for _ in range(50):  # no more threads hang than there were ten seconds
        told(world, 2.0)
    assert 5 <= len([event for event in world.simulation.trace if event[1] == "work"]) <= 1 + world.now / 10.0
    world.network.work_takes = lambda: 0.01
    world.run(11.0)
    assert isinstance(world.bootstrap(50.0), Ok)  # whoever hung is not waited for


def test_work_that_hangs_does_not_pile_up() -> None:
    world, _ = secured(1, scram())
    world.network.work_takes = lambda: float("inf")
    for _ in range(60):
        world.bootstrap(100.0)
    assert len([event for event in world.simulation.trace if event[1] == "work"]) == MOST_WORK
    assert f"{MOST_WORK} calls like it have not returned" in str(told(world, 100.0))


def test_impatience_says_what_is_waited_for() -> None:
    world, _ = secured(1, Provider())
    world.network.work_takes = lambda: float("inf")
    assert "sasl_oauth_token_provider has not returned yet" in str(told(world, 4.0))


def test_credentials_that_fail() -> None:
    provider = Provider()
    provider.fails = cause = LookupError("the vault is sealed")
    world, _ = secured(1, provider)
    error = told(world)
    assert type(error) is CredentialsError and error.__cause__ is cause
    assert str(error) == "CredentialsError: sasl_oauth_token_provider failed: LookupError: the vault is sealed"
    assert world.now < 1.0


class Bad(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_a_cause_that_cannot_be_printed() -> None:
    provider = Provider()
    provider.fails = Bad()
    world, _ = secured(1, provider)
    assert str(told(world)).endswith("sasl_oauth_token_provider failed: Bad")


@pytest.mark.parametrize("closes", [False, True])
def test_a_connection_that_ends_while_its_credentials_are_got(closes: bool) -> None:
    """It is connected again, and what was being got serves the next one; or nobody."""
    provider = Provider()
    world, sasl = secured(1, provider, brokers=1)
    world.network.work_takes = lambda: 2.0
    promise = world.checker.promise("bootstrap", 20.0)
    world.core.bootstrap(promise, world.now, 20.0)
    channel = world.channel(-1)
    assert world.run(2.0, lambda: channel.waits_for is not None)
    if closes:
        error = SaslAuthenticationFailedError("closed")
        world.core.close(error, world.now)
        assert not world.core.timers.next_deadline() < world.now
        world.run(30.0)
        assert isinstance(promise.result, Err) and promise.result.error is error
    else:
        world.network.links[0].reset()
        assert world.run(10.0, lambda: promise.result is not None) and isinstance(promise.result, Ok)
        assert sasl.counts["refused"] == 0
    assert provider.calls == 1 and not world.core.nodes._network.working


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_serves_all_connections_and_is_renewed_in_time() -> None:
    provider = Provider(lifetime=100.0)
    world, sasl = secured(1, provider)
    world.bootstrap().unwrap()
    for id in range(3):
        world.channel(id).ensure(world.now)
    assert world.run(5.0, lambda: all(world.channel(id).is_open for id in range(3))) and provider.calls == 1
    assert not world.run(73.0, lambda: provider.calls > 1)
    assert world.run(13.0, lambda: provider.calls > 1)  # at 75 to 85 %
    assert sasl.counts["refused"] == 0


def test_an_old_token_is_used_while_it_cannot_be_renewed() -> None:
    provider = Provider(lifetime=100.0)
    world, sasl = secured(1, provider)
    world.bootstrap().unwrap()
    provider.fails = OSError("the issuer is down")
    world.run(97.0 - world.now)
    assert 2 < provider.calls < 20
    world.channel(2).ensure(world.now)
    assert world.run(1.0, lambda: world.channel(2).is_open)
    world.run(110.0 - world.now)  # now it is over
    for id in range(3):
        world.channel(id).disconnect(world.now)
    assert isinstance(told(world, 5.0), CredentialsError)
    provider.fails = None
    assert isinstance(world.bootstrap(), Ok) and sasl.counts["refused"] == 0


def test_a_token_that_nobody_has_used_is_not_renewed() -> None:
    provider = Provider(lifetime=100.0)
    world, _ = secured(1, provider, metadata_max_age=1e6)
    world.bootstrap().unwrap()
    world.run(2000.0)
    assert provider.calls == 2


@pytest.mark.parametrize("seed", range(3))
def test_a_provider_that_fails_for_a_moment_is_asked_again(seed: int) -> None:
    provider = Provider()
    provider.fails = passing()
    world, _ = secured(seed, provider)
    world.simulation.at(1.0, lambda: setattr(provider, "fails", None))
    assert isinstance(world.bootstrap(), Ok)
    assert 1.0 < world.now < 3.0 and 3 <= provider.calls < 7


def passing() -> CredentialsError:
    error = CredentialsError("the endpoint is busy")
    error.retriable = True
    return error


def test_one_that_goes_on_failing_is_told_after_three_seconds() -> None:
    provider = Provider()
    provider.fails = error = passing()
    world, _ = secured(1, provider)
    found = told(world)
    assert found == error and found is not error and 1.0 < world.now < 3.5 and 4 <= provider.calls < 15


def test_what_fails_for_good_is_not_tried_again() -> None:
    provider = Provider()
    provider.fails = CredentialsError("no such client")
    world, _ = secured(1, provider, brokers=1)
    assert told(world) == provider.fails and provider.calls == 1


@pytest.mark.parametrize(
    ("fails", "name"),
    [
        (passing(), "CredentialsError: the endpoint is busy"),
        (LookupError("sealed"), "LookupError: sealed"),
        (Bad(), "Bad"),
    ],
)
def test_a_token_that_cannot_be_renewed_is_told_of_once(fails: BaseException, name: str) -> None:
    provider = Provider(lifetime=100.0)
    world, _ = secured(1, provider)
    world.bootstrap().unwrap()
    provider.fails = fails
    assert world.run(99.0, lambda: provider.calls > 3)
    said = [event[2] for event in world.simulation.trace if event[1] == "warning"]
    assert said == [f"sasl_oauth_token_provider failed, and its last token is used until it expires: {name}"]
