"""Inside uWSGI, which runs no thread between requests and tells nobody of its forks, unless it is told to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import types
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from compat.environment import OUR_PATH, OURS, python_with

from kafka.drivers import forks
from kafka.errors import IllegalStateError
from kafka.testing import EmbeddedCluster

APP = Path(__file__).with_name("scripts") / "uwsgi_app.py"


def answer(bootstrap: str, *options: str, early: bool = False) -> str:
    """What the application answers, or what uWSGI says where it ends before."""
    home = python_with("pyuwsgi==2.0.30.post1", *OURS).parents[1]
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environ = {**os.environ, "PYTHONPATH": OUR_PATH, "KAFKA_BROKERS": bootstrap}
    if early:
        environ["KAFKA_EARLY"] = "1"
    server = ["--http-socket", address, "--venv", home, "--pythonpath", OUR_PATH, "--wsgi-file", APP, "--need-app"]
    with subprocess.Popen(
        [home / "bin" / "uwsgi", *server, "--die-on-term", *options],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            for _ in range(300):
                try:
                    with urllib.request.urlopen(f"http://{address}/", timeout=30) as response:
                        return response.read().decode()
                except (urllib.error.URLError, ConnectionError):
                    if process.poll() is not None:
                        break
                    time.sleep(0.1)
        finally:
            process.kill()
            said = process.communicate()[0]
    return said


@pytest.fixture(scope="module")
def bootstrap() -> Any:
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        yield cluster.bootstrap


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        ["--enable-threads"],
        ["--threads", "2"],
        ["--enable-threads", "--master", "--processes", "2"],
        ["--enable-threads", "--master", "--py-call-uwsgi-fork-hooks"],
        ["--enable-threads", "--master", "--lazy-apps"],
    ],
    ids=" ".join,
)
def test_it_sends(bootstrap: str, options: list[str], early: bool) -> None:
    assert answer(bootstrap, *options, early=early).startswith("offset ")


def test_without_threads_the_error_says_what_to_do(bootstrap: str) -> None:
    assert answer(bootstrap).startswith("IllegalStateError")
    assert "Start it with --enable-threads" in answer(bootstrap, early=True)


def test_without_a_way_to_hear_of_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    uwsgi = types.SimpleNamespace(opt={"enable-threads": b"true"}, masterpid=lambda: 1, worker_id=lambda: 0)
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    monkeypatch.setitem(sys.modules, "uwsgidecorators", None)
    with pytest.raises(IllegalStateError, match="--py-call-uwsgi-fork-hooks"):
        forks.prepare("KafkaProducer")
    uwsgi.opt["py-call-uwsgi-fork-hooks"] = True
    forks.prepare("KafkaProducer")
    uwsgi.opt["enable-threads"] = b"0"
    with pytest.raises(IllegalStateError, match="--enable-threads"):
        forks.prepare("KafkaProducer")
