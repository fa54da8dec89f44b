"""CRC-32C, the checksum of record batches, from the `crc32c` package's C extension."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from types import ModuleType


def _load() -> ModuleType:
    """The module `crc32c._crc32c`, without its package.

    Importing the package reads its own version through importlib.metadata, which takes 50 to 90 ms; the extension
    alone takes less than 1. Where it cannot be found the usual way, the package is imported after all.
    """
    if "crc32c" not in sys.modules:
        package = PathFinder.find_spec("crc32c")
        if package is not None and package.submodule_search_locations:
            spec = PathFinder.find_spec("crc32c._crc32c", package.submodule_search_locations)
            if spec is not None and spec.loader is not None:
                module = spec.loader.create_module(spec)
                if module is not None:
                    spec.loader.exec_module(module)
                    return module
    import crc32c

    return crc32c


#: `crc32c(data, value=0) -> int`: the CRC-32C of a bytes-like object, or, given that of what comes before it, of both.
crc32c: Callable[..., int] = _load().crc32c
