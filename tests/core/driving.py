"""A client that does nothing of its own: the core on its threaded driver, asked from the test's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka.client import Client
from kafka.config import ClientConfig
from kafka.core.cluster.routes import Route
from kafka.core.config import Config
from kafka.core.core import Core


class CoreConfig(ClientConfig):
    """What the core is told, as it is: for settings that no client has."""

    def __init__(self, config: Config) -> None:
        super().__init__({"bootstrap_servers": "unused", "api_version": (0,)})  # nothing is asked before the test does
        self.core = config

    def for_core(self) -> Config:
        return self.core


class Asking(Client):
    def __init__(self, config: Config) -> None:
        super().__init__(CoreConfig(config))

    @property
    def core(self) -> Core:
        return self._core

    def bootstrap(self, timeout: float = 10.0) -> Any:
        return self._ask(
            lambda answer, now: self.core.bootstrap(answer, now, timeout), timeout + 5, "the cluster's brokers"
        )

    def request(self, route: Route, message_class: Any, build: Callable[[int], Any], timeout: float = 30.0) -> Any:
        return self._ask(
            lambda answer, now: self.core.calls.request(route, message_class, build, answer, now, timeout),
            timeout + 5,
            str(route),
        )


@contextmanager
def client(*places: tuple[str, int], **config: Any) -> Iterator[Asking]:
    with Asking(Config(bootstrap=places, **config)) as made:
        yield made
    assert not made._driver.is_alive()
