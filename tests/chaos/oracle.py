"""What was handed to a producer, what it said about it, and what the brokers hold: do the three agree?

    ledger = Ledger()
    sender = ledger.sender("t", keys=[b"a", b"b"])     # one for each thread
    sender.send(producer)                              # again and again
    ...                                                # trouble
    ledger.check(producer's partition of a key, {("t", 0): [records in the order of their offsets], ...})

Each record carries who sent it and its number there. `check` knows of: a record that was reported as delivered and is
not there, or elsewhere than reported; one that is there twice; one in a wrong topic or partition; one before another
that the same sender handed over first; one that is there although its error says NOT_PERSISTED; a future that is not
resolved; bytes that nobody sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SHOWN = 10  # problems, of each kind


@dataclass(frozen=True)
class Found:
    """A record in a broker's log."""

    offset: int
    key: bytes | None
    value: bytes


@dataclass
class Sender:
    """The records of one thread, all to one topic; with `keys` each record has the next of them."""

    name: str
    topic: str
    keys: Sequence[bytes] | None
    futures: list[Any] = field(default_factory=list)

    def key(self, number: int) -> bytes | None:
        return self.keys[number % len(self.keys)] if self.keys else None

    def send(self, producer: Any) -> None:
        number = len(self.futures)
        self.futures.append(producer.send(self.topic, b"%s:%d" % (self.name.encode(), number), self.key(number)))


@dataclass
class Counts:
    """How the records ended."""

    sent: int = 0
    delivered: int = 0
    # Delivered, the answer lost: in the log, but where was not said.
    delivered_somewhere: int = 0
    not_persisted: int = 0
    possibly_persisted: int = 0
    possibly_persisted_and_there: int = 0


class Ledger:
    def __init__(self) -> None:
        self.senders: list[Sender] = []

    def sender(self, topic: str, keys: Sequence[bytes] | None = None) -> Sender:
        self.senders.append(Sender(f"s{len(self.senders)}", topic, keys))
        return self.senders[-1]

    def check(
        self, partition_of: Callable[[str, bytes], int], logs: Mapping[tuple[str, int], Sequence[Found]]
    ) -> Counts:
        """AssertionError with the first problems of each kind."""
        problems = _Problems()
        by_name = {sender.name: sender for sender in self.senders}
        # (sender, number) -> where it was found
        places: dict[tuple[str, int], tuple[int, int]] = {}
        for (topic, partition), log in logs.items():
            last: dict[str, int] = {}
            for found in log:
                name, _, digits = found.value.partition(b":")
                sender, number = by_name.get(name.decode(errors="replace")), int(digits) if digits.isdigit() else -1
                where = f"{topic}-{partition}@{found.offset}"
                if sender is None or not 0 <= number < len(sender.futures):
                    problems.add("nobody sent", f"{found.value[:40]!r} at {where}")
                    continue
                what = f"{sender.name}:{number}"
                if sender.topic != topic:
                    problems.add("in the wrong topic", f"{what} at {where} instead of {sender.topic}")
                if found.key != sender.key(number):
                    problems.add("with the wrong key", f"{what} at {where}, {found.key!r}")
                elif found.key is not None and partition != (right := partition_of(topic, found.key)):
                    problems.add("in the wrong partition", f"{what} at {where} instead of {right}")
                if (sender.name, number) in places:
                    problems.add("twice", f"{what} at {where} and {places[sender.name, number]}")
                elif number < last.get(sender.name, -1):
                    problems.add("out of order", f"{what} at {where} behind {last[sender.name]}")
                places[sender.name, number] = partition, found.offset
                last[sender.name] = max(number, last.get(sender.name, -1))
        counts = Counts()
        for sender in self.senders:
            for number, future in enumerate(sender.futures):
                self._judge(f"{sender.name}:{number}", future, places.get((sender.name, number)), counts, problems)
        problems.raise_any(counts)
        return counts

    @staticmethod
    def _judge(what: str, future: Any, place: tuple[int, int] | None, counts: Counts, problems: _Problems) -> None:
        counts.sent += 1
        if not future.is_done:
            problems.add("not resolved", what)
        elif future.succeeded():
            counts.delivered += 1
            said = future.value.partition, future.value.offset
            if place is None:
                problems.add("lost", f"{what}, delivered at {said}")
            elif said[1] < 0:
                counts.delivered_somewhere += 1
                if said[0] != place[0]:
                    problems.add("not where reported", f"{what} is at {place}, said to be at {said}")
            elif said != place:
                problems.add("not where reported", f"{what} is at {place}, said to be at {said}")
        else:
            # Printed: that is what users see of it, too.
            persisted = str(getattr(future.exception, "persisted", None))
            if "NOT_PERSISTED" in persisted:
                counts.not_persisted += 1
                if place is not None:
                    problems.add("there although NOT_PERSISTED", f"{what} at {place}: {future.exception!r}")
            elif "POSSIBLY_PERSISTED" in persisted:
                counts.possibly_persisted += 1
                counts.possibly_persisted_and_there += place is not None
            else:
                problems.add("failed without a word on .persisted", f"{what}: {future.exception!r}")


class _Problems:
    def __init__(self) -> None:
        self.kinds: dict[str, list[str]] = {}

    def add(self, kind: str, what: str) -> None:
        self.kinds.setdefault(kind, []).append(what)

    def raise_any(self, counts: Counts) -> None:
        lines = [
            f"{len(found)} {kind}: " + "; ".join(found[:SHOWN]) + ("; ..." if len(found) > SHOWN else "")
            for kind, found in self.kinds.items()
        ]
        assert not lines, "\n".join([str(counts), *lines])
