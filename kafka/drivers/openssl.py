"""Whether the turn may use Python's OpenSSL directly, without the GIL, and what it raises then.

The functions are looked up at run time, in the libraries that the interpreter's own `_ssl` has loaded: nothing is
linked or shipped, and security updates come with Python's. The objects are those of `ssl`, whose pointers `_ssl` keeps
at a place that no API promises. So it is done only in interpreters where the tests have run, and for each connection
what is found there is compared with what Python says.
"""

from __future__ import annotations

import os
import ssl
import sys
from functools import cache

from kafka.drivers import _turn

# Releases of CPython that the tests of both engines have passed with.
SEEN = ((3, 10), (3, 11), (3, 12), (3, 13))
SWITCH = "KAFKA_TURBO_TLS"


def why_not() -> str:
    """What speaks against it for a client that is made now, "" for nothing."""
    if os.environ.get(SWITCH, "").lower() == "python":
        return f"{SWITCH}=python"
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in SEEN:
        return "it is not tried with this Python"
    if "t" in sys.abiflags:
        return "this Python has no GIL"
    if not _turn.in_main_interpreter():
        return "this is a subinterpreter"
    return _find()


@cache
def _find() -> str:
    import _ssl

    path = getattr(_ssl, "__file__", None)
    if path is None:
        return "OpenSSL is a part of this Python"
    try:
        import ctypes  # a Python may be built without it

        library = ctypes.CDLL(path)
        functions = [getattr(library, name) for name in _turn.openssl_functions()]
    except (AttributeError, ImportError, MemoryError, OSError) as error:
        return f"OpenSSL is out of reach: {error}"
    _turn.use_openssl([ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions])
    return ""


def usable(secured: ssl.SSLObject, outgoing: ssl.MemoryBIO) -> bool:
    """Whether these are as the turn needs them, where nothing else speaks against it. Hands were shaken."""
    import _ssl

    inner = getattr(secured, "_sslobj", None)
    return (
        type(secured) is ssl.SSLObject  # a class of the user's may do anything in its methods
        and type(inner) is _ssl._SSLSocket  # type: ignore[attr-defined]
        and isinstance(secured.context, _ssl._SSLContext)
        and _turn.looks_as_expected(secured, outgoing)
    )


def failure(text: str) -> ssl.SSLError:
    """What `ssl` would have raised, from OpenSSL's text."""
    reason = text.upper().replace(" ", "_")
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, f"[SSL: {reason}] {text}")
    error.library, error.reason = "SSL", reason
    return error
