"""The broker's end of TLS: between a socket's transport and the connection of a client.

asyncio has this, too, but drops what is to be said when a handshake fails: the alert, by which a client knows why.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

log = logging.getLogger("kafka.testing")

_INTERNAL_ERROR = bytes.fromhex("15030300020250")  # Kafka's alert for what is no TLS, where OpenSSL says nothing


class Tls(asyncio.Protocol, asyncio.Transport):
    """The socket's protocol, and the transport of the protocol that it is given."""

    _raw: asyncio.Transport

    def __init__(self, protocol: asyncio.BufferedProtocol, context: ssl.SSLContext) -> None:
        super().__init__()
        self._protocol = protocol
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_secured = False
        self._is_paused = False

    # -- as the socket's protocol --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._raw = transport
        self._protocol.connection_made(self)

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._go_on()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def _go_on(self) -> None:
        try:
            if not self._is_secured:
                self._object.do_handshake()
                self._is_secured = True
            while not self._is_paused and not self._raw.is_closing():
                size = self._object.read(1 << 16, self._protocol.get_buffer(-1))
                if not size:
                    self._raw.close()
                    break
                self._protocol.buffer_updated(size)  # type: ignore[arg-type]
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            log.info("closing a connection: %s", error)
            if not self._outgoing.pending and not self._raw.is_closing():
                self._raw.write(_INTERNAL_ERROR)
            self._flush()
            self._raw.close()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    # -- as a transport ------------------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peercert":  # of the client, once hands are shaken
            return self._object.getpeercert() if self._is_secured else default
        return self._raw.get_extra_info(name, default)

    def writelines(self, list_of_data: Any) -> None:
        if not self._raw.is_closing():
            self._object.write(b"".join(list_of_data))
            self._flush()

    def pause_reading(self) -> None:
        self._is_paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        self._raw.resume_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def abort(self) -> None:
        self._raw.abort()
