"""Live clusters: their hosts, which one is next, and the connection pool of each."""

import asyncio
import os
import random
import time
from collections import deque
from typing import Final

from proxyd.errors import CONNECT_FAILED, CONNECT_TIMEOUT, UPSTREAM_OVERFLOW, Failure
from proxyd.net.bugs import report_bug
from proxyd.net.stream import Stream
from proxyd.net.timers import Timed, TimerWheel
from proxyd.net.upstream import ConnectionOwner, Http1Upstream, format_address
from proxyd.snapshot.clusters import ClusterSnapshot
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import ClusterStats, HostStats


class ConnectAttempt(Timed):
    """One connection under way. It is no lease yet: whoever waits longest gets what comes of it."""

    def __init__(self, pool: "Pool") -> None:
        super().__init__()
        self._pool: Final = pool
        self.task: asyncio.Task[None] | None = None
        self.timed_out: bool = False
        self.start: float = time.monotonic()

    def on_deadline(self, now: float) -> None:
        self.timed_out = True
        if self.task is not None:
            self.task.cancel()


class Pool(ConnectionOwner):
    """The HTTP/1 connections to one host and the requests that wait for one.

    Idle connections are used last in, first out, so that surplus ones reach their idle timeout.
    """

    def __init__(self, cluster: "Cluster", host: "Host") -> None:
        self._cluster: Final = cluster
        self._host: Final = host
        self._idle: list[Http1Upstream] = []
        self._all: set[Http1Upstream] = set()
        self._attempts: set[ConnectAttempt] = set()
        self._waiting: deque[Stream] = deque()
        self._closed: bool = False
        self._aborted: bool = False

    def lease(self, stream: Stream, fresh: bool) -> Http1Upstream | None:
        """A connection for ``stream`` at once, or None where its ``on_upstream_*`` will be called.

        The call may come before this returns where the cluster's limits are reached. A ``fresh`` one has not
        been waiting idle.
        """
        idle = self._idle
        while idle and not fresh:
            connection = idle.pop()
            # The loop tells of an end some callbacks before it comes.
            if not connection.closing:
                self._count_request(connection, stream)
                return connection
        cluster = self._cluster
        if cluster.pending >= cluster.config.max_pending_requests:
            cluster.stats.upstream_rq_pending_overflow.value += 1
            stream.on_upstream_failure(UPSTREAM_OVERFLOW, "", time.monotonic())
            return None
        self._waiting.append(stream)
        cluster.pending += 1
        cluster.stats.upstream_rq_pending_total.value += 1
        cluster.stats.upstream_rq_pending_active.value += 1
        if len(self._attempts) < len(self._waiting):
            self._connect()
        return None

    def cancel(self, stream: Stream) -> None:
        """``stream`` does not want to wait any longer. A connection made for it serves the next one."""
        try:
            self._waiting.remove(stream)
        except ValueError:
            return
        self._dequeued()
        self._cluster.stats.upstream_rq_cancelled.value += 1

    def close(self) -> None:
        """Take no new lease; connections in use close when they come back."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def abort(self) -> None:
        """Close everything at once."""
        self._closed = True
        self._aborted = True
        for attempt in list(self._attempts):
            if attempt.task is not None:
                attempt.task.cancel()
        for connection in list(self._all):
            connection.close()

    def _dequeued(self) -> None:
        self._cluster.pending -= 1
        self._cluster.stats.upstream_rq_pending_active.value -= 1

    def _count_request(self, connection: Http1Upstream, stream: Stream) -> None:
        connection.attach(stream)
        connection.leased = True
        stats = self._cluster.stats
        stats.upstream_rq_total.value += 1
        stats.upstream_rq_active.value += 1
        host = self._host.stats
        host.rq_total.value += 1
        host.rq_active.value += 1

    # -- connecting: the one place that makes a task

    def _connect(self) -> None:
        cluster = self._cluster
        if cluster.connections >= cluster.config.max_connections:
            cluster.stats.upstream_cx_overflow.value += 1
            if self._all or self._attempts:
                return  # one of this pool's own will come back
        attempt = ConnectAttempt(self)
        self._attempts.add(attempt)
        cluster.connections += 1
        cluster.wheel.arm(attempt, attempt.start + cluster.config.connect_timeout)
        attempt.task = cluster.loop.create_task(self._run(attempt))

    async def _run(self, attempt: ConnectAttempt) -> None:
        cluster = self._cluster
        config = cluster.config
        connection = Http1Upstream(
            self,
            cluster.wheel,
            cluster.stats,
            config.buffer_limit,
            config.idle_timeout,
            config.max_connection_duration,
        )
        reason = ""
        connected = False
        cluster.stats.upstream_cx_total.value += 1
        cluster.stats.upstream_cx_http1_total.value += 1
        cluster.stats.upstream_cx_active.value += 1
        self._host.stats.cx_total.value += 1
        self._host.stats.cx_active.value += 1
        try:
            await cluster.loop.create_connection(lambda: connection, self._host.ip, self._host.port)  # type: ignore[type-var]  # a protocol by shape
            connected = not connection.closing
        except OSError as error:
            reason = error_text(error)
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, requests wait for an answer
            report_bug(cluster.loop, error, f"connecting to {self._host.address}")
        self._attempts.discard(attempt)
        cluster.wheel.disarm(attempt)
        now = time.monotonic()
        if connected:
            cluster.stats.upstream_cx_connect_ms.record(int((now - attempt.start) * 1e6))
            self._all.add(connection)
            self._offer(connection, now)
        else:
            self._connect_failed(attempt, reason, now)

    def _connect_failed(self, attempt: ConnectAttempt, reason: str, now: float) -> None:
        cluster = self._cluster
        cluster.connections -= 1
        stats = cluster.stats
        stats.upstream_cx_connect_fail.value += 1
        stats.upstream_cx_active.value -= 1
        stats.upstream_cx_destroy.value += 1
        self._host.stats.cx_connect_fail.value += 1
        self._host.stats.cx_active.value -= 1
        if attempt.timed_out:
            stats.upstream_cx_connect_timeout.value += 1
            stats.upstream_cx_destroy_local.value += 1
        else:
            stats.upstream_cx_destroy_remote.value += 1
        failure = CONNECT_TIMEOUT if attempt.timed_out else CONNECT_FAILED
        # As in Envoy, a failed connection fails what waits for one: the host is not there.
        waiting = list(self._waiting)
        self._waiting.clear()
        for stream in waiting:
            self._dequeued()
            stats.upstream_rq_pending_failure_eject.value += 1
            self._refuse(stream, failure, reason, now)

    def _refuse(self, stream: Stream, failure: Failure, reason: str, now: float) -> None:
        try:
            stream.on_upstream_failure(failure, reason, now)
        except Exception as error:  # noqa: BLE001 - the others that wait must hear of it too
            report_bug(self._cluster.loop, error, "refusing a request")
            stream.on_bug()

    # -- ConnectionOwner

    def on_request_over(self, connection: Http1Upstream, reusable: bool, now: float) -> None:
        stats = self._cluster.stats
        connection.leased = False
        stats.upstream_rq_active.value -= 1
        self._host.stats.rq_active.value -= 1
        limit = self._cluster.config.max_requests_per_connection
        if limit and connection.requests >= limit:
            stats.upstream_cx_max_requests.value += 1
            reusable = False
        elif reusable and connection.worn_out(now):
            reusable = False
        if reusable and (self._waiting or not self._closed):
            self._offer(connection, now)
        else:
            connection.close()

    def _offer(self, connection: Http1Upstream, now: float) -> None:
        """Give a free connection to whoever waits longest, else keep it."""
        if self._waiting:
            stream = self._waiting.popleft()
            self._dequeued()
            reused = connection.requests > 0
            self._count_request(connection, stream)
            try:
                stream.on_upstream_ready(connection, reused, now)
            except Exception as error:  # noqa: BLE001 - it may be another request's response that freed it
                report_bug(self._cluster.loop, error, "sending a request")
                connection.reset()
                stream.on_bug()
        elif self._closed:
            connection.close()
        else:
            self._idle.append(connection)
            connection.set_idle(now)

    def on_closed(self, connection: Http1Upstream, local: bool, now: float) -> None:
        if connection in self._all:
            self._all.discard(connection)
            self._forget(connection, local, now)
        if self._idle and not connection.leased:
            try:
                self._idle.remove(connection)
            except ValueError:
                pass
        if len(self._attempts) < len(self._waiting) and not self._aborted:
            self._connect()

    def _forget(self, connection: Http1Upstream, local: bool, now: float) -> None:
        cluster = self._cluster
        cluster.connections -= 1
        stats = cluster.stats
        stats.upstream_cx_active.value -= 1
        stats.upstream_cx_destroy.value += 1
        if local:
            stats.upstream_cx_destroy_local.value += 1
        else:
            stats.upstream_cx_destroy_remote.value += 1
        self._host.stats.cx_active.value -= 1
        stats.upstream_cx_length_ms.record(int((now - connection.born) * 1e6))
        stats.upstream_rq_per_cx.record(connection.requests)
        if connection.leased:
            stats.upstream_rq_active.value -= 1
            self._host.stats.rq_active.value -= 1
            stats.upstream_cx_destroy_with_active_rq.value += 1
            if local:
                stats.upstream_cx_destroy_local_with_active_rq.value += 1
            else:
                stats.upstream_cx_destroy_remote_with_active_rq.value += 1


class Host:
    """One endpoint of a cluster; lives as long as some host set names its address."""

    def __init__(self, cluster: "Cluster", ip: str, port: int, hostname: str, stats: HostStats) -> None:
        self.ip: Final = ip
        self.port: Final = port
        self.hostname: str = hostname
        self.address: Final = format_address(ip, port)
        self.stats: Final = stats
        self.pool: Final = Pool(cluster, self)


class Cluster:
    """Hosts that do the same work, with what all requests to them share.

    The position of round robin and the limits are this process's own.
    """

    def __init__(
        self, config: ClusterSnapshot, loop: asyncio.AbstractEventLoop, wheel: TimerWheel, registry: Registry
    ) -> None:
        self.config: Final = config
        self.loop: Final = loop
        self.wheel: Final = wheel
        self.stats: Final[ClusterStats] = config.stats
        self.connections: int = 0  # open or being opened
        self.pending: int = 0  # requests waiting for a connection
        self._registry: Final = registry
        self._hosts: list[Host] = []
        self._next: int = 0
        self.update_hosts(config.hosts)
        if self._hosts:
            # Workers must not all begin with the same host.
            self._next = random.randrange(len(self._hosts))

    def choose(self) -> Host | None:
        """The host whose turn it is, or None where the cluster has none (ROUND_ROBIN)."""
        hosts = self._hosts
        if not hosts:
            self.stats.upstream_cx_none_healthy.value += 1
            self.stats.lb_healthy_panic.value += 1  # as in Envoy: none of none is healthy
            return None
        index = self._next
        if index >= len(hosts):
            index = 0
        self._next = index + 1
        return hosts[index]

    def update_hosts(self, addresses: list[tuple[str, int, str]]) -> None:
        """Replace the host set by ``(ip, port, hostname)``; hosts that stay keep their connections."""
        known = {(host.ip, host.port): host for host in self._hosts}
        hosts: list[Host] = []
        if self.config.resolved:
            # Several names may resolve to one address: it is one host all the same.
            addresses = list({(ip, port): (ip, port, hostname) for ip, port, hostname in addresses}.values())
        for ip, port, hostname in addresses:
            host = known.pop((ip, port), None)
            if host is None:
                stats = HostStats(self._registry, self.config.stat_name, format_address(ip, port))
                host = Host(self, ip, port, hostname, stats)
            host.hostname = hostname
            hosts.append(host)
        self._hosts = hosts
        if not self.config.resolved:  # whoever resolves the others counts them
            self.stats.membership_total.value = len(hosts)
            self.stats.membership_healthy.value = len(hosts)
        for gone in known.values():
            gone.pool.close()

    def abort(self) -> None:
        """Close every connection at once."""
        for host in self._hosts:
            host.pool.abort()


def error_text(error: OSError) -> str:
    """Why a connection failed, in the words of ``%UPSTREAM_TRANSPORT_FAILURE_REASON%``."""
    return f"delayed connect error: {os.strerror(error.errno)}" if error.errno else "delayed connect error"
