"""What an X.509 certificate says, in the words in which Envoy tells it.

``cryptography`` takes 0.1 s and 17 MiB to import: that is done when the first question comes that needs it.
"""

import base64
import hashlib
import urllib.parse
from typing import Any, Final

# Kinds of names; the numbers are those of Envoy's SubjectAltNameMatcher.SanType.
EMAIL: Final = 1
DNS: Final = 2
URI: Final = 3
IP_ADDRESS: Final = 4
OTHER_NAME: Final = 5

_SHORT_NAMES: Final = {
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.5": "serialNumber",
    "2.5.4.4": "SN",
    "2.5.4.42": "GN",
    "2.5.4.12": "title",
    "2.5.4.46": "dnQualifier",
}
# ASN.1 types of strings, and how they are encoded
_STRINGS: Final = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1E: "utf-16-be",
}
_INTEGER: Final = 0x02
_BOOLEAN: Final = 0x01
_ENUMERATED: Final = 0x0A


class SubjectAltName:
    """One of the names that a certificate is for; ``oid`` says which of the OTHER_NAMEs it is."""

    __slots__ = ("kind", "oid", "value")

    def __init__(self, kind: int, value: str, oid: str = "") -> None:
        self.kind: Final = kind
        self.value: Final = value
        self.oid: Final = oid


class Certificate:
    """One certificate, by its DER. What cannot be parsed says nothing: no name, no date."""

    __slots__ = ("_names", "_parsed", "_unreadable", "der")

    def __init__(self, der: bytes) -> None:
        self.der: Final = der
        self._parsed: Any = None
        self._unreadable: bool = False
        self._names: list[SubjectAltName] | None = None

    # -- what the bytes alone tell

    @property
    def sha256(self) -> str:
        """In lower-case hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def sha1(self) -> str:
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest()

    @property
    def pem(self) -> str:
        lines = base64.encodebytes(self.der).decode().replace("\n", "")
        body = "".join(f"{lines[place : place + 64]}\n" for place in range(0, len(lines), 64))
        return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"

    @property
    def escaped_pem(self) -> str:
        """As it can stand in a header."""
        return urllib.parse.quote(self.pem, safe="")

    # -- what stands in it

    def _read(self) -> Any:
        if self._parsed is None and not self._unreadable:
            from cryptography.x509 import load_der_x509_certificate

            try:
                self._parsed = load_der_x509_certificate(self.der)
            except ValueError:
                self._unreadable = True
        return self._parsed

    @property
    def readable(self) -> bool:
        return self._read() is not None

    @property
    def subject(self) -> str:
        """In the form of RFC 2253."""
        parsed = self._read()
        return "" if parsed is None else _name_text(parsed, "subject")

    @property
    def issuer(self) -> str:
        parsed = self._read()
        return "" if parsed is None else _name_text(parsed, "issuer")

    @property
    def common_name(self) -> str:
        """The subject's last CN; empty without one."""
        parsed = self._read()
        if parsed is None:
            return ""
        from cryptography.x509.oid import NameOID

        try:
            names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        except ValueError:
            return ""
        return str(names[-1].value) if names else ""

    @property
    def serial(self) -> str:
        """In hexadecimal digits, an even number of them."""
        parsed = self._read()
        if parsed is None:
            return ""
        digits = f"{parsed.serial_number:x}"
        return "0" * (len(digits) & 1) + digits

    @property
    def begins(self) -> float:
        """Seconds since the epoch; 0.0 where it cannot be read."""
        parsed = self._read()
        return 0.0 if parsed is None else float(parsed.not_valid_before_utc.timestamp())

    @property
    def ends(self) -> float:
        parsed = self._read()
        return 0.0 if parsed is None else float(parsed.not_valid_after_utc.timestamp())

    @property
    def spki(self) -> str:
        """The SHA-256 of the public key's info, in base64."""
        parsed = self._read()
        if parsed is None:
            return ""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        try:
            info = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except ValueError:  # a kind of key that nobody knows
            return ""
        return base64.b64encode(hashlib.sha256(info).digest()).decode()

    @property
    def curve_bits(self) -> int:
        """The size of an ECDSA key; 0 for any other kind."""
        parsed = self._read()
        if parsed is None:
            return 0
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

        try:
            key = parsed.public_key()
        except ValueError:
            return 0
        return key.curve.key_size if isinstance(key, EllipticCurvePublicKey) else 0

    @property
    def names(self) -> list[SubjectAltName]:
        """Its subject alternative names, in their order."""
        if self._names is None:
            parsed = self._read()
            self._names = [] if parsed is None else _names(parsed)
        return self._names

    def names_of(self, kind: int) -> list[str]:
        return [name.value for name in self.names if name.kind == kind]


def preload() -> None:
    """Import what reading certificates needs: while a configuration is loaded, not in the first handshake."""
    import cryptography.x509  # noqa: F401


def split_pem(text: bytes) -> list[bytes]:
    """The DER of every certificate in a PEM text, in its order. Raises ValueError."""
    found: list[bytes] = []
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    place = text.find(begin)
    while place >= 0:
        stop = text.find(end, place)
        if stop < 0:
            raise ValueError("a certificate does not end")
        found.append(base64.b64decode(b"".join(text[place + len(begin) : stop].split()), validate=True))
        place = text.find(begin, stop)
    return found


def _name_text(parsed: Any, which: str) -> str:
    from cryptography.x509 import ObjectIdentifier

    try:
        name = parsed.subject if which == "subject" else parsed.issuer
        text = name.rfc4514_string({ObjectIdentifier(oid): short for oid, short in _SHORT_NAMES.items()})
    except ValueError:
        return ""
    if text.isascii():
        return str(text)
    return "".join(
        each if each.isascii() else "".join(f"\\{byte:02X}" for byte in each.encode()) for each in text
    )


def _names(parsed: Any) -> list[SubjectAltName]:
    # By their names: compiled, a module that one function has imported is None in another.
    from cryptography.x509 import (
        DNSName,
        ExtensionNotFound,
        IPAddress,
        OtherName,
        RFC822Name,
        SubjectAlternativeName,
        UniformResourceIdentifier,
    )

    try:
        extension = parsed.extensions.get_extension_for_class(SubjectAlternativeName)
    except (ExtensionNotFound, ValueError):
        return []
    names: list[SubjectAltName] = []
    for name in extension.value:
        if isinstance(name, DNSName):
            names.append(SubjectAltName(DNS, name.value))
        elif isinstance(name, UniformResourceIdentifier):
            names.append(SubjectAltName(URI, name.value))
        elif isinstance(name, RFC822Name):
            names.append(SubjectAltName(EMAIL, name.value))
        elif isinstance(name, IPAddress):
            names.append(SubjectAltName(IP_ADDRESS, str(name.value)))
        elif isinstance(name, OtherName):
            value = _asn1_text(name.value)
            if value is not None:
                names.append(SubjectAltName(OTHER_NAME, value, name.type_id.dotted_string))
    return names


def _asn1_text(der: bytes) -> str | None:
    """A primitive ASN.1 value as text; None for what has none."""
    if len(der) < 2 or der[1] & 0x80:
        count = der[1] & 0x7F if len(der) > 1 else 0
        if not 1 <= count <= 3 or len(der) < 2 + count:
            return None
        length = int.from_bytes(der[2 : 2 + count], "big")
        content = der[2 + count :]
    else:
        length = der[1]
        content = der[2:]
    if len(content) != length:
        return None
    kind = der[0]
    encoding = _STRINGS.get(kind)
    if encoding is not None:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            return None
    if kind in (_INTEGER, _ENUMERATED):
        return str(int.from_bytes(content, "big", signed=True))
    if kind == _BOOLEAN:
        return "true" if any(content) else "false"
    return None
