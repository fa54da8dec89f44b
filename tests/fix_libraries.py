"""Plugin: `hide("cramjam", ...)` makes the packages that compress look as if they were not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from kafka.records import libraries


@contextmanager
def hidden(*modules: str) -> Iterator[None]:
    try:
        with pytest.MonkeyPatch.context() as patch:
            for module in modules:
                patch.setitem(sys.modules, module, None)
            libraries.wanted.cache_clear()
            yield
    finally:
        libraries.wanted.cache_clear()


@pytest.fixture
def hide() -> Iterator[Callable[..., None]]:
    """Hides the named modules until the test ends."""
    with ExitStack() as stack:
        yield lambda *modules: stack.enter_context(hidden(*modules))
