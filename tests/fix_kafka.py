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


# Why there is no Kafka, once that is known. What tests found goes into their reports: they may run in other processes.
_REASON = pytest.StashKey[str]()
_PROPERTY = "no Apache Kafka"


def kafka_is_required() -> bool:
    return any(os.environ.get(name, "").lower() in ("1", "true") for name in ("CI", "REQUIRE_KAFKA"))


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[KafkaCluster]:
    """One Apache Kafka node for the whole session: name your topics after your test."""
    with KafkaCluster() as cluster:
        yield cluster


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kafka: needs the real Apache Kafka (Java and its jars, see kafka_jars.py)")
    config.stash[_REASON] = ""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kafka") is None:
        assert "kafka_cluster" not in getattr(item, "fixturenames", ()), (
            "mark tests that use kafka_cluster with `kafka`"
        )
        return
    stash = item.config.stash
    if not stash[_REASON]:  # a failed try may take minutes: one per process
        try:
            kafka_jars.java(), kafka_jars.classpath()
        except kafka_jars.Unavailable as error:
            stash[_REASON] = str(error)
    if stash[_REASON]:
        item.user_properties.append((_PROPERTY, stash[_REASON]))
        pytest.skip(f"{_PROPERTY}: {stash[_REASON]}")


def _skipped(terminalreporter: pytest.TerminalReporter) -> list[str]:
    """The reasons of the tests skipped for want of Kafka, one each."""
    setups = [report for reports in terminalreporter.stats.values() for report in reports if _is_setup(report)]
    return [reason for report in setups for name, reason in report.user_properties if name == _PROPERTY]


def _is_setup(report: object) -> bool:
    return isinstance(report, pytest.TestReport) and report.when == "setup"


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")  # none in a worker of pytest-xdist
    if reporter and kafka_is_required() and session.exitstatus in (0, 5) and _skipped(reporter):
        session.exitstatus = _FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = _skipped(terminalreporter)
    if skipped:
        required = kafka_is_required()
        end = ", and Kafka is required here (CI or REQUIRE_KAFKA is set): the run fails" if required else ""
        line = f"{len(skipped)} tests against Apache Kafka skipped: {skipped[0]}{end}"
        terminalreporter.write_line(line, red=required, yellow=not required)
