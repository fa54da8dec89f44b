"""Tries an installed kafka-turbo: every module imports, the codecs work, and records are sent and read.

python tools/smoke.py FOLDER [EXTRA...]

FOLDER holds the environment that kafka must come from. The named extras are not installed: kafka.metrics.EXTRA must
refuse to be imported, and say how its package is installed, and so must the compression type of that name, and stores
of certificates.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import pkgutil
import sys
from pathlib import Path

import kafka
from kafka.errors import ConfigurationValueError, CredentialsError, UnsupportedCodecError
from kafka.records import CODECS, RecordBatchBuilder, read_batches
from kafka.records.compression import Codec
from kafka.security.aws import Identity
from kafka.security.material import Source, trust_store

missing = sys.argv[2:]
installed = Path(kafka.__file__).resolve()
assert installed.is_relative_to(Path(sys.argv[1]).resolve()), f"kafka came from {installed}"
assert kafka.__version__ == importlib.metadata.version("kafka-turbo")
assert (installed.parent / "py.typed").exists()

modules = [module.name for module in pkgutil.walk_packages(kafka.__path__, "kafka.")]
refused = {}
for name in modules:
    if name.endswith("__main__"):
        continue
    try:
        importlib.import_module(name)
    except ImportError as error:
        refused[name] = str(error)
assert refused.keys() == {f"kafka.metrics.{extra}" for extra in missing if extra in ("opentelemetry", "prometheus")}, (
    refused
)
for name, why in refused.items():
    assert f"pip install 'kafka-turbo[{name.rpartition('.')[2]}]'" in why, why

from kafka import KafkaConsumer, KafkaProducer, _codec  # noqa: E402
from kafka.testing import EmbeddedCluster  # noqa: E402

# The vector that Java's client has for this hash, where it is signed.
assert _codec.murmur2(b"21") == -973932308 & 0xFFFFFFFF

libraries = []
for name in CODECS:
    if name == "snappy" and name in missing:
        said = ""
        try:
            Codec(name)
        except UnsupportedCodecError as error:
            said = str(error)
        assert "pip install 'kafka-turbo[snappy]'" in said, said
        continue
    codec = Codec(name)
    assert name != "gzip" or (codec.library == "zlib") == (name in missing), codec.library
    libraries.append(codec.library)
    builder = RecordBatchBuilder(name)
    for number in range(1000):
        builder.append(number, b"key", b"%d is a number" % number)
    [result] = read_batches(builder.build())
    assert [record.value for record in result.unwrap().records().unwrap()] == [
        b"%d is a number" % number for number in range(1000)
    ]


said = ""
try:
    trust_store(Source("ssl_cafile", "store.p12"), b"no store", "ssl_password", None)
except ConfigurationValueError as error:
    said = str(error)
assert ("pip install kafka-turbo[pkcs12]" in said) == ("pkcs12" in missing) and said, said

for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
    os.environ.pop(name, None)
for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
    os.environ[name] = os.devnull
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
said = ""
try:
    Identity().keys()
except CredentialsError as error:
    said = str(error)
assert ("pip install kafka-turbo[aws]" in said) == ("aws" in missing) and said, said

with EmbeddedCluster(topics={"smoke": 1}) as cluster:
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
        sent = [producer.send("smoke", b"%d" % number, key=b"key") for number in range(1000)]
        assert [future.get(30).offset for future in sent] == [*range(1000)]
    with KafkaConsumer(
        "smoke", bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=30000
    ) as consumer:
        assert [next(consumer).value for _ in sent] == [b"%d" % number for number in range(1000)]
print(
    f"{len(modules) - len(refused)} modules of kafka-turbo {kafka.__version__} import under Python "
    f"{sys.version.split()[0]}{', which has no packages for ' if missing else ''}{', '.join(missing)}; "
    f"compression is by {', '.join(filter(None, libraries))}"
)
