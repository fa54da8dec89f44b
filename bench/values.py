"""The values that are sent: files of distinct lines, the same for every candidate and every run; made once."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

from .environments import BUILT, whole

_BYTES = 64_000_000  # of a file, at most
_ROWS = 300_000
JSON_SIZE = 200
_WORDS = ["alpha", "beta", "gamma", "delta", "error", "timeout", "login", "checkout", "cart", "view"]


def file_of(kind: str) -> Path:
    """`kind` is a number of bytes, of random letters and digits, or "json", rows of 200 bytes."""
    path = BUILT / f"values-{kind}"
    if not path.exists():
        whole(path, lambda file: file.write_bytes(_json() if kind == "json" else _letters(int(kind))))
    return path


def size_of(kind: str) -> int:
    return JSON_SIZE if kind == "json" else int(kind)


def _letters(size: int) -> bytes:
    rng = random.Random(size)
    count = _BYTES // max(size, 64)
    text = base64.b64encode(rng.randbytes((size * count * 3 + 3) // 4))
    return b"".join(text[at : at + size] + b"\n" for at in range(0, size * count, size))


def _json() -> bytes:
    rng = random.Random(7)
    return b"".join(_row(rng, number) for number in range(_ROWS))


def _row(rng: random.Random, number: int) -> bytes:
    row = {
        "ts": 1764300000000 + number * 37,
        "user": rng.randrange(10**6),
        "event": rng.choice(_WORDS),
        "path": "/" + "/".join(rng.choice(_WORDS) for _ in range(3)),
        "ms": round(rng.expovariate(0.02), 3),
        "ok": rng.random() < 0.97,
        "session": f"{rng.getrandbits(128):032x}",
        "ref": "",
    }
    row["ref"] = f"{rng.getrandbits(256):064x}"[: JSON_SIZE - len(json.dumps(row))]
    return json.dumps(row).encode() + b"\n"
