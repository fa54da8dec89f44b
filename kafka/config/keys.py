"""The keys that every client has. The names and defaults are kafka-python's; `hooks` is added."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from typing import Any

from kafka.config.key import (
    Configuration,
    Key,
    Kind,
    Unwanted,
    boolean,
    choice,
    milliseconds,
    number,
    numbered,
    or_none,
    unchecked,
    whole,
)
from kafka.config.security import known
from kafka.core.config import Proxy

# -- what some of them take --------------------------------------------------------------------------------------------


def _bootstrap_servers(value: Any) -> tuple[tuple[str, int], ...]:
    """(host, port) of each server, in order, without repetition.

    Each is `host`, `host:port`, `[IPv6]`, `[IPv6]:port` or a bare IPv6 address, and may begin with `PROTOCOL://`. The
    port is 9092 where not given.
    """
    try:
        if iter(value) is value:  # read once here, it would be empty for whoever reads `client.config`
            raise Unwanted
        entries = addresses(value)
    except (TypeError, AttributeError):
        raise Unwanted from None
    if not all(isinstance(entry, str) for entry in entries):
        raise Unwanted
    servers = dict.fromkeys(_address(entry) for entry in entries if entry)
    if not servers:
        raise Unwanted
    return tuple(servers)


def addresses(value: Any) -> list[str]:
    """Of `bootstrap_servers`, as they are written."""
    return [entry.strip() for entry in (value.split(",") if isinstance(value, str) else value)]


def _address(entry: str) -> tuple[str, int]:
    address = entry.rpartition("://")[2].rstrip("/")
    if address.startswith("["):
        host, bracket, port = address[1:].partition("]")
        valid = bool(bracket) and _is_ipv6(host) and port[:1] in ("", ":")
        port = port[1:] if port else "9092"
    elif address.count(":") > 1:
        host, port = address, "9092"
        valid = _is_ipv6(host)
    else:
        host, colon, port = address.partition(":")
        port = port if colon else "9092"
        valid = bool(host)
    parsed = int(port) if port.isascii() and port.isdigit() else 0
    if not valid or not 0 < parsed < 65536:
        raise Unwanted(
            f": {entry!r} is not a server's address; write 'host:port' or '[IPv6 address]:port', "
            "with a port from 1 to 65535."
        )
    return host, parsed


def _proxy(value: Any) -> Proxy:
    from kafka.config.proxy import understood  # only where there is one

    return understood(known(value))


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return False
    return True


def _api_version(value: Any) -> tuple[int, ...] | None:
    if value is None or value == "auto":
        return None
    parts = value.split(".") if isinstance(value, str) else value
    try:
        version = tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        raise Unwanted from None
    if not version or min(version) < 0:
        raise Unwanted
    return version


def _socket_options(value: Any) -> tuple[tuple[int, int, int | bytes], ...]:
    try:
        options = tuple(tuple(option) for option in value)
    except TypeError:
        raise Unwanted from None
    for option in options:
        if len(option) != 3 or not all(isinstance(part, int) for part in option[:2]):
            raise Unwanted
        if not isinstance(option[2], (int, bytes)):
            raise Unwanted
    return options


def _metric_reporters(value: Any) -> tuple[Callable[[], Any], ...]:
    if not isinstance(value, (list, tuple)) or not all(callable(each) for each in value):
        raise Unwanted
    return tuple(value)


def _window(value: Any) -> float:
    found = number(value)
    if not 0 < found < float("inf"):
        raise Unwanted
    return found


def _hooks(value: Any) -> tuple[object, ...]:
    if not isinstance(value, (list, tuple)):
        raise Unwanted
    if value:
        from kafka.hooks import METHODS, is_implemented

        for hook in value:
            if isinstance(hook, type) or not any(is_implemented(hook, method) for method in METHODS):
                raise Unwanted(
                    f": {hook!r} has none of the methods {', '.join(METHODS)}"
                    f"{'; pass an instance, not the class' if isinstance(hook, type) else ''}."
                )
    return tuple(value)


# -- the keys ----------------------------------------------------------------------------------------------------------


class ConnectionKeys(Configuration):
    TITLE = "Connections"

    bootstrap_servers = Key(
        Kind("str | Collection[str]", "'host:port', several with commas between, or a list of such strings",
             _bootstrap_servers),
        "localhost",
        "Where the cluster is asked for its brokers when the client starts, and again when all of them are lost. Name "
        "two or three: one that answers is enough. An address is `host`, `host:port` or `[IPv6]:port`; without a port "
        "it is 9092.",
    )  # fmt: skip
    client_id = Key(
        numbered("client"),
        None,
        "The client's name in the brokers' logs, metrics and quotas, and in this client's log. Set it to the name of "
        "the application, so that whoever runs the cluster knows whom to ask.",
    )
    bootstrap_timeout_ms = Key(
        milliseconds(),
        30000,
        "How long the constructor waits for the cluster's first answer. Where it is not set, the constructor raises "
        "sooner if every address has failed for three seconds. Set it where a program starts together with its "
        "brokers, whose names may not be known at first; raise it where the way to the brokers is very slow.",
    )
    api_version: Key[tuple[int, ...] | None] = Key(
        Kind("tuple[int, ...] | str | None", "a tuple such as (3, 9), or None", _api_version),
        None,
        "Which release the brokers have. Versions are negotiated on every connection whatever is said here; the only "
        "effect of a version is that the constructor does not wait for the cluster. Set it where a program has to "
        "start while no broker can be reached.",
    )
    request_timeout_ms = Key(
        milliseconds(2**31 - 1),
        30000,
        "How long a request may wait for its answer. When it is over, the connection is closed and what was in flight "
        "is sent again. Lower it to leave a broker that hangs sooner; raise it for a cluster that is slow for long.",
    )
    connections_max_idle_ms = Key(
        milliseconds(),
        540000,
        "After how long without a request a connection is closed; 0 stands for never. Keep it below the brokers' "
        "`connections.max.idle.ms` and below what a firewall or balancer on the way allows.",
    )
    metadata_max_age_ms = Key(
        milliseconds(),
        300000,
        "How old what is known of brokers and partitions may become before it is asked for again. Changes that matter "
        "are noticed without this; lower it for new partitions to be used sooner.",
    )
    retry_backoff_ms = Key(
        milliseconds(),
        100,
        "How long the first retry of a request waits; each further one waits twice as long, up to a second. Raise it "
        "for a cluster that is overloaded.",
    )
    reconnect_backoff_ms = Key(
        milliseconds(),
        50,
        "How long after a failed connection the next attempt waits; twice as long after each further failure, up to "
        "`reconnect_backoff_max_ms`. A fifth is added or taken away at random.",
    )
    reconnect_backoff_max_ms = Key(
        milliseconds(),
        30000,
        "The longest wait between attempts to connect to one broker; not less than `reconnect_backoff_ms`. Lower it to "
        "find a broker that is back sooner, at the price of more attempts while it is away.",
    )
    max_in_flight_requests_per_connection = Key(
        whole("", 1),
        5,
        "How many requests may be on their way to one broker. Fewer are sent while more would only wait there, so "
        "lowering it seldom helps. Idempotence allows at most 5.",
    )
    receive_message_max_bytes = Key(
        whole("bytes", 1),
        100_000_000,
        "The largest answer that is taken; a broker that announces a larger one is disconnected. Raise it only for "
        "clusters with so many partitions that their metadata is larger.",
    )
    receive_buffer_bytes = Key(
        or_none(whole("bytes", 1), "the system's default"),
        None,
        "The size of each socket's receive buffer (SO_RCVBUF). Setting it turns off Linux's own tuning; leave it "
        "unless a measurement over a long line says otherwise.",
    )
    send_buffer_bytes = Key(
        or_none(whole("bytes", 1), "the system's default"),
        None,
        "The size of each socket's send buffer (SO_SNDBUF). Setting it turns off Linux's own tuning; leave it unless a "
        "measurement over a long line says otherwise.",
    )
    socket_options = Key(
        Kind("Iterable[tuple[int, int, int | bytes]]",
             "a list of (level, option, value) tuples, as for socket.setsockopt", _socket_options),
        [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        "What is set on each socket before it connects. A list replaces the default, so repeat TCP_NODELAY in it; add "
        "SO_KEEPALIVE, say, where firewalls forget idle connections.",
    )  # fmt: skip
    client_dns_lookup = Key(
        choice("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
        "use_all_dns_ips",
        "Which addresses of a name are tried: all of them, in turn.",
        implemented=False,
    )
    proxy_url = Key(
        or_none(Kind("str", "the URL of a proxy", _proxy, secret=True), "no proxy"),
        None,
        "A proxy that all connections go through: 'socks5://host:port', 'socks5h://host:port' (which looks up the "
        "brokers' names itself) or 'http://host:port' (CONNECT), with 'user:password@' before the host where it wants "
        "them. Set it where brokers cannot be reached directly.",
    )
    socks5_proxy = Key(
        or_none(Kind("str", "the URL of a proxy", _proxy, secret=True), "no proxy"),
        None,
        "An earlier name of `proxy_url`. Use that.",
    )
    selector = Key(
        unchecked("type[selectors.BaseSelector]", "a class of the module selectors"),
        selectors.DefaultSelector,
        "How kafka-python waits for its sockets. Connections here are polled in C, so there is nothing to choose.",
        implemented=False,
    )
    kafka_client = Key(
        unchecked("Callable[..., Any] | None", "a callable, or None"),
        None,
        "What makes kafka-python's own network client; there is none here.",
        implemented=False,
    )


class ObservationKeys(Configuration):
    TITLE = "Metrics and hooks"

    metrics_enabled = Key(
        boolean,
        True,
        "Whether the client measures itself, for `metrics()` and reporters. It takes a microsecond a batch; turn it "
        "off where nobody reads them.",
    )
    metrics_num_samples = Key(
        whole("", 1),
        2,
        "Over how many windows of `metrics_sample_window_ms` rates, averages and maxima are taken. More windows make "
        "smoother curves.",
    )
    metrics_sample_window_ms = Key(
        Kind("float", "a number of milliseconds, more than 0 and finite", _window),
        30000,
        "The length of one window of measurements. Lower it to see changes sooner.",
    )
    metric_reporters = Key(
        Kind("Sequence[Callable[[], Any]]",
             "a list of classes that implement kafka.metrics.AbstractMetricsReporter", _metric_reporters),
        [],
        "Classes that are told of each metric, as with kafka-python. For Prometheus and OpenTelemetry there are "
        "adapters.",
    )  # fmt: skip
    hooks = Key(
        Kind("Sequence[object]", "a list of objects with methods of kafka.hooks.Hooks", _hooks),
        [],
        "Objects that are told what the client does, event by event: connections, requests, batches, trouble. They "
        "are called on the IO thread, so they have to be quick.",
    )
