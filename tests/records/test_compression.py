import gzip
import random
import resource
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import cramjam
import lz4.frame
import pytest
import snappy  # noqa: F401 - before cramjam, which it uses, is hidden from us
import zstandard
from fix_libraries import hidden
from hypothesis import given
from hypothesis import strategies as st

from kafka.errors import UnsupportedCodecError
from kafka.records import DecompressionError, compress, decompress
from kafka.records.compression import LEVELS, Codec
from kafka.records.legacy import _xxh32 as xxh32
from kafka.result import Err, Ok

# Each codec with each library that may do its work: what must not be found for that.
WAYS = {
    "gzip": ("gzip", ("isal.isal_zlib", "zlib_ng.zlib_ng")),
    "gzip by zlib-ng": ("gzip", ("isal.isal_zlib",)),
    "gzip by isal": ("gzip", ("zlib_ng.zlib_ng",)),
    "snappy": ("snappy", ("snappy",)),
    "snappy by python-snappy": ("snappy", ("cramjam",)),
    "lz4": ("lz4", ()),
    "zstd": ("zstd", ()),
}
TEXT = b"".join(b"line %d of some text, " % (i * i) for i in range(12000))


@pytest.fixture(params=WAYS, scope="module")
def codec(request):
    """A codec's name, while only one of the libraries for it can be imported."""
    name, others = WAYS[request.param]
    with hidden(*others):
        yield name


def test_each_way_is_by_another_library(codec, request):
    library = {"gzip": "zlib", "gzip by zlib-ng": "zlib_ng.zlib_ng", "gzip by isal": "isal.isal_zlib"}
    library |= {"snappy": "cramjam", "snappy by python-snappy": "snappy", "lz4": "lz4.frame", "zstd": "zstandard"}
    assert Codec(codec).library == library[request.node.callspec.params["codec"]]


def test_none():
    assert compress("none", bytearray(TEXT)) == TEXT
    assert bytes(decompress("none", TEXT, len(TEXT)).unwrap()) == TEXT
    assert decompress("none", TEXT, len(TEXT) - 1).error.limit == len(TEXT) - 1


@given(data=st.binary(max_size=2000), repeats=st.sampled_from([1, 1, 50]))
def test_round_trip(codec, data, repeats):
    data *= repeats
    packed = compress(codec, data)
    assert type(packed) is bytes
    assert bytes(decompress(codec, memoryview(packed)).unwrap()) == data


def test_the_limit_is_exact(codec):
    packed = compress(codec, TEXT)
    assert bytes(decompress(codec, packed, len(TEXT)).unwrap()) == TEXT
    match decompress(codec, packed, len(TEXT) - 1):
        case Err(DecompressionError(codec=name, limit=limit)):
            assert (name, limit) == (codec, len(TEXT) - 1)
        case other:
            raise AssertionError(other)


def test_output_that_outgrows_the_first_guess(codec):
    data = bytes(20_000_000)
    assert bytes(decompress(codec, compress(codec, data)).unwrap()) == data


def test_levels(codec):
    if codec not in LEVELS:
        return
    lowest, highest, default = LEVELS[codec]
    for level in (lowest, 1, highest, None):
        assert bytes(decompress(codec, compress(codec, TEXT[:50_000], level)).unwrap()) == TEXT[:50_000]
    assert len(compress(codec, TEXT, highest)) < len(compress(codec, TEXT, lowest))
    assert compress(codec, TEXT) == compress(codec, TEXT, default)
    for level in (lowest - 1, highest + 1):
        with pytest.raises(ValueError, match=f"{codec} has levels {lowest} to {highest}, not {level}"):
            compress(codec, TEXT, level)


def test_what_has_no_levels_and_what_is_no_codec():
    with pytest.raises(ValueError, match="snappy has no levels"):
        compress("snappy", b"", 1)
    for function in (compress, decompress):
        with pytest.raises(ValueError, match="unknown compression type 'brotli'"):
            function("brotli", b"")


def test_framings():
    framed = compress("snappy", bytes(100_000))
    assert framed[:16] == b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    (length,) = struct.unpack_from(">i", framed, 16)
    assert bytes(cramjam.snappy.decompress_raw(framed[20 : 20 + length])) == bytes(65536)
    lz4 = compress("lz4", TEXT)
    assert lz4[:4] == b"\x04\x22\x4d\x18"
    assert lz4[4] & 0x20  # independent blocks: Java refuses linked ones
    assert compress("zstd", TEXT)[:4] == b"\x28\xb5\x2f\xfd"
    assert gzip.decompress(compress("gzip", TEXT)) == TEXT


def test_other_framings_are_read():
    for raw in (b"", b"x", TEXT):
        assert bytes(decompress("snappy", bytes(cramjam.snappy.compress_raw(raw))).unwrap()) == raw
    twice = compress("snappy", TEXT) + compress("snappy", b"more")
    assert bytes(decompress("snappy", twice).unwrap()) == TEXT + b"more"
    linked = bytes(cramjam.lz4.compress(TEXT))
    assert not linked[4] & 0x20
    assert bytes(decompress("lz4", linked).unwrap()) == TEXT
    members = gzip.compress(TEXT) + gzip.compress(b"more")
    assert bytes(decompress("gzip", members).unwrap()) == TEXT + b"more"


SMALL = b"".join(b"%d is a number; " % (i * i) for i in range(60))


def test_every_prefix_and_every_flipped_byte(codec):
    packed = compress(codec, SMALL)
    for size in range(len(packed)):
        match decompress(codec, packed[:size], 10_000):
            case Ok(content):
                # Snappy without its framing's header is raw snappy, and its framing does not know where it ends.
                assert codec == "snappy" and bytes(content) == b"", size
            case Err(error):
                assert isinstance(error, DecompressionError)
                assert str(error).startswith(f"[Error 2] DecompressionError: {codec} data does not decompress")
    for at in range(len(packed)):
        for bit in range(8):
            broken = bytearray(packed)
            broken[at] ^= 1 << bit
            match decompress(codec, broken, 10_000):
                case Ok(content):
                    assert len(content) <= 10_000
                case Err(error):
                    assert isinstance(error, DecompressionError)


@given(data=st.binary(max_size=300))
def test_noise(codec, data):
    heads = {"gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "snappy": b"\x82SNAPPY\0\0\0\0\1\0\0\0\1"}
    heads |= {"lz4": compress("lz4", b"")[:7], "zstd": compress("zstd", b"")[:5]}
    for noise in (data, heads[codec] + data):
        match decompress(codec, noise, 100_000):
            case Ok(content):
                assert len(content) <= 100_000
            case Err(error):
                assert isinstance(error, DecompressionError)


BOMB = 256 * 1024 * 1024


def bomb(codec):
    """As little as possible that holds 256 MiB of zeros."""
    if codec == "gzip":
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        return b"".join(packer.compress(bytes(1 << 24)) for _ in range(BOMB >> 24)) + packer.flush()
    if codec == "snappy":
        head, block = compress(codec, bytes(1 << 16))[:16], compress(codec, bytes(1 << 16))[16:]
        return head + block * (BOMB >> 16)
    compressor = cramjam.lz4.Compressor(0, False, False) if codec == "lz4" else cramjam.zstd.Compressor(3)
    for _ in range(BOMB >> 24):
        compressor.compress(bytes(1 << 24))
    return bytes(compressor.finish())


def test_a_bomb_goes_off_within_the_limit(codec, tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(bomb(codec))
    others = [name for name, module in sys.modules.items() if module is None]
    program = """if True:
        import resource, sys
        from kafka.records import compress, decompress
        codec, path, *others = sys.argv[1:]
        if "cramjam" in others:
            import snappy
        sys.modules.update(dict.fromkeys(others))
        data = open(path, "rb").read()
        assert bytes(decompress(codec, compress(codec, bytes(100))).unwrap()) == bytes(100)  # the library is loaded
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = decompress(codec, data, 16 * 1024 * 1024)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert not result.is_ok() and result.error.limit == 16 * 1024 * 1024, result
        assert grown < 32 * 1024, f"{grown} KiB more for a limit of 16 MiB"
    """
    subprocess.run([sys.executable, "-W", "error", "-c", program, codec, str(path), *others], check=True)


def test_hostile_snappy_sizes():
    # A block that says 4 GiB, and framing whose blocks are of impossible lengths.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = compress("snappy", b"")
    for data in (
        b"\xff\xff\xff\xff\x0f" + b"x" * 50,
        head + b"\0\0\0\x0a\xff\xff\xff\xff\x0f12345",
        head + b"\x7f\xff\xff\xff1234",
        head + b"\xff\xff\xff\xff1234",
        head + b"\0\0\0\0",
        head + b"\0\0",
        head[:10],
    ):
        assert isinstance(decompress("snappy", data).error, DecompressionError)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_random_bytes_of_many_sizes(codec):
    rng = random.Random(1)
    for size in (0, 1, 65535, 65536, 65537, 200_000, 262_143, 262_144, 262_145):
        data = rng.randbytes(size)
        assert bytes(decompress(codec, compress(codec, data)).unwrap()) == data


def test_nothing_is_loaded_before_it_is_used():
    program = """if True:
        import sys
        import kafka.records as r
        libraries = {"zlib", "isal", "zlib_ng", "cramjam", "snappy", "lz4", "zstandard"}
        assert not libraries & sys.modules.keys() - {"zlib"}  # zlib may be there already
        r.compress("zstd", b"")
        assert libraries & sys.modules.keys() - {"zlib"} == {"zstandard"}
        r.compress("lz4", b"")
        assert libraries & sys.modules.keys() - {"zlib"} == {"zstandard", "lz4"}
    """
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_gzip_is_by_the_library_for_its_level():
    assert [Codec("gzip", level).library for level in (None, 1, 3)] == ["isal.isal_zlib"] * 3
    assert [Codec("gzip", level).library for level in (4, 6, 9)] == ["zlib_ng.zlib_ng"] * 3


@pytest.mark.parametrize("missing", [("zlib_ng.zlib_ng",), ("isal.isal_zlib",), ("zlib_ng.zlib_ng", "isal.isal_zlib")])
def test_gzip_is_by_zlib_where_nothing_better_is_installed(hide, missing):
    hide(*missing)
    isal = "isal.isal_zlib" not in missing
    other = "zlib" if "zlib_ng.zlib_ng" in missing else "zlib_ng.zlib_ng"
    assert [Codec("gzip", level).library for level in (None, 3)] == ["isal.isal_zlib" if isal else other] * 2
    assert [Codec("gzip", level).library for level in (4, 6, 9)] == [other] * 3


@pytest.mark.parametrize(
    ("codec", "modules", "requirement"),
    [
        ("snappy", ("cramjam", "snappy"), "kafka-turbo[snappy]"),
        ("lz4", ("lz4.frame",), "lz4"),
        ("zstd", ("zstandard",), "zstandard"),
    ],
)
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(hide, codec, modules, requirement):
    packed = compress(codec, b"x")
    hide(*modules)
    with pytest.raises(UnsupportedCodecError) as raised:
        Codec(codec)
    said = decompress(codec, packed).error
    assert isinstance(said, UnsupportedCodecError)
    for error in (raised.value, said):
        assert f"compression type {codec} cannot be imported" in str(error)
        assert str(error).endswith(f"Hint: pip install '{requirement}'")


# -- what the libraries would let through, or do badly -----------------------------------------------------------------


def memory_and_seconds(function):
    """What a call returns, the memory that it has Python allocate at most, and the processor time that it takes."""
    started = time.thread_time()
    function()
    seconds = time.thread_time() - started
    tracemalloc.start()
    try:
        return function(), tracemalloc.get_traced_memory()[1], seconds
    finally:
        tracemalloc.stop()


def zstd_that_says(size, blocks):
    """A zstd frame whose header has that content size."""
    return b"\x28\xb5\x2f\xfd" + b"\xe0" + struct.pack("<Q", size) + blocks


def zstd_block(kind, size, content, last=False):
    return (last | kind << 1 | size << 3).to_bytes(3, "little") + content


def test_the_size_in_a_zstd_header_is_not_believed():
    rle = [zstd_block(1, 1 << 17, b"x", number == 511) for number in range(512)]
    honest = zstd_that_says(64 << 20, b"".join(rle))  # 2,067 bytes hold 64 MiB
    assert len(honest) < 2100 and len(zstandard.decompress(honest, 1 << 20)) == 64 << 20
    result, memory, _ = memory_and_seconds(lambda: decompress("zstd", honest, 1 << 20))
    assert isinstance(result.error, DecompressionError) and memory < 1 << 20
    for said, blocks in (
        (100 << 20, zstd_block(0, 5, b"hello", True)),
        (1 << 62, zstd_block(0, 5, b"hello", True)),
        (0, zstd_block(0, 5, b"hello", True)),
        (6, zstd_block(0, 5, b"hello", True)),
        (4, zstd_block(0, 5, b"hello", True)),
    ):
        result, memory, _ = memory_and_seconds(
            lambda said=said, blocks=blocks: decompress("zstd", zstd_that_says(said, blocks))
        )
        assert isinstance(result.error, DecompressionError) and memory < 1 << 20


@pytest.mark.parametrize("block", [zstd_block(2, 0, b""), zstd_block(3, 1, b"x"), zstd_block(1, 1 << 20, b"x")])
def test_zstd_blocks_that_cannot_be_take_no_memory(block):
    for frame in (b"\x28\xb5\x2f\xfd\0\x58", zstd_that_says(100 << 20, b"")):
        result, memory, _ = memory_and_seconds(lambda frame=frame: decompress("zstd", frame + block * 300))
        assert isinstance(result.error, DecompressionError) and memory < 1 << 20


@pytest.mark.timing
@pytest.mark.parametrize(
    ("codec", "head", "block"),
    [
        ("zstd", b"\x28\xb5\x2f\xfd\0\x58", zstd_block(0, 0, b"")),
        ("zstd", b"\x28\xb5\x2f\xfd\0\x58", zstd_block(2, 2, b"xx")),
        ("lz4", compress("lz4", b"")[:7], b"\0\0\0\x80"),
        ("lz4", compress("lz4", b"")[:7], b"\1\0\0\0x"),
    ],
)
def test_many_small_blocks_are_soon_refused(codec, head, block):
    data = head + block * ((1 << 18) // len(block))
    result, memory, seconds = memory_and_seconds(lambda: decompress(codec, data))
    assert isinstance(result.error, DecompressionError) and memory < 1 << 20 and seconds < 0.5


def test_the_size_in_an_lz4_header_is_not_believed():
    packed = bytearray(lz4.frame.compress(TEXT, store_size=True))
    for said in (1 << 50, 1 << 27, len(TEXT) - 1, 1):
        packed[6:14] = struct.pack("<Q", said)
        packed[14] = xxh32(packed[4:14]) >> 8 & 0xFF
        result, memory, _ = memory_and_seconds(lambda: decompress("lz4", packed))
        assert "frameSize_wrong" in result.error.reason and memory < 4 * len(TEXT)


@pytest.mark.parametrize("way", ["cramjam", "snappy"])
def test_the_size_in_a_snappy_block_is_not_believed(hide, way):
    hide({"cramjam": "snappy", "snappy": "cramjam"}[way])
    block = b"\x80\x80\x80\x20" + b"x" * 1000  # says 64 MiB
    result, memory, _ = memory_and_seconds(lambda: decompress("snappy", block))
    assert "says that it holds 67108864" in result.error.reason and memory < 1 << 20
    # As much as a block can hold: three bytes that stand for 64 each, which fill the size that is said.
    whole = bytes(cramjam.snappy.compress_raw(bytes(60_000)))
    assert len(whole) * 22 > 60_000 and decompress("snappy", whole).unwrap() == bytes(60_000)


def test_every_frame_and_member_is_read(codec):
    packed = compress(codec, TEXT) + compress(codec, b"") + compress(codec, b"more") * 3
    assert bytes(decompress(codec, packed, len(TEXT) + 12).unwrap()) == TEXT + b"more" * 3
    for limit in (len(TEXT) + 11, len(TEXT), 1):
        assert decompress(codec, packed, limit).error.limit == limit
    assert not decompress(codec, packed + b"garbage").is_ok()
    assert not decompress(codec, packed + compress(codec, b"more")[:-1]).is_ok()


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_skippable_frames_are_skipped(codec):
    skippable = b"\x5f\x2a\x4d\x18\x05\0\0\0hello"
    packed = skippable + compress(codec, b"a") + skippable + compress(codec, b"b") + skippable
    assert decompress(codec, packed).unwrap() == b"ab"
    assert decompress(codec, skippable).unwrap() == b""
    for size in range(1, len(skippable)):
        assert not decompress(codec, packed + skippable[:size]).is_ok()


def test_frames_with_all_that_a_frame_may_have():
    for flags in range(16):
        linked, content, block, size = (bool(flags & bit) for bit in (1, 2, 4, 8))
        for data in (b"", b"x", TEXT):
            packed = lz4.frame.compress(
                data, block_linked=linked, content_checksum=content, block_checksum=block, store_size=size
            )
            assert decompress("lz4", packed + packed, 2 * len(data)).unwrap() == data * 2
            assert data == b"" or not decompress("lz4", packed[:-1] + b"?").is_ok() or not content
    for level in (-5, 3, 12):
        for checksum in (False, True):
            for data in (b"", b"x", TEXT[:255], TEXT[:256], TEXT[:65_791], TEXT[:65_792], TEXT):
                compressor = zstandard.ZstdCompressor(level=level, write_checksum=checksum)
                stream = compressor.compressobj()  # which does not know the size beforehand
                for packed in (compressor.compress(data), stream.compress(data) + stream.flush()):
                    assert decompress("zstd", packed + packed, 2 * len(data)).unwrap() == data * 2


@pytest.mark.timing
def test_a_broken_kilobyte_costs_next_to_nothing(codec):
    packed = compress(codec, random.Random(2).randbytes(300) + bytes(200_000))
    broken = bytearray(packed)
    for at in range(len(packed) // 2, len(packed)):
        broken[at] ^= 0x55
    for data in (broken, packed[: len(packed) // 2]):
        result, memory, seconds = memory_and_seconds(lambda data=data: decompress(codec, data))
        assert isinstance(result.error, DecompressionError)
        assert memory < 4 << 20 and seconds < 0.1


@pytest.mark.timing
def test_many_small_members_take_no_longer_than_their_number(codec):
    packed = compress(codec, b"x")

    def seconds(count):
        data = packed * count
        started = time.thread_time()
        assert len(decompress(codec, data).unwrap()) == count
        return time.thread_time() - started

    seconds(100)
    assert min(seconds(20_000) for _ in range(3)) < 20 * min(seconds(2_000) for _ in range(3))


def test_many_threads_at_once(codec):
    texts = [TEXT[number * 1000 :] for number in range(6)]
    one = Codec(codec)

    def work(text):
        for _ in range(5):
            assert decompress(codec, one.compress(text)).unwrap() == text
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, texts))
