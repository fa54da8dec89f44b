"""Subscribing by a pattern: which topics there are is asked from time to time, and matched here; or by the brokers."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka.core.cluster.routes import ANY
from kafka.errors import IllegalStateError
from kafka.protocol import MetadataRequest
from kafka.result import Err, Result

if TYPE_CHECKING:
    from kafka.consumer.config import ConsumerConfig
    from kafka.core.core import Core
    from kafka.errors import KafkaError
    from kafka.structs import SubscriptionPattern


class Pattern:
    """Topics whose names begin with what the pattern describes, as `re.match` has it. `names` is for the reader, who is
    told with `tell` when it has changed; all else happens on the IO thread.
    """

    def __init__(self, pattern: str, with_internal: bool, tell: Callable[[], None]) -> None:
        if not isinstance(pattern, str):
            raise TypeError(f"pattern must be a str, not {pattern!r}")
        try:
            self._regex = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from None
        self.names: frozenset[str] | None = None  # None: not known yet
        self.is_over = False
        self._with_internal = with_internal
        self._tell = tell

    def ask(self, core: Core, now: float) -> None:
        """And again when metadata is as old as it may get."""
        if self.is_over or core.closed_by is not None:
            return
        request = MetadataRequest(topics=None, allow_auto_topic_creation=False)
        timeout = core.config.request_timeout
        core.calls.request(ANY, MetadataRequest, lambda version: request, partial(self._answered, core), now, timeout)

    def _answered(self, core: Core, result: Result[Any, KafkaError], now: float) -> None:
        if self.is_over or core.closed_by is not None:
            return
        if isinstance(result, Err):
            core.timers.at(now + core.config.retry_backoff_max, partial(self.ask, core))
            return
        core.timers.at(now + core.config.metadata_max_age, partial(self.ask, core))
        names = frozenset(
            topic.name
            for topic in result.value.topics
            if topic.error_code == 0
            and (self._with_internal or not topic.is_internal)
            and self._regex.match(topic.name) is not None
        )
        if names != self.names:
            self.names = names
            self._tell()


def check_for_brokers(pattern: SubscriptionPattern, config: ConsumerConfig) -> None:
    """Raise where they cannot be asked for it. What it may say only they know (RE2/J)."""
    if not isinstance(pattern.pattern, str):
        raise TypeError(f"a SubscriptionPattern must be of a str, not {pattern.pattern!r}")
    if not pattern.pattern:
        raise ValueError("a SubscriptionPattern must not be empty: '.*' matches all topics.")
    if config.group_id is None or config.group_protocol != "consumer":
        raise IllegalStateError(
            'Brokers match a SubscriptionPattern in groups with group_protocol="consumer" only. Give the pattern as a'
            " str: the consumer matches it itself, by Python's rules (re.match)."
        )
