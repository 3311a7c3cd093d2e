"""A listener of a configuration at work: its filter chains, and the connections of all of them."""

from typing import TYPE_CHECKING, Final

from proxyd.config.filled import chain_as_written
from proxyd.net.accepting import Accepting, Chooser, Neighbours
from proxyd.net.access_log import AccessLogger
from proxyd.net.connection_manager import ConnectionManager
from proxyd.net.downstream import Http1Downstream
from proxyd.net.exchange import ExchangeFactory
from proxyd.net.filtered_exchange import FilteredExchangeFactory
from proxyd.net.http2_downstream import Http2Downstream
from proxyd.net.limits import ConnectionLimit
from proxyd.net.listener import Chain, Connection, Connections, HttpListener, Served
from proxyd.net.logged_downstream import LoggedDownstream, LoggedHttp2Downstream
from proxyd.net.network_filters import new_connection
from proxyd.net.timers import TimerWheel
from proxyd.net.udp_proxy import UdpProxy
from proxyd.snapshot.http_connection_manager import HTTP2, ConnectionManagerSnapshot
from proxyd.snapshot.listeners import FilterChainSnapshot, ListenerSnapshot

if TYPE_CHECKING:
    from proxyd.net.server import Server


class ServedConnections(Connections):
    """The connections of a listener; tells the server of each that closes."""

    def __init__(
        self,
        snapshot: ListenerSnapshot,
        limit: ConnectionLimit,
        access_loggers: list[AccessLogger],
        server: "Server",
    ) -> None:
        super().__init__(snapshot.stats, limit, access_loggers)
        self._server: Final = server

    def on_closed(self) -> None:
        self._server.on_connection_closed()


class ServedHttp(HttpListener):
    """A filter chain that ends in a connection manager."""

    def __init__(
        self,
        snapshot: FilterChainSnapshot,
        manager: ConnectionManager,
        connections: Connections,
        wheel: TimerWheel,
    ) -> None:
        super().__init__(
            manager.config.connection,
            FilteredExchangeFactory(manager) if manager.config.filtered else ExchangeFactory(manager),
            connections,
            manager.config.stats,
            wheel,
            chain_as_written(snapshot.written),
        )
        self.manager: Final = manager

    def new_connection(self) -> Connection:
        logged = bool(self.connections.access_loggers)
        if self.options.codec == HTTP2:
            return LoggedHttp2Downstream(self) if logged else Http2Downstream(self)
        return LoggedDownstream(self) if logged else Http1Downstream(self)

    def take(self, compiled: FilterChainSnapshot) -> None:
        manager = compiled.terminal
        assert isinstance(manager, ConnectionManagerSnapshot)
        self.manager.config.take_routes(manager)

    def log_paths(self) -> set[str]:
        return super().log_paths().union(each.path for each in self.manager.access_loggers)


class ServedListener(Served):
    """A listener with its filter chains, in the order of the snapshot's."""

    def __init__(
        self,
        snapshot: ListenerSnapshot,
        chains: list[Chain],
        connections: Connections,
        wheel: TimerWheel,
        neighbours: Neighbours,
        udp: UdpProxy | None,
    ) -> None:
        """``udp`` is what takes datagrams; there are no chains then."""
        self.udp: Final = udp
        self.snapshot: Final = snapshot
        self.connections: Final = connections
        self.chains: Final = chains
        self._plain: Final[bool] = snapshot.plain
        self.chooser: Final = Chooser(snapshot, chains, connections, wheel, neighbours)

    def protocol(self) -> Connection:
        """Who speaks to the next connection: the chain at once where nothing has to be looked at."""
        return new_connection(self.chains[0]) if self._plain else Accepting(self.chooser)

    def log_paths(self) -> set[str]:
        """The access logs that it writes to."""
        return {each.path for each in self.connections.access_loggers}.union(
            *(chain.log_paths() for chain in self.chains)
        )
