"""Tries an installed kafka-turbo: every module imports, and the codec works.

python tools/smoke.py FOLDER    where FOLDER holds the environment that kafka must come from
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import sys
from pathlib import Path

import kafka

installed = Path(kafka.__file__).resolve()
assert installed.is_relative_to(Path(sys.argv[1]).resolve()), f"kafka came from {installed}"
assert kafka.__version__ == importlib.metadata.version("kafka-turbo")
assert (installed.parent / "py.typed").exists()

modules = [module.name for module in pkgutil.walk_packages(kafka.__path__, "kafka.")]
for name in modules:
    if not name.endswith("__main__"):
        importlib.import_module(name)

from kafka import _codec  # noqa: E402

# The vector that Java's client has for this hash, where it is signed.
assert _codec.murmur2(b"21") == -973932308 & 0xFFFFFFFF
print(f"{len(modules)} modules of kafka-turbo {kafka.__version__} import under Python {sys.version.split()[0]}")
