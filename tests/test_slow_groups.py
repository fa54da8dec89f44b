"""Which slow groups a run takes, and when it is written down that one has passed (tools/)."""

from __future__ import annotations

import os
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import run_tests
import slow_groups
from run_tests import Counts
from slow_groups import Choice, Passed, Since, choose

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {"a": ("a/*",), "b": ("b/*", "shared.py"), "c": ("c/*.py", "shared.py"), "d": ("d/*",)}
EVERYTHING = ["a/x.py", "b/x.py", "c/deep/x.py", "d/x.py", "shared.py"]
# a passed last, d first
PASSED = {group: Passed(f"at-{group}", 100) for group in GROUPS}
AGES = {"a": 1, "b": 2, "c": 3, "d": 4}


def history(*files: str) -> dict[str, Since]:
    """`files` have changed since every commit."""
    return {f"at-{group}": Since(age, list(files)) for group, age in AGES.items()}


def states(choices: list[Choice]) -> dict[str, str]:
    return {choice.group: choice.state for choice in choices}


def why(choices: list[Choice]) -> dict[str, str]:
    return {choice.group: choice.why for choice in choices}


def test_without_a_file_all_are_due_and_the_first_come_first() -> None:
    choices = choose(GROUPS, {}, {}, 900)
    assert states(choices) == {"a": "runs", "b": "runs", "c": "runs", "d": "LEFT OUT"}
    assert why(choices)["a"] == "among the 2 oldest: no pass on record"
    assert why(choices)["d"] == "it takes 300 s, 0 of 900 s are left: no pass on record"


def test_where_nothing_has_changed_the_two_oldest_have_their_turn() -> None:
    choices = choose(GROUPS, PASSED, history("README.md", "a.py", "other/a/x.py"), 1000)
    assert states(choices) == {"a": "not due", "b": "not due", "c": "runs", "d": "runs"}
    assert why(choices)["d"] == "among the 2 oldest: passed at at-d, 4 commits ago; its files are the same"
    assert why(choices)["a"] == "passed at at-a, 1 commit ago; its files are the same"


def test_those_whose_files_have_changed_are_due_too() -> None:
    choices = choose(GROUPS, PASSED, history("a/deep/x.py", "a/y.py"), 1000)
    assert [choice.group for choice in choices] == list(GROUPS)
    assert states(choices) == {"a": "runs", "b": "not due", "c": "runs", "d": "runs"}
    assert why(choices)["a"] == "passed at at-a, 1 commit ago; of its files 2 changed, a/deep/x.py for one"


def test_only_what_has_changed_since_its_own_commit_makes_a_group_due() -> None:
    since = {**history(), "at-b": Since(2, ["shared.py"])}
    assert states(choose(GROUPS, PASSED, since, 1000)) == {"a": "not due", "b": "runs", "c": "runs", "d": "runs"}


def test_a_group_that_passed_at_an_unknown_commit_is_the_oldest() -> None:
    passed = {**PASSED, "a": Passed("gone", 100)}
    choices = choose(GROUPS, passed, history(), 1000)
    assert states(choices) == {"a": "runs", "b": "not due", "c": "not due", "d": "runs"}
    assert why(choices)["a"] == "among the 2 oldest: passed at gone, not in this clone"


def test_a_group_that_never_passed_is_the_oldest() -> None:
    passed = {group: entry for group, entry in PASSED.items() if group != "b"}
    assert states(choose(GROUPS, passed, history(), 1000)) == {"a": "not due", "b": "runs", "c": "not due", "d": "runs"}


def test_of_three_that_never_passed_the_third_is_due_as_well() -> None:
    assert states(choose(GROUPS, {"d": PASSED["d"]}, history(), 1000)) == {
        "a": "runs", "b": "runs", "c": "runs", "d": "not due",
    }  # fmt: skip


def test_everything_has_changed_and_there_is_time() -> None:
    assert set(states(choose(GROUPS, PASSED, history(*EVERYTHING), 400)).values()) == {"runs"}


def test_what_the_time_does_not_suffice_for_is_left_out_the_newest_first() -> None:
    choices = choose(GROUPS, PASSED, history(*EVERYTHING), 399)
    assert states(choices) == {"a": "LEFT OUT", "b": "runs", "c": "runs", "d": "runs"}
    assert why(choices)["a"].startswith("it takes 100 s, 99 of 399 s are left: passed at at-a")


def test_a_shorter_group_takes_the_time_that_a_longer_one_leaves() -> None:
    passed = {**PASSED, "b": Passed("at-b", 250)}
    assert states(choose(GROUPS, passed, history(*EVERYTHING), 400)) == {
        "a": "runs", "b": "LEFT OUT", "c": "runs", "d": "runs",
    }  # fmt: skip


def test_the_two_oldest_run_whatever_they_cost() -> None:
    choices = choose(GROUPS, PASSED, history(*EVERYTHING), 150)
    assert states(choices) == {"a": "LEFT OUT", "b": "LEFT OUT", "c": "runs", "d": "runs"}
    assert "0 of 150 s are left" in why(choices)["a"]


# -- the groups that there are -----------------------------------------------------------------------------------------


def test_each_pattern_stands_for_files_that_exist() -> None:
    files = [path.name for path in ROOT.iterdir()]
    for folder in ("codegen", "kafka", "schemas", "tests", "tools"):
        for where, _, names in os.walk(ROOT / folder, followlinks=True):
            files += [Path(where, name).relative_to(ROOT).as_posix() for name in names]
    for group, patterns in run_tests.SLOW.items():
        for pattern in patterns:
            assert any(fnmatchcase(file, pattern) for file in files), f"{group}: no file is like {pattern}"


def test_the_file_is_about_groups_that_exist() -> None:
    assert slow_groups.read(ROOT).keys() <= run_tests.SLOW.keys() <= run_tests.GROUPS.keys()


def test_any_two_groups_fit_into_the_time() -> None:
    seconds = sorted(entry.seconds for entry in slow_groups.read(ROOT).values())
    assert sum(seconds[-2:]) <= run_tests.BUDGET


# -- with git ----------------------------------------------------------------------------------------------------------


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "tools").mkdir(parents=True)
        self.git("init", "-q")

    def git(self, *command: str) -> str:
        me = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        return subprocess.check_output(["git", *me, *command], cwd=self.root, text=True).strip()

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.root / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "--short=12", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """One with two commits, and no setting that keeps a pass from being written down."""
    made = Repository(tmp_path / "repository")
    made.commit(one="1", two="2")
    made.commit(one="1.1")
    monkeypatch.setattr(run_tests, "ROOT", made.root)
    for setting in ("CI", *run_tests.SMALLER):
        monkeypatch.delenv(setting, raising=False)
    return made


def test_the_history_of_a_commit(repository: Repository) -> None:
    first, second = repository.git("rev-list", "--reverse", "HEAD").split()
    repository.git("mv", "two", "three")
    repository.commit()
    (repository.root / "tools" / "four").write_text("not committed")
    found = slow_groups.history(repository.root, [first, second[:12], "0" * 40, "no-commit"])
    assert found == {
        first: Since(2, ["one", "three", "tools/four", "two"]),
        second[:12]: Since(1, ["three", "tools/four", "two"]),
    }


def test_the_commit_counts_where_only_the_file_is_not_committed(repository: Repository) -> None:
    commit = repository.commit()
    assert slow_groups.clean_commit(repository.root) == commit
    slow_groups.write(repository.root, {"fuzz": Passed(commit, 7)})
    assert slow_groups.clean_commit(repository.root) == commit
    (repository.root / "new").write_text("")
    assert slow_groups.clean_commit(repository.root) is None


def test_what_is_written_is_read(repository: Repository) -> None:
    assert slow_groups.read(repository.root) == {}
    passed = {"fuzz": Passed("0123456789ab", 280), "many-seeds": Passed("ba9876543210", 265)}
    slow_groups.write(repository.root, passed)
    assert slow_groups.read(repository.root) == passed
    assert (
        'fuzz       = { commit = "0123456789ab", seconds = 280 }\n' in (repository.root / slow_groups.FILE).read_text()
    )


def run(repository: Repository, monkeypatch: pytest.MonkeyPatch, name: str = "leaks", **counts: int) -> None:
    def group(found: Counts) -> None:
        vars(found).update({"tests": 5, **counts})

    monkeypatch.setitem(run_tests.GROUPS, name, group)
    run_tests.run_group(name)


def test_a_pass_is_written_down(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = repository.commit()
    run(repository, monkeypatch, "leaks")
    run(repository, monkeypatch, "dev-mode")
    assert slow_groups.read(repository.root) == {"dev-mode": Passed(commit, 0), "leaks": Passed(commit, 0)}
    assert list(slow_groups.read(repository.root)) == ["dev-mode", "leaks"]  # as they are declared
    commit = repository.commit(one="more")
    run(repository, monkeypatch, "leaks")
    assert slow_groups.read(repository.root)["leaks"].commit == commit


@pytest.mark.parametrize("counts", [{"failed": True}, {"skips": 1}, {"tests": 0}], ids=str)
def test_a_failure_a_skip_or_no_test_is_no_pass(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, counts: dict[str, int]
) -> None:
    run(repository, monkeypatch, **counts)
    assert slow_groups.read(repository.root) == {}


@pytest.mark.parametrize("setting", ["CI", "SUSTAINED_SECONDS", "PYTEST_ADDOPTS"])
def test_ci_and_smaller_runs_write_nothing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv(setting, "1")
    run(repository, monkeypatch)
    assert slow_groups.read(repository.root) == {}


def test_groups_that_are_not_slow_are_not_written_down(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(repository, monkeypatch, "unit")
    assert not (repository.root / slow_groups.FILE).exists()
    assert "written" not in capsys.readouterr().out


def test_what_is_not_committed_is_no_pass_of_a_commit(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository.root / "new").write_text("")
    run(repository, monkeypatch)
    assert slow_groups.read(repository.root) == {}


def test_a_commit_made_meanwhile_is_no_pass(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def group(found: Counts) -> None:
        found.tests = 5
        repository.commit()

    monkeypatch.setitem(run_tests.GROUPS, "leaks", group)
    run_tests.run_group("leaks")
    assert slow_groups.read(repository.root) == {}


# -- what is told ------------------------------------------------------------------------------------------------------


def test_the_summary_says_what_became_of_each_slow_group() -> None:
    results = {
        "versions": Counts(seconds=70.0, tests=10, skips=1, reasons={"no Java": 1}),
        "fuzz": Counts(seconds=30.5, tests=5, failures=2, failed=True),
    }
    choices = [
        Choice("versions", "runs", "old"),
        Choice("leaks", "not due", "fresh"),
        Choice("sanitizer", "LEFT OUT", "long"),
        Choice("fuzz", "runs", "changed"),
    ]
    assert run_tests.summary(results, choices).splitlines() == [
        "group         seconds   tests  skips",
        "versions         70.0      10      1",
        "fuzz             30.5       5      0  FAILED",
        "all             100.5      15      1",
        "skipped in versions, 1: no Java",
        "versions    ran: old",
        "leaks       not due: fresh",
        "sanitizer   LEFT OUT: long",
        "fuzz        FAILED: changed",
        "LEFT OUT although they are due: sanitizer; `make test-slow` runs them",
        "=== 2 failed, 12 passed, 1 skipped in 100.50s ===",
    ]


def test_what_pytest_reports_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("import pytest", "def test_a(): pass", "def test_b(): assert 0", "def test_c(): pytest.skip('why')")
    (tmp_path / "test_x.py").write_text("\n".join(lines))
    monkeypatch.setattr(run_tests, "BUILD", tmp_path)
    counts = Counts()
    run_tests.pytest(counts, "x", "test_x.py", cwd=tmp_path)
    assert counts == Counts(tests=3, skips=1, failures=1, failed=True, reasons={"why": 1})


def test_due_runs_what_was_chosen(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ran = []

    def group_of(name: str) -> run_tests.Group:
        def group(found: Counts) -> None:
            ran.append(name)
            found.tests, found.failed = 1, name == "sustained"

        return group

    for name in run_tests.SLOW:
        monkeypatch.setitem(run_tests.GROUPS, name, group_of(name))
    monkeypatch.setattr(run_tests, "BUILD", tmp_path)
    commit = repository.commit()
    slow_groups.write(repository.root, {name: Passed(commit, 10) for name in list(run_tests.SLOW)[2:]})
    assert run_tests.main(["due"]) == 1
    assert ran == ["versions", "sustained"]
    assert (tmp_path / "due.txt").read_text() in capsys.readouterr().out
    assert slow_groups.read(repository.root)["versions"].commit == commit
    assert run_tests.main(["leaks"]) == 0
