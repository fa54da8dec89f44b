"""Who may import whom. Read from the source, Python and Cython, so that an import inside a function counts too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Whoever imports one of these does IO, waits, takes locks, reads a clock, or cannot be repeated.
WORLD = ("socket", "select", "selectors", "ssl", "threading", "asyncio", "time", "datetime", "random", "os", "queue",
         "multiprocessing", "subprocess", "concurrent", "signal", "secrets", "uuid", "socketserver")  # fmt: skip
SOCKETS = ("socket", "select", "selectors", "ssl", "asyncio", "socketserver")

CLIENTS = ("kafka.producer", "kafka.consumer", "kafka.admin", "kafka.cli")
# What C offers of the same. A lock of Python's C interface waits as well as any other.
C_WORLD = ("posix", "libc.time", "libc.signal", "cpython.pythread", "time.h", "sys/time.h", "sys/socket.h", "poll.h",
           "pthread.h", "unistd.h", "_thread", "_socket", "_random")  # fmt: skip

# (the modules it holds for, what they must not import, except where)
RULES: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("kafka", ("codegen", "tests", "bench", "tools"), ()),
    # kafka-python's defaults, which kafka.config repeats, name a selector class and socket options. The command line
    # waits for standard input, which is no socket of ours. A listener may have coroutines, which are run to their end.
    (
        "kafka",
        SOCKETS,
        (
            "kafka.drivers", "kafka.testing", "kafka.security", "kafka.config", "kafka.cli.streams",
            "kafka.consumer.membership",
        ),
    ),
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
    ("kafka.security", ("kafka.client", "kafka.config", "kafka.drivers", *CLIENTS, "kafka.testing"), ()),
    ("kafka.security", ("kafka.core",), ("kafka.security.sasl",)),  # which makes mechanisms of the core
    ("kafka.client", ("kafka._codec", *CLIENTS, "kafka.testing"), ()),
    ("kafka.leaving", ("kafka._codec", "kafka.client", *CLIENTS, "kafka.testing"), ()),
    # What the one extension `kafka._codec` is made of. Batches take their checksum from kafka.records, which is above:
    # that module only finds a C function of another package, and knows nothing of ours.
    *((native, (*WORLD, *C_WORLD, "kafka.protocol", "kafka.core", "kafka.drivers", "kafka.producer"), ())
      for native in ("kafka._codec", "kafka._native")),
    *((native, ("kafka.records",), ("kafka._native.produce.batch",)) for native in ("kafka._codec", "kafka._native")),
    ("kafka._native.produce.batch", ("kafka.records.compression", "kafka.records.batch", "kafka.records.builder"), ()),
    ("kafka.records.crc", ("kafka",), ()),
]  # fmt: skip


CYTHON = (".pyx", ".pxi", ".pxd")


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(path for path in (root / "kafka").rglob("*") if path.suffix in (".py", *CYTHON)):
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(name: str, path: Path) -> Iterator[str]:
    """Every module this one imports, anywhere in it; `from a import b` counts as a.b."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    if path.suffix in CYTHON:
        yield from cython_imports(path.read_text("utf-8"), package)
        return
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
            base = absolute("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("__import__", "importlib.import_module"):
            yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))


def absolute(module: str, package: str) -> str:
    """The whole name of a module that `from` names, perhaps with leading dots."""
    level = len(module) - len(module.lstrip("."))
    if not level:
        return module
    up = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*up, *filter(None, [module[level:]])])


STRING_OR_COMMENT = re.compile(
    r"""(?s:(?P<long>\"{3}|'{3}).*?(?P=long))|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*"""
)


def cython_imports(text: str, package: str) -> Iterator[str]:
    """The same of Cython's text, which `ast` cannot read: `import` and `cimport`, and the C headers it includes."""
    yield from re.findall(r"""(?:__import__|import_module)\(\s*["']([\w.]+)""", text)
    yield from re.findall(r"""extern\s+from\s+["']<?([\w./]+)""", text)
    yield from re.findall(r"""#[ \t]*include[ \t]*[<"]([\w./]+)""", text)
    code = STRING_OR_COMMENT.sub("", text).replace("\\\n", " ")
    for base, names in re.findall(r"\bfrom[ \t]+([\w.]+)[ \t]+c?import[ \t]*(\([^)]*\)|[^\n;]*)", code):
        for name in names.strip("()").split(","):
            if name.strip():
                yield f"{absolute(base, package)}.{name.split()[0]}"
    for names in re.findall(r"(?m)(?:^|[;:])[ \t]*c?import[ \t]+([^\n;]+)", code):
        yield from (name.split()[0] for name in names.split(","))


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


def test_nothing_in_the_core_imports_itself_in_a_circle() -> None:
    """Names that only type checkers need do not count."""
    known = dict(modules(ROOT))
    core = {name: path for name, path in known.items() if name.startswith("kafka.core")}
    graph: dict[str, set[str]] = {}
    for name, path in core.items():
        targets = set()
        for imported in imports(name, path):
            # `from a import b` is of the module a.b, or of b in the module a
            targets.add(imported if imported in core else imported.rpartition(".")[0])
        graph[name] = (targets & core.keys()) - {name}
    assert len(graph) > 30 and sum(map(len, graph.values())) > 60
    while leaves := [name for name, targets in graph.items() if not targets]:
        for leaf in leaves:
            del graph[leaf]
        for targets in graph.values():
            targets.difference_update(leaves)
    assert graph == {}, "these import each other"


def test_there_is_something_to_check() -> None:
    names = [name for name, _ in modules(ROOT)]
    assert "kafka.core.core" in names and "kafka.result" in names
    assert {"kafka._codec", "kafka._native.produce.batch", "kafka._native.host", "kafka.drivers._turn"} <= {*names}


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
        ("kafka/config/__init__.py", "from kafka.client import Client"),
        ("kafka/security/x.py", "from kafka.drivers.tls import Session"),
        ("kafka/producer/x.py", "import socket"),
        ("kafka/result.py", "from kafka.errors import KafkaError"),
        ("kafka/_codec.pyx", "import threading"),
        ("kafka/_codec.pyx", "cimport posix.time"),
        ("kafka/_native/wire/x.pxi", "from kafka.protocol import request_class"),
        ("kafka/_native/wire/x.pxi", "cdef f():\n    if True: from kafka.protocol.header import (\n        A,\n    )"),
        ("kafka/_native/wire/x.pxi", 'def f():\n    """Docstring."""; import kafka.records as r'),
        ("kafka/_native/produce/x.pxi", "from _thread import allocate_lock"),
        ("kafka/_native/produce/x.pxi", "from cpython.pythread cimport PyThread_get_thread_ident"),
        ("kafka/_native/produce/x.pxi", 'cdef extern from "<time.h>" nogil:\n    int time(void *)'),
        ("kafka/_native/produce/x.pxi", 'cdef extern from *:\n    """\n    #include <sys/socket.h>\n    """'),
        ("kafka/_native/produce/x.pxi", "t = __import__('time')"),
        ("kafka/_native/produce/x.pxi", "from kafka.records.crc import crc32c"),
        ("kafka/_native/produce/batch.pxi", "from kafka.records.compression import compress"),
        ("kafka/_native/x.pxd", "from kafka.drivers._turn cimport Turn"),
        ("kafka/drivers/x.pyx", "from kafka.producer cimport producer"),
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
        ("kafka/_native/x.pxi", '"""\nimport time\n"""\n# import time\nx = "import time"\nraise E from e\n'),
        ("kafka/_native/produce/batch.pxi", "from kafka.records.crc import crc32c"),
        ("kafka/drivers/x.pyx", "import os\nfrom posix.time cimport clock_gettime"),
    ],
)
def test_an_allowed_import_is_not(tmp_path: Path, module: str, line: str) -> None:
    path = tmp_path / module
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert violations(tmp_path) == []
