"""The one way of a request from the client to a host and back.

It reads like docs/architecture.md: one method a step. A step goes on at once or parks, and the event it waits
for resumes it. Nothing here knows a protocol version, a socket or a clock.
"""

import time
from typing import Final

from proxyd.codec.framing import (
    BODYLESS_STATUSES,
    CHUNKED,
    LENGTH,
    NO_BODY,
    TUNNEL,
    parse_length,
)
from proxyd.codec.grpc import GRPC_TIMEOUT, grpc_timeout_text, is_grpc
from proxyd.codec.headers import NO_HEADERS, Headers
from proxyd.codec.messages import RequestHead, ResponseHead
from proxyd.errors import (
    DC,
    DPE,
    MISSING_HOST,
    NC,
    NO_CLUSTER,
    NO_GRPC_STATUS,
    NO_HEALTHY_UPSTREAM,
    NO_PATH,
    NO_ROUTE,
    PATH_NORMALIZATION_FAILED,
    REQUEST_TIMEOUT,
    STREAM_DURATION,
    STREAM_DURATION_REQUEST,
    STREAM_IDLE,
    STREAM_IDLE_REQUEST,
    UC,
    UPGRADE_FAILED,
    UPSTREAM_CLOSED,
    UPSTREAM_OVERFLOW,
    UPSTREAM_REFUSED,
    UPSTREAM_TIMEOUT,
    UPSTREAM_TRY_TIMEOUT,
    Failure,
)
from proxyd.filters.stream_info import WireBytes
from proxyd.net.cluster import Cluster, Host
from proxyd.net.connection_manager import AS_IT_IS, ConnectionManager, describe_body, set_service_time
from proxyd.net.stream import DownstreamStream, Stream, StreamFactory, UpstreamStream
from proxyd.net.terminated_connect import TerminatedConnect
from proxyd.net.timers import NEVER
from proxyd.snapshot.grpc_timeouts import GrpcTimeouts
from proxyd.snapshot.hash_policy import NO_KEY
from proxyd.snapshot.local_reply import answer_grpc
from proxyd.snapshot.normalization import REDIRECTED, REFUSED
from proxyd.snapshot.route import CONNECT_PATH, REDIRECT, ROUTE, Route

# How far an exchange has come.
NEW: Final = 0
WAITING: Final = 1  # for a connection to the host
SENT: Final = 2  # the head is with the host
STREAMING: Final = 3  # the response's head is with the client
DONE: Final = 4

# Whether this is to be a tunnel.
NO_TUNNEL: Final = 0
ASKED: Final = 1  # the host has not said yet
OPEN: Final = 2
CLIENT_CLOSED: Final = 3  # of an open one: who has closed its half first
HOST_CLOSED: Final = 4

_TERMINATED: Final = "upstream_reset_after_response_started{connection_termination}"
_FORWARDED_INTERIM: Final = frozenset((100, 102, 103))

_AT_ONCE: Final = 1e-9  # of a duration, where 0.0 means none
_MAX_DIGITS: Final = 12
_REPLAYABLE_METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))


def _milliseconds(headers: Headers, name: bytes) -> float:
    """The seconds of the milliseconds in the one header of this name, -1.0 for anything else."""
    text = b",".join(headers.get_all(name))
    return int(text) / 1000 if text.isdigit() and len(text) <= _MAX_DIGITS else -1.0


class Exchange(Stream):
    """One request and its response through the proxy."""

    __slots__ = (
        "_blocked", "_body", "_buffered", "_buffered_bytes", "_cluster", "_downstream",
        "_filters_response", "_framed", "_grpc_status", "_grpc_timeout", "_host", "_idle_timeout",
        "_interim_sent", "_last_activity", "_manager", "_max_duration", "_request_done",
        "_request_head", "_response_deadline", "_response_head", "_retried", "_reused", "_route",
        "_state", "_tells_request_id", "_timeout", "_try_timeout", "_tunnel", "_upstream",
    )  # fmt: skip

    def __init__(self, manager: ConnectionManager, downstream: DownstreamStream) -> None:
        super().__init__(NO_HEADERS)
        self._manager: Final = manager
        self._downstream: Final = downstream
        self._state: int = NEW
        self._route: Route | None = None
        self._cluster: Cluster | None = None
        self._host: Host | None = None
        self._upstream: UpstreamStream | None = None
        self._reused: bool = False
        self._retried: bool = False
        self._body: int = NO_BODY
        self._buffered: list[bytes] = []  # request body that came before there was a connection
        self._buffered_bytes: int = 0
        self._request_done: bool = False
        self._request_head: RequestHead | None = None
        self._response_head: ResponseHead | None = None
        self._filters_response: bool = False  # what there is of it goes to filters first
        self._tunnel: int = NO_TUNNEL
        self._framed: int = 0  # bytes of a body before what is for the tunnel
        self._interim_sent: bool = False
        self._blocked: bool = False  # the client does not take the response as fast as it comes
        self._idle_timeout: float = manager.config.stream_idle_timeout
        self._max_duration: float = manager.config.max_stream_duration
        self._last_activity: float = 0.0
        self._timeout: float = -1.0  # of the route, or of a client that may choose; 0.0 for none
        self._try_timeout: float = 0.0  # shorter than that, or none
        self._response_deadline: float = NEVER
        self._grpc_status: int = NO_GRPC_STATUS  # of a reply of this proxy's own
        self._grpc_timeout: bool = False  # the host is told the timeout as gRPC's own
        self._tells_request_id: bool = manager.config.always_set_request_id_in_response
        if manager.config.connection.counts_wire_bytes:
            self.wire = WireBytes()
            self.wire.downstream_received = downstream.count_bytes(self.wire)
        stats = manager.config.stats
        stats.downstream_rq_total.value += 1
        stats.downstream_rq_active.value += 1

    # -- 1 route

    def on_request(self, head: RequestHead, now: float) -> None:
        connection = self._downstream.connection_info()
        self.start = now
        self.start_time = time.time()
        self._last_activity = now
        self.method = head.method
        self.path = head.path
        self.authority = head.authority
        self.scheme = head.scheme
        self.request_headers = head.headers
        self._request_head = head
        self._body = head.body
        if head.body == NO_BODY:
            self._request_done = True
            self.request_end = now
        self.connection = connection
        self.downstream_remote_address = connection.remote_address
        manager = self._manager
        if head.plain:  # none of what is asked below is so
            self.protocol = connection.protocol
            if not manager.config.normalizes or self._normalize(now):
                if manager.forwarding.prepare(self):
                    self._take_commands()
                self._match(manager, now)
            return
        if head.version_minor:
            self.protocol = connection.protocol
        else:
            self.protocol = "HTTP/1.0"
            if not head.has_host:
                self.authority = manager.config.connection.default_host_for_http_10
        if head.expect_continue:
            self._expect(head)
        stats = manager.config.stats
        if not self.authority:
            self._fail(MISSING_HOST, now)
        elif head.path[:1] != b"/" and head.method != b"CONNECT":
            stats.downstream_rq_non_relative_path.value += 1
            self._fail(NO_PATH, now)
        elif head.path.find(b"#") >= 0:
            stats.downstream_rq_failed_path_normalization.value += 1
            self._fail(PATH_NORMALIZATION_FAILED, now)
        elif not manager.config.normalizes or self._normalize(now):
            if manager.forwarding.prepare(self):
                self._take_commands()
            if head.method == b"CONNECT":
                self._choose_tunnel(b"connect", now)
            elif head.upgrade and head.upgrade != b"h2c":
                self._choose_tunnel(head.upgrade, now)
            else:
                self._match(manager, now)

    def _match(self, manager: ConnectionManager, now: float) -> None:
        route = manager.config.router.match(
            self.authority, self.path, self.method, self.scheme, self.request_headers
        )
        self._choose_route(route, now)

    def _normalize(self, now: float) -> bool:
        """Bring path and authority into the form that is configured; False where that has answered."""
        config = self._manager.config
        stats = config.stats
        fate, self.path = config.path_normalization.apply(self.path)
        if fate == REFUSED or (fate == REDIRECTED and is_grpc(self.request_headers)):
            stats.downstream_rq_failed_path_normalization.value += 1
            self._fail(PATH_NORMALIZATION_FAILED, now)
            return False
        if fate == REDIRECTED:
            stats.downstream_rq_redirected_with_normalized_path.value += 1
            self.response_code_details = PATH_NORMALIZATION_FAILED.details
            self._reply(307, b"", [(b"location", self.path)], now)
            return False
        if config.authority_normalization.active:
            port = self.connection.local_address.rpartition(":")[2]
            self.authority = config.authority_normalization.apply(self.authority, int(port))
        return True

    def _take_commands(self) -> None:
        """What an internal client may ask for itself: timeouts, and to be told the request's id."""
        headers = self.request_headers
        self._timeout = _milliseconds(headers, b"x-envoy-upstream-rq-timeout-ms")
        self._try_timeout = max(0.0, _milliseconds(headers, b"x-envoy-upstream-rq-per-try-timeout-ms"))
        headers.remove(b"x-envoy-upstream-rq-timeout-ms")
        headers.remove(b"x-envoy-upstream-rq-per-try-timeout-ms")
        if headers.get(b"x-envoy-force-trace") is not None:
            self._tells_request_id = True

    def _expect(self, head: RequestHead) -> None:
        """As in Envoy, an expectation is met here unless the host is to decide."""
        if self._manager.config.proxy_100_continue:
            self.request_headers.items.append((b"expect", head.expect))
        elif self._downstream.send_interim(100, []):
            self._count_interim()

    def _match_tunnel(self) -> Route | None:
        connect = self.method == b"CONNECT"
        path = CONNECT_PATH if connect else self.path
        route = self._manager.config.router.match(
            self.authority, path, self.method, self.scheme, self.request_headers
        )
        return route if route is None or route.connect or not connect else None

    def _choose_tunnel(self, protocol: bytes, now: float) -> None:
        """A request that asks for another protocol may where the route or the manager allows it."""
        config = self._manager.config
        route = self._match_tunnel()
        allowed = config.upgrades.get(protocol, False)
        self._request_done = False
        self.request_end = 0.0
        self._downstream.begin_tunnel()
        if route is not None and route.upgrades is not None:
            allowed = route.upgrades.get(protocol, allowed)
        refused = not allowed and (route is not None or protocol != b"connect")
        # An intended difference: what ends a chunked body and begins a tunnel is not to be argued about.
        if refused or self._body == CHUNKED:
            config.stats.downstream_rq_ws_on_non_ws_route.value += 1
            if route is not None:
                self._route = route
                self.route_name = route.name
                if route.action == ROUTE:
                    self.upstream_cluster = route.cluster
            self._fail(UPGRADE_FAILED, now)
            return
        if allowed:
            config.stats.downstream_cx_upgrades_total.value += 1
            config.stats.downstream_cx_upgrades_active.value += 1
            self._tunnel = ASKED
            self._downstream.allow_tunnel(True)
            self._framed = parse_length(self.request_headers.get(b"content-length") or b"0")
        self._choose_route(route, now)

    def _choose_route(self, route: Route | None, now: float) -> None:
        manager = self._manager
        stats = manager.config.stats
        stats.rq_total.value += 1
        if route is None:
            stats.no_route.value += 1
            self._fail(NO_ROUTE, now)
            return
        self._route = route
        self.route_name = route.name
        if route.action == ROUTE:
            if route.idle_timeout >= 0.0:
                self._idle_timeout = route.idle_timeout
            if route.flush_timeout >= 0.0:
                self._downstream.set_flush_timeout(route.flush_timeout)
            if route.max_stream_duration >= 0.0:
                self._max_duration = route.max_stream_duration
            if route.grpc_timeouts is not None:
                self._heed_grpc_timeout(route.grpc_timeouts)
            if self._timeout >= 0.0 or self._try_timeout > 0.0:
                self._set_chosen_timeouts(route, now)
            else:
                timeout = self._timeout = route.timeout
                if timeout > 0.0 and (self._request_done or self._tunnel == ASKED):
                    self._response_deadline = now + timeout
                # Not what passes first, but the earliest that anything can: there is hardly ever one to arm.
                least = manager.config.least_timeout
                if route.least_timeout < least:
                    least = route.least_timeout
                self._downstream.arm(now + least)
                if route.grpc_timeouts is not None:
                    self._arm()
            self._choose_cluster(route, now)
        elif route.action == REDIRECT:
            stats.rq_redirect.value += 1
            self._answer_by_route(route, now)
        else:
            stats.rq_direct_response.value += 1
            self._answer_by_route(route, now)

    def _heed_grpc_timeout(self, timeouts: GrpcTimeouts) -> None:
        """The request may say itself how long it has; the host of a gRPC request is told what counts."""
        headers = self.request_headers
        if timeouts.replaces_timeout:
            self._grpc_timeout = is_grpc(headers)
            if self._grpc_timeout and self._timeout < 0.0:
                self._timeout = timeouts.timeout(headers) / 1000
            return
        duration = timeouts.stream_duration(headers)
        if duration >= 0:
            self._max_duration = duration / 1000 or _AT_ONCE
        elif self._max_duration > 0.0:
            duration = int(self._max_duration * 1000 + 0.0005)
        if is_grpc(headers):
            if duration >= 0:
                headers.set(GRPC_TIMEOUT, grpc_timeout_text(duration))
            elif self._manager.config.max_stream_duration > 0.0:
                headers.remove(GRPC_TIMEOUT)  # as in Envoy, where the route takes the manager's limit away

    def _set_chosen_timeouts(self, route: Route, now: float) -> None:
        """An internal client has chosen one of the request's timeouts or both."""
        if self._timeout < 0.0:
            self._timeout = route.timeout
        if self._try_timeout >= self._timeout > 0.0:
            self._try_timeout = 0.0
        if self._request_done or self._tunnel == ASKED:
            self._await_response(now)
        self._arm()

    def _answer_by_route(self, route: Route, now: float) -> None:
        self.response_code_details = "direct_response"
        location = route.take_location(self)
        self._reply(route.status, route.body, [(b"location", location)] if location else [], now)

    # -- 3 choose

    def _choose_cluster(self, route: Route, now: float) -> None:
        name = route.cluster_name(self) if route.cluster_header else route.cluster
        cluster = self._manager.clusters.get(name)
        if cluster is None:
            self._manager.config.stats.no_cluster.value += 1
            self.response_flags |= NC
            self.response_code_details = NO_CLUSTER.details
            self._reply(route.not_found_status, b"", [], now)
            return
        self._cluster = cluster
        self.upstream_cluster = cluster.config.stat_name
        self._prepare_upstream_headers(route)  # as in Envoy, for the log of a request that finds no host, too
        host = self._choose_host(cluster)
        if host is None:
            self._fail_upstream(NO_HEALTHY_UPSTREAM, now)
            return
        self._lease(host, False, now)

    def _choose_host(self, cluster: Cluster) -> Host | None:
        key = NO_KEY
        if cluster.hashes and self._route is not None and self._route.hash_policies is not None:
            key = self._route.hash_policies.key(self)
        return cluster.choose(self.connection, self.request_headers, key)

    def _prepare_upstream_headers(self, route: Route) -> None:
        items = self.request_headers.items
        timeout = self._try_timeout or self._timeout
        if timeout == route.timeout:
            if route.expected_timeout is not None:
                items.append(route.expected_timeout)
        elif timeout > 0.0:
            items.append((b"x-envoy-expected-rq-timeout-ms", b"%d" % int(timeout * 1000)))
        if self._grpc_timeout and timeout > 0.0:
            self.request_headers.set(GRPC_TIMEOUT, grpc_timeout_text(int(timeout * 1000 + 0.0005)))
        if route.changes_request:
            route.finalize_request(self)

    # -- 4 lease

    def _lease(self, host: Host, fresh: bool, now: float) -> None:
        self._host = host
        self.upstream_host = host.address
        self.attempt_count += 1
        self._state = WAITING
        if self._tunnel != NO_TUNNEL and self.method == b"CONNECT" and self._terminate_connect(host, now):
            return
        connection = host.pool.lease(self, fresh)
        if connection is not None:
            self.on_upstream_ready(connection, True, now)

    def _terminate_connect(self, host: Host, now: float) -> bool:
        """Whether the route wants the bytes of the tunnel alone to go to the host."""
        route = self._route
        cluster = self._cluster
        if route is None or cluster is None or not route.terminates_connect:
            return False
        version = route.connect_proxy_protocol
        made = self._upstream = TerminatedConnect(cluster, host, self, self.connection, version)
        made.connect(now)
        return True

    def on_upstream_ready(self, upstream: UpstreamStream, reused: bool, now: float) -> None:
        self._upstream = upstream
        self._reused = reused
        if self._blocked:
            upstream.pause()
        self._send(upstream, now)

    # -- 5 send

    def _send(self, upstream: UpstreamStream, now: float) -> None:
        route = self._route
        host = self._host
        assert route is not None
        assert host is not None
        if route.auto_host_rewrite and host.hostname:
            if self._retried:  # what the client asked for has been told already
                self.authority = host.hostname.encode()
            else:
                route.rewrite_authority(self, host.hostname.encode())
        self._state = SENT
        self.upstream_first_tx = now
        if self.wire is not None:
            upstream.count_bytes(self.wire)
        if self._manager.config.logs_upstream:
            self.upstream_local_address = upstream.local_address()
            self.upstream_tls = upstream.tls_info()
        path = self.path
        if self._tunnel != NO_TUNNEL:
            upstream.ask_tunnel()
            if self.method == b"CONNECT":
                path = self.authority
        upstream.send_head(self.method, path, self.authority, self.request_headers, self._body)
        if self._buffered:
            self._send_buffered(upstream)
        if self._request_done:
            self.upstream_last_tx = now
            if self._body == NO_BODY:
                upstream.end()
            else:
                self._end_request(upstream, now)
        else:
            upstream.flush()

    def _send_buffered(self, upstream: UpstreamStream) -> None:
        # Before it is sent: the host may be blocked by it at once.
        self._downstream.resume()
        buffered, self._buffered = self._buffered, []
        self._buffered_bytes = 0
        for data in buffered:
            if self._tunnel == ASKED:
                self._forward_framed(data, upstream)
            else:
                upstream.send_data(data)

    def on_request_data(self, data: bytes, now: float) -> None:
        self.bytes_received += len(data)
        self._last_activity = now
        upstream = self._upstream
        if upstream is None:
            if self._state == WAITING:
                self._buffer(data)
        elif self._tunnel == ASKED:
            self._forward_framed(data, upstream)
        else:
            upstream.send_data(data)

    def _buffer(self, data: bytes) -> None:
        self._buffered.append(data)
        self._buffered_bytes += len(data)
        if self._buffered_bytes > self._manager.config.connection.buffer_limit:
            self._downstream.pause()

    def _forward_framed(self, data: bytes, upstream: UpstreamStream) -> None:
        """Of a request for a tunnel only its body goes to the host before that has accepted.

        Envoy sends on what follows, which a host that does not accept would take for a request.
        """
        body = data[: self._framed]
        if body:
            self._framed -= len(body)
            upstream.send_data(body)
            data = data[len(body) :]
        if data:
            self._buffer(data)

    def _end_request(self, upstream: UpstreamStream, now: float) -> None:
        self.upstream_last_tx = now
        head = self._request_head
        if head is not None and head.trailers is not None:
            upstream.end_with(head.trailers)
        else:
            upstream.end()

    def on_request_end(self, now: float) -> None:
        if self._tunnel != NO_TUNNEL:
            self._close_half(CLIENT_CLOSED, now)
            return
        self._request_done = True
        self.request_end = now
        self._last_activity = now
        if self._state < STREAMING and self._route is not None:
            self._await_response(now)
            self._arm()
        upstream = self._upstream
        if upstream is not None:
            self._end_request(upstream, now)

    def _await_response(self, now: float) -> None:
        """The request is complete: from now on its time runs."""
        timeout = self._try_timeout or self._timeout
        if timeout > 0.0:
            self._response_deadline = now + timeout

    def on_request_flush(self) -> None:
        if self._upstream is not None:
            self._upstream.flush()

    # -- 6 receive head

    def on_interim(self, head: ResponseHead, now: float) -> None:
        """Envoy passes the first of some interim responses on, where it leaves expectations to the host."""
        if (
            self._manager.config.proxy_100_continue
            and not self._interim_sent
            and head.status in _FORWARDED_INTERIM
            and self._downstream.send_interim(head.status, head.headers.items)
        ):
            self._interim_sent = True
            self._count_interim()

    def on_response(self, head: ResponseHead, now: float) -> None:
        self._response_head = head
        self.response_start = now
        self._last_activity = now
        self._state = STREAMING
        self.response_code = head.status
        self.response_code_details = "via_upstream"
        cluster = self._cluster
        host = self._host
        assert cluster is not None
        assert host is not None
        cluster.stats.code(head.status)
        if head.status >= 500:
            host.stats.rq_error.value += 1
        else:
            host.stats.rq_success.value += 1
        if self._retried:
            cluster.stats.upstream_rq_retry_success.value += 1
        if self._tunnel == ASKED and head.body != TUNNEL:
            self._downstream.allow_tunnel(False)
        headers = head.headers
        service_time = int((now - self.request_end) * 1000.0) if self._request_done else -1
        route = self._route
        if self._filters_response:
            self._filter_response(head, service_time)
            return
        if route is not None and route.response_mutations:
            set_service_time(headers, service_time)
            service_time = AS_IT_IS
            self.response_headers = headers
            route.finalize_response(self)
        self.response_headers = self._manager.prepare_response(headers, service_time)
        if self._tells_request_id and self.request_id:
            self.response_headers.set(b"x-request-id", self.request_id)
        if self._tunnel == NO_TUNNEL:
            self._downstream.send_head(head.status, self.response_headers, head.body)
        elif head.body == TUNNEL:
            self._open_tunnel(head)
        elif self._is_failed_handshake(head):
            self._answer_handshake(head.status, now)
        else:
            self._downstream.send_head(head.status, self.response_headers, head.body)

    # -- 7 filters, tunnel

    def _filter_response(self, head: ResponseHead, service_time: int) -> None:
        """Where there are filters, what follows is theirs, and so are what comes behind and the end."""
        raise NotImplementedError

    def _filter_response_end(self, now: float) -> None:
        raise NotImplementedError

    def _open_tunnel(self, head: ResponseHead) -> None:
        self._tunnel = OPEN
        self._request_done = True  # as a request; nothing waits for its end any more
        self._response_deadline = NEVER
        self._downstream.send_head(head.status, self.response_headers, TUNNEL)
        self._downstream.flush()
        upstream = self._upstream
        if upstream is not None:
            self._send_buffered(upstream)

    def _is_failed_handshake(self, head: ResponseHead) -> bool:
        request = self._request_head
        return request is not None and request.upgrade == b"websocket" and head.status < 400

    def _answer_handshake(self, status: int, now: float) -> None:
        """As in Envoy, a response that is neither a switch to WebSocket nor an error loses its body."""
        self._drop_upstream()
        self._state = DONE
        self._buffered.clear()
        self.response_code_details = "websocket_handshake_unsuccessful"
        self.response_headers.remove(b"content-length")
        self._downstream.send_head(status, self.response_headers, NO_BODY)
        self._account(now)
        self._downstream.end()

    def on_tunnel_closing(self, now: float) -> None:
        self._close_half(HOST_CLOSED, now)

    def _close_half(self, who: int, now: float) -> None:
        """One side sends nothing more, and the other is told.

        Envoy, which knows no half-closed tunnels, closes both. The access log tells what its would: who was
        first.
        """
        upstream = self._upstream
        if self._state == DONE or upstream is None:
            return
        if self._tunnel == OPEN:
            self._tunnel = who
            if who == CLIENT_CLOSED:
                self.response_flags |= DC
                self.response_code_details = "downstream_remote_disconnect"
                upstream.end()
            else:
                self.response_flags |= UC
                self.response_code_details = _TERMINATED
                self._downstream.half_close()
        elif self._tunnel != who:
            self._drop_upstream()
            self._state = DONE
            stats = self._manager.config.stats
            stats.downstream_rq_rx_reset.value += 1
            if self._tunnel == HOST_CLOSED:
                stats.downstream_rq_tx_reset.value += 1
            self._account(now)
            self._downstream.end()

    # -- 8 stream body

    def on_response_data(self, data: bytes, now: float) -> None:
        self.bytes_sent += len(data)
        self._last_activity = now
        self._downstream.send_data(data)

    def on_response_flush(self) -> None:
        if self._state == STREAMING:
            self._downstream.flush()

    def on_response_end(self, now: float) -> None:
        head = self._response_head
        if head is not None:
            self.response_trailers = head.trailers
        self._upstream = None
        cluster = self._cluster
        if cluster is not None and self.upstream_first_tx > 0.0:
            # As in Envoy, from the end of the request to the end of the response.
            begin = self.request_end if self.request_end > 0.0 else self.upstream_first_tx
            cluster.stats.upstream_rq_time.record(int((now - begin) * 1e6))
        self.response_end = now
        if self._filters_response:
            self._filter_response_end(now)
            return
        self._state = DONE
        # Before the end, behind which a pipelined request may begin at once.
        self._account(now)
        if self.response_trailers is not None:
            self._downstream.end_with(self.response_trailers)
        else:
            self._downstream.end()

    # -- back-pressure

    def on_downstream_blocked(self) -> None:
        self._blocked = True
        if self._upstream is not None:
            self._upstream.pause()

    def on_downstream_writable(self) -> None:
        self._blocked = False
        if self._upstream is not None:
            self._upstream.resume()

    def on_upstream_blocked(self) -> None:
        self._downstream.pause()

    def on_upstream_writable(self) -> None:
        self._downstream.resume()

    # -- what can go wrong

    def on_upstream_failure(self, failure: Failure, reason: str, now: float) -> None:
        upstream = self._upstream
        self._upstream = None
        if self._state == DONE:
            return
        cluster = self._cluster
        assert cluster is not None
        if self._state == STREAMING:
            self.response_flags |= failure.flags
            self.response_code_details = failure.details.replace("before", "after", 1)
            self._count_broken_call()
            self._break_off(now)
            return
        if upstream is not None and self._may_replay(upstream, failure):
            self._retry(cluster, now)
            return
        self.upstream_transport_failure_reason = reason
        self._fail_upstream(failure, now)

    def _count_broken_call(self) -> None:
        """As in Envoy, of a response that breaks off this is counted for gRPC alone."""
        if is_grpc(self.request_headers):
            self._manager.config.stats.rq_reset_after_downstream_response_started.value += 1

    def _may_replay(self, upstream: UpstreamStream, failure: Failure) -> bool:
        """A kept-alive connection that dies as it is used again says nothing about the host.

        An intended difference: Envoy answers 503 here. Only what is safe to send twice is (RFC 9110, 9.2.2),
        or what the host has said that it has not looked at (RFC 9113 section 8.7).
        """
        if self._retried or self._body != NO_BODY or self._tunnel != NO_TUNNEL:
            return False
        if failure is UPSTREAM_REFUSED:
            return True
        return (
            self._reused
            and self.method in _REPLAYABLE_METHODS
            and failure is UPSTREAM_CLOSED
            and upstream.unanswered()
        )

    def _retry(self, cluster: Cluster, now: float) -> None:
        self._retried = True
        cluster.stats.upstream_rq_retry.value += 1
        host = self._choose_host(cluster)
        if host is None:
            self._fail_upstream(NO_HEALTHY_UPSTREAM, now)
        else:
            # The host's other idle connections may have died with this one.
            self._lease(host, True, now)

    def on_request_failure(self, failure: Failure, now: float) -> None:
        self._begin_without_head(now)
        self._request_done = True
        self._downstream.close_after()
        self._fail(failure, now)

    def _begin_without_head(self, now: float) -> None:
        """Know the least of a request whose head never came or cannot be read."""
        if self._state == NEW and not self.start:
            self.start = now
            self.start_time = time.time()
            self.connection = self._downstream.connection_info()
            self.protocol = self.connection.protocol
            self.downstream_remote_address = self.connection.remote_address

    def on_downstream_reset(self, failure: Failure, now: float) -> None:
        if self._state == DONE:
            return
        self._begin_without_head(now)
        self._manager.config.stats.downstream_rq_rx_reset.value += 1
        self.response_flags |= failure.flags
        self.response_code_details = failure.details
        if self._state < STREAMING:
            self.response_code = 0
        self._drop_upstream()
        self._state = DONE
        self._account(now)

    def on_bug(self) -> None:
        self._downstream.abort()

    def _drop_upstream(self) -> None:
        """Give up whatever is held or awaited on the upstream's side."""
        upstream = self._upstream
        self._upstream = None
        if upstream is not None:
            upstream.reset()
        elif self._state == WAITING and self._host is not None:
            self._host.pool.cancel(self)

    def _break_off(self, now: float) -> None:
        """The response has begun and cannot be completed: the client must see that."""
        self._drop_upstream()
        self._state = DONE
        stats = self._manager.config.stats
        stats.downstream_rq_rx_reset.value += 1
        stats.downstream_rq_tx_reset.value += 1
        self._account(now)
        self._downstream.flush()
        self._downstream.reset()

    def _fail_upstream(self, failure: Failure, now: float) -> None:
        """Answer for the host: what it did or did not do is counted against the cluster, and against it."""
        if self._cluster is not None and self._state < STREAMING:
            self._cluster.stats.code(failure.status)
            if self._host is not None:
                self._host.stats.rq_error.value += 1
        self._fail(failure, now)

    def _fail(self, failure: Failure, now: float) -> None:
        """Answer with a row of the failure table, or break off where a response has begun."""
        self.response_flags |= failure.flags
        details = failure.details
        if self.upstream_transport_failure_reason and details.endswith("}"):
            details = f"{details[:-1]}|{self.upstream_transport_failure_reason.replace(' ', '_')}}}"
        self.response_code_details = details
        if failure.close and (failure.status != 400 or self._manager.config.closes_on_bad_request):
            self._downstream.close_after()
        if self._has_begun():
            self._break_off(now)
            return
        extra: list[tuple[bytes, bytes]] = []
        if failure is UPSTREAM_OVERFLOW:
            extra.append((b"x-envoy-overloaded", b"true"))
        self._grpc_status = failure.grpc_status
        self._reply(failure.status, failure.body, extra, now)

    def _has_begun(self) -> bool:
        """Whether the client has too much of a response to be told of a failure."""
        return self._state == STREAMING

    def _reply(self, status: int, body: bytes, extra: list[tuple[bytes, bytes]], now: float) -> None:
        """Answer in the host's place."""
        self._drop_upstream()
        self._state = DONE
        self._buffered.clear()
        self.local_reply_body = body
        if status == 400 and self._manager.config.closes_on_bad_request:
            self._downstream.close_after()
        route = self._route
        rules = self._manager.config.local_reply
        grpc = self._asks_grpc()
        if grpc or rules is not None or (route is not None and route.response_mutations):
            body = self._shape_reply(status, body, extra, grpc)
            self.response_headers = self._manager.prepare_response(self.response_headers, AS_IT_IS)
        else:
            if body and status in BODYLESS_STATUSES:
                body = b""
            self.response_code = status
            self.response_headers = Headers(extra + self._manager.local_headers(body))
        if self._tells_request_id and self.request_id:
            self.response_headers.set(b"x-request-id", self.request_id)
        self.bytes_sent = 0 if self.method == b"HEAD" else len(body)
        downstream = self._downstream
        downstream.send_head(self.response_code, self.response_headers, LENGTH if body else NO_BODY)
        if body:
            downstream.send_data(body)
        self._account(now)
        downstream.end()

    def _asks_grpc(self) -> bool:
        """Whether a reply of this proxy's own is to be gRPC's."""
        return is_grpc(self.request_headers)

    def _shape_reply(self, status: int, body: bytes, extra: list[tuple[bytes, bytes]], grpc: bool) -> bytes:
        """The body of a reply that the route, the manager or gRPC gives another shape; sets its headers."""
        self.response_headers = Headers(extra)
        flags = self.response_flags
        self.response_flags = flags & ~DPE  # as in Envoy, which notes a client's mistake after answering it
        if self._route is not None:
            self._route.finalize_response(self)
        self.response_code = status
        rules = self._manager.config.local_reply
        if rules is not None:
            body = rules.rewrite(self, body)
        self.response_flags = flags
        if grpc:
            answer_grpc(self, body, self._grpc_status)
            body = b""
        elif self.response_code in BODYLESS_STATUSES:
            body = b""
        describe_body(self.response_headers, body, grpc)
        return body

    # -- deadlines

    def _receives(self) -> bool:
        """Whether something is still to come of the request."""
        return not self._request_done

    def _arm(self) -> None:
        config = self._manager.config
        deadline = self._response_deadline
        if self._idle_timeout > 0.0 and self._last_activity + self._idle_timeout < deadline:
            deadline = self._last_activity + self._idle_timeout
        if self._max_duration > 0.0 and self.start + self._max_duration < deadline:
            deadline = self.start + self._max_duration
        if config.request_timeout > 0.0 and self._receives():
            deadline = min(deadline, self.start + config.request_timeout)
        self._downstream.arm(deadline)

    def on_deadline(self, now: float) -> None:
        if self._state == DONE:
            return
        config = self._manager.config
        if self._response_deadline <= now:
            self._time_out(now)
        elif self._max_duration > 0.0 and self.start + self._max_duration <= now:
            config.stats.downstream_rq_max_duration_reached.value += 1
            self._fail(STREAM_DURATION_REQUEST if self._receives() else STREAM_DURATION, now)
        elif config.request_timeout > 0.0 and self._receives() and self.start + config.request_timeout <= now:
            config.stats.downstream_rq_timeout.value += 1
            self._fail(REQUEST_TIMEOUT, now)
        elif self._idle_timeout > 0.0 and self._last_activity + self._idle_timeout <= now:
            config.stats.downstream_rq_idle_timeout.value += 1
            self._fail(STREAM_IDLE_REQUEST if self._receives() else STREAM_IDLE, now)
        else:
            self._arm()

    def _time_out(self, now: float) -> None:
        cluster = self._cluster
        if cluster is not None:
            if self._try_timeout:
                cluster.stats.upstream_rq_per_try_timeout.value += 1
            else:
                cluster.stats.upstream_rq_timeout.value += 1
        if self._host is not None:
            self._host.stats.rq_timeout.value += 1
        self._fail_upstream(UPSTREAM_TRY_TIMEOUT if self._try_timeout else UPSTREAM_TIMEOUT, now)

    # -- 9 account

    def _account(self, now: float) -> None:
        self.end = now
        config = self._manager.config
        stats = config.stats
        stats.downstream_rq_active.value -= 1
        if self._tunnel != NO_TUNNEL:
            stats.downstream_cx_upgrades_active.value -= 1
        code_class = self.response_code // 100
        if code_class:
            stats.downstream_rq_completed.value += 1
            stats.downstream_rq_xxx[code_class].value += 1
            listener_stats = config.listener_stats
            listener_stats.downstream_rq_completed.value += 1
            listener_stats.downstream_rq_xxx[code_class].value += 1
        stats.downstream_rq_time.record(int((now - self.start) * 1e6))
        if self.wire is not None:
            self.wire.downstream_sent += self._downstream.unwritten()  # by the end that follows
            if self._downstream.tell_when_written(self):
                return
        self._log()

    def on_written(self) -> None:
        self._log()

    def _log(self) -> None:
        for logger in self._manager.access_loggers:
            logger.log(self)

    def _count_interim(self) -> None:
        """As in Envoy, 100 Continue is a response of its own."""
        config = self._manager.config
        config.stats.downstream_rq_completed.value += 1
        config.stats.downstream_rq_xxx[1].value += 1
        config.listener_stats.downstream_rq_completed.value += 1
        config.listener_stats.downstream_rq_xxx[1].value += 1


class ExchangeFactory(StreamFactory):
    """Makes an exchange of each request of a listener."""

    def __init__(self, manager: ConnectionManager) -> None:
        self._manager: Final = manager

    def new_stream(self, downstream: DownstreamStream) -> Stream:
        return Exchange(self._manager, downstream)
