"""udp_proxy at work: a session for each client, with a socket of its own towards a host.

Every worker has the sessions of the clients that the system leads to its socket. A datagram that cannot be
sent at once is lost and counted: nothing waits here. As many sessions are there at most as the cluster may
have connections.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from proxyd.codec.headers import NO_HEADERS
from proxyd.config.core import PIPE
from proxyd.filters.connection_info import NO_CONNECTION
from proxyd.net.addresses import connectable_ip, plain_ip
from proxyd.net.bugs import report_bug
from proxyd.net.cluster import Cluster, Host
from proxyd.net.timers import Timed, TimerWheel
from proxyd.snapshot.hash_policy import ip_key
from proxyd.snapshot.udp_proxy import UdpProxySnapshot
from proxyd.stats.metrics import Registry
from proxyd.stats.udp_scopes import UdpClusterStats
from proxyd.system import Datagrams, native

# Datagrams that are read in one turn of the loop before others get theirs.
_AT_ONCE: Final = 64
# Bytes, more than any datagram has: for what does not fit Windows has an error, and not its beginning.
_LONGEST: Final = 65536
# How long a session that gets nothing more from its client waits for what its host has still to say.
_DRAIN_IDLE_S: Final = 2.0

_Key = tuple[Any, bytes, Host | None]


class UdpProxy:
    """The sessions of one listener."""

    def __init__(
        self,
        config: UdpProxySnapshot,
        clusters: dict[str, Cluster],
        registry: Registry,
        wheel: TimerWheel,
        on_session_closed: Callable[[], None],
    ) -> None:
        self.config: Final = config
        self.wheel: Final = wheel
        self.sessions: Final[dict[_Key, UdpSession]] = {}
        self.draining: bool = False
        self._clusters: Final = clusters
        self._registry: Final = registry
        self._on_session_closed: Final = on_session_closed
        self._cluster_stats: UdpClusterStats | None = None
        self._counted: Cluster | None = None  # whose those are

    def on_datagram(self, listening: "UdpSocket", data: bytes, peer: Any, sender: bytes) -> None:
        """A client's. ``sender`` is how it is answered, see ``Datagrams``."""
        host: Host | None = None
        if self.config.per_packet:
            cluster = self._cluster()
            if cluster is None:
                return
            host = self._choose(cluster, peer)
            if host is None:
                return
        key = (peer, sender, host)
        session = self.sessions.get(key)
        if session is not None and session.host.removed:
            session.close()
            session = None
        if session is None:
            session = self._new_session(listening, key, host)
            if session is None:
                return
            self.sessions[key] = session
        session.on_client_datagram(data)

    def _cluster(self) -> Cluster | None:
        cluster = self._clusters.get(self.config.cluster)
        if cluster is None:
            self.config.stats.downstream_sess_no_route.value += 1
        return cluster

    def _choose(self, cluster: Cluster, peer: Any) -> Host | None:
        config = self.config
        key = ip_key(plain_ip(peer[0])) if cluster.hashes and config.hashes_source else config.key
        return cluster.choose(NO_CONNECTION, NO_HEADERS, key)

    def _new_session(self, listening: "UdpSocket", key: _Key, host: Host | None) -> "UdpSession | None":
        cluster = self._cluster()
        if cluster is None:
            return None
        if cluster.connections >= cluster.config.max_connections:
            cluster.stats.upstream_cx_overflow.value += 1
            return None
        if host is None:
            host = self._choose(cluster, key[0])
            if host is None:
                return None
        stats = self._cluster_stats
        if stats is None or self._counted is not cluster:
            stats = self._cluster_stats = UdpClusterStats(self._registry, cluster.stats.prefix)
            self._counted = cluster
        try:
            sock = _connect(host)
        except OSError:
            stats.sess_tx_errors.value += 1
            return None
        return UdpSession(self, listening, key, cluster, host, stats, sock)

    def closed(self, session: "UdpSession") -> None:
        """A session has ended."""
        del self.sessions[session.key]
        self._on_session_closed()

    def drain(self) -> None:
        """Nothing more comes from clients; what hosts have to say to them still goes out."""
        if not self.draining:
            self.draining = True
            for session in self.sessions.values():
                session.arm(time.monotonic())

    def close(self) -> None:
        """End all sessions."""
        for session in list(self.sessions.values()):
            session.close()


class UdpSession(Timed):
    """One client's datagrams to a host, and the host's to it."""

    __slots__ = (
        "_cluster", "_cluster_stats", "_fd", "_heard", "_listening", "_most", "_open", "_proxy", "_sock",
        "_stats", "host", "key",
    )  # fmt: skip

    def __init__(
        self,
        proxy: UdpProxy,
        listening: "UdpSocket",
        key: _Key,
        cluster: Cluster,
        host: Host,
        cluster_stats: UdpClusterStats,
        sock: socket.socket,
    ) -> None:
        super().__init__()
        self.key: Final = key
        self.host: Final = host
        self._proxy: Final = proxy
        self._listening: Final = listening
        self._cluster: Final = cluster
        self._cluster_stats: Final = cluster_stats
        self._stats: Final = proxy.config.stats
        self._most: Final[int] = proxy.config.max_from_hosts
        self._sock: Final = sock
        self._fd: Final[int] = sock.fileno()
        self._open: bool = True
        self._heard: float = 0.0
        listening.users += 1
        cluster.count_connection()
        self._stats.downstream_sess_total.value += 1
        self._stats.downstream_sess_active.value += 1
        cluster.loop.add_reader(self._fd, self._on_readable)
        self.arm(time.monotonic())

    def arm(self, now: float) -> None:
        """Something was heard, or the time that is left is another now."""
        self._heard = now
        self._proxy.wheel.arm(self, now + self._idle_timeout())

    def _idle_timeout(self) -> float:
        proxy = self._proxy
        timeout = proxy.config.idle_timeout
        return min(timeout, _DRAIN_IDLE_S) if proxy.draining else timeout

    def on_client_datagram(self, data: bytes) -> None:
        count = len(data)
        stats = self._stats
        stats.downstream_sess_rx_bytes.value += count
        stats.downstream_sess_rx_datagrams.value += 1
        self.arm(time.monotonic())
        try:
            self._sock.send(data)
        except OSError:
            self._cluster_stats.sess_tx_errors.value += 1
            return
        self._cluster_stats.sess_tx_datagrams.value += 1
        self._cluster.stats.upstream_cx_tx_bytes_total.value += count

    def _on_readable(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - one broken session must not take others with it
            report_bug(self._cluster.loop, error, "reading a host's datagrams")
            self.close()

    def _read(self) -> None:
        counted = self._cluster_stats
        for _ in range(_AT_ONCE):
            if not self._open:
                return
            try:
                data = self._sock.recv(_LONGEST)
            except BlockingIOError:
                return
            except OSError:  # nobody is there, as somebody on the way says
                counted.sess_rx_errors.value += 1
                # libuv looks no more at a descriptor that has had an error.
                loop = self._cluster.loop
                loop.remove_reader(self._fd)
                loop.add_reader(self._fd, self._on_readable)
                return
            if len(data) > self._most:
                counted.sess_rx_datagrams_dropped.value += 1
                continue
            counted.sess_rx_datagrams.value += 1
            self._cluster.stats.upstream_cx_rx_bytes_total.value += len(data)
            self.arm(time.monotonic())
            self._answer(data)

    def _answer(self, data: bytes) -> None:
        stats = self._stats
        try:
            self._listening.send(data, self.key[0], self.key[1])
        except OSError:
            stats.downstream_sess_tx_errors.value += 1
            return
        stats.downstream_sess_tx_datagrams.value += 1
        stats.downstream_sess_tx_bytes.value += len(data)

    def on_deadline(self, now: float) -> None:
        due = self._heard + self._idle_timeout()
        if now < due:
            self._proxy.wheel.arm(self, due)
            return
        self._stats.idle_timeout.value += 1
        self.close()

    def close(self) -> None:
        """Forget the client; what its host still has to say is lost."""
        if not self._open:
            return
        self._open = False
        cluster = self._cluster
        self._proxy.wheel.disarm(self)
        cluster.loop.remove_reader(self._fd)
        self._sock.close()
        cluster.discount_connection()
        self._stats.downstream_sess_active.value -= 1
        self._listening.release()
        self._proxy.closed(self)


class UdpSocket:
    """One listening socket at work, from ``start`` to ``stop``; ``proxy`` may be replaced meanwhile.

    It stays open after that as long as sessions answer by it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: UdpProxy, sock: socket.socket) -> None:
        """``sock`` belongs to this object from now on."""
        self.proxy: UdpProxy = proxy
        self.users: int = 1  # sessions, and whoever has started it
        self._loop: Final = loop
        self._sock: Final = sock
        self._fd: Final[int] = sock.fileno()
        self._datagrams: Final[Datagrams] = native.datagrams(sock)

    def start(self) -> None:
        """Take what comes."""
        self._loop.add_reader(self._fd, self._on_readable)

    def stop(self) -> None:
        """Take no more; what comes from now on is for others who have the socket."""
        self._loop.remove_reader(self._fd)
        self.release()

    def release(self) -> None:
        """One user less."""
        self.users -= 1
        if not self.users:
            self._sock.close()

    def send(self, data: bytes, peer: Any, sender: bytes) -> None:
        """To a client. Raises OSError."""
        self._datagrams.send(data, peer, sender)

    def _on_readable(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - one bad datagram must not end the listener
            report_bug(self._loop, error, "reading clients' datagrams")

    def _read(self) -> None:
        proxy = self.proxy
        most = proxy.config.max_from_clients
        for _ in range(_AT_ONCE):
            try:
                data, peer, sender = self._datagrams.receive(most + 1)
            except BlockingIOError:
                return
            except OSError:
                proxy.config.stats.downstream_sess_rx_errors.value += 1
                continue
            if len(data) > most:
                proxy.config.listener_stats.downstream_rx_datagram_dropped.value += 1
            else:
                proxy.on_datagram(self, data, peer, sender)


def _connect(host: Host) -> socket.socket:
    """A socket whose datagrams go to the host, and come from it alone. Raises OSError."""
    if host.port == PIPE:
        raise OSError("a Unix domain socket takes no datagrams of UDP")
    ip = connectable_ip(host.ip)
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect((ip, host.port))
    except OSError:
        sock.close()
        raise
    return sock
