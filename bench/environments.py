"""What the benchmarks measure beside this client, each where it disturbs nobody: made under .cache/ on first use.

`Missing` says in one line what cannot be had on this machine.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
BENCH = ROOT / "bench"
BUILT = CACHE / "bench"
# The tests start Apache Kafka, and know where Java and its jars are.
sys.path.append(str(ROOT / "tests"))


class Missing(Exception):
    """Something that a candidate or a broker needs is not on this machine."""


def python_with(requirement: str) -> Path:
    """The python of an environment that has just this requirement (`name==version`)."""
    name = re.sub(r"\[.*\]", "", requirement).replace("==", "-")
    folder = CACHE / f"bench-{name}-{platform.python_version()}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists() or done.read_text() != requirement:
        print(f"installing {requirement}", file=sys.stderr)
        run("python", sys.executable, "-m", "venv", "--clear", folder)
        run("pip", python, "-m", "pip", "install", "-q", requirement)
        done.write_text(requirement)
    return python


def run(tool: str, *command: object, folder: Path = ROOT) -> str:
    if (program := shutil.which(str(command[0]))) is None:
        raise Missing(f"{command[0]} is not on PATH")
    done = subprocess.run([program, *map(str, command[1:])], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{tool} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def discarding_broker() -> Path:
    """The broker that discards, compiled."""
    source, program = BENCH / "discarding_broker.c", BUILT / "discarding_broker"
    if not up_to_date(program, source):
        whole(program, lambda path: run("cc", "cc", "-O2", "-pthread", source, "-o", path))
    return program


def franz_go() -> Path:
    """The program with franz-go, compiled."""
    folder, program = BENCH / "candidates" / "franz", BUILT / "franz"
    if not up_to_date(program, *folder.iterdir()):
        print("building the program with franz-go", file=sys.stderr)
        whole(program, lambda path: run("go build", "go", "build", "-o", path, ".", folder=folder))
    return program


def whole(path: Path, make: Callable[[Path], object]) -> None:
    """A file that appears once it is whole: another process may be making it at the same time, or have use for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        make(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def up_to_date(program: Path, *sources: Path) -> bool:
    return program.exists() and program.stat().st_mtime > max(source.stat().st_mtime for source in sources)


def java_tools() -> list[str]:
    """The command that runs one of Apache Kafka's tools, less the tool's name."""
    import kafka_jars

    try:
        java, classpath = kafka_jars.java(), kafka_jars.classpath()
    except kafka_jars.Unavailable as missing:
        raise Missing(str(missing)) from None
    settings = ROOT / "tests" / "broker" / "log4j2-tools.properties"
    return [str(java), f"-Dlog4j2.configurationFile={settings}", "-cp", classpath]


def version_of_franz_go() -> str:
    found = re.search(r"franz-go (v\S+)", (BENCH / "candidates" / "franz" / "go.mod").read_text())
    return found[1] if found else "unknown"
