"""What the connections of one listener share, and how many of them there are."""

import asyncio
from typing import Final

from mypy_extensions import trait

from proxyd.config.listener import FilterChain
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.network_filter import NetworkFilter
from proxyd.net.access_log import AccessLogger
from proxyd.net.limits import ConnectionLimit
from proxyd.net.stream import StreamFactory
from proxyd.net.timers import TimerWheel
from proxyd.snapshot.http_connection_manager import HttpConnectionOptions
from proxyd.snapshot.listeners import FilterChainSnapshot
from proxyd.stats.scopes import HttpStats, ListenerStats


@trait
class Connection:
    """A connection of a client, as its listener and whoever ends it know it.

    It is a protocol of the event loop by shape; of the loop's calls those stand here that others make, too.
    """

    __slots__ = ()

    def connection_made(self, transport: asyncio.Transport) -> None:
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        raise NotImplementedError

    def eof_received(self) -> bool:
        raise NotImplementedError

    def connection_lost(self, error: Exception | None) -> None:
        raise NotImplementedError

    def pause_writing(self) -> None:
        raise NotImplementedError

    def resume_writing(self) -> None:
        raise NotImplementedError

    def on_secured(self, alpn: str) -> None:
        """The client's handshake has ended well, where it speaks TLS: from now on it can be written to.

        ``alpn`` is the protocol agreed on in it, empty for none.
        """

    def begin_drain(self) -> None:
        """No further request, please: to be said at once by who can, with the next response by others."""

    def stand_behind(self, front: "Front") -> None:
        """``front`` is the protocol of the transport, and hands on what that calls."""

    def connection_info(self) -> ConnectionInfo:
        raise NotImplementedError

    def close_if_idle(self) -> None:
        """Close unless a request is under way; then its response is the last."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        raise NotImplementedError


@trait
class Front:
    """What stands between a transport and a connection."""

    __slots__ = ()

    def put_behind(self, connection: Connection) -> None:
        """Hand on to this connection from now on, in place of the one before."""
        raise NotImplementedError


@trait
class Served:
    """What connections are accepted for."""

    def protocol(self) -> Connection:
        """Who speaks to the next connection."""
        raise NotImplementedError


class Connections:
    """All connections of one listener, whatever filter chain they go through."""

    def __init__(
        self, stats: ListenerStats, limit: ConnectionLimit, access_loggers: list[AccessLogger]
    ) -> None:
        self.stats: Final = stats
        self.all: Final[set[Connection]] = set()
        # Their clients have gone, and not all that came from them has reached a host yet.
        self.flushing: Final[set[Connection]] = set()
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


class Chain:
    """One filter chain of a listener: who goes through it, and whether it drains."""

    def __init__(
        self, connections: Connections, wheel: TimerWheel, written: FilterChain | None = None
    ) -> None:
        """``written`` is by what it is known again; None for what no configuration has."""
        self.connections: Final = connections
        self.wheel: Final = wheel
        self.written: Final = written
        self.filters: Final[list[NetworkFilter]] = []  # in front of the last one
        self.drain_close: bool = False  # every response ends its connection
        self.members: Final[set[Connection]] = set()  # those that go through this chain

    def new_connection(self) -> Connection:
        """Who speaks to a client that goes through this chain, as its last filter does."""
        raise NotImplementedError

    def set_drain_close(self, on: bool) -> None:
        """Whether every response is to end its connection; who can is told at once."""
        begins = on and not self.drain_close
        self.drain_close = on
        if begins:
            for connection in list(self.members):
                connection.begin_drain()

    def take(self, compiled: FilterChainSnapshot) -> None:
        """Go on as this says, which differs in nothing but in what files hold."""

    def log_paths(self) -> set[str]:
        """The access logs that its connections write to."""
        return {each.path for each in self.connections.access_loggers}

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
        return True

    def count_end(self, connection: Connection, seconds: float) -> bool:
        """A connection has closed; False where it was none of this chain's."""
        connections = self.connections
        if not connections.leave(connection):
            return False
        self.members.discard(connection)
        stats = connections.stats
        stats.downstream_cx_active.value -= 1
        stats.downstream_cx_destroy.value += 1
        stats.worker_downstream_cx_active.value -= 1
        stats.downstream_cx_length_ms.record(int(seconds * 1e6))
        return True

    def dismiss(self, connection: Connection, seconds: float) -> bool:
        """A connection has closed that the last filter never had: ``count_end`` with what that counts."""
        return self.count_end(connection, seconds)

    def connection_loggers(self) -> list[AccessLogger]:
        """Those of its last filter that have a line for each connection."""
        return []


class HttpListener(Chain):
    """One filter chain of a listener that speaks HTTP."""

    def __init__(
        self,
        options: HttpConnectionOptions,
        factory: StreamFactory,
        connections: Connections,
        http_stats: HttpStats,
        wheel: TimerWheel,
        written: FilterChain | None = None,
    ) -> None:
        super().__init__(connections, wheel, written)
        self.options: Final = options
        self.factory: Final = factory
        self.http_stats: Final = http_stats

    def admit(self, connection: Connection) -> bool:
        if not super().admit(connection):
            return False
        http = self.http_stats
        http.downstream_cx_total.value += 1
        http.downstream_cx_active.value += 1
        if self.options.tls:
            http.downstream_cx_ssl_total.value += 1
            http.downstream_cx_ssl_active.value += 1
        return True

    def dismiss(self, connection: Connection, seconds: float) -> bool:
        if not self.count_end(connection, seconds):
            return False
        self._count_http_end(True, False, seconds)
        return True

    def replace(self, connection: Connection, other: Connection) -> None:
        """``other`` stands for an open connection from now on."""
        self.connections.replace(connection, other)
        self.members.discard(connection)
        self.members.add(other)

    def forget(self, connection: Connection, local: bool, busy: bool, seconds: float) -> None:
        """A connection has closed, by our doing (``local``) or the client's, perhaps amid a request."""
        if self.count_end(connection, seconds):
            self._count_http_end(local, busy, seconds)
            self.connections.on_closed()

    def _count_http_end(self, local: bool, busy: bool, seconds: float) -> None:
        http = self.http_stats
        http.downstream_cx_active.value -= 1
        http.downstream_cx_destroy.value += 1
        http.downstream_cx_length_ms.record(int(seconds * 1e6))
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
