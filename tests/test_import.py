import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import kafka

BUDGET = 0.060
# What the bare interpreter takes where the budget was set. On a machine that is slower, or busy with other tests, both
# take longer: there the proportion decides.
BARE = 0.013
CLIENTS = "from kafka import KafkaProducer, KafkaConsumer; KafkaProducer.send, KafkaConsumer.__next__"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Runs this Python with arguments. Bytecode is kept, as in an installation, whatever the settings here."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(kafka.__file__).parents[1]),
        "PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode")),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=60
        )

    return run


@pytest.mark.timing
def test_importing_both_clients_costs_at_most_60_ms(python):
    def seconds(code):
        # Processor time: other work on the machine, which tests run beside, stretches it far less than the clock's.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python("-c", code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    seconds(CLIENTS)  # writes the bytecode
    pairs = [(seconds("pass"), seconds(CLIENTS)) for _ in range(15)]
    extra = min(clients for _, clients in pairs) - min(bare for bare, _ in pairs)
    proportion = statistics.median(clients / bare - 1 for bare, clients in pairs)
    assert extra <= BUDGET or proportion <= BUDGET / BARE, (
        f"{extra * 1000:.0f} ms, {proportion:.1f} times a bare interpreter; the dearest modules, in ms of their own:\n"
        f"{culprits(python)}"
    )


def culprits(python):
    report = python("-X", "importtime", "-c", CLIENTS).stderr
    lines = [line.split("|") for line in report.splitlines()[1:] if line.startswith("import time:")]
    costs = [(int(own.rpartition(":")[2]) / 1000, name.strip()) for own, _, name in lines]
    return "\n".join(f"{cost:7.1f} {name}" for cost, name in sorted(costs, reverse=True)[:15])


def test_the_report_names_the_dearest_modules(python):
    assert culprits(python).count("\n") == 14


def test_import_kafka_alone_loads_nothing_more(python):
    loaded = json.loads(python("-c", "import sys, kafka, json; print(json.dumps(sorted(sys.modules)))").stdout)
    assert [name for name in loaded if name.startswith("kafka")] == ["kafka", "kafka.version"]


@pytest.mark.parametrize("name", kafka.__all__)
def test_every_public_name_is_there(name):
    assert getattr(kafka, name) is not None
    assert name in dir(kafka)


@pytest.mark.parametrize("name", sorted(kafka._MODULES))
def test_submodules_are_attributes_without_an_import_of_their_own(python, name):
    assert python("-c", f"import kafka; print(kafka.{name}.__name__)").stdout == f"kafka.{name}\n"


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="'kafka' has no attribute 'nothing'"):
        _ = kafka.nothing
    assert not hasattr(kafka, "conn")


def test_star_import(python):
    done = python("-c", "from kafka import *; import json; print(json.dumps(sorted(globals())))")
    names = set(json.loads(done.stdout))
    assert {"KafkaProducer", "TopicPartition"} <= names
    assert "_HOMES" not in names
