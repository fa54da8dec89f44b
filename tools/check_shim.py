"""Builds the shim (shim/, see docs/migration.md) into dist/private/ and tries it beside the wheel in dist/.

In an empty environment without an index: a package that requires kafka-python is installed, and nothing else is
fetched; `pip check` agrees; a client finds nothing to warn of.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# As packages on PyPI put it.
REQUIREMENTS = ("kafka-python", "kafka-python>=2.0,<4", "kafka-python==3.0.12", "kafka-python[lz4,snappy]~=3.0")
TRY = """
import importlib.metadata, sys, kafka
from kafka._installed import warn_if_overwritten
warn_if_overwritten()
assert kafka.__file__.startswith(sys.prefix), kafka.__file__
assert kafka.__version__ == importlib.metadata.version("kafka-turbo")
assert not [file for file in importlib.metadata.files("kafka-python") if ".dist-info" not in str(file)]
kafka.KafkaProducer
"""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def requiring(folder: Path) -> Path:
    """The wheel of a package that requires kafka-python."""
    name = "needs_kafka_python-1.0"
    wheel = folder / f"{name}-py3-none-any.whl"
    requires = "".join(f"Requires-Dist: {requirement}\n" for requirement in REQUIREMENTS)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: needs-kafka-python\nVersion: 1.0\n{requires}"
        )
        archive.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}.dist-info/RECORD", "")
    return wheel


def main() -> int:
    started = time.monotonic()
    private = DIST / "private"
    shutil.rmtree(private, ignore_errors=True)
    [wheel] = DIST.glob(f"kafka_turbo-*-cp{sys.version_info[0]}{sys.version_info[1]}-*.whl")
    with tempfile.TemporaryDirectory(prefix="kafka-turbo-shim-") as folder:
        outside = Path(folder)
        # A copy: what building leaves behind is not for the checkout.
        source = shutil.copytree(ROOT / "shim", outside / "shim")
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", private, source]
        built = subprocess.run(build, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if built.returncode:
            print(built.stdout)
            return 1
        [shim] = private.glob("kafka_python-*.whl")
        run(sys.executable, "-m", "venv", outside / "venv")
        python = outside / "venv" / "bin" / "python"
        pip = (python, "-m", "pip")
        run(*pip, "install", "-q", wheel, "cramjam", cwd=outside)
        run(*pip, "install", "-q", "--no-index", shim, cwd=outside)
        run(*pip, "install", "-q", "--no-index", requiring(outside), cwd=outside)
        run(*pip, "check", cwd=outside)
        run(python, "-W", "error", "-c", TRY, cwd=outside)
    print(f"{shim.name} stands for kafka-python beside {wheel.name}; {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
