"""How many requests a connection is worth filling with.

A broker works on one request of a connection at a time. What is sent beyond the next one or two only waits there, and
with it whatever comes after on that connection; on a slow cluster five full requests are a second of it (measured),
without a record more getting through. So the number in flight falls while answers take longer than an unhurried one by
more than DELAY, and rises while they do not. Over a long line they all take long, waiting or not: there it stays high.
"""

from __future__ import annotations

DELAY = 0.1  # seconds that a request may wait at the broker behind those before it


class Window:
    __slots__ = ("limit", "_most", "_unhurried", "_changed")

    def __init__(self, most: int) -> None:
        self.limit = most
        self._most = most
        self._unhurried = float("inf")  # seconds an answer takes where nothing is in its way
        self._changed = float("-inf")

    def answered(self, sent: float, in_flight: int, now: float) -> None:
        """A request sent at `sent`, then one of `in_flight`, has its answer."""
        took = now - sent
        if took < self._unhurried:
            self._unhurried = took
        elif in_flight == 1:  # nothing was before it: the broker or the way to it has become slower
            self._unhurried += (took - self._unhurried) / 4
        if sent < self._changed:
            return  # it tells of the limit before
        if took > self._unhurried + DELAY:
            if self.limit > 1:
                self.limit -= 1
                self._changed = now
        elif in_flight >= self.limit < self._most:
            self.limit += 1
            self._changed = now
