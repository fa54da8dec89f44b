"""The base of what `send()` and `send_many()` return, under the path of kafka-python."""

from kafka._codec import Future

__all__ = ["Future"]
