"""Amazon MSK: what is signed with the keys of an AWS identity, and where those come from. Brokers check it."""

from __future__ import annotations

import base64
import calendar
import gc
import itertools
import json
import logging
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from certificates import Certificates

from kafka import KafkaProducer
from kafka.config import ClientConfig
from kafka.errors import ConfigurationValueError, CredentialsError, SaslAuthenticationFailedError
from kafka.net.sasl import AwsMskTokenProvider
from kafka.security import aws
from kafka.security.aws import Identity, Keys, signed
from kafka.testing import EmbeddedCluster
from kafka.testing.model.aws import AwsKeys, Unsigned, check_message, check_token

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SESSION = "AQoEXAMPLEH4aoAH0gNCAPy+/=="
BROKER = "b-1.mine.abc123.c2.kafka.eu-west-1.amazonaws.com"
NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION",
         "AWS_DEFAULT_REGION", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
         "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")  # fmt: skip


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nobody's."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def alice(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    environment.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    environment.setenv("AWS_REGION", "eu-west-1")
    return environment


@pytest.fixture
def cluster(certificates: Certificates) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(topics={"t": 1}, users={}, tls=certificates.server()) as found:
        assert found.sasl is not None
        found.sasl.mechanisms.append("AWS_MSK_IAM")
        found.sasl.aws[ACCESS] = AwsKeys(SECRET)
        yield found


def keys(cluster: EmbeddedCluster, certificates: Certificates, **more: Any) -> dict[str, Any]:
    found = {"security_protocol": "SASL_SSL", "sasl_mechanism": "AWS_MSK_IAM", "ssl_cafile": certificates["ca.pem"]}
    return {"bootstrap_servers": cluster.bootstrap, **found, **more}


def produce(**configs: Any) -> None:
    with KafkaProducer(**configs) as producer:
        assert producer.send("t", b"x").get(10).offset >= 0


# -- signatures ------------------------------------------------------------------------------------------------------


def test_the_published_example() -> None:
    """Of the documentation of S3, "Authenticating Requests: Using Query Parameters"."""
    moment = 1369353600.0  # 2013-05-24, 00:00
    host = "examplebucket.s3.amazonaws.com"
    found = signed(
        Keys(ACCESS, SECRET),
        "us-east-1",
        "s3",
        host,
        {},
        moment,
        path="/test.txt",
        body="UNSIGNED-PAYLOAD",
        expires=86400,
    )
    assert found["X-Amz-Signature"] == "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert found["X-Amz-Credential"] == f"{ACCESS}/20130524/us-east-1/s3/aws4_request"


@pytest.mark.parametrize("session", [None, SESSION])
def test_as_botocore_signs(session: str | None) -> None:
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    host, region = "kafka.eu-west-1.amazonaws.com", "eu-west-1"
    request = AWSRequest(method="GET", url=f"https://{host}/", params={"Action": "kafka-cluster:Connect"})
    SigV4QueryAuth(Credentials(ACCESS, SECRET, session), "kafka-cluster", region, expires=900).add_auth(request)
    theirs = {name: value for name, (value,) in parse_qs(urlsplit(request.prepare().url).query).items()}
    now = float(calendar.timegm(time.strptime(theirs["X-Amz-Date"], "%Y%m%dT%H%M%SZ")))
    action = {"Action": "kafka-cluster:Connect"}
    assert signed(Keys(ACCESS, SECRET, session), region, "kafka-cluster", host, action, now) == theirs


@pytest.mark.parametrize("session", [None, SESSION])
def test_what_a_broker_is_told(alice: pytest.MonkeyPatch, session: str | None) -> None:
    if session is not None:
        alice.setenv("AWS_SESSION_TOKEN", session)
    identity = Identity()
    message = json.loads(identity.message(identity.keys(), BROKER))
    wanted = {"version", "host", "user-agent", "action", "x-amz-algorithm", "x-amz-credential", "x-amz-date",
              "x-amz-expires", "x-amz-signedheaders", "x-amz-signature"}  # fmt: skip
    assert message.keys() == wanted | ({"x-amz-security-token"} if session else set())
    assert message["version"] == "2020_10_22" and message["host"] == BROKER and message["x-amz-expires"] == "900"
    assert message["action"] == "kafka-cluster:Connect" and "/eu-west-1/kafka-cluster/" in message["x-amz-credential"]
    known = {ACCESS: AwsKeys(SECRET, session)}
    assert check_message(json.dumps(message).encode(), known, time.time())[1] > 800
    for name in wanted - {"version", "user-agent"}:  # all of it is signed
        changed = {**message, name: message[name][:-1] + ("0" if message[name][-1] != "0" else "1")}
        with pytest.raises((Unsigned, ValueError)):
            check_message(json.dumps(changed).encode(), known, time.time())
    with pytest.raises(Unsigned):
        check_message(json.dumps(message).encode(), known, time.time() + 1000)


@pytest.mark.parametrize("session", [None, SESSION])
def test_a_token(alice: pytest.MonkeyPatch, session: str | None) -> None:
    if session is not None:
        alice.setenv("AWS_SESSION_TOKEN", session)
    token, expires = AwsMskTokenProvider("us-west-2").token()
    assert "=" not in token and abs(expires - time.time() - (900 if session is None else 600)) < 60
    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    assert url.startswith("https://kafka.us-west-2.amazonaws.com/?Action=kafka-cluster%3AConnect&")
    assert "&User-Agent=kafka-turbo%2F" in "&" + urlsplit(url).query
    known = {ACCESS: AwsKeys(SECRET, session)}
    assert check_token(token, known, time.time())[1] > 800
    with pytest.raises(Unsigned):
        check_token(token, {ACCESS: AwsKeys(SECRET[:-1], session)}, time.time())
    assert "kafka.eu-west-1." in base64.urlsafe_b64decode(AwsMskTokenProvider().token()[0] + "===").decode()


# -- where keys and regions come from --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (BROKER, "eu-west-1"),
        ("boot-x.c1.kafka-serverless.us-east-1.amazonaws.com", "us-east-1"),
        ("b-1.x.kafka.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("b-1.x.kafka.us-gov-west-1.amazonaws.com.", "us-gov-west-1"),
        ("kafka.mine.example", "ap-south-1"),
        ("evil.kafka.us-east-1.amazonaws.com.example", "ap-south-1"),
    ],
)
def test_regions(environment: pytest.MonkeyPatch, host: str, region: str) -> None:
    environment.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    assert Identity().region(host) == region


def test_a_profile(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By botocore, as AWS's own tools have it."""
    (tmp_path / "credentials").write_text(f"[work]\naws_access_key_id={ACCESS}\naws_secret_access_key={SECRET}\n")
    (tmp_path / "config").write_text("[profile work]\nregion=sa-east-1\n")
    environment.setenv("AWS_PROFILE", "work")
    identity = Identity()
    assert identity.keys() == Keys(ACCESS, SECRET) and identity.region() == "sa-east-1"


def test_one_session_for_all(environment: pytest.MonkeyPatch) -> None:
    """Another one may be another principal to a broker, which takes no other on the same connection."""
    from botocore import session as botocore

    made = []

    class Credentials:
        numbers = itertools.count()

        def get_frozen_credentials(self) -> Any:
            return type("Frozen", (), {"access_key": ACCESS, "secret_key": f"s{next(self.numbers)}", "token": SESSION})

    class Session:
        def __init__(self) -> None:
            made.append(self)

        def get_credentials(self) -> Credentials:
            return Credentials()

        def get_config_variable(self, name: str) -> str:
            return "eu-west-1"

    environment.setattr(botocore, "Session", Session)
    identity = Identity()
    assert [identity.keys().secret for _ in range(3)] == ["s0", "s1", "s2"]  # it renews them
    assert identity.region() == "eu-west-1" and len(made) == 1


def test_what_is_missing(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialsError, match="There are no AWS credentials: neither .* Hint: Set AWS_ACCESS_KEY_ID"):
        Identity().keys()
    with pytest.raises(CredentialsError, match="'b.example' has no AWS region in it.* Hint: Set AWS_REGION"):
        Identity().region("b.example")
    environment.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(CredentialsError, match=r"pip install kafka-turbo\[aws\]"):
        Identity().keys()
    with pytest.raises(CredentialsError, match="No AWS region is set"):
        Identity().region()


# -- clients ---------------------------------------------------------------------------------------------------------


def test_aws_msk_iam(cluster: EmbeddedCluster, certificates: Certificates, alice: pytest.MonkeyPatch) -> None:
    produce(**keys(cluster, certificates))
    with pytest.raises(ConfigurationValueError, match="needs security_protocol 'SASL_SSL'"):
        ClientConfig({"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "AWS_MSK_IAM"})


def test_a_token_for_oauthbearer(
    cluster: EmbeddedCluster, certificates: Certificates, alice: pytest.MonkeyPatch
) -> None:
    own = {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": AwsMskTokenProvider("eu-west-1")}
    produce(**keys(cluster, certificates, **own))
    assert cluster.sasl is not None
    cluster.sasl.aws[ACCESS] = AwsKeys("another")
    with pytest.raises(SaslAuthenticationFailedError, match="invalid_token"):
        produce(**keys(cluster, certificates, **own))


def test_what_the_constructor_says(
    cluster: EmbeddedCluster, certificates: Certificates, alice: pytest.MonkeyPatch
) -> None:
    alice.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(
        SaslAuthenticationFailedError, match="Access denied.*Hint: Check that the identity may do kafka-c"
    ):
        produce(**keys(cluster, certificates))
    alice.delenv("AWS_REGION")
    with pytest.raises(CredentialsError, match="has no AWS region in it, and none is set. Hint: Set AWS_REGION"):
        produce(**keys(cluster, certificates))
    alice.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(CredentialsError, match="There are no AWS credentials"):
        produce(**keys(cluster, certificates))


@pytest.mark.slow
def test_sessions_that_end(cluster: EmbeddedCluster, certificates: Certificates, alice: pytest.MonkeyPatch) -> None:
    assert cluster.sasl is not None
    cluster.sasl.lifetime = 1.5
    with KafkaProducer(**keys(cluster, certificates)) as producer:
        until = time.monotonic() + 30.0
        while cluster.sasl.counts["renewed"] < 3:
            assert time.monotonic() < until
            producer.send("t", b"x").get(10)
            time.sleep(0.01)


def test_keys_are_asked_for_once_at_a_time(
    cluster: EmbeddedCluster, certificates: Certificates, alice: pytest.MonkeyPatch
) -> None:
    """However many connections wait; and a chain that hangs holds up no close()."""
    released, calls = threading.Event(), []

    def hang(identity: Identity) -> Keys:
        calls.append(threading.current_thread().name)
        released.wait(30)
        return Keys(ACCESS, SECRET)

    alice.setattr(aws.Identity, "keys", hang)
    more = {"bootstrap_servers": [cluster.bootstrap, cluster.bootstrap.replace("127.0.0.1", "localhost")]}
    made: list[Any] = []

    def make() -> None:
        made.append(KafkaProducer(**keys(cluster, certificates, **more)))

    thread = threading.Thread(target=make)
    thread.start()
    until = time.monotonic() + 10
    while not calls and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)
    assert calls == ["kafka-worker"]
    released.set()
    thread.join(30)
    made[0].close()


@pytest.mark.parametrize("mechanism", ["AWS_MSK_IAM", "OAUTHBEARER"])
def test_secrets_show_nowhere(
    cluster: EmbeddedCluster,
    certificates: Certificates,
    alice: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mechanism: str,
) -> None:
    assert cluster.sasl is not None
    alice.setenv("AWS_SESSION_TOKEN", SESSION)
    cluster.sasl.aws[ACCESS] = AwsKeys(SECRET, SESSION)
    caplog.set_level(logging.DEBUG)
    own = {} if mechanism == "AWS_MSK_IAM" else {"sasl_oauth_token_provider": AwsMskTokenProvider()}
    configs = keys(cluster, certificates, sasl_mechanism=mechanism, **own)
    with KafkaProducer(**configs) as producer:
        producer.send("t", b"x").get(10)
        network = producer._core.nodes._network
        shown = [
            producer,
            producer.config,
            vars(producer._core),
            network.mechanism,
            producer.metrics(),
            producer.health(),
        ]
        modules = ("kafka.core.net", "kafka.core.sasl", "kafka.security", "kafka.net")
        shown += [each for each in gc.get_objects() if str(type(each).__module__).startswith(modules)]
        text = "".join(f"{each!r} {each}" for each in shown)
    cluster.sasl.aws[ACCESS] = AwsKeys("another", SESSION)
    with pytest.raises(SaslAuthenticationFailedError) as caught:
        KafkaProducer(**configs)
    again = pickle.loads(pickle.dumps(caught.value))
    text += f"{vars(caught.value)} {again!r} {pickle.dumps(caught.value)!r}"
    text += "".join(traceback.format_exception(caught.value)) + caplog.text
    for secret in (SECRET, SESSION, "X-Amz-Signature"):
        assert secret not in text
