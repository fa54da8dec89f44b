"""What is published: metadata, changelog, which wheels; and that the files which say so agree with each other."""

from __future__ import annotations

import os
import platform
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import check_wheel
import pytest
import setuptools
import wheels
from Cython import Build

import kafka

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
SUPPORTED = ["3.10", "3.11", "3.12", "3.13", "3.14"]
# The runners of the workflow, as cibuildwheel names what they build for.
RUNNERS = {
    "ubuntu-latest": ("linux", "x86_64", ("manylinux_x86_64", "musllinux_x86_64")),
    "ubuntu-24.04-arm": ("linux", "aarch64", ("manylinux_aarch64", "musllinux_aarch64")),
    "macos-latest": ("macos", "arm64", ("macosx_arm64",)),
    "macos-15-intel": ("macos", "x86_64", ("macosx_x86_64",)),
}


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["dynamic"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "kafka.version.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", kafka.__version__)


def test_the_changelog_is_kept() -> None:
    """In the form of keepachangelog.com; what is released has a date, and what is said of a version a link."""
    text = read("CHANGELOG.md")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    versions = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:]]
    assert versions and all(versions), headings
    released = [found[1] for found in versions if found]
    assert kafka.__version__ == released[0] or "dev" in kafka.__version__ or "rc" in kafka.__version__
    assert {*re.findall(r"^### (.*)$", text, re.MULTILINE)} <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"
    }  # fmt: skip
    assert {*re.findall(r"^\[(.*)\]: ", text, re.MULTILINE)} == {"unreleased", *released}


def test_who_and_where() -> None:
    assert PROJECT["authors"] == [{"name": "the kafka-turbo developers"}]
    assert all(url.startswith(REPOSITORY) for url in PROJECT["urls"].values())
    assert {"Repository", "Documentation", "Changelog", "Issues"} == PROJECT["urls"].keys()


def test_the_repositorys_address_stands_in_one_place() -> None:
    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("kafka/**/*.py"), *ROOT.glob(".github/**/*.yml")]
    assert len(texts) > 100
    assert [str(path) for path in (*texts, ROOT / "setup.py") if REPOSITORY in path.read_text("utf-8")] == []


def test_the_readmes_links_work_outside_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    monkeypatch.setattr(Build, "cythonize", lambda *arguments, **options: [])
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    targets = re.findall(r"\]\(([^)]+)\)", given["long_description"])
    assert len(targets) == len(re.findall(r"\]\(([^)]+)\)", read("README.md"))) > 10
    for target in targets:
        assert target.startswith("https://")
        inside = target.removeprefix(f"{REPOSITORY}/blob/v{kafka.__version__}/")
        assert inside == target or (ROOT / re.split("[#?]", inside)[0]).exists()
    assert any("docs/configuration.md" in target for target in targets)


def test_the_pythons_are_the_same_everywhere() -> None:
    assert PROJECT["requires-python"] == f">={SUPPORTED[0]}"
    assert re.findall(r":: (3\.\d+)", "\n".join(PROJECT["classifiers"])) == SUPPORTED
    assert re.findall(r"for version in (.*); do", read("tools/python.sh")) == [" ".join(SUPPORTED)]
    built = [f"cp{version.replace('.', '')}-*" for version in SUPPORTED]
    assert PYPROJECT["tool"]["cibuildwheel"]["build"].split() == built
    assert re.findall(r"^ +(3\.\d+)$", read(".github/workflows/ci.yml"), re.MULTILINE) == SUPPORTED


def test_each_wheel_is_tried_without_every_extra() -> None:
    extras = PROJECT["optional-dependencies"].keys() - {"gssapi"}  # which takes Kerberos' headers
    command, *arguments = PYPROJECT["tool"]["cibuildwheel"]["test-command"].replace("\\\n", "").split('"')
    assert (ROOT / command.split("{project}/")[1].strip()).exists()
    assert sorted(arguments[-1].split()) == sorted(extras) == sorted(check_wheel.EXTRAS)


@pytest.mark.slow
def test_the_workflow_builds_for_what_is_promised() -> None:
    import cibuildwheel
    import yaml

    workflow = yaml.safe_load(read(".github/workflows/wheels.yml"))
    jobs = workflow["jobs"]
    assert jobs["wheels"]["strategy"]["matrix"]["os"] == list(RUNNERS)
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert f"pypa/cibuildwheel@v{cibuildwheel.__version__}" in used
    assert {*jobs["publish"]["needs"]} == {"wheels", "sdist"}
    assert workflow[True]["push"]["tags"] == ["v*"]  # YAML takes the key `on` for a truth value
    for system, architecture, platforms in RUNNERS.values():
        said = subprocess.run(
            [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform", system, "--archs",
             architecture, "."],
            cwd=ROOT, env={name: value for name, value in os.environ.items() if not name.startswith("CIBW_")},
            stdout=subprocess.PIPE, text=True, check=True, timeout=120,
        ).stdout.split()  # fmt: skip
        expected = {f"cp{version.replace('.', '')}-{name}" for version in SUPPORTED for name in platforms}
        assert {*said} == expected
    settings = PYPROJECT["tool"]["cibuildwheel"]
    for architecture in ("x86_64", "aarch64"):
        assert settings[f"manylinux-{architecture}-image"] == "manylinux2014"
        assert settings[f"musllinux-{architecture}-image"] == "musllinux_1_2"


# -- what wheels need of the system ------------------------------------------------------------------------------------


def newest_glibc(extension: Path) -> tuple[int, ...]:
    found = re.findall(rb"GLIBC_(\d+)\.(\d+)", extension.read_bytes())
    return max(tuple(map(int, version)) for version in found)


def test_the_extensions_need_no_newer_glibc_than_2_17() -> None:
    """With it a wheel is one for manylinux_2_17; dlsym and pthread_create, say, would be taken from 2.34."""
    extensions = [*Path(kafka.__file__).parent.rglob("*.so")]
    assert len(extensions) == 2
    if platform.libc_ver()[0] == "glibc":
        assert max(map(newest_glibc, extensions)) <= (2, 17)


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["dlsym", "pthread_create", "memcpy"])
def test_a_wheel_that_needs_a_newer_symbol_is_refused(
    symbol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)  # a sanitizer is for us, not for a compiler
    name, libc = platform.libc_ver()
    if name != "glibc":
        return
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}-cp{sys.version_info[0]}{sys.version_info[1]}"
    source, library = tmp_path / "x.c", tmp_path / "x.so"
    source.write_text(f"extern void {symbol}(void); void (*PyInit_x(void))(void) {{ return {symbol}; }}")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-Wno-builtin-declaration-mismatch"], check=True)
    wheel = tmp_path / f"x-1-{tag}-linux_{platform.machine()}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(library, "x/x.so")
        archive.writestr("x-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: x\nVersion: 1\n")
        archive.writestr("x-1.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}-linux\n")
        archive.writestr("x-1.dist-info/RECORD", "".join(f"{name},,\n" for name in archive.namelist()))
    repaired = tmp_path / "repaired"
    repaired.mkdir()
    if symbol == "memcpy" or tuple(map(int, libc.split("."))) < (2, 34):
        assert wheels.POLICY in wheels.repaired(wheel, repaired).name
    else:
        assert newest_glibc(library) > (2, 17)
        with pytest.raises(wheels.BuildFailed, match="too-recent versioned symbols"):
            wheels.repaired(wheel, repaired)
