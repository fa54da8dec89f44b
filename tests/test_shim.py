"""The shim: a distribution named kafka-python without files. Its wheel is tried by tools/check_shim.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import kafka

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shim() -> Any:
    return tomllib.loads((PROJECT / "shim" / "pyproject.toml").read_text("utf-8"))


def test_it_requires_exactly_this_version(shim: Any) -> None:
    assert shim["project"]["dependencies"] == [f"kafka-turbo=={kafka.__version__}"]


def test_it_has_no_files_and_is_not_for_pypi(shim: Any) -> None:
    assert shim["tool"]["setuptools"]["packages"] == []
    assert "Private :: Do Not Upload" in shim["project"]["classifiers"]
    assert Version(shim["project"]["version"]).local


@pytest.mark.parametrize("wanted", ["==3.0.12", ">=2.0", "~=3.0", ">=2.0,<4", "<=3.0.12", "!=3.0.11", "==3.*", ""])
def test_it_satisfies_what_packages_require(shim: Any, wanted: str) -> None:
    assert shim["project"]["version"] in Requirement(f"kafka-python{wanted}").specifier


def test_it_has_the_extras_of_kafka_python(shim: Any) -> None:
    assert {"crc32c", "lz4", "snappy", "zstd"} == set(shim["project"]["optional-dependencies"])
