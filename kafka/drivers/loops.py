"""Waiting in an event loop of somebody else's, for what the IO thread brings."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any


def wait_in_loop(
    notify: Callable[[Callable[[], None]], bool], forget: Callable[[Callable[[], None]], None]
) -> Generator[Any, None, None]:
    """For `yield from` in an `__await__`: ends once what `notify` was given has been called, by whichever thread.

    `notify` returns False where there is nothing to wait for any more. `forget` is called with the same at the end,
    also where the wait was cancelled. Raises RuntimeError where no asyncio loop runs.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def end() -> None:
        if not over.done():  # cancelled, perhaps
            over.set_result(None)

    def release() -> None:
        try:
            loop.call_soon_threadsafe(end)
        except RuntimeError:  # it is closed, so nobody waits in it any more
            pass

    if notify(release):
        try:
            yield from over
        finally:
            forget(release)
