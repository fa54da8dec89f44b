"""What a client's core tells of itself, and to whom: the metrics, then the hooks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from kafka.core.events import Listeners

if TYPE_CHECKING:
    from kafka.client import Client
    from kafka.config import ClientConfig
    from kafka.metrics.client import ClientMetrics

    C = TypeVar("C", bound=Client)
    M = TypeVar("M", bound=ClientMetrics)
else:
    C, M = TypeVar("C"), TypeVar("M")

# name -> (description, what it is at a time in seconds)
Gauges = Mapping[str, tuple[str, Callable[[C, float], float]]]


def observed(
    client: C, config: ClientConfig, load: Callable[[], Callable[..., M]], gauges: Gauges[C]
) -> tuple[M | None, Listeners]:
    """The metrics of a client, None where it is to have none, and what its core is to call.

    `load` gives the class of the metrics; without them nothing of it is imported.
    """
    if not config.metrics_enabled and not config.hooks:
        return None, Listeners()
    from kafka.hooks import listeners

    metrics = None
    if config.metrics_enabled:
        metrics = load()(
            _read_off(client, {**_GAUGES, **gauges}),
            samples=config.metrics_num_samples,
            window=config.metrics_sample_window_ms / 1000,
            tags={"client-id": config.client_id},
            reporters=[make() for make in config.metric_reporters],
        )
    return metrics, listeners(config.hooks, metrics)


_GAUGES: dict[str, tuple[str, Callable[[Any, float], float]]] = {
    "requests-in-flight": (
        "Requests that brokers have not answered.",
        lambda client, now: sum(health.in_flight for health in client._core.health(now)),
    ),
    "connection-count": (
        "Connections that are up.",
        lambda client, now: client._core.nodes.connection_count(),
    ),
    "metadata-age": (
        "Seconds since the newest metadata came; infinite before.",
        lambda client, now: now - client._core.snapshot.time,
    ),
}


def _read_off(client: C, gauges: Gauges[C]) -> dict[str, tuple[str, Callable[[float], float]]]:
    """Metrics that are read off the client. They must not keep it alive, for reporters keep them."""
    me = weakref.ref(client)

    def read(look: Callable[[C, float], float]) -> Callable[[float], float]:
        def value(now: float) -> float:
            client = me()
            return look(client, now) if client is not None else float("nan")

        return value

    return {name: (description, read(look)) for name, (description, look) in gauges.items()}
