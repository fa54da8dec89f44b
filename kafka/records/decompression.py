"""Decompressing what anybody may have sent: all that follows one another is read, and memory is never taken on trust.

Frames of zstd and LZ4 are walked block by block before they are decompressed. So it is known where each ends (their
libraries stop after the first), and how much it holds at most, whatever its header says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.errors import UnsupportedCodecError
from kafka.records import libraries
from kafka.records.errors import DecompressionError
from kafka.result import Err, Ok, Result

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: As much as a batch may hold when decompressed, unless the caller says otherwise: 128 MiB.
MAX_DECOMPRESSED = 128 * 1024 * 1024

#: What snappy data begins with in the framing of xerial's Java library.
XERIAL_MAGIC = b"\x82SNAPPY\x00"

_XERIAL_HEADER_SIZE = 16
_INT32 = struct.Struct(">i")
_UINT32_LE = struct.Struct("<I")

_CUT_SHORT = "it is cut short"


class _Broken(Exception):
    """Why data does not decompress."""


class _TooLarge(_Broken):
    """Because it holds more than it may."""


def decompress(
    codec: str, data: Buffer, limit: int = MAX_DECOMPRESSED
) -> Result[Buffer, DecompressionError | UnsupportedCodecError]:
    """What `data` holds, as a bytes-like object of at most `limit` bytes.

    The limit holds while decompressing: no more than about twice that much memory is touched, nor than twice what
    `data` can hold. ValueError for an unknown codec.
    """
    view = memoryview(data).cast("B")
    if codec == "none":
        if len(view) > limit:
            return Err(DecompressionError(codec, limit, f"there are {len(view)}", True))
        return Ok(view)
    if codec not in _READERS:
        raise ValueError(f"unknown compression type {codec!r}: it is one of none, {', '.join(_READERS)}")
    parts = _Parts(limit)
    try:
        _READERS[codec](view, parts)
    except _TooLarge as error:
        return Err(DecompressionError(codec, limit, str(error), True))
    except _Broken as error:
        return Err(DecompressionError(codec, limit, str(error)))
    except UnsupportedCodecError as error:
        return Err(error)
    return Ok(b"".join(parts.all))


class _Parts:
    """What has been decompressed so far. `room`: bytes that are left of the limit."""

    __slots__ = ("all", "room")

    def __init__(self, limit: int) -> None:
        self.all: list[Any] = []
        self.room = limit

    def add(self, part: Any) -> None:
        self.expect(len(part))
        self.room -= len(part)
        if len(part):
            self.all.append(part)

    def expect(self, size: int) -> None:
        """Fail where there is no room for as many bytes."""
        if size > self.room:
            raise _TooLarge("there are more")


# -- zstd and LZ4 ------------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """`end`: where in the data it ends. `most`: bytes that its blocks can hold; None: it is to be skipped.

    `said`: what its header says it holds. `window`: bytes of history that its decompressor has to keep.
    """

    end: int
    most: int | None
    said: int | None = None
    window: int = 0


# Both formats have these, which hold nothing, and have their size at the same place.
_SKIPPABLE = 0x184D2A50

_ZSTD = 0xFD2FB528
_ZSTD_BLOCK = 128 * 1024  # the most that one holds
# A context keeps the memory for the largest window it has seen: after a larger one it is not used again.
_LARGE_WINDOW = 8 * 1024 * 1024
_zstd_contexts: list[Any] = []

_LZ4 = 0x184D2204
_LZ4_BLOCKS = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
_LZ4_EXPANSION = 255  # a byte of LZ4 stands for at most as many
_LZ4_PART = 4 * 1024 * 1024


def _read_zstd(view: memoryview, parts: _Parts) -> None:
    library = libraries.zstd()
    end = 0
    while end < len(view) or end == 0:
        start = end
        end, most, said, window = zstd_frame(view, start)
        if most is None:
            continue
        if said is not None:
            # The library takes a header at its word: it allocates that much, whatever it was told.
            if said > most or said == 0 < most:
                raise _Broken(f"a frame says that it holds {said} bytes, its blocks hold {most} at most")
            parts.expect(said)
        if said == 0:  # the library would not look at it either
            continue
        # Out of the list while it works: two threads never share one, nor does a child of fork have a half-used one.
        context = _zstd_contexts.pop() if _zstd_contexts else library.ZstdDecompressor()
        try:
            parts.add(context.decompress(view[start:end], max_output_size=min(most, parts.room) + 1))
        except library.ZstdError as error:
            raise _Broken(str(error)) from None
        if window <= _LARGE_WINDOW:
            _zstd_contexts.append(context)


def zstd_frame(view: memoryview, start: int) -> Frame:
    """The frame that starts there (RFC 8878, 3.1)."""
    skipped = _skippable(view, start, _ZSTD)
    if skipped is not None:
        return skipped
    if len(view) < start + 6:
        raise _Broken(_CUT_SHORT)
    descriptor = view[start + 4]
    single_segment = bool(descriptor & 0x20)
    size_bytes = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    at = start + 5 + (not single_segment) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
    if at > len(view):
        raise _Broken(_CUT_SHORT)
    said = None
    window = 0
    if size_bytes:
        said = int.from_bytes(view[at - size_bytes : at], "little") + (256 if size_bytes == 2 else 0)
    else:
        log, eighths = divmod(view[start + 5], 8)
        window = (1 << (10 + log)) // 8 * (8 + eighths)
    most = 0
    last = 0
    while not last:
        if at + 3 > len(view):
            raise _Broken(_CUT_SHORT)
        header = view[at] | view[at + 1] << 8 | view[at + 2] << 16
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if size > _ZSTD_BLOCK or (kind == 2 and size < 2) or kind == 3:
            raise _Broken("a block is of a kind or size that there is not")
        # Of the first two kinds are bytes as they are, and one byte that is repeated.
        most += size if kind < 2 else _ZSTD_BLOCK
        at += 3 + (1 if kind == 1 else size)
    end = at + (4 if descriptor & 4 else 0)  # a checksum
    if end > len(view):
        raise _Broken(_CUT_SHORT)
    return Frame(end, most, said, window)


def _read_lz4(view: memoryview, parts: _Parts) -> None:
    library = libraries.lz4()
    end = 0
    while end < len(view) or end == 0:
        at = end
        end, most, *_ = lz4_frame(view, at)
        if most is None:
            continue
        context = library.create_decompression_context()
        done = False
        while not done:
            size = min(most, parts.room, _LZ4_PART) + 1
            try:
                part, read, done = library.decompress_chunk(context, view[at:end], max_length=size)
            except RuntimeError as error:
                raise _Broken(str(error)) from None
            parts.add(part)
            most -= len(part)
            at += read
            if not done and (most < 0 or len(part) < size):
                raise _Broken("a frame has no end")


def lz4_frame(view: memoryview, start: int) -> Frame:
    """The frame that starts there (lz4_Frame_format.md)."""
    skipped = _skippable(view, start, _LZ4)
    if skipped is not None:
        return skipped
    if len(view) < start + 7:
        raise _Broken(_CUT_SHORT)
    flags = view[start + 4]
    block = _LZ4_BLOCKS.get(view[start + 5] >> 4 & 7)
    if flags >> 6 != 1 or block is None:
        raise _Broken("a frame is of an unknown version or block size")
    at = start + 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)  # its content's size, a dictionary's id
    checksum = 4 if flags & 0x10 else 0
    most = 0
    while True:
        if at + 4 > len(view):
            raise _Broken(_CUT_SHORT)
        size = _UINT32_LE.unpack_from(view, at)[0]
        at += 4
        if size == 0:
            break
        as_it_is = size & 0x80000000
        size &= 0x7FFFFFFF
        most += min(block, size if as_it_is else _LZ4_EXPANSION * size)
        at += size + checksum
    end = at + (4 if flags & 0x04 else 0)  # the content's checksum
    if end > len(view):
        raise _Broken(_CUT_SHORT)
    return Frame(end, most)


def _skippable(view: memoryview, start: int, expected: int) -> Frame | None:
    """The skippable frame that starts there; None for one that begins with the `expected` magic number."""
    if len(view) < start + 4:
        raise _Broken(_CUT_SHORT)
    magic = _UINT32_LE.unpack_from(view, start)[0]
    if magic == expected:
        return None
    if magic & 0xFFFFFFF0 != _SKIPPABLE:
        raise _Broken(f"byte {start} is not where a frame starts")
    if len(view) < start + 8:
        raise _Broken(_CUT_SHORT)
    end = start + 8 + _UINT32_LE.unpack_from(view, start + 4)[0]
    if end > len(view):
        raise _Broken(_CUT_SHORT)
    return Frame(end, None)


# -- gzip --------------------------------------------------------------------------------------------------------------

_GZIP_PART = 64 * 1024
_GZIP_NEXT = 16 * 1024


def _read_gzip(view: memoryview, parts: _Parts) -> None:
    library = libraries.gzip_reader()
    # Ample for most, so that one call without the GIL does all; then as much again each time.
    size = max(_GZIP_PART, 16 * len(view))
    # What a member leaves of the bytes it is given is copied. The first one is nearly always all there is; of those
    # behind it each is given a little at first, or a thousand small ones would copy the rest a thousand times.
    given = len(view)
    at = 0
    while at < len(view) or at == 0:
        member = library.decompressobj(wbits=libraries.GZIP)
        chunk: Any = b""
        while not member.eof:
            if not len(chunk):
                chunk = view[at : at + given]
                at += len(chunk)
                given *= 2
            try:
                part = member.decompress(chunk, min(size, parts.room + 1))
            except library.error as error:
                raise _Broken(str(error)) from None
            if not len(part) and not member.eof and at == len(view) and not len(member.unconsumed_tail):
                raise _Broken(_CUT_SHORT)
            parts.add(part)
            size = max(size, len(part))
            chunk = member.unconsumed_tail
        at -= len(member.unused_data) + len(chunk)
        given = _GZIP_NEXT


# -- snappy ------------------------------------------------------------------------------------------------------------

# Three bytes of raw snappy stand for at most 64.
_SNAPPY_EXPANSION = 22


def _read_snappy(view: memoryview, parts: _Parts) -> None:
    library = libraries.snappy()
    if view[:8] != XERIAL_MAGIC:
        _read_snappy_block(library, view, parts)
        return
    at = 0
    while at < len(view):
        if view[at : at + 8] == XERIAL_MAGIC:  # streams may follow one another
            at += _XERIAL_HEADER_SIZE
            if at > len(view):
                raise _Broken(_CUT_SHORT)
            continue
        if at + 4 > len(view):
            raise _Broken(_CUT_SHORT)
        (length,) = _INT32.unpack_from(view, at)
        at += 4
        if not 0 < length <= len(view) - at:
            raise _Broken(f"a block has length {length}, {len(view) - at} bytes are left")
        _read_snappy_block(library, view[at : at + length], parts)
        at += length


def _read_snappy_block(library: libraries.Snappy, block: memoryview, parts: _Parts) -> None:
    size = 0
    for index, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            break
    else:
        raise _Broken(f"a block of {len(block)} bytes does not say how much it holds")
    # The libraries take a block at its word: they allocate that much.
    if size > _SNAPPY_EXPANSION * len(block):
        raise _Broken(f"a block of {len(block)} bytes says that it holds {size}")
    parts.expect(size)
    try:
        part = library.decompress(block)
    except library.error as error:
        raise _Broken(str(error)) from None
    if len(memoryview(part)) != size:
        raise _Broken(f"a block gave {len(memoryview(part))} bytes instead of {size}")
    parts.add(part)


_READERS: dict[str, Callable[[memoryview, _Parts], None]] = {
    "gzip": _read_gzip,
    "snappy": _read_snappy,
    "lz4": _read_lz4,
    "zstd": _read_zstd,
}
