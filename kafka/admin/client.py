"""The place of the admin client."""

from __future__ import annotations

from typing import Any


class KafkaAdminClient:
    """Not there yet: constructing it raises NotImplementedError."""

    def __init__(self, **configs: Any) -> None:
        raise NotImplementedError(
            "KafkaAdminClient is not implemented yet in kafka-turbo; use another client or Kafka's tools until it is."
        )
