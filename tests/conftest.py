"""What all tests share. Fixtures live in `fix_*.py` beside this file; every such file is a plugin."""

from __future__ import annotations

import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
pytest_plugins = sorted(path.stem for path in HERE.glob("fix_*.py"))

# Background jobs of a shell, and so some CI runners, have Ctrl-C ignored, and what they start inherits that: programs
# that these tests start and interrupt would never notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("quick", parent=settings.get_profile("repeatable"), max_examples=20)
settings.register_profile(
    "long", deadline=None, max_examples=1_000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


def pytest_report_header() -> list[str]:
    import kafka
    import kafka._codec as codec
    from kafka.protocol._names import SCHEMA_VERSION

    return [
        f"kafka: {kafka.__version__} from {Path(kafka.__file__).parent}, schemas of Kafka {SCHEMA_VERSION}",
        f"codec: {Path(codec.__file__).name}",
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a real Kafka is required, a test of it that skips has failed."""
    from fix_kafka import kafka_is_required  # not above: pytest rewrites its plugins' assertions while it loads them

    report = yield
    if report.skipped and item.get_closest_marker("kafka") and kafka_is_required():
        report.outcome = "failed"
        report.longrepr = f"skipped although a real Kafka is required (CI or REQUIRE_KAFKA): {report.longrepr}"
    return report
