"""`python -m kafka.testing`: a broker in a process of its own, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from testing.wire import Peer, batch, produce

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def broker(*arguments):
    """(process, bootstrap address)."""
    command = [sys.executable, "-m", "kafka.testing", *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, **pipes) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def ends(process):
    """What it wrote besides its address, after it ended with 0."""
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    return out + err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(number, tmp_path):
    with broker("--nodes", 2, "--topics", "a:3", "b", "--folder", tmp_path) as (process, bootstrap):
        first, second = bootstrap.split(",")
        assert re.fullmatch(r"127\.0\.0\.1:\d+", first) and first != second
        with Peer(first) as peer:
            assert produce(peer, "a", 0, batch(b"v"))[0] in (0, 6)
            process.send_signal(number)
            assert ends(process) == ""
    assert {path.name for path in tmp_path.iterdir()} == {"meta.properties", "a-0", "a-1", "a-2", "b-0"}


def test_the_end_of_standard_input_ends_it():
    with broker("--until-eof", "--discard", "--topics", "t") as (process, bootstrap):
        with Peer(bootstrap) as peer:
            assert produce(peer, "t", 0, batch(b"v")) == (0, 0)
        assert process.poll() is None
        assert ends(process) == ""


def test_without_being_asked_it_outlives_its_standard_input():
    with broker() as (process, bootstrap):
        process.stdin.close()
        process.stdin = None
        with Peer(bootstrap) as peer:
            assert produce(peer, "t", 0, batch(b"v"))[0] == 3
        assert process.poll() is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--topics", "a b"), 2, "'a b' is no NAME or NAME:PARTITIONS"),
        (("--topics", "a:0"), 2, "'a:0' is no NAME or NAME:PARTITIONS"),
        (("--discard", "--folder", "x"), 2, "not allowed with"),
        (("--nodes", "0"), 1, "a cluster needs a node at least, not 0"),
        (("--folder", "/dev/null/x"), 1, "Not a directory"),
    ],
)
def test_wrong_arguments(arguments, code, message):
    with broker(*arguments) as (process, _):
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert message in err and "Traceback" not in err


def test_a_taken_port_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken, broker("--port", taken.getsockname()[1]) as (process, _):
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1 and "in use" in err and err.count("\n") == 1


def test_a_damaged_folder_is_said(tmp_path):
    with broker("--topics", "t", "--folder", tmp_path) as (process, bootstrap):
        with Peer(bootstrap) as peer:
            assert produce(peer, "t", 0, batch(b"v")) == (0, 0)
        process.send_signal(signal.SIGTERM)
        ends(process)
    log = tmp_path / "t-0" / "00000000000000000000.log"
    log.write_bytes(log.read_bytes()[:-1] + b"?")
    with broker("--folder", tmp_path) as (process, _):
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1 and "t[0] at offset 0" in err and err.count("\n") == 1
