"""Python processes with a client in them, which a test talks to."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]

PRELUDE = """
import faulthandler, gc, logging, os, signal, sys, threading, time
faulthandler.enable()
logging.basicConfig(level=logging.WARNING, format="LOG %(levelname)s %(message)s", stream=sys.stderr)
from kafka import KafkaProducer
sys.path.append('tests')
from reader import EARLIEST, LATEST, Reader
from kafka.errors import *
bootstrap = sys.argv[1]

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback; traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
"""


class Script:
    """A Python process that runs `code` after PRELUDE, whose `in_child(work)` calls `work` in the child of a fork."""

    def __init__(self, code: str, bootstrap: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(code), bootstrap],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """It waits in `sys.stdin.readline()`."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self, timeout: float = 30.0) -> tuple[str, str]:
        """What it printed and what it logged, once it has ended by itself with 0."""
        try:
            out, log = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # where does it hang?
            raise AssertionError(self.process.communicate()[1]) from None
        assert self.process.returncode == 0, log
        return out, log
