"""What type checkers and editors are told of a client's arguments, and what its class says of them at run time."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import typing
from pathlib import Path
from unittest.mock import create_autospec

import pytest

import kafka
from kafka import KafkaConsumer, KafkaProducer
from kafka.config import ClientConfig
from kafka.config.described import described_by
from kafka.config.key import Key, boolean, milliseconds
from kafka.consumer.arguments import ConsumerArguments
from kafka.consumer.config import ConsumerConfig
from kafka.producer.arguments import ProducerArguments
from kafka.producer.config import ProducerConfig

SNIPPET = """
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.partitioner import DefaultPartitioner
from kafka.producer.arguments import ProducerArguments
from kafka.serializer import JsonSerializer


class Old:
    def serialize(self, topic: str, value: int) -> bytes:
        return b"%d" % value


class Between:
    def partition(self, topic: str, serialized_key: bytes | None, cluster: object) -> int:
        return 0


def choose(key: bytes | None, everything: list[int], available: list[int]) -> int:
    return everything[0]


KafkaProducer()
KafkaProducer(bootstrap_servers=["a:1", "b:2"], acks="all", linger_ms=0.5, retries=float("inf"), client_id=None)
KafkaProducer(value_serializer=JsonSerializer(), key_serializer=str.encode, partitioner=DefaultPartitioner())
KafkaProducer(value_serializer=Old(), key_serializer=lambda key: b"k", partitioner=Between())
KafkaProducer(partitioner="crc32", hooks=[object()], compression_type="zstd", api_version=(2, 5), acks=-1)
KafkaProducer(partitioner=choose, socket_options=[(6, 1, 1)], key_serializer=str.encode, value_serializer="json")
KafkaConsumer("t", "u", auto_offset_reset="earliest", value_deserializer=bytes.decode, isolation_level="read_committed")

whatever: dict[str, Any] = {"bootsrap_servers": 5}
KafkaProducer(**whatever)
arguments: ProducerArguments = {"linger_ms": 5, "acks": 1}
KafkaProducer(**arguments)

KafkaProducer(bootsrap_servers="localhost")  # refused
KafkaProducer(acks="al")  # refused
KafkaProducer(linger_ms="5")  # refused
KafkaProducer(batch_size=0.5)  # refused
KafkaProducer(compression_type="brotli")  # refused
KafkaProducer(partitioner="random")  # refused
KafkaProducer(value_serializer="yaml")  # refused
KafkaProducer("localhost:9092")  # refused
KafkaConsumer("t", isolation_level="committed")  # refused
KafkaConsumer("t", linger_ms=5)  # refused
KafkaConsumer(5)  # refused
misspelt: ProducerArguments = {"liger_ms": 5}  # refused
"""
REFUSED = [number for number, line in enumerate(SNIPPET.splitlines(), 1) if line.endswith("# refused")]


@pytest.fixture
def snippet(tmp_path: Path) -> Path:
    path = tmp_path / "snippet.py"
    path.write_text(SNIPPET)
    return path


def check(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "PYTHONDEVMODE")}
    environment["MYPYPATH"] = str(Path(kafka.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.slow
def test_mypy_refuses_what_the_constructor_does_and_nothing_else(snippet: Path) -> None:
    said = check("mypy", "--strict", "--config-file=", "--python-version=3.10", snippet, cwd=snippet.parent)
    assert sorted({int(n) for n in re.findall(r"^snippet.py:(\d+): error", said, re.MULTILINE)}) == REFUSED, said
    assert 'did you mean "bootstrap_servers"' in said


@pytest.mark.slow
def test_pyright_refuses_the_same(snippet: Path) -> None:
    settings = {
        "typeCheckingMode": "standard",
        "pythonVersion": "3.10",
        "extraPaths": [str(Path(kafka.__file__).parents[1])],
        "include": [snippet.name],
    }
    (snippet.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    said = check("basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", ".", cwd=snippet.parent)
    errors = [found for found in json.loads(said)["generalDiagnostics"] if found["severity"] == "error"]
    assert sorted({found["range"]["start"]["line"] + 1 for found in errors}) == REFUSED, said


def test_the_arguments_are_the_keys() -> None:
    assert list(ConsumerArguments.__annotations__) == list(ConsumerConfig.KEYS) == list(KafkaConsumer.DEFAULT_CONFIG)
    assert list(ProducerArguments.__annotations__) == list(ProducerConfig.KEYS) == list(KafkaProducer.DEFAULT_CONFIG)
    assert not ProducerArguments.__required_keys__


def test_the_signature_names_every_key_with_its_default() -> None:
    parameters = inspect.signature(KafkaProducer).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == KafkaProducer.DEFAULT_CONFIG
    assert parameters["linger_ms"].annotation == "float"
    assert typing.get_type_hints(KafkaProducer.__init__) == {"configs": typing.Any, "return": type(None)}
    first, *keys = inspect.signature(KafkaConsumer).parameters.values()
    assert (first.name, first.kind) == ("topics", inspect.Parameter.VAR_POSITIONAL)
    assert {key.name: key.default for key in keys} == KafkaConsumer.DEFAULT_CONFIG


def test_a_subclass_with_its_own_constructor_has_its_own_signature() -> None:
    class Alike(KafkaProducer):
        pass

    class Own(KafkaProducer):
        """Mine."""

        def __init__(self, name: str, **configs: typing.Any) -> None:
            super().__init__(client_id=name, **configs)

    assert inspect.signature(Alike) == inspect.signature(KafkaProducer)
    assert str(inspect.signature(Own)) == "(name: 'str', **configs: 'typing.Any') -> 'None'"
    assert Own.__doc__ == "Mine."


def test_the_docstring_says_what_each_key_does() -> None:
    said = inspect.getdoc(KafkaProducer)
    assert said is not None and said.startswith("Sends records to Kafka")
    for name, key in ProducerConfig.KEYS.items():
        assert f"\n    {name}: " in said
        assert " ".join(key.text.split()[:3]) in re.sub(r"\s+", " ", said)
    assert "linger_ms: a number of milliseconds, 0 or more; 0 by default. How long" in said
    assert max(map(len, said.splitlines())) <= 120
    assert "ssl_cafile: Not implemented." in said or ProducerConfig.KEYS["ssl_cafile"].implemented


def test_a_mock_with_its_specification() -> None:
    mock = create_autospec(KafkaProducer)
    producer = mock(bootstrap_servers="localhost")
    producer.send("t", b"v")
    with pytest.raises(TypeError):
        producer.flush(1, 2, 3)
    with pytest.raises(TypeError):
        mock("localhost")
    with pytest.raises(TypeError, match="bootsrap_servers"):
        mock(bootsrap_servers="localhost")
    with pytest.raises(TypeError, match="gruop_id"):
        create_autospec(KafkaConsumer)("t", gruop_id="g")
    create_autospec(KafkaConsumer)("t", "u", group_id="g")


def test_every_key_says_what_it_does_and_that_alone() -> None:
    for name, key in [*ProducerConfig.KEYS.items(), *ConsumerConfig.KEYS.items()]:
        assert key.name == name
        assert key.text.endswith(".") and len(key.text) < 450, name
        assert key.kind.hint and not key.kind.wanted.endswith("."), name
        if key.implemented:
            key.understood(key.default)


def test_a_client_may_change_what_it_inherits() -> None:
    class Config(ClientConfig):
        own = Key(boolean, False, "Its own.")
        request_timeout_ms = ClientConfig.request_timeout_ms.changed(default=5)
        connections_max_idle_ms = ClientConfig.connections_max_idle_ms.changed(kind=milliseconds(10), default=None)

    assert next(iter(Config.KEYS)) == "own" and Config.KEYS.keys() == {"own", *ClientConfig.KEYS}
    assert Config.request_timeout_ms.text == ClientConfig.request_timeout_ms.text
    assert Config({"connections_max_idle_ms": 7}).request_timeout_ms == 5
    assert ClientConfig({}).request_timeout_ms == 30000
    with pytest.raises(ValueError, match="connections_max_idle_ms must be a number of milliseconds from 0 to 10, not"):
        Config({"connections_max_idle_ms": 11})
    with pytest.raises(ValueError, match="None"):
        Config({})

    @described_by(Config)
    class Client:
        def __init__(self, **configs: typing.Any) -> None: ...

    assert inspect.signature(Client).parameters["own"].default is False
    assert "own: True or False; False by default. Its own." in (Client.__doc__ or "")
