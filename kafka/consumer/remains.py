"""What a consumer that was dropped leaves to its IO thread, which must not keep it alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kafka._log import Log
from kafka.leaving import Remains
from kafka.serializer.wrapper import close_each

if TYPE_CHECKING:
    from kafka.consumer.config import ConsumerConfig
    from kafka.core.groups.membership import Member
    from kafka.drivers.threads import Driver
    from kafka.metrics.consumer import ConsumerMetrics

log = Log("kafka.consumer")

_PATIENCE = 5.0  # seconds for its coordinator to hear of it


def weakly(method: Callable[..., Any], otherwise: Any = None) -> Callable[..., Any]:
    """A bound method without its object; once that is gone it does nothing, and gives `otherwise`."""
    found = weakref.WeakMethod(method)

    def call(*args: Any) -> Any:
        bound = found()
        return otherwise if bound is None else bound(*args)

    return call


class ConsumerRemains(Remains):
    """It leaves its group, so that others read on; nothing is committed, as nobody knows what has been dealt with."""

    def __init__(
        self,
        driver: Driver,
        name: str,
        config: ConsumerConfig,
        member: Member | None,
        metrics: ConsumerMetrics | None,
    ) -> None:
        super().__init__(driver, name)
        self._config = config
        self._member = member
        self._metrics = metrics
        self._has_left = member is None

    def begin(self, now: float) -> None:
        if self._member is not None:
            self._member.leave("dropped", now, _PATIENCE).start(self._left, now)

    def _left(self, result: None, now: float) -> None:
        self._has_left = True

    def is_over(self, now: float) -> bool:
        return self._has_left

    def gone(self) -> None:
        try:
            if self._metrics is not None:
                self._metrics.close()
            close_each(self._config.key_deserializer, self._config.value_deserializer)
        except Exception:
            log.exception("%s was dropped without close(), and could not be closed", self.name)
        super().gone()
