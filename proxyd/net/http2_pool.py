"""The connections to one host that many requests share, and the requests that wait for one."""

import time
from typing import TYPE_CHECKING, Final

from proxyd.net.bugs import report_bug
from proxyd.net.http2_upstream import Http2Lease, Http2Owner, Http2Upstream
from proxyd.net.pool import Pool, PoolOwner
from proxyd.net.stream import Stream, UpstreamStream
from proxyd.net.upstream_connection import UpstreamConnection

if TYPE_CHECKING:
    from proxyd.net.host import Host
    from proxyd.net.pool_set import PoolSet


class Http2Pool(Pool, Http2Owner):
    """A pool of HTTP/2 connections; one more is made when those that are open take no further request.

    An ``auto`` one asks by ALPN, and has HTTP/1 connections as well where the host agrees on that.
    """

    def __init__(
        self,
        cluster: PoolOwner,
        host: "Host",
        name: str = "",
        preface: bytes = b"",
        parent: "PoolSet | None" = None,
        auto: bool = False,
    ) -> None:
        super().__init__(cluster, host, name, preface, parent)
        self._auto: Final = auto
        self._shared: Final[list[Http2Upstream]] = []  # the newest last
        self.http2 = True

    def lease(self, stream: Stream, fresh: bool) -> UpstreamStream | None:
        for connection in self._shared:
            if connection.has_room():
                cluster = self._cluster
                now = time.monotonic()
                if cluster.requests >= cluster.max_requests:
                    self._overflow(stream, now)
                    return None
                return self._grant(connection, stream, now)
        return super().lease(stream, fresh)

    def _grant(self, connection: Http2Upstream, stream: Stream, now: float) -> Http2Lease:
        request = connection.lease(stream, now)
        self._count_lease(stream, connection.address)
        return request

    def _wants_connection(self) -> bool:
        """What is being made will serve all that wait, as many as one takes."""
        if self._auto:
            return len(self._attempts) < len(self._waiting)
        config = self._cluster.config
        streams = config.http2.max_concurrent_streams
        if 0 < config.max_requests_per_connection < streams:
            streams = config.max_requests_per_connection
        return len(self._attempts) * streams < len(self._waiting)

    # -- connecting

    def new_connection(self, protocol: str) -> UpstreamConnection:
        if self._auto and protocol != "h2":
            self._cluster.stats.upstream_cx_http1_total.value += 1
            return super().new_connection(protocol)
        if self._auto:
            self._cluster.stats.upstream_cx_http2_total.value += 1
        cluster = self._cluster
        # With TLS, what goes before everything goes before that.
        preface = self._preface if cluster.config.tls is None else b""
        return Http2Upstream(self, cluster.wheel, cluster.config, self._host.address, preface)

    def _count_protocol(self) -> None:
        if not self._auto:
            self._cluster.stats.upstream_cx_http2_total.value += 1

    def _connected(self, connection: UpstreamConnection, now: float) -> None:
        if isinstance(connection, Http2Upstream):
            self._shared.append(connection)
            self._serve(connection, now)
            self._connect_for_more()
            if self._closed:
                connection.drain()
        else:
            super()._connected(connection, now)

    def _serve(self, connection: Http2Upstream, now: float) -> None:
        """Give whoever waits longest a place on it, while there is room."""
        cluster = self._cluster
        while self._waiting and connection.has_room():
            stream = self._waiting.popleft()
            cluster.discount_pending()
            if cluster.requests >= cluster.max_requests:
                self._overflow(stream, now)
                continue
            request = self._grant(connection, stream, now)
            try:
                stream.on_upstream_ready(request, connection.requests > 1, now)
            except Exception as error:  # noqa: BLE001 - others wait for the same connection
                report_bug(cluster.loop, error, "sending a request")
                request.reset()
                stream.on_bug()

    # -- Http2Owner

    def on_stream_over(self, request: Http2Lease, now: float) -> None:
        self._discount_request()

    def on_room(self, connection: Http2Upstream, now: float) -> None:
        # SETTINGS may come before the loop has told that the connection is there: it is asked for then.
        if self._waiting and connection in self._shared:
            self._serve(connection, now)
            self._connect_for_more()

    def _connect_for_more(self) -> None:
        """Make another connection where those that are there, and coming, are not enough."""
        if self._waiting and self._wants_connection() and not self._aborted:
            self._connect()

    def on_connection_lost(self, connection: Http2Upstream, local: bool, busy: bool, now: float) -> None:
        if connection in self._shared:
            self._shared.remove(connection)
            self._count_closed(local, now - connection.born, connection.requests, busy)
        self._connect_for_more()
        self._tell_drained()

    # -- its end

    def close(self) -> None:
        for connection in list(self._shared):
            connection.drain()
        super().close()

    def abort(self) -> None:
        super().abort()
        for connection in list(self._shared):
            connection.abort()

    def _is_empty(self) -> bool:
        return not self._shared and super()._is_empty()
