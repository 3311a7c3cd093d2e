"""The command operators about TLS, of both sides: versions, certificates, names."""

import re
from collections.abc import Callable
from typing import Final

from proxyd.codec.certificate import DNS, EMAIL, IP_ADDRESS, OTHER_NAME, URI, Certificate
from proxyd.filters.stream_info import StreamInfo
from proxyd.filters.tls_info import TlsInfo
from proxyd.snapshot.sources import Source, Value, underscored
from proxyd.snapshot.time_format import TimeFormat

_DEFAULT_TIME: Final = "%Y-%m-%dT%H:%M:%S.000Z"

_Side = Callable[[StreamInfo], TlsInfo | None]
_Told = Callable[[TlsInfo], Value]


class TlsFact(Source):
    """What is known of one side's TLS; nothing without any."""

    def __init__(self, side: _Side, read: _Told) -> None:
        self.side: Final = side
        self.read: Final = read

    def get(self, info: StreamInfo) -> Value:
        tls = self.side(info)
        return None if tls is None else self.read(tls) or None


class ValidityTime(Source):
    """When the peer's certificate begins or ends to be valid."""

    def __init__(self, side: _Side, end: bool, spec: str) -> None:
        """Raises ValueError for a format that is not known."""
        self.side: Final = side
        self.end: Final = end
        self.format: Final = TimeFormat(spec or _DEFAULT_TIME)

    def get(self, info: StreamInfo) -> Value:
        tls = self.side(info)
        peer = None if tls is None else tls.peer
        if peer is None or not peer.readable:
            return None
        return self.format.format(peer.ends if self.end else peer.begins)


def _downstream(info: StreamInfo) -> TlsInfo | None:
    return info.connection.tls


def _upstream(info: StreamInfo) -> TlsInfo | None:
    return info.upstream_tls


def _peer(read: Callable[[Certificate], Value]) -> _Told:
    return lambda tls: None if tls.peer is None else read(tls.peer)


def _local(read: Callable[[Certificate], Value]) -> _Told:
    return lambda tls: None if tls.local is None else read(tls.local)


def _issuer(read: Callable[[Certificate], str]) -> _Told:
    def told(tls: TlsInfo) -> Value:
        issuer = tls.issuer
        return None if issuer is None else read(issuer)

    return told


def _chain(read: Callable[[Certificate], str]) -> _Told:
    return lambda tls: ",".join(read(each) for each in tls.peer_chain)


def _names(kind: int) -> Callable[[Certificate], Value]:
    return lambda certificate: ",".join(certificate.names_of(kind))


_BOTH: Final[dict[str, _Told]] = {
    "LOCAL_DNS_SAN": _local(_names(DNS)),
    "LOCAL_IP_SAN": _local(_names(IP_ADDRESS)),
    "LOCAL_URI_SAN": _local(_names(URI)),
    "PEER_CERT": _peer(lambda certificate: certificate.escaped_pem),
    "PEER_DNS_SAN": _peer(_names(DNS)),
    "PEER_IP_SAN": _peer(_names(IP_ADDRESS)),
    "PEER_ISSUER": _peer(lambda certificate: certificate.issuer),
    "PEER_SUBJECT": _peer(lambda certificate: certificate.subject),
    "PEER_URI_SAN": _peer(_names(URI)),
    "TLS_CIPHER": lambda tls: tls.cipher,
    "TLS_GROUP": lambda tls: tls.group,
    "TLS_SESSION_ID": lambda tls: tls.session_id,
    "TLS_VERSION": lambda tls: tls.version,
}
_DOWNSTREAM_ONLY: Final[dict[str, _Told]] = {
    "LOCAL_EMAIL_SAN": _local(_names(EMAIL)),
    "LOCAL_OTHERNAME_SAN": _local(_names(OTHER_NAME)),
    "LOCAL_SUBJECT": _local(lambda certificate: certificate.subject),
    "PEER_CHAIN_FINGERPRINTS_1": _chain(lambda certificate: certificate.sha1),
    "PEER_CHAIN_FINGERPRINTS_256": _chain(lambda certificate: certificate.sha256),
    "PEER_CHAIN_SERIALS": _chain(lambda certificate: certificate.serial),
    "PEER_EMAIL_SAN": _peer(_names(EMAIL)),
    "PEER_FINGERPRINT_1": _peer(lambda certificate: certificate.sha1),
    "PEER_FINGERPRINT_256": _peer(lambda certificate: certificate.sha256),
    "PEER_ISSUER_FINGERPRINT_256": _issuer(lambda certificate: certificate.sha256),
    "PEER_ISSUER_SERIAL": _issuer(lambda certificate: certificate.serial),
    "PEER_OTHERNAME_SAN": _peer(_names(OTHER_NAME)),
    "PEER_SERIAL": _peer(lambda certificate: certificate.serial),
}

TLS_FACTS: Final[dict[str, tuple[_Side, _Told]]] = {
    **{f"DOWNSTREAM_{name}": (_downstream, read) for name, read in (_BOTH | _DOWNSTREAM_ONLY).items()},
    **{f"UPSTREAM_{name}": (_upstream, read) for name, read in _BOTH.items()},
}

_NO_LETTER: Final = re.compile(r"[^A-Za-z0-9._-]")


def _shown(server_name: str) -> str | None:
    """As in Envoy, nothing that a client says for a name ends a line of a log or a header field."""
    if not server_name:
        return None
    cleaned = _NO_LETTER.sub("_", server_name)
    return server_name if cleaned == server_name else f"invalid:{cleaned}"


# With an optional format of time
TLS_TIMES: Final[dict[str, tuple[_Side, bool]]] = {
    "DOWNSTREAM_PEER_CERT_V_START": (_downstream, False),
    "DOWNSTREAM_PEER_CERT_V_END": (_downstream, True),
    "UPSTREAM_PEER_CERT_V_START": (_upstream, False),
    "UPSTREAM_PEER_CERT_V_END": (_upstream, True),
}

CONNECTION_FACTS: Final[dict[str, Callable[[StreamInfo], Value]]] = {
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON": lambda info: underscored(info.connection.transport_failure_reason),
    "REQUESTED_SERVER_NAME": lambda info: _shown(info.connection.server_name),
}
