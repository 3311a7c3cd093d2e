"""From an accepted connection to its filter chain: who is it, what does it begin with, who speaks to it.

A listener with one chain for everybody over bare TCP has none of this: a connection is the chain's at once.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from proxyd.codec.client_hello import ClientHello
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.net.addresses import end_of, format_address, note_addresses
from proxyd.net.inspections import DONE, MORE, Inspection, inspection_of
from proxyd.net.listener import Chain, Connection, Connections
from proxyd.net.logged_downstream import log_refused
from proxyd.net.network_filters import new_connection
from proxyd.net.timers import Timed, TimerWheel
from proxyd.net.tls_server import TlsServer
from proxyd.snapshot.filter_chains import ConnectionFacts
from proxyd.snapshot.inspections import ORIGINAL_DST
from proxyd.snapshot.listeners import ListenerSnapshot
from proxyd.system import native


class Chooser:
    """What the choosing of one listener's chains needs; ``chains`` in the order of the snapshot's."""

    def __init__(
        self,
        snapshot: ListenerSnapshot,
        chains: list[Chain],
        connections: Connections,
        wheel: TimerWheel,
        neighbours: "Neighbours",
    ) -> None:
        self.neighbours: Final = neighbours
        self.snapshot: Final = snapshot
        self.chains: Final = chains
        self.connections: Final = connections
        self.wheel: Final = wheel


class Neighbours:
    """The listeners in force by the addresses that they are configured with."""

    def __init__(self) -> None:
        self._choosers: dict[tuple[str, int], Chooser] = {}

    def replace(self, choosers: Iterable[Chooser]) -> None:
        """These are in force from now on."""
        present = list(choosers)
        self._choosers = {
            address: chooser for chooser in present for address in chooser.snapshot.ipv4_addresses
        }
        self._choosers |= {
            address: chooser for chooser in present for address in chooser.snapshot.addresses if address[1]
        }

    def find(self, ip: str, port: int) -> Chooser | None:
        """Who has this address, or this port at all addresses."""
        found = self._choosers.get((ip, port))
        return found or self._choosers.get(("::" if ":" in ip else "0.0.0.0", port))


class Accepting(Timed, Connection):
    """A protocol of the event loop by shape, until it has found who takes its place."""

    __slots__ = (
        "_born",
        "_chooser",
        "_done",
        "_facts",
        "_handed_over",
        "_hello",
        "_info",
        "_inspection",
        "_transport",
        "_unmatched",
    )

    def __init__(self, chooser: Chooser) -> None:
        super().__init__()
        self._chooser: Final = chooser
        self._transport: asyncio.Transport | None = None
        self._facts: ConnectionFacts | None = None
        self._inspection: Inspection | None = None  # the one under way
        self._done: int = 0  # inspections that are over
        self._hello: ClientHello | None = None
        self._handed_over: bool = False  # by another listener
        self._unmatched: bool = False  # no chain is for it
        self._born: float = 0.0
        self._info: Final = ConnectionInfo()

    # -- the event loop's side

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        chooser = self._chooser
        if not chooser.connections.enter(self):
            transport.abort()
            return
        note_addresses(self._info, transport)
        facts = ConnectionFacts(*end_of(transport, "sockname"), *end_of(transport, "peername"))
        self._begin(facts, b"")

    def take_over(
        self, transport: asyncio.Transport, info: ConnectionInfo, facts: ConnectionFacts, data: bytes
    ) -> None:
        """In place of ``connection_made``, for a connection that was another listener's so far."""
        self._transport = transport
        self._handed_over = True
        self._info.take(info)
        connections = self._chooser.connections
        if connections.enter(self):
            self._begin(facts, data)
        else:
            transport.abort()
            connections.on_closed()

    def _begin(self, facts: ConnectionFacts, data: bytes) -> None:
        chooser = self._chooser
        self._born = time.monotonic()
        self._facts = facts
        self._inspection = self._next(facts)
        if self._inspection is None:
            self._choose(facts, data)
            return
        chooser.connections.stats.downstream_pre_cx_active.value += 1
        timeout = chooser.snapshot.filters_timeout
        if timeout > 0.0:
            chooser.wheel.arm(self, self._born + timeout)
        if data:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        inspection = self._inspection
        while inspection is not None:
            found = inspection.feed(data)
            if found == MORE:
                return
            if found != DONE:
                self.abort()
                return
            if inspection.hello is not None:
                self._hello = inspection.hello
            data = inspection.received()
            self._done += 1
            inspection = self._next(inspection.facts)
            if inspection is None:
                self._choose_inspected(data)
            else:
                self._inspection = inspection

    def _next(self, facts: ConnectionFacts) -> Inspection | None:
        """The next inspection that has to wait for bytes; those that have not are done."""
        inspections = self._chooser.snapshot.inspections
        while self._done < len(inspections):
            config = inspections[self._done]
            if config.kind != ORIGINAL_DST:
                return inspection_of(facts, config)
            self._restore(facts)
            self._done += 1
        return None

    def _restore(self, facts: ConnectionFacts) -> None:
        """original_dst: the connection may have been led here from another address."""
        transport = self._transport
        assert transport is not None
        meant = native.original_destination(transport.get_extra_info("socket"))
        if meant is not None:
            facts.local_ip, facts.local_port = meant
            facts.restored = True

    def _choose_inspected(self, data: bytes) -> None:
        facts = self._facts
        assert facts is not None
        self._inspected()
        self._choose(facts, data)

    def eof_received(self) -> bool:
        if self._inspection is not None:
            self._chooser.connections.stats.downstream_listener_filter_remote_close.value += 1
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._inspected()
        self._transport = None
        connections = self._chooser.connections
        if connections.leave(self):
            self._log_end()
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
        inspection = self._inspection
        if inspection is None:
            return
        self._chooser.connections.stats.downstream_pre_cx_timeout.value += 1
        if self._chooser.snapshot.continue_on_timeout:
            self._choose_inspected(inspection.received())
        else:
            self.abort()

    def _inspected(self) -> None:
        if self._inspection is not None:
            self._inspection = None
            self._chooser.wheel.disarm(self)
            self._chooser.connections.stats.downstream_pre_cx_active.value -= 1

    def _choose(self, facts: ConnectionFacts, data: bytes) -> None:
        transport = self._transport
        chooser = self._chooser
        if transport is None or transport.is_closing():
            return
        self._note_header(facts)
        if facts.restored and chooser.snapshot.hands_over and not self._handed_over:
            other = chooser.neighbours.find(facts.local_ip, facts.local_port)
            if other is not None and other is not chooser:
                chooser.connections.leave(self)
                successor = Accepting(other)
                transport.set_protocol(successor)  # type: ignore[arg-type]  # a protocol by shape
                successor.take_over(transport, self._info, facts, data)
                return
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
        connection = new_connection(chooser.chains[found])
        connection.connection_info().take(self._info)
        if chain.tls is not None:
            server = TlsServer(chooser.wheel.loop, connection, chain.tls, chooser.wheel)
            transport.set_protocol(server)  # type: ignore[arg-type]  # a protocol by shape
            server.begin(transport, self._hello, data, chain.handshake_timeout, connections.stats)
        else:
            transport.set_protocol(connection)  # type: ignore[arg-type]  # a protocol by shape
            connection.connection_made(transport)
            if data:
                connection.data_received(data)

    def _note_header(self, facts: ConnectionFacts) -> None:
        """What inspections have found out about the connection, addresses of a PROXY header with it."""
        info = self._info
        info.server_name = facts.server_name
        if facts.remote_ip != info.remote_ip or self._done:
            info.remote_ip = facts.remote_ip
            info.remote_address = format_address(facts.remote_ip, facts.remote_port)
            info.local_address = format_address(facts.local_ip, facts.local_port)
        if facts.restored:
            info.original_destination = (facts.local_ip, facts.local_port)

    def _refuse(self, facts: ConnectionFacts, transport: asyncio.Transport) -> None:
        self._chooser.connections.stats.no_filter_chain_match.value += 1
        self._unmatched = True
        transport.abort()

    def _log_end(self) -> None:
        """Tell of a connection that no filter chain has."""
        loggers = self._chooser.connections.access_loggers
        if loggers:
            begun = time.time() - (time.monotonic() - self._born)
            log_refused(loggers, self._info, begun, self._born, self._unmatched)
