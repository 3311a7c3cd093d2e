"""A listener of a configuration at work: its filter chains, and the connections of all of them."""

from typing import TYPE_CHECKING, Final

from proxyd.config.filled import chain_as_written
from proxyd.net.accepting import Accepting, Chooser, new_connection
from proxyd.net.access_log import AccessLogger
from proxyd.net.connection_manager import ConnectionManager
from proxyd.net.downstream import Http1Downstream
from proxyd.net.exchange import ExchangeFactory
from proxyd.net.http2_downstream import Http2Downstream
from proxyd.net.limits import ConnectionLimit
from proxyd.net.listener import Connections, HttpListener
from proxyd.net.timers import TimerWheel
from proxyd.snapshot.listeners import FilterChainSnapshot, ListenerSnapshot
from proxyd.stats.scopes import TlsInspectorStats

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


class ServedChain(HttpListener):
    """One filter chain. It outlives changes of its listener that do not touch it."""

    def __init__(
        self,
        snapshot: FilterChainSnapshot,
        manager: ConnectionManager,
        connections: Connections,
        wheel: TimerWheel,
    ) -> None:
        super().__init__(
            manager.config.connection, ExchangeFactory(manager), connections, manager.config.stats, wheel
        )
        self.manager: Final = manager
        self.written: Final = chain_as_written(snapshot.written)

    def log_paths(self) -> set[str]:
        """The access logs that its connections write to."""
        loggers = [*self.connections.access_loggers, *self.manager.access_loggers]
        return {each.path for each in loggers}


class ServedListener:
    """A listener with its filter chains, in the order of the snapshot's."""

    def __init__(
        self,
        snapshot: ListenerSnapshot,
        chains: list[ServedChain],
        connections: Connections,
        wheel: TimerWheel,
        inspector: TlsInspectorStats,
    ) -> None:
        self.snapshot: Final = snapshot
        self.connections: Final = connections
        self.chains: Final = chains
        self._plain: Final[bool] = snapshot.plain
        listeners: list[HttpListener] = [*chains]
        self._chooser: Final = Chooser(snapshot, listeners, connections, wheel, inspector)

    def protocol(self) -> Http1Downstream | Http2Downstream | Accepting:
        """Who speaks to the next connection: HTTP at once where nothing has to be looked at."""
        if not self._plain:
            return Accepting(self._chooser)
        return new_connection(self.chains[0])

    def log_paths(self) -> set[str]:
        """The access logs that it writes to."""
        return {each.path for each in self.connections.access_loggers}.union(
            *(chain.log_paths() for chain in self.chains)
        )
