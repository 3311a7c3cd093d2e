"""What a TLS client offers and asks: data only."""

from dataclasses import dataclass
from typing import Any

from tests.conformance.case import get


@dataclass(frozen=True)
class TlsCase:
    """One connection with one request. ``accepted`` is what Envoy must say: an answer came, or none did."""

    name: str
    listener: str
    accepted: bool = True
    sni: str | None = None
    alpn: tuple[str, ...] = ()
    versions: str = "1.2-1.3"  # the lowest and the highest offered
    ciphers: str = ""  # of TLS 1.2, in OpenSSL's words
    curve: str = ""
    signatures: tuple[str, ...] = ()
    certificate: str = ""  # of the client, a name in the PKI
    plain: bytes = b""  # sent instead of a handshake
    request: str = get("/")

    def __str__(self) -> str:
        return self.name

    @property
    def sends(self) -> tuple[bytes, ...]:
        return (self.plain or self.request.encode("latin-1"),)

    # What the comparison of plain exchanges asks of a case.
    probe = False


def tls(name: str, listener: str, accepted: bool = True, **more: Any) -> TlsCase:
    return TlsCase(name, listener, accepted, **more)
