"""The data plane of one process: accepts on the sockets it is lent, proxies, changes in place, drains."""

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from proxyd.config.filled import chain_as_written, cluster_as_written, frame
from proxyd.net.accepting import Neighbours
from proxyd.net.acceptor import Acceptor
from proxyd.net.access_log import AccessLogs, Reopening, open_loggers
from proxyd.net.cluster import Cluster
from proxyd.net.connection_manager import ConnectionManager, HttpDate
from proxyd.net.direct_response import DirectResponseChain
from proxyd.net.limits import ConnectionLimit, LimitRow
from proxyd.net.listener import Chain, Connection, Connections
from proxyd.net.log_writer import Request
from proxyd.net.network_filters import network_filter
from proxyd.net.original_dst import new_cluster
from proxyd.net.request_id import RequestIds
from proxyd.net.served import ServedConnections, ServedHttp, ServedListener
from proxyd.net.tcp_proxy import TcpChain
from proxyd.net.timers import TimerWheel
from proxyd.net.udp_proxy import UdpProxy, UdpSocket
from proxyd.snapshot.build import Snapshot
from proxyd.snapshot.clusters import ClusterSnapshot, HostEntry
from proxyd.snapshot.listeners import FilterChainSnapshot, ListenerSnapshot
from proxyd.snapshot.network_filters import DirectResponseSnapshot
from proxyd.snapshot.tcp_proxy import TcpProxySnapshot
from proxyd.snapshot.tickets import TicketSecret
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import AccessLogStats

logger = logging.getLogger("main")


class Change:
    """What another configuration is to a server: everything that could fail has been done."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot: Final = snapshot
        self.listeners: Final[list[ServedListener]] = []  # in the order of the snapshot
        self.kept: Final[list[tuple[Chain, FilterChainSnapshot]]] = []  # to go on as these say


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
        ``limits`` what listeners and network filters limit is this process's own.

        Raises:
            OSError: an access log cannot be opened.
            ValueError: a connection limit cannot be kept.
        """
        self._loop: Final = loop
        self._registry: Final = registry
        self._on_idle: Final = on_idle
        self._local_address: Final = local_address
        self._limits: Final = limits
        self._wheel: Final = TimerWheel(loop)
        self._logs: Final = AccessLogs(AccessLogStats(registry))
        self._clusters: Final[dict[str, Cluster]] = {}  # shared by all connection managers
        self._retired: Final[set[Cluster]] = set()  # not in force any more, with requests under way
        self._acceptors: Final[dict[int, Acceptor]] = {}  # by the number of the socket
        self._datagrams: Final[dict[int, UdpSocket]] = {}  # the same of UDP
        self._taken: Final[set[asyncio.Task[None]]] = set()  # accepted connections on their way in
        self._draining: bool = False
        self._drain_close: bool = False
        self._idle_told: bool = False
        self._logs_changed: bool = False
        self._request_ids: Final = RequestIds()
        self._date: Final = HttpDate()
        self._listeners: list[ServedListener] = []
        self._neighbours: Final = Neighbours()
        self._former_udp: Final[set[UdpProxy]] = set()  # the same with sessions
        self._former: Final[set[Chain]] = set()  # not in force any more, with connections left
        self.snapshot: Snapshot = Snapshot([], {})
        self.commit(self.prepare(snapshot), 0.0)

    # -- the configuration

    def prepare(self, snapshot: Snapshot) -> Change:
        """Get ready for another configuration; what has not changed goes on as it is.

        Raises as the constructor does, and then nothing has changed.
        """
        change = Change(snapshot)
        present = {listener.snapshot.key: listener for listener in self._listeners}
        for compiled in snapshot.listeners:
            live = present.get(compiled.key)
            if live is None or live.snapshot is not compiled:
                live = self._prepare_listener(compiled, live, change)
            change.listeners.append(live)
        return change

    def _prepare_listener(
        self, compiled: ListenerSnapshot, before: ServedListener | None, change: Change
    ) -> ServedListener:
        """A listener whose chains alone have changed keeps its connections, and the chains that have not."""
        if before is not None and frame(before.snapshot.written) == frame(compiled.written):
            connections = before.connections
            known = list(before.chains)
        else:
            known = []
            most = compiled.connection_limit
            former = None if before is None else before.connections.limit
            limit = (
                ConnectionLimit(most, before=former)
                if self._limits is None
                else self._limits.limit(compiled.written.name, most, former)
            )
            loggers = open_loggers(self._logs, compiled.access_logs)
            connections = ServedConnections(compiled, limit, loggers, self)
        chains: list[Chain] = []
        for chain in compiled.chains:
            written = chain_as_written(chain.written)
            same = next((each for each in known if each.written == written), None)
            if same is None:
                same = self._new_chain(chain, connections)
            else:
                known.remove(same)
                change.kept.append((same, chain))
            chains.append(same)
        udp: UdpProxy | None = None
        if compiled.udp is not None:
            udp = UdpProxy(
                compiled.udp, self._clusters, self._registry, self._wheel, self.on_connection_closed
            )
        return ServedListener(compiled, chains, connections, self._wheel, self._neighbours, udp)

    def _new_chain(self, chain: FilterChainSnapshot, connections: Connections) -> Chain:
        made = self._new_terminal(chain, connections)
        made.filters.extend(network_filter(each, self._limits) for each in chain.filters)
        return made

    def _new_terminal(self, chain: FilterChainSnapshot, connections: Connections) -> Chain:
        terminal = chain.terminal
        written = chain_as_written(chain.written)
        if isinstance(terminal, DirectResponseSnapshot):
            return DirectResponseChain(terminal, connections, self._wheel, written)
        loggers = open_loggers(self._logs, terminal.access_logs)
        if isinstance(terminal, TcpProxySnapshot):
            return TcpChain(terminal, self._clusters, loggers, connections, self._wheel, written)
        manager = ConnectionManager(
            terminal, self._clusters, loggers, self._request_ids, self._date, self._local_address
        )
        return ServedHttp(chain, manager, connections, self._wheel)

    def commit(self, change: Change, drain_seconds: float) -> set[str]:
        """Put a change in force. Requests under way finish on what they began with.

        Connections of listeners and chains that have changed or gone end with their next response, at the
        latest after ``drain_seconds``. Where the sockets go is said by ``place`` afterwards. Returns the
        names of clusters that are new or have changed: those that are resolved have to be told their hosts.
        """
        fresh = self._replace_clusters(change.snapshot)
        for chain, compiled in change.kept:
            chain.take(compiled)
        staying = {chain for listener in change.listeners for chain in listener.chains}
        for chain in staying:
            chain.set_drain_close(self._drain_close)
        for listener in self._listeners:
            gone = [chain for chain in listener.chains if chain not in staying]
            for chain in gone:
                chain.set_drain_close(True)
            if gone:
                self._loop.call_later(drain_seconds, self._cut, gone)
                self._former.update(gone)
            if listener.udp is not None and listener not in change.listeners:
                listener.udp.drain()
                self._loop.call_later(drain_seconds, listener.udp.close)
                self._former_udp.add(listener.udp)
        self._listeners = change.listeners
        self._neighbours.replace(listener.chooser for listener in change.listeners)
        self.snapshot = change.snapshot
        self._logs_changed = True
        self._forget_former()
        return fresh

    def abandon(self, change: Change) -> None:
        """Forget a change that does not come into force."""
        self._logs_changed = True

    def _replace_clusters(self, snapshot: Snapshot) -> set[str]:
        clusters = self._clusters
        fresh: set[str] = set()
        for name, live in list(clusters.items()):
            config = snapshot.clusters.get(name)
            if config is live.config:
                continue
            if config is not None and _same_but_for_tls(live.config, config):
                live.config.take_tls(config)
                snapshot.clusters[name] = live.config
            else:
                del clusters[name]
                self._retired.add(live)
                live.retire(self._retired.discard)
        for name, config in snapshot.clusters.items():
            if name not in clusters:
                clusters[name] = new_cluster(config, self._loop, self._wheel, self._registry)
                fresh.add(name)
        return fresh

    def _cut(self, chains: list[Chain]) -> None:
        for chain in chains:
            for connection in list(chain.members):
                connection.abort()

    def _forget_former(self) -> None:
        for proxy in [each for each in self._former_udp if not each.sessions]:
            self._former_udp.discard(proxy)
        for chain in [each for each in self._former if not each.members]:
            self._former.discard(chain)
            self._logs_changed = True

    def _all_connections(self) -> list[Connection]:
        served = {listener.connections for listener in self._listeners}
        served.update(chain.connections for chain in self._former)
        return [
            connection for connections in served for connection in (*connections.all, *connections.flushing)
        ]

    def _udp_proxies(self) -> list[UdpProxy]:
        present = [listener.udp for listener in self._listeners if listener.udp is not None]
        return [*present, *self._former_udp]

    # -- the sockets

    async def listen(self, listener_index: int, sock: socket.socket, backlog: int = 65535) -> None:
        """Start to accept on a bound socket, which from now on belongs to this server.

        ``backlog`` is set on the socket, for all who share it.
        """
        await self.accept(sock.fileno(), listener_index, sock, backlog)

    async def accept(self, number: int, listener_index: int, sock: socket.socket, backlog: int) -> None:
        """The same for a socket that ``place`` can name by its number."""
        listener = self._listeners[listener_index]
        if listener.udp is not None:
            receiver = UdpSocket(self._loop, listener.udp, sock)
            self._datagrams[number] = receiver
            receiver.start()
            return
        acceptor = Acceptor(listener, sock)
        self._acceptors[number] = acceptor
        await acceptor.start(self._loop, backlog, self._take)

    def place(self, sockets: Sequence[tuple[int, int]]) -> None:
        """Say which sockets (their numbers) serve which listeners (indexes); others accept no more."""
        wanted = dict(sockets)
        for number, acceptor in list(self._acceptors.items()):
            index = wanted.get(number, -1)
            if index >= 0:
                acceptor.listener = self._listeners[index]
            else:
                del self._acceptors[number]
                self._stop(acceptor)
        for number, receiver in list(self._datagrams.items()):
            index = wanted.get(number, -1)
            proxy = None if index < 0 else self._listeners[index].udp
            if proxy is not None:
                receiver.proxy = proxy
            else:
                del self._datagrams[number]
                receiver.stop()

    def stop_accepting(self, listeners: Collection[int] | None = None) -> None:
        """Accept what is queued by now and no more; the sockets stay open in the supervisor.

        ``listeners`` are the indexes of those to stop, all by default.
        """
        stopped = None if listeners is None else [self._listeners[index] for index in listeners]
        for number, acceptor in list(self._acceptors.items()):
            if stopped is None or acceptor.listener in stopped:
                del self._acceptors[number]
                self._stop(acceptor)
        proxies = None if stopped is None else [listener.udp for listener in stopped]
        for number, receiver in list(self._datagrams.items()):
            if proxies is None or receiver.proxy in proxies:
                del self._datagrams[number]
                receiver.stop()
                receiver.proxy.drain()

    def _stop(self, acceptor: Acceptor) -> None:
        for connection in acceptor.stop():
            self._take(acceptor, connection)

    def _take(self, acceptor: Acceptor, connection: socket.socket) -> None:
        task = self._loop.create_task(acceptor.take(self._loop, connection))
        self._taken.add(task)
        task.add_done_callback(self._on_taken)

    def _on_taken(self, task: "asyncio.Task[None]") -> None:
        self._taken.discard(task)
        self.on_connection_closed()

    # -- its life

    @property
    def connections(self) -> int:
        """Downstream connections now open, and sessions of UDP."""
        return len(self._all_connections()) + sum(len(proxy.sessions) for proxy in self._udp_proxies())

    def set_drain_close(self, on: bool) -> None:
        """Whether every response is to end its connection, while new ones are still accepted."""
        self._drain_close = on
        for listener in self._listeners:
            for chain in listener.chains:
                chain.set_drain_close(on)

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
        for connection in self._all_connections():
            connection.close_if_idle()

    def on_connection_closed(self) -> None:
        """A connection less: forget what ended with it; the last one of a drain is told."""
        if self._former or self._former_udp:
            self._forget_former()
        if self._draining and not self._idle_told and not self._taken and not self.connections:
            self._idle_told = True
            self._on_idle()

    def close(self) -> None:
        """End everything at once."""
        self.stop_accepting()
        for connection in self._all_connections():
            connection.abort()
        for proxy in self._udp_proxies():
            proxy.close()
        for cluster in [*self._clusters.values(), *self._retired]:
            cluster.abort()
        self._wheel.close()
        self._logs.close()

    def flush_logs(self) -> None:
        """Hand the collected access log lines over; to be called every second."""
        if self._logs_changed:
            self._logs_changed = False
            used = {path for listener in self._listeners for path in listener.log_paths()}
            self._logs.close_unused(used.union(*(chain.log_paths() for chain in self._former)))
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


def _same_but_for_tls(one: ClusterSnapshot, other: ClusterSnapshot) -> bool:
    """Whether two snapshots of a cluster differ in what files and secrets hold, and in nothing else."""
    if one.tls is None or other.tls is None:
        return False
    return cluster_as_written(one.written) == cluster_as_written(other.written)
