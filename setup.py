"""Builds the two extensions, and makes the README's links whole; everything else stands in pyproject.toml."""

import os
import re
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# Without debug information the build takes two thirds of the time and the wheel a quarter of the space.
compile_args = os.environ.get("KAFKA_TURBO_CFLAGS", "-O2 -g0").split()
link_args = os.environ.get("KAFKA_TURBO_LDFLAGS", "").split()


def readme():
    """For pages outside the repository, where relative links would lead nowhere."""
    repository = re.search(r'^Repository = "(.+)"$', Path("pyproject.toml").read_text("utf-8"), re.MULTILINE)[1]
    version = re.search(r'^__version__ = "(.+)"$', Path("kafka/version.py").read_text("utf-8"), re.MULTILINE)[1]
    text = Path("README.md").read_text("utf-8")
    return re.sub(r"\]\((?![a-z]+:|#)", f"]({repository}/blob/v{version}/", text)


sources = [Path("kafka/_codec.pyx"), Path("kafka/drivers/_turn.pyx")]
# Cython looks at its own sources only; the directives below count as much.
changed = Path(__file__).stat().st_mtime
stale = any(c.exists() and c.stat().st_mtime < changed for c in (source.with_suffix(".c") for source in sources))

setup(
    long_description=readme(),
    long_description_content_type="text/markdown",
    ext_modules=cythonize(
        [
            Extension(
                str(source.with_suffix("")).replace("/", "."),
                [str(source)],
                extra_compile_args=compile_args,
                extra_link_args=link_args,
            )
            for source in sources
        ],
        force=stale or None,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "embedsignature": True,
            "binding": True,
            "auto_pickle": False,
        },
    ),
)
