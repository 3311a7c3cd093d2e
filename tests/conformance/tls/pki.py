"""Certificates for the TLS cases: good ones, and one for each way to be wrong."""

import datetime
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
USER_PRINCIPAL_NAME = "1.3.6.1.4.1.311.20.2.3"  # Microsoft's type of other names
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Signed:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: _Key

    @property
    def spki(self) -> bytes:
        """SHA-256 of the public key, as verify_certificate_spki has it."""
        public = self.certificate.public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(der)
        return digest.finalize()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc."),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def sign(
    common: str,
    issuer: Signed | None,
    *,
    names: Sequence[x509.GeneralName] = (),
    ca: bool = False,
    key: _Key | None = None,
    days: tuple[int, int] = (-1, 30),
) -> Signed:
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(issuer.certificate.subject if issuer else _name(common))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * _DAY)
        .not_valid_after(now + days[1] * _DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if not ca:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return Signed(builder.sign(signer, hashes.SHA256()), key)


def _dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def _crl(issuer: Signed, *revoked: Signed) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(now - _DAY).next_update(now + 30 * _DAY)
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(now - _DAY).build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Pki:
    """Writes NAME.crt and NAME.key for each name; ``words`` are what configurations say of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ca = sign("Test CA", None, ca=True)
        other = sign("Other CA", None, ca=True)
        middle = sign("Middle CA", ca, ca=True)
        rich: list[x509.GeneralName] = [
            *_dns("client.example.com", "api.client.example.com"),
            x509.UniformResourceIdentifier("spiffe://example.com/ns/default/sa/client"),
            x509.RFC822Name("ops@example.com"),
            x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
            x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
            x509.OtherName(x509.ObjectIdentifier(USER_PRINCIPAL_NAME), b"\x0c\x12client@example.com"),
        ]
        self.signed: Mapping[str, Signed] = {
            "ca": ca,
            "other-ca": other,
            "middle-ca": middle,
            "server": sign("server", ca, names=_dns("server.example.com", "localhost")),
            "one": sign("one", ca, names=_dns("one.example.com")),
            "two": sign("two", ca, names=_dns("two.example.com")),
            "wild": sign("wild", ca, names=_dns("*.wild.example.com")),
            "rsa": sign(
                "rsa", ca, names=_dns("one.example.com"), key=rsa.generate_private_key(65537, 2048)
            ),
            "client": sign("client", ca, names=rich),
            "bare": sign("bare", ca),
            "wildcard-client": sign("wildcard-client", ca, names=_dns("*.example.com")),
            "stranger": sign("stranger", other, names=rich),
            "self-signed": sign("self-signed", None, names=rich),
            "expired": sign("expired", ca, names=rich, days=(-20, -10)),
            "future": sign("future", ca, names=rich, days=(10, 20)),
            "revoked": sign("revoked", ca, names=rich),
            "deep": sign("deep", middle, names=rich),
            "deep-revoked": sign("deep-revoked", middle, names=rich),
            "origin": sign("origin", ca, names=[*_dns("origin.example.com", "*.wild.example.com"),
                                                 x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            "origin-stranger": sign("origin-stranger", other, names=_dns("origin.example.com")),
            "origin-expired": sign("origin-expired", ca, names=_dns("origin.example.com"), days=(-20, -10)),
        }  # fmt: skip
        for name, signed in self.signed.items():
            pem = signed.certificate.public_bytes(serialization.Encoding.PEM)
            if name.startswith("deep"):
                pem += middle.certificate.public_bytes(serialization.Encoding.PEM)
            (directory / f"{name}.crt").write_bytes(pem)
            (directory / f"{name}.key").write_bytes(
                signed.key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        (directory / "ca.crl").write_bytes(_crl(ca, self.signed["revoked"]))
        (directory / "middle.crl").write_bytes(_crl(middle, self.signed["deep-revoked"]))
        (directory / "all.crl").write_bytes(_crl(ca, middle) + _crl(middle, self.signed["deep-revoked"]))
        (directory / "both-ca.crt").write_bytes(
            (directory / "ca.crt").read_bytes() + (directory / "other-ca.crt").read_bytes()
        )
