"""Where a command's client is told things: files, the environment, options; passwords stay off the command line."""

import json
import os
import subprocess
import sys

import pytest
from cli.test_commands import ROOT, run

from kafka.testing import EmbeddedCluster

PASSWORD = 'hu"sh'


@pytest.fixture(scope="module")
def cluster(certificates):
    with EmbeddedCluster(topics={"t": 1}, users={"alice": PASSWORD}, tls=certificates.server()) as cluster:
        yield cluster


@pytest.fixture
def file(cluster, certificates, tmp_path):
    """All that is needed to speak to the cluster, and keys of all kinds of clients."""
    path = tmp_path / "client.properties"
    path.write_text(
        f"bootstrap.servers={cluster.bootstrap}\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\n"
        f"ssl.truststore.type=PEM\nssl.truststore.location={certificates.folder}/ca.pem\nlinger.ms=1\ngroup.id=g\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=alice \\\n"
        '    password="hu\\\\"sh";\n'
    )
    return path


def with_environment(environment, *arguments, stdin=b""):
    command = [sys.executable, "-m", "kafka", *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True,
        timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


def test_a_properties_file_is_enough(file):
    assert run("produce", "--command-config", file, "t", stdin=b"one\n") == (0, b"", "")
    code, out, err = run("consume", "--command-config", file, "t")
    assert (code, err) == (0, "") and b"one" in out.split()


def test_options_win_over_the_environment_and_that_over_the_file(file, cluster):
    produce = ("produce", "--command-config", file, "t")
    wrong, right = {"KAFKA_TURBO_CONFIG_SASL_PLAIN_PASSWORD": "wrong"}, f"sasl.plain.password={PASSWORD}"
    code, out, err = with_environment(wrong, *produce, stdin=b"two\n")
    assert (code, out) == (1, b"") and "SASL" in err and PASSWORD not in err
    assert with_environment(wrong, *produce, "-X", right, stdin=b"two\n") == (0, b"", "")
    environment = {"KAFKA_TURBO_CONFIG_BOOTSTRAP_SERVERS": "localhost:1"}
    assert with_environment(environment, *produce, "-b", cluster.bootstrap, stdin=b"two\n") == (0, b"", "")
    code, _, err = with_environment({"KAFKA_TURBO_CONFIG_BOOTSTRAP_SERVERS": "nonsense:port"}, *produce)
    assert code == 2 and "environment variable KAFKA_TURBO_CONFIG_BOOTSTRAP_SERVERS: bootstrap_servers" in err


def test_passwords_from_files(cluster, certificates, tmp_path):
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "password").chmod(0o600)
    arguments = [
        *("-b", cluster.bootstrap, "-X", "security.protocol=SASL_SSL", "-X", "sasl.mechanism=PLAIN"),
        *("-X", f"ssl_cafile={certificates.folder}/ca.pem", "-X", "sasl_plain_username=alice"),
    ]
    given = ("-X", f"sasl_plain_password=@{tmp_path}/password")
    assert run("produce", *arguments, *given, "t", stdin=b"three\n") == (0, b"", "")
    code, out, err = run("produce", *arguments, "-X", "sasl_plain_password=@/none", "t")
    assert (code, out) == (2, b"") and "sasl_plain_password='/none': cannot be read: No such file" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-X", "linger"), "-X takes NAME=VALUE, or NAME=@FILE; there is no '=' behind 'linger'"),
        (("-X", "sasl.plain.password:hush"), "there is no '=' behind 'sasl.plain.password'"),
        (("-X", "group.id=g"), "'group_id'"),  # said for this client, and so no mistake that is passed over
        (("-X", "sasl.jaas.config=a.B required password=hush;"), "-X sasl.jaas.config: sasl.jaas.config names a.B"),
        (("--command-config", "none"), "none: cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong(arguments, said):
    code, out, err = run("produce", "t", *arguments)
    assert (code, out) == (2, b"") and said in err and err.count("\n") == 1 and "hush" not in err


def test_json_in_a_value_is_no_matter(cluster):
    code, _, err = run("produce", "-b", cluster.bootstrap, "-X", f"hooks={json.dumps({'a': 1})}", "t")
    assert code == 2 and "hooks" in err
