from __future__ import annotations

import errno
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from kafka.drivers._turn import Turn


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets, the first without blocking, as a turn wants it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def opened(ours: socket.socket) -> Turn:
    turn = Turn()
    turn.add(7, ours.fileno())
    assert turn.run(10) == [(7, True)]
    return turn


def test_a_turn_without_sockets_waits():
    turn = Turn()
    started = time.monotonic()
    assert turn.run(0.05) == []
    assert time.monotonic() - started >= 0.05


def test_wake_ends_the_wait_of_this_turn_or_the_next():
    turn = Turn()
    turn.wake()
    assert turn.run(60) == []
    timer = threading.Timer(0.05, turn.wake)
    timer.start()
    assert turn.run(60) == []
    timer.join()


def test_what_came_is_handed_over_before_the_end(pair):
    ours, theirs = pair
    turn = opened(ours)
    theirs.sendall(b"the last words")
    theirs.close()
    assert turn.run(10) == [(7, b"the last words"), (7, 0)]
    assert turn.run(0.01) == []


def test_buffers_of_every_kind_are_written_in_order_and_let_go(pair):
    ours, theirs = pair
    turn = opened(ours)
    held = bytearray(b"b" * 100_000)
    turn.send(7, [b"a", held, memoryview(b"c"), b""])
    assert turn.unwritten(7)
    with pytest.raises(BufferError):
        held.append(1)
    got = b""
    while len(got) < 100_002:
        turn.run(0.01)
        got += theirs.recv(1 << 20)
    turn.run(0)
    assert got == b"a" + b"b" * 100_000 + b"c"
    assert not turn.unwritten(7)
    held.append(1)  # nothing holds it any more


def test_a_full_socket_that_takes_the_rest_ends_the_turn(pair):
    """Whoever wants to hear that it was written would otherwise wait for the next answer."""
    ours, theirs = pair
    turn = opened(ours)
    while not turn.unwritten(7):
        turn.send(7, [bytes(1 << 14)])
        turn.run(0)
    while select.select([theirs], [], [], 0)[0]:
        theirs.recv(1 << 20)
    started = time.monotonic()
    assert turn.run(60) == []  # it writes at its beginning already
    assert time.monotonic() - started < 50
    assert not turn.unwritten(7)
    started = time.monotonic()
    turn.run(0.1)  # said once
    assert time.monotonic() - started >= 0.1


def test_removing_a_socket_lets_its_buffers_go_and_keeps_the_others(pair):
    ours, theirs = pair
    turn = opened(ours)
    other, far = socket.socketpair()
    with other, far:
        other.setblocking(False)
        turn.add(8, other.fileno())
        assert turn.run(10) == [(8, True)]
        held = bytearray(1 << 24)
        turn.send(7, [held])
        turn.run(0)
        turn.remove(7)
        held.append(1)
        far.sendall(b"still here")
        assert turn.run(10) == [(8, b"still here")]


def test_a_socket_that_somebody_else_closed_is_over():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        turn = opened(ours)
        ours.close()
        assert turn.run(10) == [(7, errno.EBADF)]
        started = time.monotonic()
        assert turn.run(0.05) == []
        assert time.monotonic() - started >= 0.05


def test_a_refused_connection_is_reported_with_its_error():
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))  # bound, not listening
        with socket.socket() as ours:
            ours.setblocking(False)
            ours.connect_ex(placeholder.getsockname())
            turn = Turn()
            turn.add(1, ours.fileno())
            [(number, error)] = turn.run(10)
            assert number == 1
            with pytest.raises(ConnectionRefusedError):
                raise OSError(error, "")
