"""The first look at a cluster: its brokers, and whether one of them is reached where it says it is."""

from __future__ import annotations

from kafka.core.cluster.calls import Calls
from kafka.core.cluster.metadata import Metadata
from kafka.core.cluster.routes import ADVERTISED, ANY
from kafka.core.cluster.snapshot import Snapshot
from kafka.core.config import Config
from kafka.errors import KafkaError
from kafka.protocol import ApiVersionsRequest, MetadataRequest
from kafka.result import Err, Ok, Result


async def bootstrap(
    calls: Calls, metadata: Metadata, config: Config, now: float, timeout: float
) -> Result[Snapshot, KafkaError]:
    deadline = now + timeout
    answer, now = await calls.ask(
        ANY, MetadataRequest, lambda version: MetadataRequest(topics=[]), timeout,
        patience=config.bootstrap_patience, name="Asking the bootstrap servers for the cluster's brokers",
        refuse=metadata.refuse,
    )  # fmt: skip
    if isinstance(answer, Err):
        return answer
    metadata.learn(answer.value.response, answer.value.version, now)
    reached, now = await calls.ask(
        ADVERTISED, ApiVersionsRequest, lambda version: ApiVersionsRequest(), max(deadline - now, 0.0),
        patience=config.bootstrap_patience, name="Reaching a broker by the address it advertises",
        newest=2,  # from version 3 on brokers refuse an empty software name
    )  # fmt: skip
    return reached if isinstance(reached, Err) else Ok(metadata.snapshot)
