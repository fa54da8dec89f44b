"""Java's names of configuration keys, and what they mean here. All names are written with `_` in place of `.`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kafka.properties.text import login_module

#: Those that have other names here.
RENAMED = {
    "ssl_truststore_location": "ssl_cafile",
    "ssl_truststore_certificates": "ssl_cafile",
    "ssl_truststore_password": "ssl_cafile_password",
    "ssl_keystore_location": "ssl_certfile",
    "ssl_keystore_certificate_chain": "ssl_certfile",
    "ssl_keystore_key": "ssl_keyfile",
    "ssl_keystore_password": "ssl_password",
    "ssl_key_password": "ssl_password",
    "compression_gzip_level": "compression_level",
    "compression_lz4_level": "compression_level",
    "compression_zstd_level": "compression_level",
}

_JAVAS = """
    auto_include_jmx_reporter default_api_timeout_ms
    enable_metrics_push interceptor_classes metadata_max_idle_ms
    metadata_recovery_rebootstrap_trigger_ms metadata_recovery_strategy metrics_recording_level
    partitioner_adaptive_partitioning_enable partitioner_availability_timeout_ms retry_backoff_max_ms
    sasl_kerberos_kinit_cmd sasl_kerberos_min_time_before_relogin sasl_kerberos_ticket_renew_jitter
    sasl_kerberos_ticket_renew_window_factor sasl_login_connect_timeout_ms sasl_login_read_timeout_ms
    sasl_login_refresh_buffer_seconds sasl_login_refresh_min_period_seconds sasl_login_refresh_window_factor
    sasl_login_refresh_window_jitter sasl_login_retry_backoff_max_ms sasl_login_retry_backoff_ms
    sasl_oauthbearer_clock_skew_seconds sasl_oauthbearer_expected_audience sasl_oauthbearer_expected_issuer
    sasl_oauthbearer_jwks_endpoint_refresh_ms sasl_oauthbearer_jwks_endpoint_retry_backoff_max_ms
    sasl_oauthbearer_jwks_endpoint_retry_backoff_ms sasl_oauthbearer_jwks_endpoint_url
    sasl_oauthbearer_scope_claim_name sasl_oauthbearer_sub_claim_name share_acknowledgement_mode
    share_acquire_mode socket_connection_setup_timeout_max_ms socket_connection_setup_timeout_ms
    ssl_keymanager_algorithm ssl_protocol ssl_provider ssl_secure_random_implementation ssl_trustmanager_algorithm
"""
#: Those that change nothing here, whatever they are.
WITHOUT_EFFECT = frozenset(_JAVAS.split())
#: What those of other programs begin with, which read the same files.
FOREIGN = ("schema_registry_", "basic_auth_", "bearer_auth_", "confluent_", "auto_register_", "use_latest_")

#: Those that run code of Java's, with what to do instead.
JAVA_ONLY = {
    "config_providers": "values from elsewhere come from a function here: sasl_plain_password=lambda: ..., "
    "or on the command line from a file: -X NAME=@FILE",
    "partitioner_class": "pass partitioner to KafkaProducer",
    "sasl_client_callback_handler_class": "pass functions as sasl_plain_username and sasl_plain_password, or register "
    "a mechanism of your own with kafka.net.sasl.register_sasl_mechanism",
    "sasl_login_callback_handler_class": "pass sasl_oauth_token_provider to the client, or functions as "
    "sasl_plain_username and sasl_plain_password",
    "sasl_oauthbearer_jwt_validator_class": "a token is shown to the broker as the endpoint gave it",
    "sasl_login_class": "pass sasl_oauth_token_provider to the client, or functions as credentials",
    "security_providers": "pass an ssl_context to the client",
    "ssl_cipher_suites": "set ssl_ciphers, to OpenSSL's names of them, such as ECDHE+AESGCM",
    "ssl_engine_factory_class": "pass an ssl_context to the client",
}
#: Classes of Java's that do what is done here anyway.
_BUILT_IN = (
    "org.apache.kafka.common.security.",
    "software.amazon.msk.auth.iam.IAMClientCallbackHandler",
    "org.apache.kafka.common.security.ssl.DefaultSslEngineFactory",
)
_ASSIGNORS = {
    "RangeAssignor": "range",
    "RoundRobinAssignor": "roundrobin",
    "StickyAssignor": "sticky",
    "CooperativeStickyAssignor": "cooperative-sticky",
}
_CONSUMER = "org.apache.kafka.clients.consumer."
_SERIALIZERS = ("key_serializer", "value_serializer", "key_deserializer", "value_deserializer")
_KINDS_OF_STORE = ("JKS", "PKCS12", "PEM")


class Wrong(Exception):
    """What is wrong with a value; goes on after the key's name. The value is not in it where it may be a secret."""


class Meaning(NamedTuple):
    """Keys of ours with their values, as text or already understood; `without_effect`: to be told of, `options`: so
    are those, in the value."""

    keys: Mapping[str, object]
    without_effect: bool = False
    options: Sequence[str] = ()


_NOTHING = Meaning({})
_WITHOUT_EFFECT = Meaning({}, True)


def meaning(name: str, value: str, others: Mapping[str, str]) -> Meaning | None:
    """What a key says in our terms; None where it has the same name here, or is unknown. Raises Wrong.

    `others`: everything that is given, itself included.
    """
    special = _SPECIAL.get(name)
    if special is not None:
        return special(value, others)
    if name in ("receive_buffer_bytes", "send_buffer_bytes") and value == "-1":
        return Meaning({name: None})
    if name in _SERIALIZERS and "." in value:
        return _WITHOUT_EFFECT
    if name in JAVA_ONLY:
        if not value or value.startswith(_BUILT_IN):
            return _NOTHING
        raise Wrong(f"is for Java, which runs classes of that name: {JAVA_ONLY[name]}")
    if name.startswith("compression_") and name.endswith("_level") and name in RENAMED:
        of = name.split("_")[1]
        return Meaning({"compression_level": value}) if others.get("compression_type") == of else _NOTHING
    if name in ("ssl_keystore_password", "ssl_key_password"):
        return _passwords(others)
    if name in RENAMED:
        return Meaning({RENAMED[name]: value})
    return None


def has_no_effect(name: str) -> bool:
    """Of a key that has no meaning here: whether it may be passed over."""
    return name in WITHOUT_EFFECT or name.startswith(FOREIGN)


def _passwords(others: Mapping[str, str]) -> Meaning:
    store, key = others.get("ssl_keystore_password"), others.get("ssl_key_password")
    if store is not None and key is not None and store != key:
        raise Wrong(
            "and the password of the store differ (ssl.key.password, ssl.keystore.password): a PKCS#12 store has one "
            "for both, a PEM file no other than ssl.key.password"
        )
    return Meaning({"ssl_password": key if store is None else store})


def _protocol(value: str, others: Mapping[str, str]) -> Meaning:
    return Meaning({"security_protocol": value.upper()})


def _kind_of_store(value: str, others: Mapping[str, str]) -> Meaning:
    # What kind it is, is seen by its contents. Java takes PKCS#12 for JKS, too.
    if value.upper() not in _KINDS_OF_STORE:
        raise Wrong(f"must be PEM or PKCS12, not {value!r}; keytool -importkeystore converts a store")
    return _NOTHING


def _host_names(value: str, others: Mapping[str, str]) -> Meaning:
    if value.lower() not in ("", "https"):
        raise Wrong(f"must be https, or empty for names that are not checked, not {value!r}")
    return Meaning({"ssl_check_hostname": bool(value)})


def _versions(value: str, others: Mapping[str, str]) -> Meaning:
    versions = [each.strip() for each in value.split(",")]
    spoken = sorted(each for each in versions if each in ("TLSv1.2", "TLSv1.3"))
    if not spoken:
        raise Wrong(f"must have TLSv1.2 or TLSv1.3 in it, not {value!r}: older ones are not spoken")
    return Meaning({"ssl_minimum_version": spoken[0]})


def _strategies(value: str, others: Mapping[str, str]) -> Meaning:
    names = [each.strip().removeprefix(_CONSUMER) for each in value.split(",")]
    found = [_ASSIGNORS.get(name, name) for name in names]
    for name in found:
        if name not in _ASSIGNORS.values():
            raise Wrong(f"has {name!r} in it, which is for Java: pass partition_assignment_strategy to KafkaConsumer")
    return Meaning({"partition_assignment_strategy": found})


def _idle(value: str, others: Mapping[str, str]) -> Meaning:
    return Meaning({"connections_max_idle_ms": "0" if value.startswith("-") else value})  # negative: never


def _ignore_keys(value: str, others: Mapping[str, str]) -> Meaning:
    if value.lower() != "false":
        raise Wrong("is for Java: records with a key go where it says; send them without one, or pass a partitioner")
    return _NOTHING


def _jaas(value: str, others: Mapping[str, str]) -> Meaning:
    try:
        module, options = login_module(value)
    except ValueError as error:
        raise Wrong(str(error)) from None
    kind = module.rpartition(".")[2]
    if kind in ("PlainLoginModule", "ScramLoginModule"):
        keys: dict[str, object] = {
            ours: options[theirs]
            for theirs, ours in (("username", "sasl_plain_username"), ("password", "sasl_plain_password"))
            if theirs in options
        }
        if options.get("tokenauth", "").lower() == "true":
            keys["sasl_scram_tokenauth"] = True
        # user_NAME says to a broker who its users are.
        known = ("username", "password", "tokenauth")
        return Meaning(keys, options=[name for name in options if name not in known and not name.startswith("user_")])
    if kind == "OAuthBearerLoginModule":
        return Meaning(_oauth(options), options=[name for name in options if not _is_of_oauth(name)])
    if kind == "IAMLoginModule":
        if others_of_aws := [name for name in options if name != "awsDebugCreds"]:
            raise Wrong(
                f"says with {', '.join(others_of_aws)} who the client is, which is not read from there: set "
                "AWS_PROFILE to a profile that says it (role_arn, source_profile), and AWS_REGION"
            )
        return _NOTHING
    if kind == "Krb5LoginModule":
        raise Wrong("names Kerberos (Krb5LoginModule), whose tickets come from the system's cache: kinit, and leave it "
                    "out")  # fmt: skip
    raise Wrong(
        f"names {module}, a class of Java's. Known are PlainLoginModule, ScramLoginModule and OAuthBearerLoginModule; "
        "for others register a mechanism of your own with kafka.net.sasl.register_sasl_mechanism"
    )


def _oauth(options: Mapping[str, str]) -> dict[str, object]:
    keys: dict[str, object] = {}
    extensions = {}
    for name, value in options.items():
        if name.startswith("unsecuredLogin"):
            raise Wrong("asks for tokens that nobody has signed (unsecuredLogin...), which are for Java's own tests: "
                        "pass a sasl_oauth_token_provider to the client")  # fmt: skip
        if name.startswith("extension_"):
            extensions[name.removeprefix("extension_")] = value
        elif name in _OAUTH:
            keys[_OAUTH[name]] = value
    if extensions:
        keys["sasl_oauthbearer_extensions"] = extensions
    return keys


def _is_of_oauth(option: str) -> bool:
    return option in _OAUTH or option.startswith("extension_")


def _two_phases(value: str, others: Mapping[str, str]) -> Meaning:
    if value.lower() != "false":
        raise Wrong("is for transactions that somebody else ends (two-phase commit), which are not done here")
    return _NOTHING


_OAUTH = {
    "clientId": "sasl_oauthbearer_client_credentials_client_id",
    "clientSecret": "sasl_oauthbearer_client_credentials_client_secret",
    "scope": "sasl_oauthbearer_scope",
    "ssl.truststore.location": "sasl_oauthbearer_ssl_cafile",
    "ssl.truststore.certificates": "sasl_oauthbearer_ssl_cafile",
}
_SPECIAL: dict[str, Callable[[str, Mapping[str, str]], Meaning]] = {
    "connections_max_idle_ms": _idle,
    "metric_reporters": lambda value, others: _WITHOUT_EFFECT,
    "partition_assignment_strategy": _strategies,
    "partitioner_ignore_keys": _ignore_keys,
    "sasl_jaas_config": _jaas,
    "security_protocol": _protocol,
    "ssl_enabled_protocols": _versions,
    "ssl_endpoint_identification_algorithm": _host_names,
    "ssl_keystore_type": _kind_of_store,
    "ssl_truststore_type": _kind_of_store,
    "transaction_two_phase_commit_enable": _two_phases,
}
