"""Hooks: what a client tells of itself while it works, event by event.

    class Watch:
        def on_broker_failing(self, event):
            alert(f"{event.broker}: {event.error}")

    producer = KafkaProducer(hooks=[Watch()])

A hook is any object with some of the methods of `Hooks`; there is nothing to inherit. Each gets one event, a named
tuple; later versions may add fields at its end. Hooks are called on the client's IO thread: while one runs nothing is
sent, so hand slow work to another thread, and do not wait for the client in there. One that raises is logged, at
most once a minute for each kind of event, and otherwise ignored. Events nobody has a method for cost nothing.
"""

from kafka.hooks.client import (
    Broker,
    BrokerFailing,
    BrokerRecovered,
    Connected,
    Disconnected,
    LeaderChanged,
    MetadataReceived,
    RequestSent,
    ResponseReceived,
    Throttled,
)
from kafka.hooks.consumer import OffsetsCommitted, Rebalanced, RecordsFetched
from kafka.hooks.dispatch import METHODS, Hooks, is_implemented, listeners
from kafka.hooks.log import LoggingHooks
from kafka.hooks.producer import BatchDelivered, BatchFailed, BatchRetried, BatchSent

__all__ = [
    "Broker",
    "Connected",
    "Disconnected",
    "BrokerFailing",
    "BrokerRecovered",
    "RequestSent",
    "ResponseReceived",
    "Throttled",
    "LeaderChanged",
    "MetadataReceived",
    "BatchSent",
    "BatchRetried",
    "BatchDelivered",
    "BatchFailed",
    "RecordsFetched",
    "OffsetsCommitted",
    "Rebalanced",
    "Hooks",
    "LoggingHooks",
    # for the clients
    "METHODS",
    "is_implemented",
    "listeners",
]
