"""What is known of the TLS of one connection: Envoy's Ssl::ConnectionInfo."""

import ssl
import sys
from typing import Any, Final

from proxyd.codec.certificate import Certificate


class TlsInfo:
    """One handshake that has ended well. ``peer`` and ``local`` are both sides' certificates."""

    __slots__ = ("_chain", "_ssl", "cipher", "group", "local", "peer", "server_name", "version")

    def __init__(
        self,
        connection: ssl.SSLObject,
        peer: Certificate | None,
        local: Certificate | None,
        server_name: str,
        group: str = "",
    ) -> None:
        self._ssl: Final = connection
        cipher = connection.cipher()
        # Interned: there are few, and every connection would keep its own.
        self.version: Final[str] = sys.intern(connection.version() or "")
        self.cipher: Final[str] = "" if cipher is None else sys.intern(cipher[0])
        self.peer: Final = peer
        self.local: Final = local
        self.server_name: Final = server_name
        self.group: Final = group  # the curve of the key exchange, where it is known
        self._chain: list[Certificate] | None = None

    @property
    def session_id(self) -> str:
        """In hexadecimal digits; empty where the session has none."""
        session = self._ssl.session
        return "" if session is None else session.id.hex()

    @property
    def issuer(self) -> Certificate | None:
        """Who has signed the peer's certificate, where that was verified."""
        chain = _chain(self._ssl, "get_verified_chain")
        return Certificate(chain[1]) if len(chain) > 1 else None

    @property
    def peer_chain(self) -> list[Certificate]:
        """All certificates that the peer has sent, its own first."""
        if self._chain is None:
            self._chain = [Certificate(der) for der in _chain(self._ssl, "get_unverified_chain")]
            if not self._chain and self.peer is not None:
                self._chain = [self.peer]  # a resumed session has no more
        return self._chain


def _chain(connection: Any, which: str) -> list[bytes]:
    # Public since Python 3.13, and behind the object before.
    if hasattr(connection, which):
        return list(getattr(connection, which)())
    import _ssl

    chain = getattr(connection._sslobj, which)()
    return [each.public_bytes(_ssl.ENCODING_DER) for each in chain or ()]
