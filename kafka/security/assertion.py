"""What a client proves with a private key who it is to a token endpoint: a JWT that it has signed itself (RFC 7523).

Or one that somebody else puts into a file, from time to time anew.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from kafka._log import Log
from kafka.errors import ConfigurationValueError
from kafka.security import material
from kafka.security.material import PRIVATE_KEY, Source
from kafka.security.secret import Secret, SecretFile

if TYPE_CHECKING:
    from kafka.security.oidc import Settings

log = Log("kafka.security")

PREFIX = "sasl_oauthbearer_assertion_"
FILE, KEY_FILE, PASSPHRASE = PREFIX + "file", PREFIX + "private_key_file", PREFIX + "private_key_passphrase"
_CURVE = "secp256r1"  # of ES256


class AssertionFile:
    """One that is in a file. Read for each token."""

    keys = FILE

    def __init__(self, settings: Settings) -> None:
        assert settings.assertion_file is not None
        ignored = [name for name in settings.names if name.startswith(PREFIX) and name != FILE]
        if ignored:
            log.warning("%s has the assertion: %s has no effect beside it", FILE, ", ".join(ignored))
        self._file = SecretFile(FILE, settings.assertion_file)
        self.make()

    def __repr__(self) -> str:
        return f"<assertion of {FILE}>"

    def make(self) -> str:
        """Raises ConfigurationValueError."""
        text = self._file.read().strip()
        if len(text.split(".")) != 3 or not all("!" <= character <= "~" for character in text):
            raise self._file.source.wrong("is no JWT: that has three parts with dots between")
        return text


class SignedAssertion:
    """One that is made and signed for each token; the files are read each time."""

    keys = f"{KEY_FILE} and the keys {PREFIX}claim_*"

    def __init__(self, settings: Settings) -> None:
        assert settings.assertion_private_key_file is not None
        self._settings = settings
        self._file = SecretFile(KEY_FILE, settings.assertion_private_key_file)
        passphrase = settings.assertion_private_key_passphrase
        self._passphrase = None if passphrase is None else Secret(PASSPHRASE, passphrase)
        self.make()

    def __repr__(self) -> str:
        return f"<assertion by {KEY_FILE}>"

    def make(self) -> str:
        """Raises ConfigurationValueError."""
        settings, now = self._settings, int(time.time())
        header, claims = self._template()
        header |= {"alg": settings.assertion_algorithm, "typ": "JWT"}
        given = {name: getattr(settings, f"assertion_claim_{name}") for name in ("aud", "iss", "sub")}
        claims |= {name: value for name, value in given.items() if value is not None}
        claims |= {
            "iat": now,
            "exp": now + settings.assertion_claim_exp_seconds,
            "nbf": now - settings.assertion_claim_nbf_seconds,
        }
        if settings.assertion_claim_jti_include:
            claims["jti"] = str(uuid.uuid4())
        content = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{content}.{_encoded(self._signature(content.encode()))}"

    def _template(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims that are always the same."""
        if self._settings.assertion_template_file is None:
            return {}, {}
        source = Source(PREFIX + "template_file", self._settings.assertion_template_file)
        try:
            found = json.loads(source.read())
        except (ValueError, RecursionError):
            raise source.wrong("is not JSON") from None
        header, payload = (found.get(name, {}) if isinstance(found, dict) else None for name in ("header", "payload"))
        if not isinstance(header, dict) or not isinstance(payload, dict):
            raise source.wrong("must be a JSON object whose 'header' and 'payload', where they are there, are objects")
        return header, payload

    def _signature(self, content: bytes) -> bytes:
        source, algorithm = self._file.source, self._settings.assertion_algorithm
        try:
            from cryptography.hazmat.primitives import hashes
            from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
        except ImportError as error:
            raise source.wrong("signing takes the package cryptography: pip install kafka-turbo[pkcs12]") from error
        key = self._key()
        if algorithm == "RS256" and isinstance(key, rsa.RSAPrivateKey):
            return key.sign(content, padding.PKCS1v15(), hashes.SHA256())
        if algorithm == "ES256" and isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == _CURVE:
            r, s = utils.decode_dss_signature(key.sign(content, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        wanted = "an RSA key" if algorithm == "RS256" else "a key of the curve P-256"
        raise source.wrong(f"{PREFIX}algorithm is {algorithm!r}, which takes {wanted}; this is another one")

    def _key(self) -> Any:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        source = self._file.source
        data = material.pem(source, self._file.read_bytes(), PRIVATE_KEY, "private key")
        is_encrypted = b"ENCRYPTED" in data  # "Proc-Type: 4,ENCRYPTED" too, as older ones have it
        opens = None
        if is_encrypted:
            if self._passphrase is None:
                raise source.wrong(f"is encrypted: set {PASSPHRASE}")
            opens = material.encoded(PASSPHRASE, self._passphrase.read())
        try:
            return load_pem_private_key(data, opens)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            why = f"{PASSPHRASE} is not its password, or it is damaged" if is_encrypted else "it is damaged"
            raise source.wrong(f"cannot be read: {why}") from error


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def assertion_of(settings: Settings) -> AssertionFile | SignedAssertion | None:
    """None: there is none. Raises ConfigurationValueError."""
    if settings.assertion_file is not None:
        return AssertionFile(settings)
    if settings.assertion_private_key_file is not None:
        return SignedAssertion(settings)
    if ours := [name for name in settings.names if name.startswith(PREFIX)]:
        raise ConfigurationValueError(f"{', '.join(ours)}: without {KEY_FILE} there is no assertion to put that in.")
    return None
