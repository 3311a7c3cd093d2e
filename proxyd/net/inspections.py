"""Listener filters at work: each looks at the first bytes of a connection and notes what they say of it.

What an inspection has seen is handed on, to the next one and to whoever the connection is for; only a PROXY
header is taken away.
"""

from typing import Final

from proxyd.codec.client_hello import HELLO, TOO_LARGE, ClientHello, ClientHelloReader
from proxyd.codec.client_hello import MORE as MORE_OF_HELLO
from proxyd.codec.proxy_protocol import ABSENT, FOUND, ProxyHeaderReader
from proxyd.codec.proxy_protocol import MORE as MORE_OF_HEADER
from proxyd.snapshot.filter_chains import ConnectionFacts
from proxyd.snapshot.inspections import (
    HTTP_INSPECTOR,
    PROXY_PROTOCOL,
    HttpInspectorSnapshot,
    InspectionSnapshot,
    ProxyProtocolSnapshot,
    TlsInspectorSnapshot,
)

# What comes of a look.
MORE: Final = 0  # it wants to see more
DONE: Final = 1
REFUSED: Final = 2  # the connection must not go on

_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MOST_OF_LINE: Final = 16384  # bytes that a request line may have
_METHODS: Final = (
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI",
    b"COPY", b"LOCK", b"MKCOL", b"MOVE", b"PROPFIND", b"PROPPATCH", b"SEARCH", b"UNLOCK", b"REPORT",
    b"MKACTIVITY", b"CHECKOUT", b"MERGE", b"NOTIFY", b"SUBSCRIBE", b"UNSUBSCRIBE", b"PURGE", b"LINK",
    b"UNLINK", b"ACL", b"BIND", b"REBIND", b"UNBIND", b"MKCALENDAR", b"M-SEARCH", b"SOURCE",
)  # fmt: skip


class Inspection:
    """One look at one connection."""

    __slots__ = ("facts", "hello")

    def __init__(self, facts: ConnectionFacts) -> None:
        self.facts: Final = facts
        self.hello: ClientHello | None = None  # where this is what it reads

    def feed(self, data: bytes) -> int:
        """Take what has come: MORE, DONE or REFUSED."""
        raise NotImplementedError

    def received(self) -> bytes:
        """All that is for those behind it."""
        raise NotImplementedError


class TlsInspection(Inspection):
    """tls_inspector."""

    __slots__ = ("_config", "_reader")

    def __init__(self, facts: ConnectionFacts, config: TlsInspectorSnapshot) -> None:
        super().__init__(facts)
        self._config: Final = config
        self._reader: Final = ClientHelloReader(config.max_client_hello)

    def feed(self, data: bytes) -> int:
        found = self._reader.feed(data)
        if found == MORE_OF_HELLO:
            return MORE
        if found == TOO_LARGE:
            self._config.stats.client_hello_too_large.value += 1
            return REFUSED
        self._count(self._reader.hello if found == HELLO else None)
        # As in Envoy, what is no TLS at all is a bad hello too.
        return REFUSED if found != HELLO and self._config.closes_on_bad_hello else DONE

    def received(self) -> bytes:
        return self._reader.received

    def _count(self, hello: ClientHello | None) -> None:
        stats = self._config.stats
        if hello is None:
            stats.tls_not_found.value += 1
            return
        self.hello = hello
        facts = self.facts
        facts.transport_protocol = "tls"
        facts.server_name = hello.server_name
        facts.application_protocols = hello.alpn
        stats.tls_found.value += 1
        if hello.server_name:
            stats.sni_found.value += 1
        else:
            stats.sni_not_found.value += 1
        if hello.alpn:
            stats.alpn_found.value += 1
        else:
            stats.alpn_not_found.value += 1


class ProxyInspection(Inspection):
    """proxy_protocol."""

    __slots__ = ("_config", "_reader")

    def __init__(self, facts: ConnectionFacts, config: ProxyProtocolSnapshot) -> None:
        super().__init__(facts)
        self._config: Final = config
        self._reader: Final = ProxyHeaderReader()

    def feed(self, data: bytes) -> int:
        found = self._reader.feed(data)
        if found == MORE_OF_HEADER:
            return MORE
        config = self._config
        stats = config.stats
        version = self._reader.version
        if found == ABSENT or (version in config.disallowed and config.allows_none):
            # As in Envoy, what is not allowed is nothing to it where nothing is needed.
            if config.allows_none:
                stats.not_found_allowed.value += 1
                self._reader.length = 0
                return DONE
            stats.not_found_disallowed.value += 1
        elif version in config.disallowed:
            stats.version(version).found.value += 1
            stats.version(version).disallowed.value += 1
        elif found == FOUND:
            stats.version(version).found.value += 1
            self._tell()
            return DONE
        else:
            stats.version(version).error.value += 1
        stats.error.value += 1
        return REFUSED

    def received(self) -> bytes:
        return self._reader.rest

    def _tell(self) -> None:
        header = self._reader.header
        assert header is not None
        if header.remote_ip:
            facts = self.facts
            facts.remote_ip = header.remote_ip
            facts.remote_port = header.remote_port
            if facts.local_ip != header.local_ip or facts.local_port != header.local_port:
                facts.local_ip = header.local_ip
                facts.local_port = header.local_port
                facts.restored = True


class HttpInspection(Inspection):
    """http_inspector."""

    __slots__ = ("_config", "_received")

    def __init__(self, facts: ConnectionFacts, config: HttpInspectorSnapshot) -> None:
        super().__init__(facts)
        self._config: Final = config
        self._received: bytes = b""

    def feed(self, data: bytes) -> int:
        received = self._received = self._received + data if self._received else data
        if self.facts.transport_protocol == "tls":
            return DONE
        stats = self._config.stats
        protocol = protocol_of(received)
        if protocol is None:
            return MORE
        if protocol:
            self.facts.application_protocols = [protocol]
        if protocol == "h2c":
            stats.http2_found.value += 1
        elif protocol == "http/1.1":
            stats.http11_found.value += 1
        elif protocol == "http/1.0":
            stats.http10_found.value += 1
        else:
            stats.http_not_found.value += 1
        return DONE

    def received(self) -> bytes:
        return self._received


def protocol_of(received: bytes) -> str | None:
    """Which HTTP these bytes begin with, empty for none; None where too few have come to tell."""
    if received.startswith(_HTTP2_PREFACE):
        return "h2c"
    if _HTTP2_PREFACE.startswith(received):
        return None
    end = received.find(b"\n")
    if end < 0:
        method, space, _ = received.partition(b" ")
        known = method in _METHODS if space else any(each.startswith(method) for each in _METHODS)
        return None if known and len(received) < _MOST_OF_LINE else ""
    words = received[:end].rstrip(b"\r").split(b" ")
    if len(words) != 3 or words[0] not in _METHODS:
        return ""
    return {b"HTTP/1.1": "http/1.1", b"HTTP/1.0": "http/1.0"}.get(words[2], "")


def inspection_of(facts: ConnectionFacts, config: InspectionSnapshot) -> Inspection:
    """The look that a listener filter takes at a connection."""
    if config.kind == PROXY_PROTOCOL:
        assert isinstance(config, ProxyProtocolSnapshot)
        return ProxyInspection(facts, config)
    if config.kind == HTTP_INSPECTOR:
        assert isinstance(config, HttpInspectorSnapshot)
        return HttpInspection(facts, config)
    assert isinstance(config, TlsInspectorSnapshot)
    return TlsInspection(facts, config)
