"""Plugin: the real Apache Kafka as fixtures, and what becomes of its tests where it cannot be had.

A test marked `kafka` needs it. Where Java or the jars are missing (kafka_jars.Unavailable) such tests are skipped, and
one line at the end says what is missing and how many were skipped; with CI=true or REQUIRE_KAFKA=1 the run fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import kafka_jars
import pytest
from broker.cluster import KafkaCluster

_FAILED = 1


class _Skips:
    """How many tests were skipped in this session, and for want of what."""

    def __init__(self) -> None:
        self.count = 0
        self.reason = ""


_SKIPS = pytest.StashKey[_Skips]()


def kafka_is_required() -> bool:
    return any(os.environ.get(name, "").lower() in ("1", "true") for name in ("CI", "REQUIRE_KAFKA"))


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[KafkaCluster]:
    """One Apache Kafka node for the whole session: name your topics after your test."""
    with KafkaCluster() as cluster:
        yield cluster


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kafka: needs the real Apache Kafka (Java and its jars, see kafka_jars.py)")
    config.stash[_SKIPS] = _Skips()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kafka") is None:
        assert "kafka_cluster" not in getattr(item, "fixturenames", ()), (
            "mark tests that use kafka_cluster with `kafka`"
        )
        return
    skips = item.config.stash[_SKIPS]
    if not skips.reason:  # a failed try may take minutes: one per session
        try:
            kafka_jars.java(), kafka_jars.classpath()
        except kafka_jars.Unavailable as error:
            skips.reason = str(error)
    if skips.reason:
        skips.count += 1
        pytest.skip(f"no Apache Kafka: {skips.reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash[_SKIPS].count and kafka_is_required() and session.exitstatus in (0, 5):
        session.exitstatus = _FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skips = config.stash[_SKIPS]
    if skips.count:
        required = kafka_is_required()
        end = ", and Kafka is required here (CI or REQUIRE_KAFKA is set): the run fails" if required else ""
        line = f"{skips.count} tests against Apache Kafka skipped: {skips.reason}{end}"
        terminalreporter.write_line(line, red=required, yellow=not required)
