"""Builds the two extensions; everything else stands in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

compile_args = os.environ.get("KAFKA_TURBO_CFLAGS", "-O2").split()
link_args = os.environ.get("KAFKA_TURBO_LDFLAGS", "").split()

setup(
    ext_modules=cythonize(
        [
            Extension(
                "kafka._codec",
                ["kafka/_codec.pyx"],
                extra_compile_args=compile_args,
                extra_link_args=link_args,
            ),
            Extension(
                "kafka.drivers._turn",
                ["kafka/drivers/_turn.pyx"],
                extra_compile_args=compile_args,
                extra_link_args=link_args,
            ),
        ],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "embedsignature": True,
            "binding": True,
        },
    ),
)
