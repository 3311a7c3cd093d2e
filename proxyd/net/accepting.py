"""From an accepted connection to its filter chain: who is it, what does it begin with, who speaks to it.

A listener with one chain for everybody over bare TCP has none of this: its connections are HTTP at once.
"""

import asyncio
import time
from typing import Final

from proxyd.codec.client_hello import BROKEN, HELLO, MORE, TOO_LARGE, ClientHello, ClientHelloReader
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.net.addresses import format_address
from proxyd.net.downstream import Http1Downstream
from proxyd.net.http2_downstream import Http2Downstream
from proxyd.net.listener import Connection, Connections, HttpListener
from proxyd.net.logged_downstream import LoggedDownstream, LoggedHttp2Downstream, log_refused
from proxyd.net.timers import Timed, TimerWheel
from proxyd.net.tls_server import TlsServer
from proxyd.snapshot.filter_chains import ConnectionFacts
from proxyd.snapshot.http_connection_manager import HTTP2
from proxyd.snapshot.listeners import ListenerSnapshot
from proxyd.stats.scopes import TlsInspectorStats


class Chooser:
    """What the choosing of one listener's chains needs; ``chains`` in the order of the snapshot's."""

    def __init__(
        self,
        snapshot: ListenerSnapshot,
        chains: list[HttpListener],
        connections: Connections,
        wheel: TimerWheel,
        inspector: TlsInspectorStats,
    ) -> None:
        self.snapshot: Final = snapshot
        self.chains: Final = chains
        self.connections: Final = connections
        self.wheel: Final = wheel
        self.inspector: Final = inspector


def new_connection(chain: HttpListener) -> Http1Downstream | Http2Downstream:
    """Who speaks HTTP to a client that goes through this chain."""
    logged = bool(chain.connections.access_loggers)
    if chain.options.codec == HTTP2:
        return LoggedHttp2Downstream(chain) if logged else Http2Downstream(chain)
    return LoggedDownstream(chain) if logged else Http1Downstream(chain)


class Accepting(Timed, Connection):
    """A protocol of the event loop by shape, until it has found who takes its place."""

    __slots__ = ("_born", "_chooser", "_facts", "_info", "_reader", "_transport")

    def __init__(self, chooser: Chooser) -> None:
        super().__init__()
        self._chooser: Final = chooser
        self._transport: asyncio.Transport | None = None
        self._facts: ConnectionFacts | None = None
        self._reader: ClientHelloReader | None = None
        self._born: float = 0.0
        self._info: Final = ConnectionInfo()

    # -- the event loop's side

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        chooser = self._chooser
        if not chooser.connections.enter(self):
            transport.abort()
            return
        self._born = time.monotonic()
        local = transport.get_extra_info("sockname") or ("", 0)
        remote = transport.get_extra_info("peername") or ("", 0)
        self._facts = ConnectionFacts(local[0], local[1], remote[0], remote[1])
        snapshot = chooser.snapshot
        if not snapshot.inspects:
            self._choose(None, b"")
            return
        chooser.connections.stats.downstream_pre_cx_active.value += 1
        self._reader = ClientHelloReader(snapshot.max_client_hello)
        if snapshot.filters_timeout > 0.0:
            chooser.wheel.arm(self, self._born + snapshot.filters_timeout)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            return
        found = reader.feed(data)
        if found == MORE:
            return
        chooser = self._chooser
        stats = chooser.inspector
        if found == TOO_LARGE:
            stats.client_hello_too_large.value += 1
        if found == TOO_LARGE or (found == BROKEN and chooser.snapshot.closes_on_bad_hello):
            chooser.connections.stats.downstream_listener_filter_error.value += 1
            self.abort()
            return
        hello = reader.hello if found == HELLO else None
        self._count(hello)
        self._inspected()
        self._choose(hello, reader.received)

    def eof_received(self) -> bool:
        if self._reader is not None:
            self._chooser.connections.stats.downstream_listener_filter_remote_close.value += 1
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._inspected()
        self._transport = None
        connections = self._chooser.connections
        if connections.leave(self):
            connections.on_closed()

    def pause_writing(self) -> None:
        """Nothing is written yet."""

    def resume_writing(self) -> None:
        """Nothing is written yet."""

    # -- Connection

    def connection_info(self) -> ConnectionInfo:
        return self._info

    def close_if_idle(self) -> None:
        """What it is about is not known yet: it may be a request."""

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- choosing

    def on_deadline(self, now: float) -> None:
        reader = self._reader
        if reader is None:
            return
        self._chooser.connections.stats.downstream_pre_cx_timeout.value += 1
        if self._chooser.snapshot.continue_on_timeout:
            self._inspected()
            self._choose(None, reader.received)
        else:
            self.abort()

    def _inspected(self) -> None:
        if self._reader is not None:
            self._reader = None
            self._chooser.wheel.disarm(self)
            self._chooser.connections.stats.downstream_pre_cx_active.value -= 1

    def _count(self, hello: ClientHello | None) -> None:
        stats = self._chooser.inspector
        if hello is None:
            stats.tls_not_found.value += 1
            return
        stats.tls_found.value += 1
        if hello.server_name:
            stats.sni_found.value += 1
        else:
            stats.sni_not_found.value += 1
        if hello.alpn:
            stats.alpn_found.value += 1
        else:
            stats.alpn_not_found.value += 1

    def _choose(self, hello: ClientHello | None, data: bytes) -> None:
        facts = self._facts
        transport = self._transport
        chooser = self._chooser
        assert facts is not None
        if transport is None or transport.is_closing():
            return
        if hello is not None:
            facts.transport_protocol = "tls"
            facts.server_name = hello.server_name
            facts.application_protocols = hello.alpn
        found = chooser.snapshot.find(facts)
        if found < 0:
            self._refuse(facts, transport)
            return
        connections = chooser.connections
        connections.leave(self)
        chain = chooser.snapshot.chains[found]
        if chain.waits is not None:
            chain.waits.secrets_not_ready.value += 1
            connections.enter(self)  # until it has closed
            transport.abort()
            return
        http = new_connection(chooser.chains[found])
        http.info.server_name = facts.server_name
        if chain.tls is not None:
            server = TlsServer(chooser.wheel.loop, http, chain.tls, chooser.wheel)
            transport.set_protocol(server)  # type: ignore[arg-type]  # a protocol by shape
            server.begin(transport, hello, data, chain.handshake_timeout, connections.stats)
        else:
            transport.set_protocol(http)  # type: ignore[arg-type]  # a protocol by shape
            http.connection_made(transport)
            if data:
                http.data_received(data)

    def _refuse(self, facts: ConnectionFacts, transport: asyncio.Transport) -> None:
        connections = self._chooser.connections
        connections.stats.no_filter_chain_match.value += 1
        if connections.access_loggers:
            info = self._info
            info.remote_ip = facts.remote_ip
            info.remote_address = format_address(facts.remote_ip, facts.remote_port)
            info.local_address = format_address(facts.local_ip, facts.local_port)
            info.server_name = facts.server_name
            begun = time.time() - (time.monotonic() - self._born)
            log_refused(connections.access_loggers, info, begun, self._born)
        transport.abort()
