import os
import subprocess
import sys
from pathlib import Path

import pytest

import kafka

TWICE = "from kafka._installed import warn_if_overwritten as warn\nfor _ in range(2): warn()"


def run_beside(tmp_path, *names, record=None):
    for name in names:
        (tmp_path / name).mkdir()
        if record is not None:
            (tmp_path / name / "RECORD").write_text(record)
    (tmp_path / "kafka").symlink_to(Path(kafka.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-S", "-c", TWICE],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("kafka_python-3.0.12.dist-info", "kafka-python"),
        ("kafka_python-2.0.2-py3.11.egg-info", "kafka-python"),
        ("kafka_python_ng-2.2.3.dist-info", "kafka-python-ng"),
        ("kafka-1.3.5.dist-info", "kafka"),
        ("kafka-1.3.5-py3.11.egg-info", "kafka"),
    ],
)
def test_one_warning_with_the_two_commands_that_repair_it(tmp_path, entry, name):
    said = run_beside(tmp_path, entry)
    assert said.count("RuntimeWarning") == 1
    assert f"pip uninstall -y {name} kafka-turbo\n" in said
    assert "pip install kafka-turbo\n" in said
    assert "docs/migration.md" in said


def test_silent_in_an_environment_of_its_own(tmp_path):
    others = (
        "kafka_python_helpers-1.0.dist-info",
        "kafka_python",
        "kafka_logger-0.1.dist-info",
        "kafka-turbo.dist-info",
    )
    assert run_beside(tmp_path, "kafka_turbo-1.0.dist-info", *others) == ""


FILES = "kafka/__init__.py,sha256=x,1\n"
OWN = "kafka_python-3.0.12.dist-info/METADATA,sha256=x,1\nkafka_python-3.0.12.dist-info/RECORD,,\n"


def test_silent_beside_a_distribution_of_that_name_that_has_no_files(tmp_path):
    assert run_beside(tmp_path, "kafka_python-3.0.12+turbo.1.dist-info", record=OWN) == ""


@pytest.mark.parametrize(
    "name", ["kafka_python-3.0.12.dist-info", "kafka_python_ng-2.2.3.dist-info", "kafka-1.3.5.dist-info"]
)
def test_a_warning_beside_one_that_has_files(tmp_path, name):
    assert run_beside(tmp_path, name, record=OWN + FILES).count("RuntimeWarning") == 1
