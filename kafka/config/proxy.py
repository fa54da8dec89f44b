"""What `proxy_url` says. Never shown as it is: it may have a password in it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from kafka.config.key import Unwanted
from kafka.core.config import Proxy

SCHEMES = ("socks5", "socks5h", "http")
_WANTED = " must be 'socks5://host:port', 'socks5h://host:port' or 'http://host:port'"
_LOGIN_WANTED = " has a user name or password that is empty, or longer than 255 bytes"


def understood(value: Any) -> Proxy:
    """Raises Unwanted, whose message has nothing of the URL but its scheme."""
    if not isinstance(value, str) or "://" not in value:
        raise Unwanted(f"{_WANTED}; a user name and a password may stand before the host: '://user:password@host'.")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Unwanted(f"{_WANTED}; this has no host and port that can be read.") from None
    if parts.scheme not in SCHEMES:
        raise Unwanted(f"{_WANTED}, not {parts.scheme[:20]!r}.")
    if not host or not port:
        raise Unwanted(f"{_WANTED}, with host and port.")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Unwanted(f"{_WANTED}, with nothing behind the port; '#', '?', '/' and '@' in a password are '%23', '%3F',"
                       " '%2F' and '%40'.")  # fmt: skip
    username, password = (None if part is None else _decoded(part) for part in (parts.username, parts.password))
    if parts.scheme == "http" and username is not None and ":" in username:
        raise Unwanted(" has a colon in the user name, which HTTP's Basic cannot carry.")
    if username is None and password is not None:
        raise Unwanted(_LOGIN_WANTED + ".")
    return Proxy(parts.scheme, host, port, username, password)


def _decoded(part: str) -> str:
    """As curl does, `%40` is an @."""
    try:
        text = unquote(part, errors="strict")
        size = len(text.encode())
    except UnicodeError:
        raise Unwanted(" has a user name or password that cannot be written in UTF-8.") from None
    if not 0 < size < 256:  # more does not fit into SOCKS5
        raise Unwanted(_LOGIN_WANTED + ".")
    return text
