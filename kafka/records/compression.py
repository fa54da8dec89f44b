"""The codecs of record batches, in the framing that Kafka uses for each.

gzip is a gzip member, lz4 an LZ4 frame of independent blocks (Java reads no linked ones), zstd a zstd frame, snappy
xerial's framing of raw snappy blocks, as Java writes it; raw snappy, as librdkafka writes it, is read too.
`libraries` says whose code does the work.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from kafka.records import libraries
from kafka.records.decompression import MAX_DECOMPRESSED, XERIAL_MAGIC, decompress

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from kafka.errors import UnsupportedCodecError
    from kafka.records.errors import DecompressionError
    from kafka.result import Result

#: The codecs' names; each one's index is its number in a batch's attributes.
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

#: The levels that each codec takes: lowest, highest, and the one that None stands for. Java's ranges, and
#: for lz4 that one.
#: gzip's None leaves the level to the fastest library there is, see `libraries`.
LEVELS: dict[str, tuple[int, int, int | None]] = {"gzip": (1, 9, None), "lz4": (0, 17, 0), "zstd": (-131072, 22, 3)}

_XERIAL_HEADER = struct.Struct(">8sii")  # magic, version, lowest compatible version
_XERIAL_BLOCK = 65536  # raw snappy works on as much at a time, whatever it is given
_INT32 = struct.Struct(">i")

# A zstd context keeps the memory of the largest batch it has compressed: after a larger one it is not used again.
_LARGE = 4 * 1024 * 1024


def check_level(codec: str, level: int | None) -> int | None:
    """The level that `level` stands for, or None where there are none; ValueError names what is possible."""
    if codec not in CODECS:
        raise ValueError(f"unknown compression type {codec!r}: it is one of {', '.join(CODECS)}")
    if codec not in LEVELS:
        if level is not None:
            raise ValueError(f"compression type {codec} has no levels, but level {level} was given")
        return None
    lowest, highest, default = LEVELS[codec]
    if level is None:
        return default
    if not lowest <= level <= highest:
        raise ValueError(f"{codec} has levels {lowest} to {highest}, not {level}")
    return level


def compress(codec: str, data: Buffer, level: int | None = None) -> bytes:
    """`data` compressed with the codec of that name. ValueError for an unknown codec or level, UnsupportedCodecError
    where its package is not installed."""
    return Codec(codec, level).compress(data)


class Codec:
    """One codec at one level, for whoever need not know more. UnsupportedCodecError where its package is not installed.

    `number`: what a batch's attributes have of it. `library`: the name of the module that compresses.
    """

    __slots__ = ("name", "number", "level", "library", "compress")

    #: bytes-like to bytes
    compress: Callable[[Buffer], bytes]

    def __init__(self, name: str, level: int | None = None) -> None:
        self.level = check_level(name, level)
        self.name = name
        self.number = CODECS.index(name)
        self.library, self.compress = _WRITERS[name](self.level)

    def decompress(
        self, data: Buffer, limit: int = MAX_DECOMPRESSED
    ) -> Result[Buffer, DecompressionError | UnsupportedCodecError]:
        return decompress(self.name, data, limit)


Writer = tuple[str, Callable[["Buffer"], bytes]]


def _none(level: int | None) -> Writer:
    return "", bytes


def _gzip(level: int | None) -> Writer:
    module, number = libraries.gzip_writer(level)

    def compress(data: Buffer) -> bytes:
        member = module.compressobj(level=number, wbits=libraries.GZIP)
        packed: bytes = member.compress(data) + member.flush()
        return packed

    return module.__name__, compress


def _snappy(level: int | None) -> Writer:
    library = libraries.snappy()

    def compress(data: Buffer) -> bytes:
        view = memoryview(data).cast("B")
        parts = [_XERIAL_HEADER.pack(XERIAL_MAGIC, 1, 1)]
        for start in range(0, len(view), _XERIAL_BLOCK):
            block = bytes(library.compress(view[start : start + _XERIAL_BLOCK]))
            parts += (_INT32.pack(len(block)), block)
        return b"".join(parts)

    return library.name, compress


def _lz4(level: int | None) -> Writer:
    frame = libraries.lz4()
    return "lz4.frame", partial(
        frame.compress,
        compression_level=level,
        block_size=frame.BLOCKSIZE_MAX256KB,
        block_linked=False,
        store_size=False,
    )


def _zstd(level: int | None) -> Writer:
    library = libraries.zstd()
    contexts = [library.ZstdCompressor(level=level)]

    def compress(data: Buffer) -> bytes:
        # Out of the list while it works: two threads never share one, nor does a child of fork have a half-used one.
        context = contexts.pop() if contexts else library.ZstdCompressor(level=level)
        packed: bytes = context.compress(data)
        if memoryview(data).nbytes <= _LARGE:
            contexts.append(context)
        return packed

    return "zstandard", compress


_WRITERS: dict[str, Callable[[int | None], Writer]] = {
    "none": _none,
    "gzip": _gzip,
    "snappy": _snappy,
    "lz4": _lz4,
    "zstd": _zstd,
}
