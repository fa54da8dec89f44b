"""Writes java_batches.jsonl.xz: record batches by the classes of a kafka-clients jar.

    python tests/records/golden/write_batches.py CLASSPATH

with the jars of Kafka's tools and what they need (Java 17 or newer runs the source as it is).
"""

import lzma
import subprocess
import sys
from pathlib import Path

here = Path(__file__).parent
output = subprocess.run(
    ["java", "-cp", sys.argv[1], str(here / "WriteBatches.java")], check=True, stdout=subprocess.PIPE
).stdout
(here / "java_batches.jsonl.xz").write_bytes(lzma.compress(output, preset=9))
