"""From the events of the core to the methods of hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kafka._log import Log, Repeats
from kafka.core.events import Listeners
from kafka.hooks import client, consumer, producer

log = Log("kafka.hooks")


class Hooks(client.ClientHooks, producer.ProducerHooks, consumer.ConsumerHooks):
    """Every method that a hook may have. Inherit from it for the sake of type checkers, or do not.

    Only the methods that a hook's class overrides, or an unrelated class has, are called.
    """


_EVENTS = {**client.EVENTS, **producer.EVENTS, **consumer.EVENTS}
METHODS = tuple(method for method, _ in _EVENTS.values())


def listeners(hooks: Sequence[object], recorder: object | None = None) -> Listeners:
    """What the core is to call: the methods of `recorder` (named as the events), then those of the hooks."""
    made = Listeners()
    for event, (method, as_events) in _EVENTS.items():
        calls = [_Guarded(hook, method) for hook in hooks if is_implemented(hook, method)]
        record = getattr(recorder, event, None)
        if calls:
            setattr(made, event, _fan_out(record, as_events, calls))
        elif record is not None:
            setattr(made, event, record)
    return made


def is_implemented(hook: object, method: str) -> bool:
    """Whether a hook wants this event: it has the method, not just the empty one of `Hooks`."""
    found = getattr(hook, method, None)
    return callable(found) and getattr(type(hook), method, None) is not getattr(Hooks, method)


def _fan_out(record: Callable[..., None] | None, as_events: Callable[..., Any], calls: list[_Guarded]) -> Any:
    def tell(*args: Any) -> None:
        if record is not None:
            record(*args)
        events = as_events(*args)
        for event in events if type(events) is list else (events,):
            for call in calls:
                call(event)

    return tell


class _Guarded:
    """A hook's method. What it raises goes to the log, and no further."""

    __slots__ = ("_hook", "_method", "_repeats")

    def __init__(self, hook: object, method: str) -> None:
        self._hook = hook
        self._method = method
        self._repeats = Repeats()

    def __call__(self, event: Any) -> None:
        try:
            getattr(self._hook, self._method)(event)
        except BaseException:  # on the IO thread, where there is nothing that sys.exit() could end
            left_out = self._repeats.due("")
            if left_out is not None:
                log.exception("the hook %s.%s raised%s", type(self._hook).__name__, self._method, left_out)
