"""Java's own client, by the tools that come with Apache Kafka: ProducerPerformance and ConsumerPerformance. How long
records take to their reader is told by a program beside this one, Arrive.java, as there is no tool for it.

They count records and not seconds, so they are told `expected`, how many a second there may be. A third of what is sent
goes to warming up and is left out; a reader has only its own beginning. Processor time would have that of compiling in
it, and is not told.
"""

from __future__ import annotations

import re
import resource
import subprocess
from pathlib import Path

import scenario as shared
import waiting
from scenario import Scenario

_STEADY = re.compile(r"^(\d+) steady state records sent, ([\d.]+) records/sec", re.MULTILINE)
_ALL = re.compile(r"^(\d+) records sent, ([\d.]+) records/sec", re.MULTILINE)
_LATENCIES = re.compile(r"([\d]+) ms 50th, [\d]+ ms 95th, ([\d]+) ms 99th, ([\d]+) ms 99\.9th")


def tool(scenario: Scenario, name: str, *arguments: object) -> str:
    program = name if name.endswith(".java") else f"org.apache.kafka.tools.{name}"
    command = [*scenario["java"], program, *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode or "ERROR" in done.stderr or "Exception" in done.stdout + done.stderr:
        raise RuntimeError(f"{name}: {(done.stderr + done.stdout)[-1000:]}")
    return done.stdout


def secured(scenario: Scenario) -> dict[str, object]:
    ca = scenario.get("ca")
    return {"security.protocol": "SSL", "ssl.truststore.type": "PEM", "ssl.truststore.location": ca} if ca else {}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def perform(scenario: Scenario, records: int, warm: int, throughput: int) -> str:
    properties = {
        "acks": scenario["acks"],
        "enable.idempotence": str(scenario["idempotence"]).lower(),
        "linger.ms": scenario["linger_ms"],
        "batch.size": scenario["batch_size"],
        "compression.type": scenario["compression"] or "none",
        "buffer.memory": scenario["buffer_memory"],
        "max.request.size": max(1 << 20, 2 * scenario["size"]),
        **secured(scenario),
    }
    return tool(
        scenario, "ProducerPerformance", "--bootstrap-server", scenario["bootstrap"], "--topic", scenario["topic"],
        "--num-records", records + warm, "--warmup-records", warm, "--payload-file", scenario["values"],
        "--throughput", throughput, "--command-property", *(f"{key}={value}" for key, value in properties.items()),
    )  # fmt: skip


def produce(scenario: Scenario) -> dict[str, float]:
    records = max(1000, int(scenario["expected"] * scenario["seconds"]))
    warm = records // 2
    found = _STEADY.search(said := perform(scenario, records, warm, -1))
    if found is None:
        raise RuntimeError(f"ProducerPerformance says nothing of {records} records: {said[-1000:]}")
    sent = int(found[1])
    return {"records": sent, "warm": records + warm - sent, "seconds": sent / float(found[2]), "peak_mb": peak_mb()}


def latency(scenario: Scenario) -> dict[str, float]:
    rate = scenario["offered"]
    records = int(rate * scenario["seconds"])
    said = perform(scenario, records, rate * 2, rate)
    steady = _STEADY.search(said)
    if steady is None:
        raise RuntimeError(f"ProducerPerformance says nothing of {records} records: {said[-1000:]}")
    at = _LATENCIES.search(said, steady.start())
    assert at is not None
    sent = int(steady[1])
    return {
        "records": sent, "warm": records + rate * 2 - sent, "seconds": sent / float(steady[2]), "peak_mb": peak_mb(),
        **{name: float(text) for name, text in zip(("p50_ms", "p99_ms", "p999_ms"), at.groups(), strict=True)},
    }  # fmt: skip


def consume(scenario: Scenario) -> dict[str, float]:
    said = tool(
        scenario, "ConsumerPerformance", "--bootstrap-server", scenario["bootstrap"], "--topic", scenario["topic"],
        "--num-records", scenario["records"], "--hide-header", "--timeout", 60_000,
    )  # fmt: skip
    # start, end, MB, MB/s, records, records/s, ms until there were partitions, ms of fetching, and both rates of that
    (line,) = [line for line in said.splitlines() if line.count(",") == 9]
    fields = [field.strip() for field in line.split(",")]
    records, milliseconds = int(fields[4]), float(fields[7])
    if records < scenario["records"]:
        raise RuntimeError(f"{records} of {scenario['records']} records were read")
    return {"records": records, "warm": 0, "seconds": milliseconds / 1e3, "peak_mb": peak_mb()}


def arrive(scenario: Scenario) -> dict[str, float]:
    """It warms up for as long as the others."""
    arrivals = waiting.Arrivals(scenario)
    program = str(Path(__file__).with_name("Arrive.java"))
    arguments = scenario["bootstrap"], scenario["topic"], waiting.WARM, scenario["seconds"]
    arrivals.latencies = [int(line) / 1e9 for line in tool(scenario, program, *arguments).split()]
    found = arrivals.found()
    return {name: value for name, value in found.items() if name.endswith("_ms")} | {"peak_mb": peak_mb()}


if __name__ == "__main__":
    shared.run({"produce": produce, "latency": latency, "consume": consume, "arrive": arrive})
