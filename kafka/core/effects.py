"""What the core asks of its driver: plain values, drained with `Core.effects()` after every input.

A driver carries them out in order and answers with inputs: `Resolve` with `Core.resolved`, `Connect` with
`Core.connected` or `Core.closed`, `Secure` with `Core.secured` or `Core.closed`, `Work` with `Core.worked`. After
`Close` the core has forgotten the connection; report nothing more of it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Buffer = bytes | bytearray | memoryview

# A socket address as the operating system has it: (ip, port) for IPv4, (ip, port, flow, scope) for IPv6.
Address = tuple[Any, ...]


class Resolve(NamedTuple):
    """Look up a host name; answer with `Core.resolved(host, port, addresses_or_error, now)`."""

    host: str
    port: int


class Connect(NamedTuple):
    """Open a TCP connection to `address`; `host` and `port` are the name it was looked up under (for TLS, for logs)."""

    connection_id: int
    address: Address
    host: str
    port: int


class Secure(NamedTuple):
    """Shake hands (TLS) on an open connection with a peer that must be `host`; answer with `Core.secured`.

    From then on the driver encrypts what is sent there, and hands on what it has decrypted.
    """

    connection_id: int
    host: str


class Send(NamedTuple):
    """Write these buffers, in order, after everything sent before on this connection.

    With `notify` the driver answers with `Core.written(connection_id, now)` once the last byte is with the kernel.
    """

    connection_id: int
    buffers: Sequence[Buffer]
    notify: bool = False


class Close(NamedTuple):
    """Drop the connection and whatever is still unwritten."""

    connection_id: int


class Work(NamedTuple):
    """Call `function` on a thread that nobody waits for: it may block, or compute for long.

    Answer with `Core.worked(work_id, result, now)`: Ok(what it returned) or Err(what it raised).
    """

    work_id: int
    function: Callable[[], Any]


class Notice(NamedTuple):
    """Something an operator would want to read in the log: "warning" or "info", and a sentence."""

    level: str
    text: str


Effect = Resolve | Connect | Secure | Send | Close | Work | Notice
