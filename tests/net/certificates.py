"""Certificates made on the spot."""

import base64
import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def new_key(kind: str = "ecdsa") -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def name_of(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test, Inc."),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


class Pair:
    """A certificate (the chain behind it, if any) with its key."""

    def __init__(
        self, certificate: x509.Certificate, key: Any, chain: Sequence[x509.Certificate] = ()
    ) -> None:
        self.x509 = certificate
        self.key_object = key
        self.certificate = certificate.public_bytes(Encoding.PEM).decode()
        self.chain = self.certificate + "".join(each.public_bytes(Encoding.PEM).decode() for each in chain)
        self.key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def locked_key(self, password: str) -> str:
        locked = BestAvailableEncryption(password.encode())
        return str(self.key_object.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode())

    @property
    def sha256(self) -> str:
        return str(self.x509.fingerprint(hashes.SHA256()).hex())

    @property
    def spki(self) -> str:
        info = self.x509.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(info).digest()).decode()

    @property
    def config(self) -> dict[str, Any]:
        """As one of ``tls_certificates``."""
        return {
            "certificate_chain": {"inline_string": self.chain},
            "private_key": {"inline_string": self.key},
        }


class Authority(Pair):
    """Signs certificates."""

    def __init__(self, common_name: str = "Test CA", parent: "Authority | None" = None) -> None:
        key = new_key()
        signer = parent or self
        builder = _builder(common_name, key, parent.x509.subject if parent else name_of(common_name))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        signing = key if signer is self else signer.key_object
        super().__init__(builder.sign(signing, hashes.SHA256()), key)
        self.intermediates = [] if parent is None else [self.x509, *parent.intermediates]

    def issue(
        self,
        *names: str,
        kind: str = "ecdsa",
        common_name: str = "",
        begins: datetime.datetime = NOW - DAY,
        ends: datetime.datetime = NOW + 30 * DAY,
        others: Sequence[x509.GeneralName] = (),
    ) -> Pair:
        """``names`` are DNS names, IP addresses, URIs (with ``://``) and mail addresses."""
        key = new_key(kind)
        builder = _builder(
            common_name or (names[0] if names else "leaf"), key, self.x509.subject, begins, ends
        )
        general = [_general(name) for name in names] + list(others)
        if general:
            builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
        return Pair(builder.sign(self.key_object, hashes.SHA256()), key, self.intermediates)

    def revocation_list(self, *revoked: Pair) -> str:
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self.x509.subject, last_update=NOW - DAY, next_update=NOW + 30 * DAY
        )
        for each in revoked:
            entry = x509.RevokedCertificateBuilder(each.x509.serial_number, NOW - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key_object, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    common_name: str,
    key: Any,
    issuer: x509.Name,
    begins: datetime.datetime = NOW - DAY,
    ends: datetime.datetime = NOW + 365 * DAY,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name_of(common_name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
