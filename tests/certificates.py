"""Certificates for tests, made when they run; nothing secret is in the repository.

`Certificates(folder)` makes an authority and these files, with the password "secret" wherever there is one:

  ca.pem stranger-ca.pem      the authority, and one that nobody trusts
  server.pem expired.pem other-name.pem
                              key (PKCS#8) and certificate of a broker on localhost; one that has run out; one elsewhere
  client.pem foreign.pem      key and certificate of a client; one of the stranger; expired-client.pem has run out
  client.crt client.key       the client's apart; client-encrypted.key needs the password
  client.p12 server.p12 trust.p12 (Java's kind of trust store)
  crl.pem                     revokes revoked.pem, a broker's
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

PASSWORD = "secret"
_NAMES = ("localhost", "127.0.0.1", "::1")


class Certificates:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        now = datetime.datetime.now(datetime.timezone.utc)
        past = {"not_before": now - datetime.timedelta(days=9), "not_after": now - datetime.timedelta(days=1)}
        client = self.authority.issue_cert("client@kafka.example", common_name="client")
        self.write("ca.pem", self.authority.cert_pem.bytes())
        self.write("stranger-ca.pem", self.stranger.cert_pem.bytes())
        server = self.authority.issue_cert(*_NAMES, common_name="localhost")
        revoked = self.authority.issue_cert(*_NAMES, common_name="localhost")
        self.write("server.pem", key(server) + chain(server))
        self.write("expired.pem", both(self.authority.issue_cert(*_NAMES, common_name="localhost", **past)))
        self.write("other-name.pem", both(self.authority.issue_cert("elsewhere.example", common_name="elsewhere")))
        self.write("revoked.pem", both(revoked))
        self.write("client.pem", both(client))
        self.write("expired-client.pem", both(self.authority.issue_cert("client@kafka.example", **past)))
        self.write("foreign.pem", both(self.stranger.issue_cert("client@kafka.example", common_name="client")))
        self.write("client.crt", chain(client))
        self.write("client.key", key(client))
        self.write("client-encrypted.key", key(client, PASSWORD))
        self.write("client.p12", store(client))
        self.write("server.p12", store(server))
        encryption = BestAvailableEncryption(PASSWORD.encode())
        authority = pkcs12.PKCS12Certificate(certificate(self.authority.cert_pem.bytes()), b"ca")
        self.write("trust.p12", pkcs12.serialize_java_truststore([authority], encryption))
        self.write("crl.pem", self._revoking(revoked, now))

    def write(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def __getitem__(self, name: str) -> str:
        """The path of a file."""
        path = self.folder / name
        assert path.exists(), name
        return str(path)

    def text(self, name: str) -> str:
        return Path(self[name]).read_text()

    def server(self, name: str = "server.pem", *, clients: bool = False) -> ssl.SSLContext:
        """A broker's context with this certificate; `clients`: it wants one of clients, of the same authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self[name])
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self["ca.pem"])
        return context

    def client(self) -> ssl.SSLContext:
        """A context that trusts the authority."""
        return ssl.create_default_context(cafile=self["ca.pem"])

    def _revoking(self, leaf: trustme.LeafCert, now: datetime.datetime) -> bytes:
        revoked = x509.RevokedCertificateBuilder().serial_number(certificate(chain(leaf)).serial_number)
        builder = x509.CertificateRevocationListBuilder().issuer_name(
            certificate(self.authority.cert_pem.bytes()).subject
        )
        builder = builder.last_update(now - datetime.timedelta(days=1)).next_update(now + datetime.timedelta(days=1))
        builder = builder.add_revoked_certificate(revoked.revocation_date(now).build())
        signer = load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        return builder.sign(signer, SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def chain(leaf: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in leaf.cert_chain_pems)


def key(leaf: trustme.LeafCert, password: str | None = None) -> bytes:
    """In PKCS#8, the one form that Java reads."""
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return load_pem_private_key(leaf.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption
    )


def both(leaf: trustme.LeafCert) -> bytes:
    return key(leaf) + chain(leaf)


def store(leaf: trustme.LeafCert) -> bytes:
    private = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return pkcs12.serialize_key_and_certificates(
        b"kafka", private, certificate(chain(leaf)), None, BestAvailableEncryption(PASSWORD.encode())  # type: ignore[arg-type]
    )  # fmt: skip
