"""What the connections of one listener share, and how many of them there are."""

import asyncio
from typing import Final

from mypy_extensions import trait

from proxyd.filters.connection_info import ConnectionInfo
from proxyd.net.access_log import AccessLogger
from proxyd.net.addresses import format_address
from proxyd.net.limits import ConnectionLimit
from proxyd.net.stream import StreamFactory
from proxyd.net.timers import TimerWheel
from proxyd.snapshot.http_connection_manager import HttpConnectionOptions
from proxyd.stats.scopes import HttpStats, ListenerStats


@trait
class Connection:
    """A connection of a client, as its listener and whoever ends it know it."""

    __slots__ = ()

    def connection_info(self) -> ConnectionInfo:
        raise NotImplementedError

    def begin_drain(self) -> None:
        """No further request, please: to be said at once by who can, with the next response by others."""

    def close_if_idle(self) -> None:
        """Close unless a request is under way; then its response is the last."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        raise NotImplementedError


class Connections:
    """All connections of one listener, whatever filter chain they go through."""

    def __init__(
        self, stats: ListenerStats, limit: ConnectionLimit, access_loggers: list[AccessLogger]
    ) -> None:
        self.stats: Final = stats
        self.all: Final[set[Connection]] = set()
        self.access_loggers: Final = access_loggers  # of connections, not of requests
        self._accepted: int = 0
        self.limit: Final = limit

    def enter(self, connection: Connection) -> bool:
        """Take a new connection in, or refuse it because the limit is reached."""
        if not self.limit.admits():
            self.stats.downstream_cx_overflow.value += 1
            return False
        self.all.add(connection)
        self.limit.opened()
        return True

    def leave(self, connection: Connection) -> bool:
        """It is gone, or another object stands for it from now on; False where it never was here."""
        if connection not in self.all:
            return False
        self.all.discard(connection)
        self.limit.closed()
        return True

    def replace(self, connection: Connection, other: Connection) -> None:
        """``other`` stands for an open connection from now on."""
        if connection in self.all:
            self.all.discard(connection)
            self.all.add(other)

    def number(self) -> int:
        """The next connection's."""
        self._accepted += 1
        return self._accepted

    def on_closed(self) -> None:
        """A connection less; a worker that drains looks whether it was the last."""


class HttpListener:
    """One filter chain of a listener that speaks HTTP: counts connections, and knows whether it drains."""

    def __init__(
        self,
        options: HttpConnectionOptions,
        factory: StreamFactory,
        connections: Connections,
        http_stats: HttpStats,
        wheel: TimerWheel,
    ) -> None:
        self.options: Final = options
        self.factory: Final = factory
        self.connections: Final = connections
        self.http_stats: Final = http_stats
        self.wheel: Final = wheel
        self.drain_close: bool = False  # every response ends its connection
        self.members: Final[set[Connection]] = set()  # those that go through this chain

    def admit(self, connection: Connection) -> bool:
        """Take a new connection in, or refuse it because the limit is reached."""
        connections = self.connections
        if not connections.enter(connection):
            return False
        self.members.add(connection)
        connection.connection_info().id = connections.number()
        stats = connections.stats
        stats.downstream_cx_total.value += 1
        stats.downstream_cx_active.value += 1
        stats.worker_downstream_cx_total.value += 1
        stats.worker_downstream_cx_active.value += 1
        http = self.http_stats
        http.downstream_cx_total.value += 1
        http.downstream_cx_active.value += 1
        if self.options.tls:
            http.downstream_cx_ssl_total.value += 1
            http.downstream_cx_ssl_active.value += 1
        return True

    def describe(self, info: ConnectionInfo, transport: asyncio.Transport) -> None:
        """Note who the two ends of a new connection are."""
        peer = transport.get_extra_info("peername")
        if peer:
            info.remote_ip = peer[0]
            info.remote_address = format_address(peer[0], peer[1])
        local = transport.get_extra_info("sockname")
        if local:
            info.local_address = format_address(local[0], local[1])
        info.filter_chain_name = self.options.filter_chain_name

    def replace(self, connection: Connection, other: Connection) -> None:
        """``other`` stands for an open connection from now on."""
        self.connections.replace(connection, other)
        self.members.discard(connection)
        self.members.add(other)

    def set_drain_close(self, on: bool) -> None:
        """Whether every response is to end its connection; who can is told at once."""
        begins = on and not self.drain_close
        self.drain_close = on
        if begins:
            for connection in list(self.members):
                connection.begin_drain()

    def forget(self, connection: Connection, local: bool, busy: bool, seconds: float) -> None:
        """A connection has closed, by our doing (``local``) or the client's, perhaps amid a request."""
        connections = self.connections
        if not connections.leave(connection):
            return
        self.members.discard(connection)
        length = int(seconds * 1e6)
        stats = connections.stats
        stats.downstream_cx_active.value -= 1
        stats.downstream_cx_destroy.value += 1
        stats.worker_downstream_cx_active.value -= 1
        stats.downstream_cx_length_ms.record(length)
        http = self.http_stats
        http.downstream_cx_active.value -= 1
        http.downstream_cx_destroy.value += 1
        http.downstream_cx_length_ms.record(length)
        if self.options.tls:
            http.downstream_cx_ssl_active.value -= 1
        if local:
            http.downstream_cx_destroy_local.value += 1
        else:
            http.downstream_cx_destroy_remote.value += 1
        if busy:
            http.downstream_cx_destroy_active_rq.value += 1
            if local:
                http.downstream_cx_destroy_local_active_rq.value += 1
            else:
                http.downstream_cx_destroy_remote_active_rq.value += 1
        connections.on_closed()
