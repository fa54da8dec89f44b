"""The codecs of record batches, in the framing that Kafka uses for each.

gzip is a gzip member, lz4 an LZ4 frame of independent blocks (Java reads no linked ones), zstd a zstd frame, snappy
xerial's framing of raw snappy blocks, as Java writes it; raw snappy, as librdkafka writes it, is read too.
The codecs come from cramjam, loaded on first use; all of them work without the GIL. zlib compresses gzip, being faster.
"""

from __future__ import annotations

import struct
from types import ModuleType
from typing import TYPE_CHECKING

from kafka.records.errors import DecompressionError
from kafka.result import Err, Ok, Result

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: The codecs' names; each one's index is its number in a batch's attributes.
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

#: The levels that each codec takes: lowest, highest, and the one that None stands for. Java's ranges.
LEVELS = {"gzip": (1, 9, 6), "lz4": (0, 17, 0), "zstd": (-131072, 22, 3)}

#: As much as a batch may hold when decompressed, unless the caller says otherwise: 128 MiB.
MAX_DECOMPRESSED = 128 * 1024 * 1024

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER = struct.Struct(">8sii")  # magic, version, lowest compatible version
_XERIAL_BLOCK = 65536  # raw snappy works on as much at a time, whatever it is given
_INT32 = struct.Struct(">i")


def check_level(codec: str, level: int | None) -> int | None:
    """The level that `level` stands for, or None for a codec without levels; ValueError names what is possible."""
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
    """`data` compressed with the codec of that name. ValueError for an unknown codec or level."""
    level = check_level(codec, level)
    if codec == "none":
        return bytes(data)
    if codec == "gzip":
        import zlib

        gzip = zlib.compressobj(level or 0, zlib.DEFLATED, 31)
        return gzip.compress(data) + gzip.flush()
    cramjam = _cramjam()
    if codec == "snappy":
        return _snappy_compress(cramjam, memoryview(data).cast("B"))
    if codec == "lz4":
        compressor = cramjam.lz4.Compressor(level, content_checksum=False, block_linked=False)
        compressor.compress(bytes(data))  # this one takes nothing else
        return bytes(compressor.finish())
    return bytes(cramjam.zstd.compress(data, level))


def decompress(codec: str, data: Buffer, limit: int = MAX_DECOMPRESSED) -> Result[Buffer, DecompressionError]:
    """What `data` holds, as a bytes-like object of at most `limit` bytes.

    The limit holds while decompressing: no more than about that much memory is ever touched. ValueError for an
    unknown codec.
    """
    view = memoryview(data).cast("B")
    if codec == "none":
        if len(view) > limit:
            return Err(DecompressionError(codec, limit, f"there are {len(view)}"))
        return Ok(view)
    if codec == "snappy":
        return _snappy_decompress(view, limit)
    if codec not in CODECS:
        raise ValueError(f"unknown compression type {codec!r}: it is one of {', '.join(CODECS)}")
    return _decompress_growing(codec, view, limit)


class Codec:
    """One codec at one level, for whoever need not know more: `number` is what a batch's attributes have of it."""

    __slots__ = ("name", "number", "level")

    def __init__(self, name: str, level: int | None = None) -> None:
        self.level = check_level(name, level)
        self.name = name
        self.number = CODECS.index(name)

    def compress(self, data: Buffer) -> bytes:
        return compress(self.name, data, self.level)

    def decompress(self, data: Buffer) -> Result[Buffer, DecompressionError]:
        return decompress(self.name, data)


def _cramjam() -> ModuleType:
    import cramjam

    module: ModuleType = cramjam
    return module


def _decompress_growing(codec: str, view: memoryview, limit: int) -> Result[Buffer, DecompressionError]:
    cramjam = _cramjam()
    decompress_into = getattr(cramjam, codec).decompress_into
    # These frames need not say how much they hold, and may lie: the first guess is ample for most, then the output
    # grows up to the limit. Its pages take no memory until written to. A broken frame fails as soon as it is reached.
    size = min(limit, max(16 * len(view), 65536))
    while True:
        output = bytearray(size)
        try:
            written = decompress_into(view, output)
        except cramjam.DecompressionError as error:
            if size >= limit:
                return Err(DecompressionError(codec, limit, str(error)))
            size = min(limit, 8 * size)
        else:
            return Ok(memoryview(output)[:written])


def _snappy_compress(cramjam: ModuleType, view: memoryview) -> bytes:
    parts = [_XERIAL_HEADER.pack(_XERIAL_MAGIC, 1, 1)]
    for start in range(0, len(view), _XERIAL_BLOCK):
        block = bytes(cramjam.snappy.compress_raw(view[start : start + _XERIAL_BLOCK]))
        parts.append(_INT32.pack(len(block)))
        parts.append(block)
    return b"".join(parts)


def _snappy_blocks(view: memoryview) -> list[memoryview] | str:
    """The raw blocks of a snappy stream, framed or not; or what is wrong."""
    if view[:8] != _XERIAL_MAGIC:
        return [view]
    blocks = []
    at = 0
    while at < len(view):
        if view[at : at + 8] == _XERIAL_MAGIC:  # streams may follow one another
            at += _XERIAL_HEADER.size
            if at > len(view):
                return "the header is cut short"
            continue
        if at + 4 > len(view):
            return "a block's length is cut short"
        (length,) = _INT32.unpack_from(view, at)
        at += 4
        if not 0 < length <= len(view) - at:
            return f"a block has length {length}, {len(view) - at} bytes are left"
        blocks.append(view[at : at + length])
        at += length
    return blocks


def _snappy_decompress(view: memoryview, limit: int) -> Result[Buffer, DecompressionError]:
    cramjam = _cramjam()
    snappy = cramjam.snappy
    blocks = _snappy_blocks(view)
    if isinstance(blocks, str):
        return Err(DecompressionError("snappy", limit, blocks))
    try:
        # A raw block begins with its size, so that the limit is checked before anything is decompressed.
        sizes = [snappy.decompress_raw_len(block) for block in blocks]
        total = sum(sizes)
        if total > limit:
            return Err(DecompressionError("snappy", limit, f"there are {total}"))
        output = memoryview(bytearray(total))
        at = 0
        for block, size in zip(blocks, sizes, strict=True):
            written = snappy.decompress_raw_into(block, output[at : at + size])
            if written != size:
                return Err(DecompressionError("snappy", limit, f"a block gave {written} bytes instead of {size}"))
            at += size
    except cramjam.DecompressionError as error:
        return Err(DecompressionError("snappy", limit, str(error)))
    return Ok(output)
