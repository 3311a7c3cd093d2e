"""The data plane of one process: accepts on the sockets it is lent, proxies, drains."""

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Final

from proxyd.net.accepting import Accepting, Chooser
from proxyd.net.access_log import AccessLogger, AccessLogs, Reopening, open_loggers
from proxyd.net.cluster import Cluster
from proxyd.net.connection_manager import ConnectionManager, HttpDate
from proxyd.net.downstream import Http1Downstream
from proxyd.net.exchange import ExchangeFactory
from proxyd.net.limits import ConnectionLimit, LimitRow
from proxyd.net.listener import Connections, HttpListener
from proxyd.net.log_writer import Request
from proxyd.net.request_id import RequestIds
from proxyd.net.timers import TimerWheel
from proxyd.snapshot.build import ListenerSnapshot, Snapshot
from proxyd.snapshot.clusters import HostEntry
from proxyd.snapshot.tickets import TicketSecret
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import AccessLogStats, TlsInspectorStats

logger = logging.getLogger("main")


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


class ServedListener:
    """A listener of a configuration with its filter chains, in the order of the snapshot's."""

    def __init__(
        self,
        snapshot: ListenerSnapshot,
        managers: list[ConnectionManager],
        connections: Connections,
        wheel: TimerWheel,
        inspector: TlsInspectorStats,
    ) -> None:
        self.snapshot: Final = snapshot
        self.connections: Final = connections
        self.chains: Final = [
            HttpListener(
                manager.config.connection, ExchangeFactory(manager), connections, manager.config.stats, wheel
            )
            for manager in managers
        ]
        self._chooser: Final = Chooser(snapshot, self.chains, connections, wheel, inspector)

    def protocol(self) -> Http1Downstream | Accepting:
        """Who speaks to the next connection."""
        return Accepting(self._chooser)

    def protocol_factory(self) -> Callable[[], Http1Downstream | Accepting]:
        """Where nothing has to be looked at, connections are HTTP at once."""
        if not self.snapshot.plain:
            return self.protocol
        chain = self.chains[0]
        return lambda: Http1Downstream(chain)


class Server:
    """Runs a Snapshot. Its methods are called on the loop it was given."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        snapshot: Snapshot,
        registry: Registry,
        on_idle: Callable[[], None],
        local_address: str = "127.0.0.1",
        limits: LimitRow | None = None,
    ) -> None:
        """``on_idle`` is called once, when a drain has been asked for and no connection is left.

        ``local_address`` is this machine's own: clients on a loopback address are forwarded as it. Without
        ``limits`` the listeners' connection limits are this process's own.

        Raises:
            OSError: an access log cannot be opened.
            ValueError: a connection limit cannot be kept.
        """
        self._loop: Final = loop
        self._on_idle: Final = on_idle
        self._wheel: Final = TimerWheel(loop)
        self._logs: Final = AccessLogs(AccessLogStats(registry))
        self._clusters: Final = {
            name: Cluster(config, loop, self._wheel, registry) for name, config in snapshot.clusters.items()
        }
        self._accepting: list[tuple[ServedListener, asyncio.AbstractServer, socket.socket]] = []
        self._taken: Final[set[asyncio.Task[None]]] = set()
        self._draining: bool = False
        self._idle_told: bool = False
        request_ids = RequestIds()
        date = HttpDate()
        inspector = TlsInspectorStats(registry)
        self._listeners: Final[list[ServedListener]] = []
        for index, listener in enumerate(snapshot.listeners):
            managers = [
                ConnectionManager(
                    chain.manager,
                    self._clusters,
                    open_loggers(self._logs, chain.manager.access_logs),
                    request_ids,
                    date,
                    local_address,
                )
                for chain in listener.chains
            ]
            loggers = open_loggers(self._logs, listener.access_logs)
            most = listener.connection_limit
            limit = ConnectionLimit(most) if limits is None else limits.limit(index, most)
            connections = ServedConnections(listener, limit, loggers, self)
            self._listeners.append(ServedListener(listener, managers, connections, self._wheel, inspector))

    @property
    def connections(self) -> int:
        """Downstream connections now open."""
        return sum(len(listener.connections.all) for listener in self._listeners)

    async def listen(self, listener_index: int, sock: socket.socket, backlog: int = 65535) -> None:
        """Start to accept on a bound socket, which from now on belongs to this server.

        ``backlog`` is set on the socket, for all who share it.
        """
        listener = self._listeners[listener_index]
        copy = sock.dup()  # the loop closes its own when it stops accepting, what is queued is taken after
        server = await self._loop.create_server(
            listener.protocol_factory(),  # type: ignore[arg-type]  # protocols by shape
            sock=sock,
            backlog=backlog,
        )
        self._accepting.append((listener, server, copy))

    def stop_accepting(self, listeners: Collection[int] | None = None) -> None:
        """Accept what is queued by now and no more; the sockets stay open in the supervisor.

        ``listeners`` are the indexes of those to stop, all by default.
        """
        stopped = None if listeners is None else [self._listeners[index] for index in listeners]
        accepting, self._accepting = self._accepting, []
        for listener, server, sock in accepting:
            if stopped is not None and listener not in stopped:
                self._accepting.append((listener, server, sock))
                continue
            server.close()
            sock.setblocking(False)
            self._take_queued(listener, sock)
            sock.close()

    def _take_queued(self, listener: ServedListener, sock: socket.socket) -> None:
        while True:
            try:
                connection, _ = sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                logger.warning("while the last connections were accepted: %s", error)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._serve(listener, connection))
            self._taken.add(task)
            task.add_done_callback(self._on_taken)

    async def _serve(self, listener: ServedListener, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(  # type: ignore[type-var]  # protocols by shape
                listener.protocol_factory(),
                connection,
            )
        except OSError:
            connection.close()

    def _on_taken(self, task: "asyncio.Task[None]") -> None:
        self._taken.discard(task)
        self.on_connection_closed()

    def set_drain_close(self, on: bool) -> None:
        """Whether every response is to end its connection, while new ones are still accepted."""
        for listener in self._listeners:
            for chain in listener.chains:
                chain.drain_close = on

    def drain(self, close_idle: bool) -> None:
        """Accept no more and let each connection end with its next response.

        Idle ones are waited for, since a request may be on its way; ``close_idle`` closes them.
        """
        self._draining = True
        self.stop_accepting()
        self.set_drain_close(True)
        if close_idle:
            self.close_idle()
        self._loop.call_soon(self.on_connection_closed)

    def close_idle(self) -> None:
        """Close the connections that carry no request now."""
        for listener in self._listeners:
            for connection in list(listener.connections.all):
                connection.close_if_idle()

    def on_connection_closed(self) -> None:
        """A connection less: where all are gone and a drain was asked for, say so."""
        if self._draining and not self._idle_told and not self._taken and not self.connections:
            self._idle_told = True
            self._on_idle()

    def close(self) -> None:
        """End everything at once."""
        self.stop_accepting()
        for listener in self._listeners:
            for connection in list(listener.connections.all):
                connection.abort()
        for cluster in self._clusters.values():
            cluster.abort()
        self._wheel.close()
        self._logs.close()

    def flush_logs(self) -> None:
        """Hand the collected access log lines over; to be called every second."""
        self._logs.flush_all()

    def set_tickets(self, tickets: TicketSecret) -> None:
        """The secret of session tickets is another from now on."""
        for listener in self._listeners:
            for chain in listener.snapshot.chains:
                if chain.tls is not None:
                    chain.tls.set_tickets(tickets)

    def begin_reopen_logs(self, others: list[Request] | None = None) -> Reopening:
        """Open every access log again; the result's ``reasons`` blocks and belongs on another thread.

        ``others``: see AccessLogs.begin_reopen().
        """
        return self._logs.begin_reopen(others)

    def update_hosts(self, cluster: str, hosts: Iterable[HostEntry]) -> None:
        """Replace a resolved cluster's hosts; unknown clusters are ignored."""
        live = self._clusters.get(cluster)
        if live is not None:
            live.update_hosts(hosts)
