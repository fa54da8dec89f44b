"""The place of the consumer."""

from __future__ import annotations

from typing import Any


class KafkaConsumer:
    """Not there yet: constructing it raises NotImplementedError."""

    def __init__(self, *topics: str, **configs: Any) -> None:
        raise NotImplementedError(
            "KafkaConsumer is not implemented yet in kafka-turbo; read with another client until it is."
        )

    # Instrumentation (OpenTelemetry's, say) wraps this by name, in programs that only produce too.
    def __next__(self) -> Any:
        raise NotImplementedError("KafkaConsumer is not implemented yet in kafka-turbo.")
