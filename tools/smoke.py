"""Tries an installed kafka-turbo: every module imports, and the codec works.

python tools/smoke.py FOLDER [EXTRA...]

FOLDER holds the environment that kafka must come from. kafka.metrics.EXTRA must refuse to be imported, and say how its
package is installed.
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
refused = {}
for name in modules:
    if name.endswith("__main__"):
        continue
    try:
        importlib.import_module(name)
    except ImportError as error:
        refused[name] = str(error)
assert refused.keys() == {f"kafka.metrics.{extra}" for extra in sys.argv[2:]}, refused
for name, why in refused.items():
    assert f"pip install 'kafka-turbo[{name.rpartition('.')[2]}]'" in why, why

from kafka import _codec  # noqa: E402

# The vector that Java's client has for this hash, where it is signed.
assert _codec.murmur2(b"21") == -973932308 & 0xFFFFFFFF
print(
    f"{len(modules) - len(refused)} modules of kafka-turbo {kafka.__version__} import under Python "
    f"{sys.version.split()[0]}{', which has no packages for ' if refused else ''}{', '.join(sys.argv[2:])}"
)
