"""Properties files of Java's tools as arguments of clients."""

import codecs
import logging
import pickle

import pytest

import kafka
from kafka import KafkaConsumer, KafkaProducer, load_config
from kafka.errors import ConfigurationValueError
from kafka.properties.loading import Entry, from_environment, understand


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "client.properties"
        path.write_bytes(text.encode("latin-1"))
        return load_config(path)

    return load


EVERYTHING = """
# What Java's tools are given.
bootstrap.servers=one:9092,\\
                  two:9093
client.id = me
linger.ms=5
batch.size=100000
acks=all
compression.type=zstd
compression.zstd.level=7
compression.gzip.level=1
enable.idempotence=true
group.id=readers
enable.auto.commit=FALSE
auto.offset.reset=earliest
isolation.level=read_committed
partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor,\\
  org.apache.kafka.clients.consumer.RangeAssignor
receive.buffer.bytes=-1
connections.max.idle.ms=-1
reconnect.backoff.max.ms=1000
metadata.max.age.ms=60000
"""


@pytest.mark.parametrize("client", [KafkaProducer, KafkaConsumer])
def test_one_file_for_all_clients(load, client):
    config = load(EVERYTHING)
    assert config == {
        "bootstrap_servers": "one:9092,two:9093", "client_id": "me", "linger_ms": 5, "batch_size": 100000,
        "acks": "all", "compression_type": "zstd", "compression_level": 7, "enable_idempotence": True,
        "group_id": "readers", "enable_auto_commit": False, "auto_offset_reset": "earliest",
        "isolation_level": "read_committed", "partition_assignment_strategy": ["cooperative-sticky", "range"],
        "receive_buffer_bytes": None, "connections_max_idle_ms": 0, "reconnect_backoff_max_ms": 1000,
        "metadata_max_age_ms": 60000,
    }  # fmt: skip
    with client(**config, api_version=(3, 9)) as made:
        assert made.config["client_id"] == "me" and made.config["metadata_max_age_ms"] == 60000
        assert ("linger_ms" in made.config) != ("group_id" in made.config)
    with client(**{**config, "client_id": "other"}, api_version=(3, 9)) as made:
        assert made.config["client_id"] == "other"


def test_a_key_of_another_client_that_a_program_names_is_still_refused(load):
    with pytest.raises(ConfigurationValueError, match="'group_id'"):
        KafkaProducer(**load("linger.ms=1"), group_id="g", api_version=(3, 9))


def test_our_names_are_understood_too(load):
    assert load("linger_ms=1.5\nsasl_plain_username=u") == {"linger_ms": 1.5, "sasl_plain_username": "u"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_user_name_and_password_out_of_jaas(load, mechanism):
    module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
    config = load(
        f"security.protocol=sasl_plaintext\nsasl.mechanism={mechanism}\n"
        f"sasl.jaas.config=org.apache.kafka.common.security.{module} required \\\n"
        '  username="alice" \\\n  password="a\\\\"b=;\\u00e9";\n'
    )
    assert config == {
        "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism, "sasl_plain_username": "alice",
        "sasl_plain_password": 'a"b=;é',
    }  # fmt: skip
    KafkaProducer(**config, api_version=(3, 9)).close()


def test_delegation_tokens(load):
    config = load("sasl.jaas.config=x.ScramLoginModule required username=id password=mac tokenauth=true;")
    assert config == {"sasl_plain_username": "id", "sasl_plain_password": "mac", "sasl_scram_tokenauth": True}


def test_tokens_from_an_endpoint(load):
    config = load(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n"
        "sasl.oauthbearer.token.endpoint.url=https://idp/token\n"
        "sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler\n"
        'sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="c" '
        'clientSecret="hush" scope="s" extension_logicalCluster="lkc-1";\n'
    )
    assert config == {
        "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauthbearer_token_endpoint_url": "https://idp/token",
        "sasl_oauthbearer_client_credentials_client_id": "c",
        "sasl_oauthbearer_client_credentials_client_secret": "hush", "sasl_oauthbearer_scope": "s",
        "sasl_oauthbearer_extensions": {"logicalCluster": "lkc-1"},
    }  # fmt: skip
    assert "hush" not in repr(config)
    KafkaProducer(**config, api_version=(3, 9)).close()


def test_stores(load, certificates):
    ca = certificates.folder / "ca.pem"
    config = load(
        f"security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={ca}\n"
        "ssl.enabled.protocols=TLSv1.3\nssl.endpoint.identification.algorithm=https\n"
    )
    assert config == {
        "security_protocol": "SSL", "ssl_cafile": f"{ca}", "ssl_minimum_version": "TLSv1.3",
        "ssl_check_hostname": True,
    }  # fmt: skip
    KafkaConsumer(**config, api_version=(3, 9)).close()
    config = load("ssl.keystore.location=k.p12\nssl.keystore.type=PKCS12\nssl.keystore.password=p\nssl.key.password=p\n"
                  "ssl.truststore.location=t.p12\nssl.truststore.password=q\nssl.endpoint.identification.algorithm=\n"
                  )  # fmt: skip
    assert config == {
        "ssl_certfile": "k.p12", "ssl_password": "p", "ssl_cafile": "t.p12", "ssl_cafile_password": "q",
        "ssl_check_hostname": False,
    }  # fmt: skip
    key = "-----BEGIN PRIVATE KEY----- x -----END PRIVATE KEY-----"
    config = load(f"ssl.keystore.key={key}\nssl.keystore.certificate.chain=c\nssl.truststore.certificates=t\n")
    assert config == {"ssl_keyfile": key, "ssl_certfile": "c", "ssl_cafile": "t"} and "PRIVATE" not in repr(config)


def test_secrets_do_not_show(load):
    config = load('sasl.jaas.config=x.PlainLoginModule required username="u" password="hush";\nssl.key.password=hush\n')
    for shown in (repr(config), f"{config}", repr({**config}), repr(list(config.values())), repr(dict(config, a=1))):
        assert "hush" not in shown and "<hidden>" in shown
    assert str(config["sasl_plain_password"]) == "hush" and pickle.loads(pickle.dumps(config)) == config
    with KafkaProducer(
        **config, security_protocol="SASL_SSL", sasl_mechanism="PLAIN", ssl_certfile=None, api_version=(3, 9)
    ) as producer:
        assert "hush" not in repr(producer.config)
    assert "hush" not in repr(Entry("ssl.key.password", "hush", "-X"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lingerms=5", "there is no configuration key 'lingerms' (did you mean 'linger_ms'?)"),
        ("ssl.truststore.locaton=x", "(did you mean 'ssl.truststore.location'?)"),
        ("linger.ms=soon", "linger_ms must be a number of milliseconds, 0 or more, not 'soon' (str)"),
        ("enable.auto.commit=yes", "enable_auto_commit must be True or False"),
        ("a=\\uXX", "\\u is not followed by four hexadecimal digits"),
        ("security.protocol=TLS", "security_protocol must be 'PLAINTEXT', 'SSL'"),
        ("ssl.truststore.type=BCFKS", "ssl.truststore.type must be PEM or PKCS12, not 'BCFKS'; keytool"),
        ("ssl.cipher.suites=TLS_X", "set ssl_ciphers"),
        ("ssl.engine.factory.class=a.B", "pass an ssl_context"),
        ("ssl.enabled.protocols=TLSv1.1", "must have TLSv1.2 or TLSv1.3 in it"),
        ("ssl.endpoint.identification.algorithm=ldap", "must be https, or empty"),
        ("sasl.login.callback.handler.class=a.B", "pass sasl_oauth_token_provider"),
        ("sasl.client.callback.handler.class=a.B", "register_sasl_mechanism"),
        ("sasl.jaas.config=a.PlainLoginModule required", "sasl.jaas.config must be: CLASS required"),
        ('sasl.jaas.config=a.PlainLoginModule required password="hush"', "must end with a semicolon"),
        ('sasl.jaas.config=a.HushLoginModule required password="hush";', "names a.HushLoginModule, a class of Java's"),
        ("sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required;", "Kerberos"),
        ("sasl.jaas.config=a.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=hush;", "nobody has signed"),
        ("partitioner.class=a.B", "pass partitioner to KafkaProducer"),
        ("partitioner.ignore.keys=true", "is for Java"),
        ("partition.assignment.strategy=a.B", "has 'a.B' in it, which is for Java"),
        ("config.providers=env", "-X NAME=@FILE"),
        (
            'sasl.jaas.config=a.IAMLoginModule required awsProfileName="hush" awsDebugCreds=true;',
            "says with awsProf",
        ),
        ("transaction.two.phase.commit.enable=true", "is for transactions that somebody else ends"),
        ("sasl.oauthbearer.jwt.validator.class=a.B", "as the endpoint gave it"),
        ("hush/IBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7", "this is no NAME=VALUE with the name of a config"),
        ("hush" * 16, "this is no NAME=VALUE"),
        ("ssl.key.password=hush\nssl.keystore.password=hush2", "and the password of the store differ"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(load, tmp_path, line, said):
    with pytest.raises(ConfigurationValueError) as caught:
        load(f"acks=1\n{line}\n")
    shown = caught.value.args[0]
    assert shown.startswith(f"{tmp_path}/client.properties, line ") and said in shown, shown
    assert shown.partition(", line ")[2][0] in "23" and "hush" not in shown


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationValueError, match="none: cannot be read: No such file"):
        load_config(tmp_path / "none")


def test_what_has_no_effect_is_named_once(load, caplog):
    with caplog.at_level(logging.WARNING, "kafka"):
        config = load("acks=1\nretry.backoff.max.ms=5\nkey.serializer=org.apache.kafka.common.serialization.X\n"
                      "schema.registry.url=http://u:hush@x\nmetric.reporters=a.B\nssl.provider=X\n")  # fmt: skip
    assert config == {"acks": 1}
    (record,) = caplog.records
    named = "retry.backoff.max.ms, key.serializer, schema.registry.url, metric.reporters, ssl.provider"
    assert record.message.endswith(named) and "client.properties: " in record.message and "hush" not in record.message


def test_what_java_drops_is_dropped_here(load, caplog):
    jaas = 'sasl.jaas.config=x.PlainLoginModule required username=u password="p " user_u=p serviceName=hush;\n'
    with caplog.at_level(logging.WARNING, "kafka"):
        config = load(f"{jaas}ssl.key.password=secret \t\nclient.id = a b\n"
                      "sasl.oauthbearer.jwt.validator.class=org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator\n"
                      "transaction.two.phase.commit.enable=false\n")  # fmt: skip
    assert config == {
        "sasl_plain_username": "u", "sasl_plain_password": "p ", "ssl_password": "secret", "client_id": "a b",
    }  # fmt: skip
    (record,) = caplog.records
    assert record.message.endswith("without effect here: serviceName in sasl.jaas.config")


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_a_byte_order_mark(tmp_path, mark):
    (tmp_path / "c.properties").write_bytes(mark + b"acks=1")
    with pytest.raises(ConfigurationValueError, match="c.properties: begins with a byte order mark"):
        load_config(tmp_path / "c.properties")


def test_what_comes_later_counts():
    def entries(*pairs):
        return understand(Entry(name, value, "here") for name, value in pairs)

    assert entries(("linger.ms", "1"), ("linger_ms", "2")) == {"linger_ms": 2}
    assert entries(("ssl_cafile", "a"), ("ssl.truststore.location", "b")) == {"ssl_cafile": "b"}
    jaas = ("sasl.jaas.config", "x.PlainLoginModule required username=a password=b;")
    assert entries(jaas, ("sasl_plain_password", "c"))["sasl_plain_password"] == "c"
    assert entries(("sasl_plain_password", "c"), jaas)["sasl_plain_password"] == "b"


def test_environment_variables():
    found = from_environment({"KAFKA_TURBO_CONFIG_SSL_TRUSTSTORE_LOCATION": "x", "KAFKA_TURBO_CACHE": "y", "HOME": "z"})
    assert understand(found) == {"ssl_cafile": "x"}
    with pytest.raises(ConfigurationValueError, match="environment variable KAFKA_TURBO_CONFIG_LINGER: .*LINGER"):
        understand(from_environment({"KAFKA_TURBO_CONFIG_LINGER": "1"}))


def test_it_is_a_public_name():
    assert kafka.load_config is load_config and "load_config" in dir(kafka)
