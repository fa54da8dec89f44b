"""The accumulator and the IO turn against a discarding broker that keeps what came: every record once, intact."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def values_of(batch: memoryview) -> list[bytes]:
    """The values of a v2 batch, read the plain way: nothing of ours that could share a mistake."""
    assert batch[16] == 2
    assert struct.unpack_from(">i", batch, 8)[0] == len(batch) - 12
    count = struct.unpack_from(">i", batch, 57)[0]
    assert struct.unpack_from(">i", batch, 23)[0] == count - 1
    values = []
    at = 61
    for number in range(count):
        size, at = varint(batch, at)
        end = at + size
        _, at = varint(batch, at + 1)
        offset_delta, at = varint(batch, at)
        assert offset_delta == number
        key_length, at = varint(batch, at)
        assert key_length == -1
        length, at = varint(batch, at)
        values.append(bytes(batch[at : at + length]))
        assert batch[at + length] == 0 and at + length + 1 == end
        at = end
    assert at == len(batch)
    return values


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "many"), [(1, False), (4, False), (4, True)])
def test_every_record_arrives_once(tmp_path: Path, threads: int, many: bool) -> None:
    records = 400_000
    keep = tmp_path / "batches"
    command = [sys.executable, "bench/hot_path.py", f"--records={records}", f"--threads={threads}", f"--keep={keep}"]
    done = subprocess.run(
        command + ["--many"] * many,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["memory_left"] == 0

    data = memoryview(keep.read_bytes())
    at = 0
    last: dict[int, int] = {}
    seen = bytearray(records)
    while at < len(data):
        _, size = struct.unpack_from(">ii", data, at)
        for value in values_of(data[at + 8 : at + 8 + size]):
            assert len(value) == 100
            number = int(value)
            seen[number] += 1
            # One thread's records stay in the order of its calls.
            thread = number // (records // threads)
            assert number > last.get(thread, -1)
            last[thread] = number
        at += 8 + size
    assert seen == b"\x01" * records
