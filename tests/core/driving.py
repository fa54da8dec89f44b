"""A core on its threaded driver, asked from the test's thread."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka.core.cluster.routes import Route
from kafka.core.config import Config
from kafka.core.core import Core
from kafka.drivers._turn import Turn
from kafka.drivers.threads import Driver
from kafka.errors import Cancelled


class Client:
    def __init__(self, config: Config) -> None:
        self.core = Core(config, random.Random())
        self.driver = Driver(self.core, Turn())
        self.driver.start()

    def ask(self, question: Callable[[Callable[[Any, float], None], float], None], timeout: float) -> Any:
        """Has the IO thread call `question(callback, now)`; the result that the callback gets."""
        results: list[Any] = []
        answered = threading.Event()

        def answer(result: Any, now: float) -> None:
            results.append(result)
            answered.set()

        self.driver.call(lambda now: question(answer, now))
        assert answered.wait(timeout + 5)
        return results[0]

    def bootstrap(self, timeout: float = 10.0) -> Any:
        return self.ask(lambda answer, now: self.core.bootstrap(answer, now, timeout), timeout)

    def request(self, route: Route, message_class: Any, build: Callable[[int], Any], timeout: float = 30.0) -> Any:
        return self.ask(
            lambda answer, now: self.core.calls.request(route, message_class, build, answer, now, timeout), timeout
        )

    def close(self) -> None:
        self.driver.call(lambda now: self.core.close(Cancelled("The test is over."), now))
        assert self.driver.stop(5)


@contextmanager
def client(*places: tuple[str, int], **config: Any) -> Iterator[Client]:
    made = Client(Config(bootstrap=places, **config))
    try:
        yield made
    finally:
        made.close()
