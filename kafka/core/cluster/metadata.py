"""When to ask for metadata, and for which topics; what comes back is merged into one immutable snapshot.

Topics are asked for when somebody first wants them, each request naming only those in need; all that are still in use
are asked about when their metadata is old. One request is under way at a time. A topic stays in need while another look
may tell more (no leader, not known yet), with growing pauses. Answers from a node of another cluster are refused, and
when nobody answers any more everything starts again from the bootstrap servers.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from types import MappingProxyType
from typing import Any, Protocol

from kafka.core.backoff import Backoff, Random
from kafka.core.cluster.call import Answer
from kafka.core.cluster.calls import Calls
from kafka.core.cluster.routes import ANY
from kafka.core.cluster.snapshot import (
    EMPTY,
    NO_ID,
    BrokerInfo,
    Snapshot,
    TopicInfo,
    is_unknown,
    merge,
    still_unclear,
    with_leader,
    without,
)
from kafka.core.config import Config
from kafka.core.net.node import Node
from kafka.core.net.nodes import Nodes
from kafka.core.timers import Timer, Timers
from kafka.errors import InconsistentClusterIdError, KafkaError, MetadataEmptyBrokerList, RebootstrapRequiredError
from kafka.protocol import MetadataRequest
from kafka.protocol.codes import Code
from kafka.result import Err, Result

INFINITY = float("inf")
_AT_ONCE = 1000  # topics in a request: merging the answer keeps the IO thread busy for some 10 ms
_LONG_AGO = 10  # the longest pause times this: troubles longer ago do not count


class Owner(Protocol):
    """Whom metadata tells what is new."""

    def on_snapshot(self, snapshot: Snapshot, now: float) -> None: ...

    def uses_topic(self, topic: str) -> bool:
        """Whether this topic must stay known, though nobody has wanted it for long."""

    def notice(self, level: str, text: str) -> None:
        """Something for the log."""


class Metadata:
    def __init__(
        self, config: Config, random: Random, timers: Timers, nodes: Nodes, calls: Calls, owner: Owner
    ) -> None:
        self._config = config
        self._timers = timers
        self._nodes = nodes
        self._calls = calls
        self._owner = owner
        self._backoff = Backoff(config.retry_backoff, config.retry_backoff_max, random)
        self._timer: Timer | None = None  # of the next request
        self._under_way = False
        self._needed: dict[str | None, None] = {}  # ordered, as a set is not; None stands for the brokers
        # Of what was asked about because it was needed: answers in a row that told nothing new, and when the last came.
        self._fruitless: dict[str | None, tuple[int, float]] = {}
        self._asked_at = -INFINITY
        self._full_at = INFINITY  # when all topics are to be asked about, for old age
        self._evict_at = -INFINITY
        self._failures = 0  # requests in a row that nobody answered
        self._retry_at = -INFINITY
        self._restarts = Backoff(1.0, 60.0, random)  # a cluster that asks for it all the time gets it now and then
        self._restarted = 0
        self._restart_at = -INFINITY
        self._patience: Timer | None = None  # runs while a request is unanswered, over any number of tries
        self._answered_by: int | None = None  # the node
        self._refused: dict[str, None] = {}  # what has been said about whom
        self.snapshot: Snapshot = EMPTY
        self.topics: dict[str, float] = {}  # every topic in use, and when somebody last wanted it
        self.error: KafkaError | None = None  # why the last refresh failed, None if it did not

    def want(self, topic: str, now: float) -> None:
        """Sees to it that this topic gets known and stays so. Costs two dict lookups if it is."""
        is_new = topic not in self.topics
        self.topics[topic] = now
        if not is_new:
            known = self.snapshot.topics.get(topic)
            if known is None or known.error is None or known.error.retriable or topic in self._needed:
                return
            if known.is_gone and now - known.as_of >= self._config.unknown_topic_grace:
                self._forget((topic,))  # an old verdict
                self.topics[topic] = now
            # A permanent error (no such name, no permission) is asked about again only because somebody still wants it.
        self._need(topic, now)

    def refresh(self, topic: str | None, now: float) -> None:
        """What is known of this topic (None: of the brokers) turned out to be stale."""
        if topic is not None:
            self.topics[topic] = now
        self._need(topic, now)

    def hint(self, topic: str, partition: int, leader: int, epoch: int, broker: BrokerInfo | None, now: float) -> None:
        """A produce or fetch answer named a newer leader (KIP-951). A refresh follows all the same."""
        snapshot = with_leader(self.snapshot, topic, partition, leader, epoch, broker)
        if snapshot is not self.snapshot:
            self.refresh(topic, now)
            self.snapshot = snapshot
            self._owner.on_snapshot(snapshot, now)

    def learn(self, response: Any, version: int, now: float, asked: Collection[str | None] = ()) -> None:
        """Merges an answer, tells the core, and plans the next look."""
        before = self.snapshot
        self.snapshot = snapshot = merge(before, response, version, now, self._config.unknown_topic_grace)
        self.error = None
        self._failures = 0
        self._retry_at = -INFINITY
        self._set_patience(None)
        for name in asked:
            if name is None:
                unclear, fruitless = False, before.brokers == snapshot.brokers
            else:
                topic = snapshot.topics.get(name)
                unclear, fruitless = still_unclear(topic, snapshot.brokers), _alike(before.topics.get(name), topic)
            self._needed.pop(name, None)
            if unclear:
                self._needed[name] = None  # behind the others: not all of them may fit into the next request
            count, last = self._fruitless.pop(name, (0, now))
            if fruitless:
                self._fruitless[name] = (count + 1 if now - last < _LONG_AGO * self._backoff.limit else 1, now)
        if gone := before.brokers.keys() - snapshot.brokers.keys():
            # An answer names the brokers that are up, but leaders of those topics only that were asked about.
            self._need_leaders(gone)
        if self._full_at == INFINITY:
            self._full_at = now + self._config.metadata_max_age
        self._evict(now)
        self._owner.on_snapshot(self.snapshot, now)
        self._plan(now)

    # -- asking ----------------------------------------------------------------------------------------------------

    def _need(self, topic: str | None, now: float) -> None:
        if topic not in self._needed:
            self._needed[topic] = None
            due = self._due(topic)
            if not self._under_way and (self._timer is None or due < self._timer.deadline):
                self._set_timer(max(due, now))

    def _need_leaders(self, gone: Collection[int]) -> None:
        """These brokers are no more: whatever they led has other leaders."""
        for name in self.topics:
            topic = self.snapshot.topics.get(name)
            if topic is not None and any(p.leader in gone for p in topic.partitions):
                self._needed[name] = None

    def _due(self, topic: str | None) -> float:
        """From when on this may be asked about: at once if it is new, else with growing pauses."""
        count, last = self._fruitless.get(topic, (0, self._asked_at))
        if count == 0 and topic is not None and topic not in self.snapshot.topics:
            return self._retry_at
        return max(last + self._backoff.delay(count), self._retry_at)

    def _plan(self, now: float) -> None:
        if not self._under_way:
            self._set_timer(max(now, min((self._due(topic) for topic in self._needed), default=self._full_at)))

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timers.at(deadline, self._ask)

    def _ask(self, now: float) -> None:
        self._timer = None
        if self._under_way:
            return
        if now >= self._full_at:  # however much was asked about the topics in trouble meanwhile
            self._full_at = now + self._config.metadata_max_age
            self._evict(now)
            self._needed[None] = None
            self._needed.update(dict.fromkeys(self.topics))
        asked = list(islice(self._needed, _AT_ONCE))

        def build(version: int) -> Any:
            return MetadataRequest(
                topics=[MetadataRequest.MetadataRequestTopic(name=name) for name in asked if name is not None],
                # Before version 4 brokers create topics by their own configuration alone.
                allow_auto_topic_creation=self._config.allow_auto_create_topics or version < 4,
            )

        def answered(result: Result[Answer, KafkaError], now: float) -> None:
            self._under_way = False
            if isinstance(result, Err):
                self._unanswered(result.error, now)
            else:
                self.learn(result.value.response, result.value.version, now, asked)

        self._under_way = True
        self._asked_at = now
        if self._patience is None:  # counts from here, however long ago the last answer was
            self._set_patience(now + self._config.rebootstrap_after)
        self._calls.start(
            ANY, MetadataRequest, build, answered, now, self._config.request_timeout, refuse=self.refuse,
            avoid=self._answered_by if any(self._is_doubtful(name) for name in asked) else None,
        )  # fmt: skip

    def _unanswered(self, error: KafkaError, now: float) -> None:
        self.error = error
        self._failures += 1
        self._retry_at = now + self._backoff.delay(self._failures)
        if error.errno == Code.REBOOTSTRAP_REQUIRED:
            self._start_again("A broker asks for it", now)
        self._plan(now)

    def _is_doubtful(self, topic: str | None) -> bool:
        """Whether another broker should be asked: the one that answered last may be behind."""
        known = self.snapshot.topics.get(topic) if topic is not None else None
        return known is not None and (is_unknown(known) or known.rival_id != NO_ID)

    # -- whom to believe -------------------------------------------------------------------------------------------

    def refuse(self, node: Node, response: Any, now: float) -> KafkaError | None:
        """Why this node's answer must not be believed; None if it may."""
        if not response.brokers:
            return MetadataEmptyBrokerList(f"{node.name} names no broker, itself included: it may be starting.")
        ours, theirs = self.snapshot.cluster_id, response.cluster_id
        if ours is None or theirs is None or ours == theirs:
            self._answered_by = node.id
            return None
        error = InconsistentClusterIdError(
            f"{node.name} belongs to the cluster {theirs!r}, but this client works with the cluster {ours!r}:"
            " nothing is sent there."
        )
        error.hint = "Check bootstrap_servers, and whether that address now belongs to another cluster."
        said = f"{node.name} {theirs}"
        if said not in self._refused:
            self._refused[said] = None
            self._owner.notice("warning", str(error))
        self.error = error
        if node.id in self.snapshot.brokers:
            brokers = {id: broker for id, broker in self.snapshot.brokers.items() if id != node.id}
            self._set_brokers(brokers)
            self._need(None, now)
            self._need_leaders({node.id})
        self._nodes.drop(node, error, now)
        return error

    def _patience_over(self, now: float) -> None:
        self._set_patience(now + self._config.rebootstrap_after)
        self._start_again(f"No broker has answered for {self._config.rebootstrap_after:g} s", now)
        self._plan(now)

    def _start_again(self, why: str, now: float) -> None:
        """Forgets the brokers, so that only the bootstrap servers are left to ask (KIP-899, KIP-1102).

        What is known of topics stays, and so do the batches and sequences of the produce path.
        """
        brokers = list(self.snapshot.brokers)
        if not brokers or now < self._restart_at:
            return
        if now - self._restart_at > _LONG_AGO * self._restarts.limit:
            self._restarted = 0
        self._restarted += 1
        self._restart_at = now + self._restarts.delay(self._restarted)
        error = RebootstrapRequiredError(f"{why}: the client starts again from its bootstrap servers.")
        self._owner.notice("warning", str(error))
        self._set_brokers({})
        self._needed[None] = None
        self._needed.update(dict.fromkeys(self.topics))
        for id in brokers:
            node = self._nodes.broker(id)
            if node is not None:
                self._nodes.drop(node, error, now)

    def _set_brokers(self, brokers: dict[int, BrokerInfo]) -> None:
        controller = self.snapshot.controller_id
        self.snapshot = self.snapshot._replace(
            brokers=MappingProxyType(brokers),
            controller_id=controller if controller in brokers else -1,
            version=self.snapshot.version + 1,
            touched=(),
        )

    def _set_patience(self, deadline: float | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = None if deadline is None else self._timers.at(deadline, self._patience_over)

    # -- idle topics -----------------------------------------------------------------------------------------------

    def _evict(self, now: float) -> None:
        """Forgets the topics that nobody has wanted for long; wanted again, they are asked for at once."""
        if now < self._evict_at:
            return
        idle_time = self._config.metadata_max_idle
        self._evict_at = now + idle_time / 10  # looking through all topics costs
        uses = self._owner.uses_topic
        self._forget([topic for topic, at in self.topics.items() if now - at >= idle_time and not uses(topic)])

    def _forget(self, topics: Collection[str]) -> None:
        if topics:
            self.snapshot = without(self.snapshot, topics)
        for topic in topics:
            del self.topics[topic]
            self._needed.pop(topic, None)
            self._fruitless.pop(topic, None)


def _alike(one: TopicInfo | None, other: TopicInfo | None) -> bool:
    if one is None or other is None:
        return one is other
    return one._replace(failing_since=None, as_of=0.0) == other._replace(failing_since=None, as_of=0.0)
