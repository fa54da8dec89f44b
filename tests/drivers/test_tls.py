"""TLS between a turn and a core: what is written when, what is heard of the end, how much is held."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from typing import Any

import pytest
from certificates import Certificates
from tls_link import ID, Link

from kafka.drivers._turn import Turn
from kafka.drivers.tls import DIRECT, PIECE, PYTHON, TlsTurn, certified_name


def test_what_is_sent_in_a_turn_is_one_piece(secured: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    real = ssl.SSLObject.write

    def write(self: ssl.SSLObject, data: Any) -> int:
        written.append(len(data))
        return real(self, data)

    monkeypatch.setattr(ssl.SSLObject, "write", write)
    secured.turn.send(ID, [b"one", bytearray(b" two"), memoryview(b" three"), b""])
    secured.turn.send(ID, [b" four"])
    assert secured.turn.unwritten(ID) and written == []
    assert secured.run(0) == []
    assert not secured.turn.unwritten(ID) and written == ([18] if secured.engine == PYTHON else [])
    secured.peer.take()
    assert secured.peer.plain() == b"one two three four"


def test_buffers_are_held_until_they_are_encrypted(secured: Link) -> None:
    held = bytearray(b"x" * 100)
    secured.turn.send(ID, [held])
    with pytest.raises(BufferError):
        held.append(1)
    secured.run(0)
    held.append(1)


@pytest.mark.parametrize("size", [(1 << 14) - 1, 1 << 14, (1 << 14) + 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
def test_every_size_arrives_and_every_turn_that_could_write_more_ends_at_once(secured: Link, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    secured.turn.send(ID, [memoryview(data)[: size // 2], memoryview(data)[size // 2 : size]])
    peer, raw, done = secured.peer, bytearray(), threading.Event()

    def read() -> None:
        while select.select([peer.socket], [], [], 0.01)[0] or not done.is_set():
            with contextlib.suppress(BlockingIOError):
                raw.extend(peer.socket.recv(1 << 16, socket.MSG_DONTWAIT))

    # What the socket takes at once, and whoever has written all it has may wait for an answer.
    assert secured.run(0) == []
    reader = threading.Thread(target=read)
    reader.start()
    began = time.monotonic()
    while secured.turn.unwritten(ID):
        # A single piece is all there is: that turn may wait for an answer.
        assert secured.run(60 if size > PIECE else 0) == []
    assert time.monotonic() - began < 50
    done.set()
    reader.join()
    peer.incoming.write(bytes(raw))
    assert peer.plain() == data[:size]


def test_nothing_is_encrypted_ahead_of_the_socket(secured: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypted: list[int] = []
    real = ssl.SSLObject.write
    monkeypatch.setattr(ssl.SSLObject, "write", lambda self, data: encrypted.append(len(data)) or real(self, data))
    secured.turn.send(ID, [bytes(64 * PIECE)])
    for _ in range(50):
        secured.run(0)
    # What the socket holds, and one piece more.
    assert sum(encrypted) <= 3 * PIECE
    assert secured.turn.unwritten(ID)
    taken = 0
    while secured.turn.unwritten(ID) or taken < 64 * PIECE:
        secured.run(0)
        while secured.peer.take():
            taken += len(secured.peer.plain())
    assert taken == 64 * PIECE
    assert sum(encrypted) == (taken if secured.engine == PYTHON else 0)


def test_reading_decrypts_all_there_is(secured: Link) -> None:
    said = [bytes([number]) * size for number, size in enumerate((1, 5, 16384, 16385, 40000, 7))]
    records = b"".join(secured.peer.say(each) for each in said)
    secured.peer.socket.sendall(records[:-3])
    got = b""
    while len(got) < sum(map(len, said)) - 7:
        for event in secured.run(10):
            got += event
    assert got == b"".join(said[:-1])  # the last record is not whole
    assert secured.run(0) == []
    secured.peer.socket.sendall(records[-3:])
    assert secured.run(10) == [said[-1]]


def test_records_cut_at_every_byte(link: Link, certificates: Certificates) -> None:
    """The handshake, too: each byte of the peer's comes in a turn of its own."""
    link.turn.secure(ID, link.ours, certificates.client(), "localhost")
    events: list[Any] = []
    for _ in range(3):
        events += link.run(0)
        if link.peer.take():
            link.peer.shake()
        for byte in link.peer.words():
            link.peer.socket.sendall(bytes([byte]))
            events += link.run(10 if not events else 0.0)
    assert events == [link.engine]
    for byte in link.peer.say(b"first") + link.peer.say(b"second"):
        link.peer.socket.sendall(bytes([byte]))
        events += link.run(0.001)
    assert events == [link.engine, b"first", b"second"]


def test_the_peers_orderly_end(secured: Link) -> None:
    last = secured.peer.say(b"the last words")
    with contextlib.suppress(ssl.SSLWantReadError):
        secured.peer.object.unwrap()
    secured.peer.socket.sendall(last + secured.peer.words())
    assert secured.run(10) == [b"the last words", 0]


def test_an_end_without_notice_is_an_orderly_one(secured: Link) -> None:
    secured.peer.socket.sendall(secured.peer.say(b"the last words"))
    secured.peer.socket.close()
    assert secured.run(10) == [b"the last words", 0]


def test_what_came_before_an_alert_or_nonsense_is_heard_first(secured: Link) -> None:
    record = secured.peer.say(b"not this")
    secured.peer.socket.sendall(secured.peer.say(b"the last words")[:0] + record[:-1] + bytes([record[-1] ^ 1]))
    [error] = secured.run(10)
    assert isinstance(error, ssl.SSLError) and "mac" in str(error).lower()
    secured.turn.remove(ID)


def test_a_verdict_on_our_certificate_comes_after_the_handshake(
    pair: tuple[socket.socket, socket.socket], certificates: Certificates, tls_engine: str
) -> None:
    link = Link(*pair, certificates.server(clients=True), tls_engine)
    link.turn.secure(ID, link.ours, certificates.client(), "localhost")
    link.run(0)
    link.peer.take()
    link.peer.shake()
    link.peer.socket.sendall(link.peer.words())
    assert link.run(10) == [link.engine]
    link.turn.send(ID, [b"a request"])
    link.run(0)
    link.peer.take()
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        link.peer.object.do_handshake()
    link.peer.socket.sendall(link.peer.words())
    link.peer.socket.close()
    [error] = link.run(10)
    assert isinstance(error, ssl.SSLError) and "ALERT_CERTIFICATE_REQUIRED" in (error.reason or "")


def test_a_certificate_that_is_refused_is_told_to_the_peer(link: Link, certificates: Certificates) -> None:
    [error] = link.secure(ssl.create_default_context(cafile=certificates["stranger-ca.pem"]))
    assert isinstance(error, ssl.SSLCertVerificationError)
    link.turn.remove(ID)
    link.peer.take()
    with pytest.raises(ssl.SSLError, match="ALERT_UNKNOWN_CA"):
        link.peer.object.do_handshake()


def test_closing_says_so(secured: Link) -> None:
    secured.turn.remove(ID)
    secured.peer.take()
    assert secured.peer.object.read() == b""  # the peer was told; a mere end of the bytes would raise


def test_closing_in_the_middle_of_a_record_says_nothing(secured: Link) -> None:
    secured.turn.send(ID, [bytes(8 * PIECE)])
    for _ in range(10):
        secured.run(0)
    assert secured.turn.unwritten(ID)
    secured.turn.remove(ID)
    secured.ours.close()
    plain = 0
    while secured.peer.take():
        plain += len(secured.peer.plain())
    assert plain > 0


def test_a_peer_that_is_gone_is_no_trouble_when_closing(secured: Link) -> None:
    secured.peer.socket.close()
    secured.turn.send(ID, [b"x"])
    secured.run(0)
    secured.turn.remove(ID)


def test_new_keys_in_mid_stream(secured: Link) -> None:
    """KeyUpdate: asked for by the peer, which wants new ones of us, too."""
    peer = secured.peer
    peer.socket.sendall(peer.say(b"before"))
    peer.update_keys()
    peer.socket.sendall(peer.say(b"after"))
    got = b""
    while len(got) < 11:
        got += b"".join(secured.run(10))
    assert got == b"beforeafter"
    for data in (b"one", b"two"):
        secured.turn.send(ID, [data])
        secured.run(0)
        peer.take()
        assert peer.plain() == data


def test_names_as_certificates_have_them() -> None:
    assert certified_name("kafka.example.") == "kafka.example"
    assert certified_name("fe80::1%eth0") == "fe80::1"
    assert certified_name("127.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize("host", ["localhost", "localhost.", "127.0.0.1", "::1"])
def test_names_and_addresses_in_certificates(link: Link, certificates: Certificates, host: str) -> None:
    assert link.secure(certificates.client(), host) == [link.engine]


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.2", "::2"])
def test_names_and_addresses_that_are_not(link: Link, certificates: Certificates, host: str) -> None:
    [error] = link.secure(certificates.client(), host)
    assert isinstance(error, ssl.SSLCertVerificationError) and host in error.verify_message


def test_which_engine_encrypts_is_in_the_log(tls_engine: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    TlsTurn(Turn())
    how = "directly, without the GIL" if tls_engine == DIRECT else "not directly: KAFKA_TURBO_TLS=python"
    assert [record.getMessage() for record in caplog.records] == [
        f"TLS by Python's ssl with {ssl.OPENSSL_VERSION}, {how}"
    ]
