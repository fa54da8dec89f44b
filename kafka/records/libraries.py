"""Which package does what a codec needs, loaded on first use; all of them work without the GIL.

zstandard and lz4 are installed with kafka-turbo. The extra `snappy` brings cramjam, in whose place python-snappy does
as well; the extra `gzip` brings isal and zlib-ng, without which zlib does their work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from kafka.errors import UnsupportedCodecError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# What compressors and decompressors of zlib's interface call a gzip member.
GZIP = 31

# isal's levels: it is far faster than the others, and what it leaves is a tenth to a sixth larger.
_FASTEST = (1, 2, 3)
_FASTEST_DEFAULT = 2


class Snappy(NamedTuple):
    """Raw snappy blocks, written and read, and the error of one that cannot be."""

    name: str
    compress: Callable[[Buffer], Buffer]
    decompress: Callable[[Buffer], Buffer]
    error: type[Exception]


def lz4() -> ModuleType:
    return _needed("lz4.frame", "lz4", "lz4")


def zstd() -> ModuleType:
    return _needed("zstandard", "zstd", "zstandard")


def snappy() -> Snappy:
    cramjam = wanted("cramjam")
    if cramjam is not None:
        raw = cramjam.snappy
        return Snappy("cramjam", raw.compress_raw, raw.decompress_raw, cramjam.DecompressionError)
    module = _needed("snappy", "snappy", "kafka-turbo[snappy]")
    return Snappy("snappy", module.compress, module.uncompress, module.UncompressError)


def gzip_writer(level: int | None) -> tuple[ModuleType, int]:
    """A module of zlib's interface that compresses, and its number for this level; None: the level is not important.

    isal has nothing like the levels from 4 on: it never stands for one that was asked for.
    """
    if level is None or level in _FASTEST:
        isal = wanted("isal.isal_zlib")
        if isal is not None:
            return isal, level or _FASTEST_DEFAULT
    return wanted("zlib_ng.zlib_ng") or import_module("zlib"), level or 6


def gzip_reader() -> ModuleType:
    """A module of zlib's interface that decompresses."""
    return wanted("isal.isal_zlib") or wanted("zlib_ng.zlib_ng") or import_module("zlib")


@cache
def wanted(name: str) -> ModuleType | None:
    """The module of a package that need not be installed. To look for one that is not there takes a while."""
    try:
        return import_module(name)
    except ImportError:
        return None


def _needed(name: str, codec: str, requirement: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as cause:
        error = UnsupportedCodecError(f"The package for compression type {codec} cannot be imported: {cause}.")
        error.hint = f"pip install '{requirement}'"
        raise error from cause
