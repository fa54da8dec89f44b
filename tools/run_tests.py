"""Runs the tests in groups and ends with a table: seconds, tests and skips of each group.

    python tools/run_tests.py quick     the unit tests without the slow ones
    python tools/run_tests.py test      every group that `make test` promises
    python tools/run_tests.py full      what `make test-full` adds: sanitizers, -X dev, every Python, long fuzzing
    python tools/run_tests.py due       those of them that are due (see slow_groups.py)
    python tools/run_tests.py GROUP...  some groups by name

A group whose folder is not there, or that holds no test, fails: a typo must not pass for a success.

Most groups run their tests on every core, a file's tests in one process and in their order, and after that, alone and
one by one, the tests marked `timing`, which hold the clock to account. Both count as one group.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import slow_groups
import wheels

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "test"
# What is in groups of its own: it needs more than a compiler, or the machine to itself.
ALONE = ("compat", "agents", "examples", "perf", "sim/test_seeds.py", "sim/test_mutants.py")
OWN_GROUP = [f"--ignore=tests/{path}" for path in ALONE]
UNIT = "not kafka and not full"
KAFKA = "kafka and not full and not versions and not chaos and not secured and not foreign"
CORES = min(os.cpu_count() or 1, 4)
NO_TEST_FOUND = 5


@dataclass
class Counts:
    """What one group did. `tests` counts the skipped ones too; `failed` is also set by a command that fails."""

    seconds: float = 0.0
    tests: int = 0
    skips: int = 0
    failures: int = 0
    failed: bool = False
    reasons: dict[str, int] = field(default_factory=dict)


def status(*command: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT) -> int:
    """The exit status of a command that reads nothing and writes where this program writes."""
    sys.stdout.flush()
    return subprocess.run(
        [str(part) for part in command], env={**os.environ, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL
    ).returncode


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT) -> bool:
    return status(*command, env=env, cwd=cwd) == 0


def pytest(
    counts: Counts,
    name: str,
    *args: str,
    python: str | Path = sys.executable,
    cwd: Path = ROOT,
    env: dict[str, str] | None = None,
    may_be_empty: bool = False,
) -> None:
    """Runs pytest in a process of its own and adds what it did to `counts`."""
    report = BUILD / f"{name}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    code = status(python, "-m", "pytest", f"--junit-xml={report}", *args, cwd=cwd, env=env)
    counts.failed |= code != 0 and not (may_be_empty and code == NO_TEST_FOUND)
    if not report.exists():
        counts.failed = True
        return
    for suite in ElementTree.parse(report).iter("testsuite"):
        counts.tests += int(suite.get("tests", 0))
        counts.skips += int(suite.get("skipped", 0))
        counts.failures += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        for skipped in suite.iter("skipped"):
            reason = skipped.get("message", "")
            counts.reasons[reason] = counts.reasons.get(reason, 0) + 1


def on_every_core(counts: Counts, name: str, marks: str, *args: str, workers: int = CORES, **where: Any) -> None:
    """The tests that `marks` selects, without those marked `timing`. `where` is passed to `pytest`."""
    spread = ("-n", str(workers), "--dist", "loadfile") if workers > 1 else ()
    pytest(counts, name, "-m", f"({marks}) and not timing", *spread, *args, **where)


def all_of(counts: Counts, name: str, marks: str, *args: str, workers: int = CORES, **where: Any) -> None:
    """The tests that `marks` selects, those marked `timing` after the others; one report of both."""
    on_every_core(counts, name, marks, *args, workers=workers, **where)
    alone = f"{name}-timing"
    pytest(counts, alone, "-m", f"({marks}) and timing", *args, may_be_empty=True, **where)
    merge(BUILD / f"{name}.xml", BUILD / f"{alone}.xml")


def merge(report: Path, more: Path) -> None:
    """Adds the suites of the second report to the first, where both exist, and removes the second."""
    if report.exists() and more.exists():
        whole = ElementTree.parse(report)
        whole.getroot().extend(ElementTree.parse(more).iter("testsuite"))
        whole.write(report, encoding="utf-8", xml_declaration=True)
        more.unlink()


def quick(counts: Counts) -> None:
    pytest(counts, "quick", "-q", "-m", f"{UNIT} and not slow", *OWN_GROUP, "--hypothesis-profile=quick")


def unit(counts: Counts) -> None:
    # Two workers a core: most of the time they wait, for connections to fail and brokers to answer.
    all_of(counts, "unit", UNIT, *OWN_GROUP, "--durations=5", workers=2 * CORES)


def kafka(counts: Counts) -> None:
    all_of(counts, "kafka", KAFKA, *OWN_GROUP, "--durations=5")


def chaos(counts: Counts) -> None:
    """Producers and groups at work while three nodes of a real Kafka die, freeze and move."""
    pytest(counts, "chaos", "-m", "chaos and not sustained", "tests/chaos", "--durations=5")


def sustained(counts: Counts) -> None:
    """The same for minutes: at nearly full rate while leaders die, and more seeds of troubles."""
    others = "--ignore=tests/chaos/test_groups.py"
    pytest(counts, "sustained", "-m", "sustained", "tests/chaos", others, "-s", "--durations=5")


def chaos_groups(counts: Counts) -> None:
    """Consumer groups of every protocol while brokers and members die and freeze."""
    pytest(counts, "chaos-groups", "-m", "sustained", "tests/chaos/test_groups.py", "-s", "--durations=5")


def versions(counts: Counts) -> None:
    """What the producer relies on, measured on older releases of Kafka too; transactions and groups there."""
    all_of(counts, "versions", "versions", "tests/broker")


def foreign(counts: Counts) -> None:
    """Groups whose members are Java's, confluent-kafka's and ours."""
    all_of(counts, "foreign", "foreign", "tests/broker", "tests/testing", "--durations=5")


def secured(counts: Counts) -> None:
    """Clients of a real Kafka that speaks TLS, or wants to know who they are, and what it refuses."""
    all_of(counts, "secured", "secured", "tests/broker", workers=1)


def compat(counts: Counts) -> None:
    all_of(counts, "compat", "not full", "tests/compat", "--durations=5")


def agents(counts: Counts) -> None:
    """Tracing and monitoring agents that patch kafka-python, each as its users start it."""
    all_of(counts, "agents", "not full", "tests/agents", "--durations=5")


def examples(counts: Counts) -> None:
    pytest(counts, "examples", "-m", "not full", "tests/examples")


def perf(counts: Counts) -> None:
    """Each file in a process of its own: how the memory of one is laid out makes the next slower or faster."""
    first, *others = sorted((ROOT / "tests" / "perf").glob("test_*.py"))
    pytest(counts, "perf", "-m", "not full", str(first))
    for path in others:
        pytest(counts, path.stem, "-m", "not full", str(path))
        merge(BUILD / "perf.xml", BUILD / f"{path.stem}.xml")


def seeds(counts: Counts) -> None:
    """The producer against simulated brokers: 300 seeds, and mutants that die in them."""
    pytest(counts, "seeds", "-s", "-m", "not full", "tests/sim/test_seeds.py", "tests/sim/test_mutants.py")


def many_seeds(counts: Counts) -> None:
    pytest(counts, "many-seeds", "-s", "tests/sim/test_seeds.py", env={"SIM_SEEDS": "2000"})


def fuzz(counts: Counts) -> None:
    """Hypothesis searching longer, at random rather than repeatably, and every test marked `full`."""
    options = ("--hypothesis-profile=long", "--durations=10")
    all_of(counts, "fuzz", "hypothesis or full", *options, env={"FULL": "1"})


def dev_mode(counts: Counts) -> None:
    """Python's own development mode: unclosed files and sockets, memory debug hooks, an un-awaited coroutine."""
    on_every_core(counts, "dev-mode", f"{UNIT} and not slow", *OWN_GROUP, env={"PYTHONDEVMODE": "1"})


def leaks(counts: Counts) -> None:
    pytest(counts, "leaks", "tests/test_leaks.py", env={"LEAK_ROUNDS": "10"})


def copy_of_checkout(where: Path) -> Path:
    """The project's files without anything built, so that a build with other flags leaves the checkout alone."""
    shutil.rmtree(where, ignore_errors=True)
    names = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
    )
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, where / name)
    return where


def sanitizer(counts: Counts) -> None:
    """The unit tests over extensions built with address and undefined-behaviour sanitizers."""
    where = copy_of_checkout(BUILD / "sanitizer")
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g"
    if not run(
        sys.executable,
        "setup.py",
        "-q",
        "build_ext",
        "--inplace",
        cwd=where,
        env={"KAFKA_TURBO_CFLAGS": flags, "KAFKA_TURBO_LDFLAGS": "-fsanitize=address,undefined"},
    ):
        counts.failed = True
        return
    compiler = os.environ.get("CC", "gcc")
    libraries = [
        subprocess.check_output([compiler, f"-print-file-name=lib{name}.so"], text=True).strip()
        for name in ("asan", "ubsan")
    ]
    # Python itself leaks by design at exit; the leak check is a group of its own.
    env = {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "SANITIZED": "1",
    }
    on_every_core(counts, "sanitizer", UNIT, *OWN_GROUP, env=env, cwd=where)


def pythons(counts: Counts) -> None:
    """The unit tests but the slow ones, from the sdist and against its wheels, under every other supported Python here.

    The simulator's tests and those of how Kafka is started are left out: they are alike under all of them.
    """
    left_out = ("--ignore=tests/sim", "--ignore=tests/broker")
    others = {wheels.version(base): base for base in wheels.pythons()}
    print("found", *others.values())
    others.pop(f"{sys.version_info[0]}.{sys.version_info[1]}", None)  # the other groups ran under this one
    try:
        sdist = wheels.sdist(BUILD / "dist")
        source = wheels.unpacked(sdist, BUILD / "sdist")
        built = {version: wheels.wheel(base, source, sdist.parent) for version, base in others.items()}
    except wheels.BuildFailed as failed:
        print(failed)
        counts.failed = True
        return
    for version, base in others.items():
        environment = BUILD / f"venv-{version}"
        python = environment / "bin" / "python"
        where = wheels.unpacked(sdist, BUILD / f"python-{version}")
        ready = (
            run(base, "-m", "venv", "--clear", environment)
            and run(python, "-m", "pip", "install", "-q", "--upgrade", "pip>=25.1")
            and run(python, "-m", "pip", "install", "-q", "--group", "test")
            and run(python, "-m", "pip", "install", "-q", built[version])
        )
        # Tests that read the package's own sources read the installed ones too.
        shutil.rmtree(where / "kafka")
        (where / "kafka").symlink_to(environment / "lib" / f"python{version}" / "site-packages" / "kafka")
        if ready:
            all_of(counts, f"python-{version}", f"{UNIT} and not slow", *OWN_GROUP, *left_out, python=python, cwd=where)
        else:
            counts.failed = True


Group = Callable[[Counts], None]
GROUPS: dict[str, Group] = {
    group.__name__.replace("_", "-"): group
    for group in (
        quick,
        unit,
        kafka,
        compat,
        agents,
        examples,
        perf,
        chaos,
        versions,
        foreign,
        secured,
        sustained,
        chaos_groups,
        dev_mode,
        leaks,
        sanitizer,
        pythons,
        fuzz,
        seeds,
        many_seeds,
    )
}
# The slow groups, in the order they run in, and the files that each of them is about in particular: when one of those
# differs from what the group last passed with, the group is due. `*` stands for folders too.
NATIVE = ("*.pyx", "*.px[di]", "setup.py")
SLOW: dict[str, tuple[str, ...]] = {
    "versions": (
        "tests/broker/*",
        "tests/kafka_jars.py",
        "kafka/protocol/*",
        "kafka/core/groups/*",
        "kafka/core/net/*",
        "kafka/core/transactions/*",
    ),
    "sustained": (
        "tests/chaos/*",
        "kafka/core/produce/*",
        "kafka/drivers/*",
        "kafka/*region.pxi",
        "kafka/*accumulator.pxi",
        "kafka/*cell.pxi",
    ),
    "chaos-groups": (
        "tests/chaos/*",
        "kafka/consumer/*",
        "kafka/core/consume/*",
        "kafka/core/groups/*",
        "kafka/drivers/*",
    ),
    "foreign": (
        "tests/broker/test_mixed_groups.py",
        "tests/testing/test_foreign_members.py",
        "tests/chaos/foreign.py",
        "tests/chaos/groups.py",
        "tests/chaos/member*.py",
        "kafka/core/groups/*",
        "kafka/core/consume/*",
        "kafka/testing/model/*group*.py",
        "kafka/testing/model/migration.py",
    ),
    "secured": (
        "tests/broker/*secured*",
        "tests/broker/tls.py",
        "tests/certificates.py",
        "tests/kafka_jars.py",
        "tests/kerberos.py",
        "kafka/core/net/*",
        "kafka/core/sasl/*",
        "kafka/drivers/*",
        "kafka/security/*",
    ),
    "dev-mode": (*NATIVE, "kafka/drivers/*", "kafka/testing/*", "kafka/cli/*"),
    "leaks": (*NATIVE, "tests/test_leaks.py"),
    "sanitizer": (*NATIVE, "tests/golden/*"),
    "pythons": (
        "pyproject.toml",
        "setup.py",
        "MANIFEST.in",
        "tools/python.sh",
        "tools/wheels.py",
        "kafka/__init__.py",
        "kafka/drivers/*",
    ),
    "fuzz": ("*.pxi", "kafka/_codec_py.py", "kafka/records/*", "tests/protocol/*", "tests/records/*", "tests/golden/*"),
    "agents": (
        "tests/agents/*",
        "kafka/producer/*",
        "kafka/consumer/*",
        "kafka/client.py",
        "kafka/leaving.py",
        "kafka/*future.pxi",
        "kafka/serializer/wrapper.py",
    ),
    "many-seeds": ("kafka/core/*", "kafka/testing/sim*", "tests/sim/*"),
}
# Seconds for the slow groups of one `make test-due`. Of the 40 minutes of .ci/run the rest is for what comes before.
BUDGET = 20 * 60
SETS = {
    "quick": ["quick"],
    "test": ["unit", "kafka", "compat", "examples", "perf", "chaos", "seeds"],
    "full": list(SLOW),
}
# Settings that make a group smaller than it is: that it passed with one of them is not written down.
SMALLER = ("PYTEST_ADDOPTS", "SUSTAINED_SECONDS")


def run_group(name: str) -> Counts:
    print(f"\n=== {name}", flush=True)
    counts = Counts()
    commit = slow_groups.clean_commit(ROOT)
    started = time.monotonic()
    GROUPS[name](counts)
    counts.seconds = time.monotonic() - started
    if counts.tests == 0:
        counts.failed = True
    if name in SLOW and not counts.failed and commit == slow_groups.clean_commit(ROOT):
        note_pass(name, counts, commit)
    return counts


def note_pass(name: str, counts: Counts, commit: str | None) -> None:
    """Writes down that a slow group has passed at a commit; None: at no commit alone, others' clones lack the rest."""
    if commit and not counts.skips and not any(os.environ.get(setting) for setting in ("CI", *SMALLER)):
        passed = {**slow_groups.read(ROOT), name: slow_groups.Passed(commit, round(counts.seconds))}
        slow_groups.write(ROOT, {group: passed[group] for group in SLOW if group in passed})
        print(f"{name} passed at {commit}: written to {slow_groups.FILE}, which is to be committed")


def due() -> list[slow_groups.Choice]:
    passed = slow_groups.read(ROOT)
    commits = [entry.commit for entry in passed.values()]
    return slow_groups.choose(SLOW, passed, slow_groups.history(ROOT, commits), BUDGET)


def summary(results: dict[str, Counts], choices: list[slow_groups.Choice]) -> str:
    """The table, the reasons of the skips, what became of the slow groups, and a last line as pytest writes it."""
    total = Counts(
        seconds=sum(counts.seconds for counts in results.values()),
        tests=sum(counts.tests for counts in results.values()),
        skips=sum(counts.skips for counts in results.values()),
        failures=sum(counts.failures for counts in results.values()),
    )
    lines = [f"{'group':<12}{'seconds':>9}{'tests':>8}{'skips':>7}"]
    for name, counts in {**results, "all": total}.items():
        failed = "  FAILED" if counts.failed else ""
        lines.append(f"{name:<12}{counts.seconds:>9.1f}{counts.tests:>8}{counts.skips:>7}{failed}")
    for name, counts in results.items():
        lines += [f"skipped in {name}, {number}: {reason}" for reason, number in counts.reasons.items()]
    for group, state, why in choices:
        ran = state.replace("runs", "FAILED" if results[group].failed else "ran") if group in results else state
        lines.append(f"{group:<12}{ran}: {why}")
    if left_out := [choice.group for choice in choices if choice.state == "LEFT OUT"]:
        lines.append(f"LEFT OUT although they are due: {', '.join(left_out)}; `make test-slow` runs them")
    passed = total.tests - total.skips - total.failures
    numbers = f"{total.failures} failed, " if total.failures else ""
    lines.append(f"=== {numbers}{passed} passed, {total.skips} skipped in {total.seconds:.2f}s ===")
    return "\n".join(lines)


def main(names: list[str]) -> int:
    names = names or ["test"]
    choices = due() if "due" in names else []
    sets = {**SETS, "due": [choice.group for choice in choices if choice.state == "runs"]}
    wanted = [group for name in names for group in sets.get(name, [name])]
    unknown = [name for name in wanted if name not in GROUPS]
    if unknown:
        print(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    for group, state, why in choices:
        print(f"{group:<12}{state}: {why}")
    results = {name: run_group(name) for name in wanted}
    text = summary(results, choices)
    print(f"\n{text}")
    # For .ci/run, which shows the tables of all its steps at the end.
    (BUILD / f"{'-'.join(names)}.txt").write_text(text + "\n", "utf-8")
    return int(any(counts.failed for counts in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
