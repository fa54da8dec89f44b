"""The demo, with fewer records: it finds everything, and it finds out when something is missing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kafka.records.crc import crc32c
from kafka.testing import EmbeddedCluster

ROOT = Path(__file__).resolve().parents[2]


def demo(*arguments):
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--records", "300000", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=dict(os.environ))
    return done.returncode, done.stdout, done.stderr


def test_it_verifies_what_it_sent():
    code, out, err = demo()
    assert (code, err) == (0, "")
    assert "produced 336,776 records" in out and "read 336,776 records back" in out
    counts = re.findall(r"^ +\d  +([\d,]+)  \d{20}  as expected$", out, re.MULTILINE)
    assert len(counts) == 6 and sum(int(count.replace(",", "")) for count in counts) == 336_776


@pytest.mark.parametrize("what", ["loses a batch", "writes one twice"])
def test_it_finds_out(what):
    seen = []
    with EmbeddedCluster(nodes=2) as cluster:

        def tamper(node, header, request):
            response = handler(node, header, request)
            topic = next(iter(node.cluster.topics.values()))
            for given in request.topic_data:
                for data in given.partition_data:
                    seen.append(data)
                    if len(seen) == 3:
                        log = topic.partitions[data.index].log
                        if what == "writes one twice":
                            again = bytearray(bytes(data.records))
                            again[:8] = bytes(8)
                            again[43:57] = b"\xff" * 14  # nobody's: no idempotent producer's batch is taken twice
                            again[17:21] = crc32c(again[21:]).to_bytes(4, "big")
                            assert log.append(memoryview(again), 9)[0] == 0
                        else:
                            log.storage._batches.pop()
                            log.max_timestamps.pop()
                            log.end = log.bases.pop()
            return response

        handler = cluster.nodes[0].handlers[0]
        for node in cluster.nodes:
            node.handlers[0] = tamper
        code, out, err = demo("--bootstrap", cluster.bootstrap, "--topic", "flights")
    assert code == 1
    assert "is not what was sent" in err and "EXPECTED" in out


@pytest.mark.kafka
def test_a_real_kafka_and_javas_tools_agree(kafka_cluster):
    code, out, err = demo("--bootstrap", kafka_cluster.bootstrap, "--topic", "demo-of-the-examples")
    assert (code, err) == (0, "")
    shown = re.findall(r"^ +(\d)  +([\d,]+)  \d{20}  as expected$", out, re.MULTILINE)
    counts = {int(partition): int(count.replace(",", "")) for partition, count in shown}
    assert kafka_cluster.end_offsets("demo-of-the-examples") == counts
    assert sum(counts.values()) == 336_776


def test_a_cluster_that_wants_passwords(tmp_path, certificates):
    with EmbeddedCluster(nodes=2, users={"me": "secret"}, tls=certificates.server()) as cluster:
        path = tmp_path / "client.properties"
        path.write_text(
            "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain."
            'PlainLoginModule required username="me" password="secret";\n'
            f"ssl.truststore.location={certificates.folder}/ca.pem\ngroup.id=g\nacks=all\n"
        )
        code, out, err = demo("--bootstrap", cluster.bootstrap, "--config", str(path))
    assert (code, err) == (0, "") and "read 336,776 records back" in out and "secret" not in out
    assert f"-b {cluster.bootstrap} --command-config {path}" in out
