"""One request on its way to whichever broker its route leads to; `calls` takes it there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from kafka.core.cluster.routes import AnyBroker, Route
from kafka.core.net.lanes import Lane
from kafka.core.net.node import Node
from kafka.core.timers import Timer
from kafka.errors import KafkaError
from kafka.result import Result

Refuse = Callable[[Node, Any, float], KafkaError | None]


class Answer(NamedTuple):
    response: Any
    version: int  # of the request and the response
    node_id: int  # who gave it


class Call:
    __slots__ = (
        "route", "message_class", "build", "callback", "started", "deadline", "patience", "newest", "name", "refuse",
        "once", "avoid", "lane", "answer_within", "takes", "node", "attempt", "failures", "tried", "errors", "silent",
        "timer", "pause", "parked", "done",
    )  # fmt: skip

    def __init__(
        self,
        route: AnyBroker | Route,
        message_class: Any,
        build: Callable[[int], Any],
        callback: Callable[[Result[Answer, KafkaError], float], None],
        started: float,
        deadline: float,
        patience: float,
        newest: int | None,
        name: str,
        refuse: Refuse | None,
        once: bool,
        avoid: int | None,
        lane: Lane,
        answer_within: float,
        takes: Collection[int],
    ) -> None:
        self.route = route
        self.message_class = message_class
        self.build = build
        self.callback = callback
        self.started = started
        self.deadline = deadline
        self.patience = patience  # how long to go on when every broker there is has failed, not just kept it waiting
        self.newest = newest
        self.name = name or f"{message_class.__name__} ({route})"  # for error messages
        self.refuse = refuse
        self.once = once  # the first attempt that is written is the last
        self.avoid = avoid  # the id of a broker that is asked only if no other one is well
        self.lane = lane
        self.answer_within = answer_within  # seconds, once it is written
        self.takes = takes  # error codes of answers that are the caller's to read
        self.node: Node | None = None  # where the present attempt goes
        self.attempt = 0  # of answers to earlier ones only a good one counts, and that only where any broker will do
        self.failures = 0  # rounds for "any broker", else attempts
        self.tried: dict[int, None] = {}  # nodes of this round
        self.errors: dict[str, KafkaError] = {}  # the last one of each address
        self.silent: dict[int, float] = {}  # nodes that have kept it waiting, and until when it waited
        self.timer: Timer | None = None  # of the present attempt, and of the call's deadline
        self.pause: Timer | None = None
        self.parked: dict[Call, None] | None = None  # those that wait for the same, while it waits
        self.done = False
