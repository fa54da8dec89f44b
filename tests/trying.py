"""`send` and `send_many` of a producer that otherwise waits: its future, or what it needs."""

from __future__ import annotations

from typing import Any

from kafka._codec import ProducerBase


def try_send(producer: ProducerBase, *arguments: Any, **options: Any) -> Any:
    return _without_waiting(producer, producer.send, *arguments, **options)


def try_send_many(producer: ProducerBase, *arguments: Any, **options: Any) -> Any:
    return _without_waiting(producer, producer.send_many, *arguments, **options)


def _without_waiting(producer: ProducerBase, method: Any, *arguments: Any, **options: Any) -> Any:
    waits, producer.waits = producer.waits, False
    try:
        return method(*arguments, **options)
    finally:
        producer.waits = waits
