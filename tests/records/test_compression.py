import gzip
import random
import resource
import struct
import subprocess
import sys
import zlib

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka.records import CODECS, DecompressionError, compress, decompress
from kafka.records.compression import LEVELS
from kafka.result import Err, Ok

COMPRESSED = CODECS[1:]
TEXT = b"".join(b"line %d of some text, " % (i * i) for i in range(12000))


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=2000), repeats=st.sampled_from([1, 1, 50]))
def test_round_trip(codec, data, repeats):
    data *= repeats
    packed = compress(codec, data)
    assert type(packed) is bytes
    assert bytes(decompress(codec, memoryview(packed)).unwrap()) == data


@pytest.mark.parametrize("codec", CODECS)
def test_the_limit_is_exact(codec):
    packed = compress(codec, TEXT)
    assert bytes(decompress(codec, packed, len(TEXT)).unwrap()) == TEXT
    match decompress(codec, packed, len(TEXT) - 1):
        case Err(DecompressionError(codec=name, limit=limit)):
            assert (name, limit) == (codec, len(TEXT) - 1)
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("codec", COMPRESSED)
def test_output_that_outgrows_the_first_guess(codec):
    data = bytes(20_000_000)
    assert bytes(decompress(codec, compress(codec, data)).unwrap()) == data


@pytest.mark.parametrize("codec", LEVELS)
def test_levels(codec):
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
    snappy = compress("snappy", bytes(100_000))
    assert snappy[:16] == b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    (length,) = struct.unpack_from(">i", snappy, 16)
    assert bytes(cramjam.snappy.decompress_raw(snappy[20 : 20 + length])) == bytes(65536)
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


@pytest.mark.parametrize("codec", COMPRESSED)
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


@pytest.mark.parametrize("codec", COMPRESSED)
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


@pytest.mark.parametrize("codec", COMPRESSED)
def test_a_bomb_goes_off_within_the_limit(codec, tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(bomb(codec))
    program = """if True:
        import resource, sys
        from kafka.records import compress, decompress
        codec, path = sys.argv[1:]
        data = open(path, "rb").read()
        assert bytes(decompress(codec, compress(codec, bytes(100))).unwrap()) == bytes(100)  # the library is loaded
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = decompress(codec, data, 16 * 1024 * 1024)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert not result.is_ok() and result.error.limit == 16 * 1024 * 1024, result
        assert grown < 32 * 1024, f"{grown} KiB more for a limit of 16 MiB"
    """
    subprocess.run([sys.executable, "-W", "error", "-c", program, codec, str(path)], check=True)


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


def test_lz4_and_snappy_on_random_bytes_of_many_sizes():
    rng = random.Random(1)
    for size in (0, 1, 65535, 65536, 65537, 200_000):
        data = rng.randbytes(size)
        for codec in COMPRESSED:
            assert bytes(decompress(codec, compress(codec, data)).unwrap()) == data


def test_nothing_is_loaded_before_it_is_used():
    program = (
        "import sys, kafka.records as r; assert 'cramjam' not in sys.modules;"
        "r.compress('zstd', b''); assert 'cramjam' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
