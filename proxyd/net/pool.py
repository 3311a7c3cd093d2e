"""The connections to one host, and the requests that wait for one."""

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from proxyd.errors import CONNECT_FAILED, CONNECT_TIMEOUT, UPSTREAM_OVERFLOW, Failure
from proxyd.net.addresses import connect
from proxyd.net.bugs import report_bug
from proxyd.net.stream import Stream, UpstreamStream
from proxyd.net.timers import Timed, TimerWheel
from proxyd.net.tls_client import TlsClient
from proxyd.net.upstream import ConnectionOwner, Http1Upstream
from proxyd.net.upstream_connection import ConnectionMaker, UpstreamConnection
from proxyd.snapshot.clusters import ClusterSnapshot
from proxyd.snapshot.tls import ClientTls
from proxyd.stats.scopes import ClusterStats
from proxyd.system import native

if TYPE_CHECKING:
    from proxyd.net.host import Host
    from proxyd.net.pool_set import PoolSet

# Envoy's words.
NOT_READY: Final = "TLS_error: Secret is not supplied by SDS"


class PoolOwner:
    """What all pools of a cluster share: its settings, and how much of its limits is used.

    The limits are this process's own. Envoy's gauges of open circuit breakers say where one is reached.
    """

    def __init__(self, config: ClusterSnapshot, loop: asyncio.AbstractEventLoop, wheel: TimerWheel) -> None:
        self.config: Final = config
        self.loop: Final = loop
        self.wheel: Final = wheel
        self.stats: Final[ClusterStats] = config.stats
        self.connections: int = 0  # open or being opened
        self.pending: int = 0  # requests waiting for a connection
        self.requests: int = 0  # requests on connections
        self.max_requests: Final = config.max_requests

    def on_drained(self, host: "Host") -> None:
        """The pool of ``host`` was closed and is empty now."""
        raise NotImplementedError

    def count_connection(self) -> None:
        self.connections += 1
        if self.connections >= self.config.max_connections:
            self.stats.default_cx_open.value = 1

    def discount_connection(self) -> None:
        self.connections -= 1
        if self.connections < self.config.max_connections:
            self.stats.default_cx_open.value = 0

    def count_pending(self) -> None:
        self.pending += 1
        stats = self.stats
        stats.upstream_rq_pending_total.value += 1
        stats.upstream_rq_pending_active.value += 1
        if self.pending >= self.config.max_pending_requests:
            stats.default_rq_pending_open.value = 1

    def discount_pending(self) -> None:
        self.pending -= 1
        stats = self.stats
        stats.upstream_rq_pending_active.value -= 1
        if self.pending < self.config.max_pending_requests:
            stats.default_rq_pending_open.value = 0


class ConnectAttempt(Timed, ConnectionMaker):
    """One connection under way. It is no lease yet: whoever waits longest gets what comes of it."""

    def __init__(self, pool: "Pool") -> None:
        super().__init__()
        self._pool: Final = pool
        self.task: asyncio.Task[None] | None = None
        self.timed_out: bool = False
        self.connection: UpstreamConnection | None = None
        self.start: float = time.monotonic()

    def make(self, protocol: str) -> UpstreamConnection:
        connection = self._pool.new_connection(protocol)
        self.connection = connection
        return connection

    def on_deadline(self, now: float) -> None:
        self.timed_out = True
        if self.task is not None:
            self.task.cancel()


class Pool(ConnectionOwner):
    """The HTTP/1 connections to one host and the requests that wait for one.

    Idle connections are used last in, first out, so that surplus ones reach their idle timeout.
    """

    def __init__(
        self,
        cluster: PoolOwner,
        host: "Host",
        name: str = "",
        preface: bytes = b"",
        parent: "PoolSet | None" = None,
    ) -> None:
        """``name`` is whom the host has to be, where the cluster speaks TLS.

        Connections begin with ``preface``, before everything else. A ``parent`` is told when nothing is left,
        and the host's owner is not.
        """
        self._cluster: Final = cluster
        self._host: Final = host
        self._parent: Final = parent
        self.name: Final = name
        self._preface: Final = preface
        self.http2: bool = False  # what ALPN is to ask for
        self._idle: list[Http1Upstream] = []
        self._all: set[Http1Upstream] = set()
        self._attempts: set[ConnectAttempt] = set()
        self._waiting: deque[Stream] = deque()
        self._closed: bool = False
        self._aborted: bool = False

    def lease(self, stream: Stream, fresh: bool) -> UpstreamStream | None:
        """A connection for ``stream`` at once, or None where its ``on_upstream_*`` will be called.

        The call may come before this returns where the cluster's limits are reached. A ``fresh`` one has not
        been waiting idle.
        """
        idle = self._idle
        while idle and not fresh:
            connection = idle.pop()
            # The loop tells of an end some callbacks before it comes.
            if connection.closing:
                continue
            if self._cluster.requests >= self._cluster.max_requests:
                idle.append(connection)
                self._overflow(stream, time.monotonic())
                return None
            self._count_request(connection, stream)
            return connection
        cluster = self._cluster
        if cluster.pending >= cluster.config.max_pending_requests:
            self._overflow(stream, time.monotonic())
            return None
        self._waiting.append(stream)
        cluster.count_pending()
        if self._wants_connection():
            self._connect()
        return None

    def _wants_connection(self) -> bool:
        return len(self._attempts) < len(self._waiting)

    def cancel(self, stream: Stream) -> None:
        """``stream`` does not want to wait any longer. A connection made for it serves the next one."""
        try:
            self._waiting.remove(stream)
        except ValueError:
            return
        self._cluster.discount_pending()
        self._cluster.stats.upstream_rq_cancelled.value += 1
        self._tell_drained()

    def close(self) -> None:
        """Take no new lease; what is in use ends when it comes back. The owner hears when all is over."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._tell_drained()

    def abort(self) -> None:
        """Close everything at once."""
        self._closed = True
        self._aborted = True
        for attempt in list(self._attempts):
            if attempt.task is not None:
                attempt.task.cancel()
        for connection in list(self._all):
            connection.close()

    def _is_empty(self) -> bool:
        """Nobody waits and nothing is open or being opened."""
        return not self._all and not self._attempts and not self._waiting

    def _tell_drained(self) -> None:
        if self._parent is not None:
            if self._is_empty():
                self._parent.on_empty(self)
        elif self._closed and self._is_empty():
            self._cluster.on_drained(self._host)

    def forget_if_empty(self) -> None:
        """Of a pool with a parent: where it was asked in vain, it need not be kept."""
        self._tell_drained()

    def _overflow(self, stream: Stream, now: float) -> None:
        """Refuse what is over one of the limits."""
        self._cluster.stats.upstream_rq_pending_overflow.value += 1
        self._refuse(stream, UPSTREAM_OVERFLOW, "", now)

    def _count_request(self, connection: Http1Upstream, stream: Stream) -> None:
        connection.attach(stream)
        connection.leased = True
        self._count_lease(stream, connection.address)

    def _count_lease(self, stream: Stream, address: str) -> None:
        stream.upstream_host = address  # the host may have moved since it was connected to
        cluster = self._cluster
        cluster.requests += 1
        stats = cluster.stats
        if cluster.requests >= cluster.max_requests:
            stats.default_rq_open.value = 1
        stats.upstream_rq_total.value += 1
        stats.upstream_rq_active.value += 1
        host = self._host.stats
        host.rq_total.value += 1
        host.rq_active.value += 1

    def _discount_request(self) -> None:
        cluster = self._cluster
        cluster.requests -= 1
        stats = cluster.stats
        if cluster.requests == cluster.max_requests - 1:
            stats.default_rq_open.value = 0
        stats.upstream_rq_active.value -= 1
        self._host.stats.rq_active.value -= 1

    # -- connecting: the one place that makes a task

    def _connect(self) -> None:
        cluster = self._cluster
        if cluster.connections >= cluster.config.max_connections:
            cluster.stats.upstream_cx_overflow.value += 1
            if self._all or self._attempts:
                return  # one of this pool's own will come back
        attempt = ConnectAttempt(self)
        self._attempts.add(attempt)
        cluster.count_connection()
        cluster.wheel.arm(attempt, attempt.start + cluster.config.connect_timeout)
        attempt.task = cluster.loop.create_task(self._run(attempt))

    async def _run(self, attempt: ConnectAttempt) -> None:
        cluster = self._cluster
        config = cluster.config
        host = self._host
        ip = host.ip
        reason = ""
        connected = False
        cluster.stats.upstream_cx_total.value += 1
        self._count_protocol()
        cluster.stats.upstream_cx_active.value += 1
        host.stats.cx_total.value += 1
        host.stats.cx_active.value += 1
        try:
            if config.waits is not None:
                config.waits.secrets_not_ready.value += 1
                reason = NOT_READY
            elif config.tls is None:
                transport = await connect(cluster.loop, lambda: attempt.make(""), ip, host.port)
                if self._preface and not self.http2:
                    transport.write(self._preface)
            else:
                reason = await self._connect_tls(config.tls, attempt, ip)
            connection = attempt.connection
            connected = connection is not None and not connection.is_closing() and not reason
            cluster.stats.upstream_cx_tx_bytes_total.value += len(self._preface)
        except OSError as error:
            reason = error_text(error)
        except asyncio.CancelledError:
            pass
        except Exception as unforeseen:  # noqa: BLE001 - whatever it is, requests wait for an answer
            report_bug(cluster.loop, unforeseen, f"connecting to {host.address}")
        self._attempts.discard(attempt)
        cluster.wheel.disarm(attempt)
        now = time.monotonic()
        connection = attempt.connection
        if connected and connection is not None:
            cluster.stats.upstream_cx_connect_ms.record(int((now - attempt.start) * 1e6))
            self._connected(connection, now)
        else:
            self._connect_failed(attempt, reason, now)

    def new_connection(self, protocol: str) -> UpstreamConnection:
        """Who speaks to the host, which has agreed on ``protocol`` by ALPN if that is not empty."""
        cluster = self._cluster
        return Http1Upstream(self, cluster.wheel, cluster.config, self._host.address)

    def _count_protocol(self) -> None:
        """A connection is being made of which it is known what will be spoken."""
        self._cluster.stats.upstream_cx_http1_total.value += 1

    def _connected(self, connection: UpstreamConnection, now: float) -> None:
        """A connection is ready for requests."""
        assert isinstance(connection, Http1Upstream)
        self._all.add(connection)
        self._offer(connection, now)

    async def _connect_tls(self, tls: ClientTls, attempt: ConnectAttempt, ip: str) -> str:
        """Connect and shake hands; why that failed, empty where it did not."""
        cluster = self._cluster
        layer = TlsClient(cluster.loop, attempt, tls, self.name, self._preface, self.http2)
        try:
            await connect(cluster.loop, lambda: layer, ip, self._host.port)
            failure = await layer.done
        except BaseException:
            layer.abort()
            raise
        return "" if failure is None else failure.words

    def _connect_failed(self, attempt: ConnectAttempt, reason: str, now: float) -> None:
        cluster = self._cluster
        cluster.discount_connection()
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
            cluster.discount_pending()
            stats.upstream_rq_pending_failure_eject.value += 1
            self._refuse(stream, failure, reason, now)
        self._tell_drained()

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
        self._discount_request()
        limit = self._cluster.config.max_requests_per_connection
        if limit and connection.requests >= limit:
            stats.upstream_cx_max_requests.value += 1
            reusable = False
        elif reusable and connection.worn_out(now):
            reusable = False
        if reusable and not self._waiting and not self._closed:
            self._idle.append(connection)
            connection.set_idle(now)
        elif reusable and self._waiting:
            self._offer(connection, now)
        else:
            connection.close()

    def _offer(self, connection: Http1Upstream, now: float) -> None:
        """Give a free connection to whoever waits longest, else keep it."""
        cluster = self._cluster
        while self._waiting and cluster.requests >= cluster.max_requests:
            cluster.discount_pending()
            self._overflow(self._waiting.popleft(), now)
        if self._waiting:
            stream = self._waiting.popleft()
            cluster.discount_pending()
            reused = connection.requests > 0
            self._count_request(connection, stream)
            try:
                stream.on_upstream_ready(connection, reused, now)
            except Exception as error:  # noqa: BLE001 - it may be another request's response that freed it
                report_bug(cluster.loop, error, "sending a request")
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
            if connection.leased:
                self._discount_request()
            self._count_closed(local, now - connection.born, connection.requests, connection.leased)
        if self._idle and not connection.leased:
            try:
                self._idle.remove(connection)
            except ValueError:
                pass
        if self._wants_connection() and not self._aborted:
            self._connect()
        self._tell_drained()

    def _count_closed(self, local: bool, seconds: float, requests: int, leased: bool) -> None:
        cluster = self._cluster
        cluster.discount_connection()
        stats = cluster.stats
        stats.upstream_cx_active.value -= 1
        stats.upstream_cx_destroy.value += 1
        if local:
            stats.upstream_cx_destroy_local.value += 1
        else:
            stats.upstream_cx_destroy_remote.value += 1
        self._host.stats.cx_active.value -= 1
        stats.upstream_cx_length_ms.record(int(seconds * 1e6))
        stats.upstream_rq_per_cx.record(requests)
        if leased:
            stats.upstream_cx_destroy_with_active_rq.value += 1
            if local:
                stats.upstream_cx_destroy_local_with_active_rq.value += 1
            else:
                stats.upstream_cx_destroy_remote_with_active_rq.value += 1


def error_text(error: OSError) -> str:
    """Why a connection failed, in the words of ``%UPSTREAM_TRANSPORT_FAILURE_REASON%``."""
    return f"delayed connect error: {native.words(error)}" if error.errno else "delayed connect error"
