"""Workers of Celery and gunicorn that end, with a producer that nobody closed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from compat.environment import OUR_PATH, OURS, python_with

from kafka.testing import EmbeddedCluster

PROGRAMS = Path(__file__).with_name("programs")
CELERY = (*OURS, "celery==5.7.0", "gevent==26.9.0")
GUNICORN = (*OURS, "gunicorn==27.0.1", "packaging", "gevent==26.9.0")
RECORDS = 90


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def values(cluster: EmbeddedCluster) -> list[bytes]:
    return sorted(record.value or b"" for record in cluster.records("t", 0))


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_celery(pool: str, tmp_path: Path) -> None:
    """Those of process pools are replaced after every 20 tasks, too."""
    folder = tmp_path / "box"
    folder.mkdir()
    done = tmp_path / "done"
    python = python_with(*CELERY)
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        env = {**os.environ, "BOOTSTRAP": cluster.bootstrap, "CELERY_FOLDER": str(folder)}
        env["PYTHONPATH"] = f"{OUR_PATH}:{PROGRAMS}"
        ask = f"import worker_tasks\nfor number in range({RECORDS}): worker_tasks.task.delay(number)"
        subprocess.run([python, "-c", ask], env=env, check=True, timeout=60)
        command = [python, "-m", "celery", "-A", "worker_tasks", "worker", "-c", "2", "-l", "WARNING", "-P", pool]
        worker = subprocess.Popen(command, env=env)
        try:
            until(lambda: done.exists() and len(done.read_text().split()) == RECORDS)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()
        assert values(cluster) == sorted(str(number).encode() for number in range(RECORDS))


@pytest.mark.parametrize("options", [[], ["--preload"], ["-k", "gthread", "--threads", "4"], ["-k", "gevent"]])
def test_gunicorn(options: list[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        env = {**os.environ, "BOOTSTRAP": cluster.bootstrap, "PYTHONPATH": f"{OUR_PATH}:{PROGRAMS}"}
        command = [python_with(*GUNICORN), "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-w", "2"]
        server = subprocess.Popen([*command, "--max-requests", "20", *options, "worker_tasks:wsgi"], env=env)

        def answers(path: str) -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
                    return bool(answer.read() == b"ok")
            except OSError:  # not there yet, or a worker that is about to end
                return False

        try:
            for number in range(RECORDS):
                until(lambda path=str(number): answers(path))  # type: ignore[misc]
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
        finally:
            server.kill()
        assert set(values(cluster)) == {b"/%d" % number for number in range(RECORDS)}
