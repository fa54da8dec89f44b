"""What tests of authentication share: a world whose brokers want to know who the client is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from kafka.core.net.network import Network
from kafka.core.sasl import Mechanism
from kafka.core.sasl.aws import AwsMskIam
from kafka.core.sasl.oauthbearer import OAuthBearer, Token
from kafka.core.sasl.plain import Plain
from kafka.core.sasl.scram import Scram
from kafka.security.aws import Keys, signed
from kafka.testing.model.sasl import Sasl, unsecured_token
from kafka.testing.sim_broker import EPOCH
from tests.sim.world import World

USERS = {"alice": "alice-secret", "bob": "bob,=secret", "a,b=c": "x"}
ALICE = ("alice", USERS["alice"])

Make = Callable[[Network], Mechanism]


def plain(given: Any = ALICE) -> Make:
    return lambda network: Plain(network, given)


def scram(given: Any = ALICE, name: str = "SCRAM-SHA-256", **options: Any) -> Make:
    numbers = itertools.count()
    return lambda network: Scram(network, name, given, lambda: f"nonce{next(numbers)}", **options)


AWS = Keys("access", "secret")


def aws_msk_iam() -> Make:
    """Signed as the simulation begins."""

    def sign(keys: Keys, host: str) -> bytes:
        query = signed(keys, "eu-west-1", "kafka-cluster", host, {"Action": "kafka-cluster:Connect"}, EPOCH)
        fields = {name.lower(): value for name, value in query.items()}
        return json.dumps({**fields, "version": "2020_10_22", "host": host, "user-agent": "x"}).encode()

    return lambda network: AwsMskIam(network, lambda: AWS, sign)


class Provider:
    """Gives tokens of a subject, each good for `lifetime` seconds of the simulation."""

    def __init__(self, lifetime: float = 3600.0, subject: str = "alice") -> None:
        self.lifetime = lifetime
        self.subject = subject
        self.calls = 0
        self.fails: BaseException | None = None
        self.world: World

    def __call__(self) -> Token:
        self.calls += 1
        if self.fails is not None:
            raise self.fails
        expires = EPOCH + self.world.now + self.lifetime
        return Token(unsecured_token(self.subject, expires, number=self.calls), self.lifetime)

    def make(self, network: Network) -> Mechanism:
        return OAuthBearer(network, self, "sasl_oauth_token_provider")


def secured(seed: int, make: Make | Provider, brokers: int = 3, **config: Any) -> tuple[World, Sasl]:
    world = World(seed, brokers, sasl=make.make if isinstance(make, Provider) else make, **config)
    if isinstance(make, Provider):
        make.world = world
    return world, world.cluster.authenticate(USERS)
