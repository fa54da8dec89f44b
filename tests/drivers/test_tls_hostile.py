"""What peers may do inside TLS, by whichever engine: cut, stall, lie, change keys, end in every way."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import ssl
import time
import weakref
from typing import Any

import pytest
from certificates import Certificates
from tls_link import ID, Link

from kafka.drivers.tls import DIRECT


def gather(link: Link, size: int) -> bytes:
    """So many plain bytes, in as many turns as it takes."""
    got = b""
    until = time.monotonic() + 30
    while len(got) < size:
        assert time.monotonic() < until
        for event in link.run(5):
            assert type(event) is bytes
            got += event
    return got


def exchange(link: Link, size: int) -> bytes:
    """Turns until the peer has read so much."""
    plain = b""
    until = time.monotonic() + 30
    while len(plain) < size:
        assert time.monotonic() < until
        link.run(0)
        while link.peer.take():
            plain += link.peer.plain()
        if words := link.peer.words():
            link.peer.socket.sendall(words)
    return plain


# -- cut ---------------------------------------------------------------------------------------------------------------


def test_records_cut_at_every_byte(secured: Link) -> None:
    peer = secured.peer
    said = peer.say(b"first")
    peer.update_keys()
    said += peer.say(b"second") + peer.say(bytes(100))
    got = b""
    for position in range(len(said)):
        peer.socket.sendall(said[position : position + 1])
        for event in secured.run(0):
            got += event
    assert got == b"first" + b"second" + bytes(100)


@pytest.mark.parametrize("size", [1, 5, 16384])
def test_records_cut_in_two_at_every_place(secured: Link, size: int) -> None:
    step = max(1, size // 50)
    for place in range(1, size + 20, step):
        data = os.urandom(size)
        said = secured.peer.say(data)
        secured.peer.socket.sendall(said[:place])
        got = b"".join(secured.run(0))
        secured.peer.socket.sendall(said[place:])
        assert got + gather(secured, size - len(got)) == data


def test_a_peer_that_reads_slowly(secured: Link) -> None:
    """The socket takes a part of a record, again and again."""
    secured.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    data = os.urandom(600_000)
    secured.turn.send(ID, [memoryview(data)[i : i + 977] for i in range(0, len(data), 977)])
    plain = b""
    while len(plain) < len(data):
        secured.run(0)
        secured.peer.take(1000)
        plain += secured.peer.plain()
    assert plain == data
    secured.run(0)
    assert not secured.turn.unwritten(ID)


def test_what_the_socket_has_not_taken_is_unwritten(secured: Link) -> None:
    """All of it is encrypted, but who waits for its writing waits for the socket."""
    secured.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    secured.turn.send(ID, [bytes(200_000)])
    for _ in range(3):
        secured.run(0)
    assert secured.turn.unwritten(ID)
    assert exchange(secured, 200_000) == bytes(200_000)
    secured.run(0)
    assert not secured.turn.unwritten(ID)


@pytest.mark.parametrize("sizes", [[16383, 1, 1], [16385], [1, 16384, 1, 32768], [100, 131072, 100, 131072], [0, 5, 0]])
def test_buffers_of_every_size_become_records(secured: Link, sizes: list[int]) -> None:
    """Small ones are gathered, whole records are encrypted where they lie; the order stays."""
    buffers = [os.urandom(size) for size in sizes]
    secured.turn.send(ID, buffers)
    assert exchange(secured, sum(sizes)) == b"".join(buffers)
    assert not secured.turn.unwritten(ID)


def test_more_than_a_turn_reads(secured: Link) -> None:
    """What is decrypted already wakes nobody up: it is handed on in turns that do not wait."""
    data = os.urandom(3_000_000)
    said, sent, got = secured.peer.say(data), 0, b""
    secured.peer.socket.setblocking(False)
    until = time.monotonic() + 30
    while len(got) < len(data):
        assert time.monotonic() < until
        with contextlib.suppress(BlockingIOError):
            while sent < len(said):
                sent += secured.peer.socket.send(said[sent : sent + 50_000])
        for event in secured.run(60):
            assert len(event) <= 1 << 20
            got += event
    assert got == data


def test_what_is_left_of_a_turn_comes_at_once(secured: Link) -> None:
    """Nothing is left in the socket, and the peer says nothing more."""
    peer = secured.peer.socket
    force = 32  # SO_SNDBUFFORCE: beyond what the system allows others
    with contextlib.suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, force, 1 << 20)
    data = bytes(300_000)
    said = secured.peer.say(data)
    peer.settimeout(0.1)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < len(said):
            sent += peer.send(said[sent:])
    got = len(secured.run(10)[0])
    began = time.monotonic()
    while sent == len(said) and got < len(data):
        [event] = secured.run(60)
        got += len(event)
    assert time.monotonic() - began < 50


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [1, 4, 5, 6, 30])
def test_an_end_in_the_middle_of_a_record(secured: Link, place: int) -> None:
    whole, cut = secured.peer.say(b"whole"), secured.peer.say(b"cut off here")
    secured.peer.socket.sendall(whole + cut[:place])
    secured.peer.socket.close()
    assert secured.run(10) == [b"whole", 0]
    assert secured.run(0) == []


def test_nothing_comes_behind_an_end_in_order(secured: Link) -> None:
    said = secured.peer.say(b"last")
    with contextlib.suppress(ssl.SSLWantReadError):
        secured.peer.object.unwrap()
    said += secured.peer.words()
    secured.peer.socket.sendall(said + b"anything at all" * 100)
    assert secured.run(10) == [b"last", 0]
    assert secured.run(0) == []
    secured.turn.send(ID, [b"too late"])
    secured.turn.remove(ID)


def test_an_alert_after_the_handshake(secured: Link) -> None:
    """The peer cannot make sense of what it has read."""
    secured.turn.send(ID, [b"a request"])
    secured.run(0)
    record = bytearray(secured.peer.socket.recv(1000))
    record[-1] ^= 1
    secured.peer.incoming.write(record)
    with pytest.raises(ssl.SSLError):
        secured.peer.object.read()
    alert = secured.peer.words()
    secured.peer.socket.sendall(alert)
    secured.peer.socket.close()
    [error] = secured.run(10)
    assert isinstance(error, ssl.SSLError)
    assert error.library == "SSL" and (error.reason or "").endswith("ALERT_BAD_RECORD_MAC")
    assert "alert bad record mac" in str(error)


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="plain text"),
        pytest.param(b"\x17\x03\x03\xff\xff" + bytes(100), id="a record of 64 KiB"),
        pytest.param(b"\x17\x03\x03\x00\x00", id="an empty record"),
        pytest.param(b"\x17\x03\x03\x00\x20" + bytes(32), id="a forged record"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", id="an alert in plain text"),
        pytest.param(b"\x7f\xff\xff\xff" * 10, id="a frame of 2 GB in plain text"),
    ],
)
def test_nonsense_is_an_error_and_the_peer_is_told(secured: Link, nonsense: bytes) -> None:
    secured.peer.socket.sendall(secured.peer.say(b"first") + nonsense)
    events = secured.run(10) + secured.run(0)
    assert events[0] == b"first" and len(events) == 2
    assert isinstance(events[1], ssl.SSLError) and events[1].reason and "OpenSSL gives no reason" not in str(events[1])
    assert secured.run(0) == []
    secured.turn.remove(ID)
    assert secured.peer.take() > 0
    with pytest.raises(ssl.SSLError, match="ALERT"):
        secured.peer.plain()


def test_one_connections_failure_is_not_anothers(secured: Link) -> None:
    """OpenSSL keeps a thread's errors in one place, where it also looks what became of the next call."""
    secured.peer.socket.sendall(b"nonsense" * 10)
    [error] = secured.run(10)
    assert isinstance(error, ssl.SSLError)
    with pytest.raises(ssl.SSLWantReadError):
        secured.peer.object.read()


def test_a_reset(secured: Link) -> None:
    """As in plain text: what the peer said before it is heard."""
    secured.turn.send(ID, [b"unread"])
    secured.run(0)
    secured.peer.socket.sendall(secured.peer.say(b"first"))
    secured.peer.socket.close()  # with bytes that nobody has read
    events = secured.run(10) + secured.run(0)
    assert type(events[-1]) is int and events[:-1] in ([b"first"], [])


# -- new keys ----------------------------------------------------------------------------------------------------------


def test_new_keys_again_and_again(secured: Link) -> None:
    """The peer wants new ones of us each time, too, while both ends have much to say."""
    data = os.urandom(100_000)
    for number in range(20):
        secured.peer.update_keys()
        secured.turn.send(ID, [data, b"%d" % number])
        secured.peer.socket.sendall(secured.peer.say(data[:50_000]))
        assert gather(secured, 50_000) == data[:50_000]
        assert exchange(secured, len(data) + len(b"%d" % number)) == data + b"%d" % number


def test_a_flood_of_new_keys_is_no_flood_of_ours(secured: Link) -> None:
    """A peer that asks for them and reads nothing."""
    for _ in range(20):
        secured.peer.update_keys()
        secured.peer.socket.sendall(secured.peer.say(b"x"))
        secured.run(1)
    secured.run(0)
    assert secured.peer.take(1 << 20) < 20 * 100


@pytest.fixture
def older(pair: tuple[socket.socket, socket.socket], certificates: Certificates, tls_engine: str) -> Link:
    """TLS 1.2."""
    server = certificates.server()
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    link = Link(*pair, server, tls_engine)
    assert link.secure(certificates.client()) == [link.engine]
    link.hear()
    return link


def test_hands_shaken_once_more(older: Link) -> None:
    """A renegotiation (TLS 1.2): what is being written waits for it, and goes on as it was."""
    data = os.urandom(400_000)
    for _ in range(3):
        older.peer.renegotiate()
        older.turn.send(ID, [data[:10], data[10:]])
        older.peer.socket.sendall(older.peer.words())
        plain = b""
        until = time.monotonic() + 30
        while len(plain) < len(data):
            assert time.monotonic() < until
            assert older.run(0) == []
            if older.peer.take():
                plain += older.peer.plain()
            if words := older.peer.words():
                older.peer.socket.sendall(words)
        assert plain == data
        older.peer.socket.sendall(older.peer.say(b"answer"))
        assert gather(older, 6) == b"answer"
    assert not older.turn.unwritten(ID)


def test_a_turn_that_waits_for_the_peer_waits(older: Link) -> None:
    """In a renegotiation there is something to be written, and nothing that can be."""
    older.peer.renegotiate()
    older.peer.socket.sendall(older.peer.words())
    assert older.run(10) == []  # it is heard of that
    older.turn.send(ID, [b"x"])
    for _ in range(5):
        assert older.run(0) == []
    assert older.turn.unwritten(ID)
    began = time.monotonic()
    assert older.run(0.3) == []
    assert time.monotonic() - began > 0.25


def test_tls_1_2(older: Link) -> None:
    data = os.urandom(300_000)
    older.turn.send(ID, [data])
    assert exchange(older, len(data)) == data
    older.peer.socket.sendall(older.peer.say(data[:30_000]))
    assert gather(older, 30_000) == data[:30_000]
    older.turn.remove(ID)
    older.peer.take()
    assert older.peer.object.read() == b""


# -- what is held, who is called ---------------------------------------------------------------------------------------


def test_buffers_of_a_connection_that_is_over_are_let_go(secured: Link) -> None:
    held = bytearray(10_000_000)
    secured.turn.send(ID, [held, held])
    secured.run(0)
    with pytest.raises(BufferError):
        held.append(1)
    secured.turn.remove(ID)
    held.append(1)


def test_the_objects_are_gone_with_the_connection(
    pair: tuple[socket.socket, socket.socket], certificates: Certificates, tls_engine: str
) -> None:
    made: list[weakref.ref[ssl.SSLObject]] = []

    class Context(ssl.SSLContext):
        def wrap_bio(self, *arguments: Any, **more: Any) -> ssl.SSLObject:
            found = super().wrap_bio(*arguments, **more)
            made.append(weakref.ref(found))
            return found

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates["ca.pem"])
    link = Link(*pair, certificates.server(), tls_engine)
    assert link.secure(context) == [link.engine]
    link.hear()
    assert made[0]() is not None
    link.turn.remove(ID)
    gc.collect()
    assert made[0]() is None


def test_python_is_not_asked_again(secured: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    if secured.engine != DIRECT:
        return

    def never(*arguments: Any) -> Any:
        raise AssertionError("Python's ssl was called")

    server = secured.peer.object
    for name in ("read", "write", "unwrap", "pending", "do_handshake", "version"):
        real = getattr(ssl.SSLObject, name)
        monkeypatch.setattr(
            ssl.SSLObject, name, lambda self, *rest, _real=real: _real(self, *rest) if self is server else never()
        )
    secured.turn.send(ID, [b"x" * 100_000])
    exchange(secured, 100_000)
    secured.peer.socket.sendall(secured.peer.say(b"answer"))
    assert gather(secured, 6) == b"answer"
    secured.turn.remove(ID)
    secured.peer.take()
    assert secured.peer.object.read() == b""


def test_callbacks_of_the_users_context(
    pair: tuple[socket.socket, socket.socket], certificates: Certificates, tls_engine: str, tmp_path: Any
) -> None:
    """They are Python's, and called in the middle of what is done without the GIL."""
    context = certificates.client()
    context.keylog_filename = str(tmp_path / "keys")
    seen: list[str] = []
    context._msg_callback = lambda connection, direction, *rest: seen.append(direction)  # type: ignore[attr-defined]
    link = Link(*pair, certificates.server(), tls_engine)
    assert link.secure(context) == [link.engine]
    link.hear()
    before = len(seen)
    link.peer.update_keys()
    link.peer.socket.sendall(link.peer.say(b"new"))
    assert gather(link, 3) == b"new"
    link.turn.send(ID, [b"one", b"two"])
    assert exchange(link, 6) == b"onetwo"
    assert {*seen[before:]} == {"read", "write"}
    assert "TRAFFIC_SECRET" in (tmp_path / "keys").read_text()
    link.turn.remove(ID)
    context._msg_callback = None  # type: ignore[attr-defined]
