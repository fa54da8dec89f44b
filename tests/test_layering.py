"""Who may import whom. Read from the source, so that an import inside a function counts too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Whoever imports one of these does IO, waits, takes locks, reads a clock, or cannot be repeated.
WORLD = ("socket", "select", "selectors", "ssl", "threading", "asyncio", "time", "datetime", "random", "os", "queue",
         "multiprocessing", "subprocess", "concurrent", "signal", "secrets", "uuid", "socketserver")  # fmt: skip
SOCKETS = ("socket", "select", "selectors", "ssl", "asyncio", "socketserver")

CLIENTS = ("kafka.producer", "kafka.consumer", "kafka.admin", "kafka.cli")

# (the modules it holds for, what they must not import, except where)
RULES: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("kafka", ("codegen", "tests", "bench", "tools"), ()),
    # kafka-python's defaults, which kafka.config repeats, name a selector class and socket options.
    ("kafka", SOCKETS, ("kafka.drivers", "kafka.testing", "kafka.security", "kafka.config")),
    ("kafka.core", WORLD, ()),
    (
        "kafka.core",
        ("kafka.client", "kafka.config", "kafka.drivers", *CLIENTS, "kafka.testing"),
        (),
    ),
    ("kafka.protocol", (*WORLD, "kafka.core", "kafka.drivers", "kafka.producer", "kafka.records"), ()),
    ("kafka.records", (*WORLD, "kafka.core", "kafka.drivers", "kafka.producer"), ()),
    ("kafka.result", ("kafka",), ()),
    ("kafka.errors", ("kafka.core", "kafka.protocol", "kafka.drivers", "kafka.producer", *WORLD), ()),
    ("kafka.drivers", ("kafka.client", "kafka.config", *CLIENTS, "kafka.testing"), ()),
    ("kafka.drivers", ("kafka._codec",), ()),  # what a client shares with its IO thread comes as a `Desk`
    ("kafka.drivers.base", WORLD, ()),
    ("kafka.config", ("kafka.client", "kafka.drivers", *CLIENTS, "kafka.testing"), ()),
    ("kafka.client", ("kafka._codec", *CLIENTS, "kafka.testing"), ()),
]  # fmt: skip


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted((root / "kafka").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(name: str, path: Path) -> Iterator[str]:
    """Every module this one imports, anywhere in it; `from a import b` counts as a.b."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text("utf-8"))
    for_type_checkers = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in for_type_checkers:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("__import__", "importlib.import_module"):
            yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def violations(root: Path) -> list[str]:
    found = []
    for name, path in modules(root):
        imported = list(imports(name, path))
        for layer, forbidden, except_in in RULES:
            if within(name, (layer,)) and not within(name, except_in):
                found += [f"{name} imports {what}" for what in imported if within(what, forbidden)]
    return found


def test_every_module_knows_only_the_layers_below() -> None:
    assert violations(ROOT) == []


def test_there_is_something_to_check() -> None:
    names = [name for name, _ in modules(ROOT)]
    assert "kafka.core.core" in names and "kafka.result" in names


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("kafka/core/x.py", "import time"),
        ("kafka/core/x.py", "from random import Random"),
        ("kafka/core/x.py", "def f():\n    import os.path"),
        ("kafka/core/x.py", "from ..drivers import threads"),
        ("kafka/core/x.py", "from kafka.testing import simulator"),
        ("kafka/core/x.py", "t = __import__('threading')"),
        ("kafka/protocol/x.py", "from kafka.core.core import Core"),
        ("kafka/protocol/x.py", "from kafka import core"),
        ("kafka/records/x.py", "import kafka.core.effects"),
        ("kafka/records/__init__.py", "from .. import core"),
        ("kafka/admin/x.py", "import socket"),
        ("kafka/producer/x.py", "import codegen.emit"),
        ("kafka/drivers/x.py", "from kafka.producer import KafkaProducer"),
        ("kafka/drivers/x.py", "from kafka._codec import Batch"),
        ("kafka/drivers/base.py", "import time"),
        ("kafka/client.py", "from kafka.producer.config import ProducerConfig"),
        ("kafka/client.py", "import socket"),
        ("kafka/config.py", "from kafka.client import Client"),
        ("kafka/producer/x.py", "import socket"),
        ("kafka/result.py", "from kafka.errors import KafkaError"),
    ],
)
def test_a_forbidden_import_is_seen(tmp_path: Path, module: str, line: str) -> None:
    path = tmp_path / module
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert len(violations(tmp_path)) >= 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("kafka/drivers/x.py", "import socket, threading, time"),
        ("kafka/testing/x.py", "import asyncio"),
        ("kafka/core/x.py", "from kafka.core.timers import Timers\nimport timeit_is_not_time"),
        ("kafka/core/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from random import Random"),
        ("kafka/producer/x.py", "import threading, time"),
    ],
)
def test_an_allowed_import_is_not(tmp_path: Path, module: str, line: str) -> None:
    path = tmp_path / module
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert violations(tmp_path) == []
