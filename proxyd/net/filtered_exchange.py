"""An exchange whose connection manager has filters before the router: Envoy's FilterManager.

The exchange goes its way as it always does (`net/exchange.py`), with two detours: between the choice of the
route and that of the host the request goes through the filters, and before the manager's own headers are put
there the response does, a host's or this proxy's own. What they hold waits in `net/filter_iteration.py`.
"""

import time
from typing import Final

from proxyd.codec.framing import CHUNKED, LENGTH, NO_BODY, TUNNEL, parse_length
from proxyd.codec.messages import ResponseHead
from proxyd.errors import (
    INTERNAL_ERROR,
    NO_GRPC_STATUS,
    REQUEST_TOO_LARGE,
    RESPONSE_TOO_LARGE,
    Failure,
)
from proxyd.filters.http_filter import FilterCallbacks, HttpFilter, HttpFilterFactory, Trailers
from proxyd.net.connection_manager import AS_IT_IS, ConnectionManager, set_service_time
from proxyd.net.exchange import ASKED, DONE, NEW, NO_TUNNEL, STREAMING, Exchange
from proxyd.net.filter_iteration import Decoding, Encoding, FilteredStream
from proxyd.net.stream import DownstreamStream, Stream, StreamFactory
from proxyd.snapshot.grpc_timeouts import GrpcTimeouts
from proxyd.snapshot.route import ROUTE, Route


class FilteredExchange(Exchange, FilteredStream):
    """One request and its response, through filters."""

    __slots__ = (
        "_at", "_decoding", "_encode_began", "_encoding", "_ended_with_head", "_filters",
        "_filters_request", "_grpc", "_head_passed", "_host_full", "_left", "_received",
        "_response_ended", "_response_left", "_response_passed", "_route_cleared", "_route_duration",
    )  # fmt: skip

    def __init__(self, manager: ConnectionManager, downstream: DownstreamStream) -> None:
        super().__init__(manager, downstream)
        self._filters_response = True
        self._filters_request: bool = True  # its head has not come through them
        self._filters: list[HttpFilter] = []
        self._decoding: Decoding | None = None  # both from when the route is known
        self._encoding: Encoding | None = None
        self._at: float = 0.0  # when the event came that is being dealt with
        self._received: bool = False  # all of the request
        self._grpc: bool = False  # it is gRPC as it comes, whatever filters make of it
        self._left: int = -1  # of a body of known length, on either way
        self._response_left: int = -1
        self._route_cleared: bool = False
        self._route_duration: float = 0.0  # as the client itself has asked for with the first route
        self._host_full: bool = False
        self._encode_began: bool = False
        self._ended_with_head: bool = False  # the response, on its way into the filters
        self._head_passed: bool = False
        self._response_ended: bool = False  # the filters have been told
        self._response_passed: bool = False

    def _create_chain(self, factories: tuple[HttpFilterFactory, ...]) -> Encoding:
        for factory in factories:
            made = factory.create()
            made.callbacks = _Callbacks(self, made)
            self._filters.append(made)
        limit = self._manager.config.connection.buffer_limit
        self._decoding = Decoding(self._filters, self, self, limit)
        encoding = self._encoding = Encoding(self._filters, self, self, limit)
        return encoding

    # -- 2 request filters

    def _choose_route(self, route: Route | None, now: float) -> None:
        if self._filters_request:
            self._filter_request(route, now)  # and comes back here from the filters
        else:
            super()._choose_route(route, now)

    def _filter_request(self, route: Route | None, now: float) -> None:
        factories = self._factories(route)
        if route is not None:
            self._route = route
            self.route_name = route.name
            if route.action == ROUTE:
                self._heed_route_times(route)
        self._at = now
        self._grpc = super()._asks_grpc()
        self._create_chain(factories)
        decoding = self._decoding
        assert decoding is not None
        if self._body == NO_BODY and self._tunnel == NO_TUNNEL:
            self._received = True
            decoding.headers(True)
        else:
            decoding.headers(False)
        if self._filters_request and self._state == NEW:
            self._arm()  # it waits; so far nothing has been

    def _factories(self, route: Route | None) -> tuple[HttpFilterFactory, ...]:
        """Whose filters the request goes through: of its protocol, where that has its own, or of all."""
        config = self._manager.config
        head = self._request_head
        if self._tunnel != NO_TUNNEL and config.upgrade_filters and head is not None:
            protocol = b"connect" if head.method == b"CONNECT" else head.upgrade
            own = config.upgrade_filters.get(protocol)
            if own is not None:
                said = None if route is None else route.upgrade_filters
                return own if said is None else said.get(protocol, own)
        if route is not None and route.filters is not None:
            return route.filters
        return config.filters

    def _heed_route_times(self, route: Route) -> None:
        """What the manager knows of the route's times before the router does."""
        config = self._manager.config
        self._idle_timeout = config.stream_idle_timeout if route.idle_timeout < 0.0 else route.idle_timeout
        duration = route.max_stream_duration
        self._max_duration = config.max_stream_duration if duration < 0.0 else duration
        if route.grpc_timeouts is not None:
            self._heed_grpc_timeout(route.grpc_timeouts)

    def _heed_grpc_timeout(self, timeouts: GrpcTimeouts) -> None:
        """As in Envoy the newer options look at the request before filters do, the older ones after."""
        if timeouts.replaces_timeout:
            if not self._filters_request:
                super()._heed_grpc_timeout(timeouts)
        elif self._filters_request or self._route_cleared:
            super()._heed_grpc_timeout(timeouts)
            self._route_duration = self._max_duration
        else:
            self._max_duration = self._route_duration

    def pass_request_headers(self, end_stream: bool) -> None:
        self._filters_request = False
        head = self._request_head
        if head is not None and self._tunnel == NO_TUNNEL:
            if end_stream:
                self._body = NO_BODY
            else:
                self._frame_request()
        route = self._route
        if self._route_cleared:
            connect = self.method == b"CONNECT"
            route = self._match_tunnel() if connect else self._match_again()
            self._route = None
            self.route_name = ""
            if route is not None:
                self._idle_timeout = self._manager.config.stream_idle_timeout
                self._max_duration = self._manager.config.max_stream_duration
        self._choose_route(route, self._at)

    def _match_again(self) -> Route | None:
        return self._manager.config.router.match(
            self.authority, self.path, self.method, self.scheme, self.request_headers
        )

    def _frame_request(self) -> None:
        """How a body is told to the host, now that filters have had the head."""
        length = self.request_headers.get(b"content-length")
        if length is None:
            self._body = CHUNKED
        else:
            self._body = LENGTH
            self._left = parse_length(length)
        self._request_done = False  # perhaps a filter has made a body where there was none

    def on_request_data(self, data: bytes, now: float) -> None:
        self._at = now
        self.bytes_received += len(data)
        self._last_activity = now
        decoding = self._decoding
        if decoding is not None and not decoding.over:
            decoding.data(data)

    def pass_request_data(self, data: bytes) -> None:
        if self._left >= 0:
            self._left -= len(data)
            if self._left < 0:
                self._fail(INTERNAL_ERROR, self._at)
                return
        received = self.bytes_received  # has been counted as it came
        super().on_request_data(data, self._at)
        self.bytes_received = received

    def on_request_end(self, now: float) -> None:
        self._at = now
        decoding = self._decoding
        if decoding is None or decoding.over:
            super().on_request_end(now)
            return
        self._received = True
        self._last_activity = now
        head = self._request_head
        if self._tunnel == NO_TUNNEL:
            self.request_end = now
            decoding.end(None if head is None else head.trailers)
        else:
            decoding.end(None)

    def pass_request_end(self, trailers: Trailers | None) -> None:
        if self._left > 0:
            self._fail(INTERNAL_ERROR, self._at)
            return
        head = self._request_head
        if head is not None:
            head.trailers = trailers or None
        received = self.request_end
        super().on_request_end(self._at)
        if received > 0.0:
            self.request_end = received

    def _asks_grpc(self) -> bool:
        return self._grpc if self._decoding is not None else super()._asks_grpc()

    def _receives(self) -> bool:
        return not self._received and super()._receives()

    # -- 7 response filters

    def _filter_response(self, head: ResponseHead, service_time: int) -> None:
        self._at = self.response_start
        encoding = self._encoding
        assert encoding is not None
        headers = head.headers
        set_service_time(headers, service_time)
        self.response_headers = headers
        route = self._route
        if route is not None and route.response_mutations:
            route.finalize_response(self)
        self._encode_began = True
        if self._tunnel == ASKED and head.body != TUNNEL and self._is_failed_handshake(head):
            self._drop_upstream()
            self.response_code_details = "websocket_handshake_unsuccessful"
            self.response_headers.remove(b"content-length")
            self._response_ended = True
            encoding.headers(True)
            return
        self._ended_with_head = head.body == NO_BODY
        encoding.headers(self._ended_with_head)

    def pass_response_headers(self, end_stream: bool) -> None:
        self._head_passed = True
        self.response_headers = self._manager.prepare_response(self.response_headers, AS_IT_IS)
        if self._tells_request_id and self.request_id:
            self.response_headers.set(b"x-request-id", self.request_id)
        head = self._response_head
        if end_stream:
            self._downstream.send_head(self.response_code, self.response_headers, NO_BODY)
            self._response_passed = True
            self._finish()
        elif head is not None and head.body == TUNNEL and self._tunnel == ASKED:
            self._open_tunnel(head)
        else:
            length = self.response_headers.get(b"content-length")
            if length is not None:
                self._response_left = parse_length(length)
            body = CHUNKED if length is None else LENGTH
            self._downstream.send_head(self.response_code, self.response_headers, body)

    def on_response_data(self, data: bytes, now: float) -> None:
        self._at = now
        self._last_activity = now
        encoding = self._encoding
        if encoding is not None and not self._ended_with_head:
            encoding.data(data)

    def pass_response_data(self, data: bytes) -> None:
        if self._response_left >= 0:
            self._response_left -= len(data)
            if self._response_left < 0:
                self._fail(INTERNAL_ERROR, self._at)
                return
        super().on_response_data(data, self._at)

    def _filter_response_end(self, now: float) -> None:
        self._at = now
        self._end_response(self.response_trailers)

    def on_tunnel_closing(self, now: float) -> None:
        self._at = now
        self._end_response(None)

    def _end_response(self, trailers: Trailers | None) -> None:
        """The host has sent all."""
        encoding = self._encoding
        if self._ended_with_head or self._response_ended:
            self._finish()
        elif encoding is not None:
            self._response_ended = True
            encoding.end(trailers)

    def pass_response_end(self, trailers: Trailers | None) -> None:
        if self._upstream is not None:
            super().on_tunnel_closing(self._at)
        elif self._response_left > 0 and self.method != b"HEAD":
            self._fail(INTERNAL_ERROR, self._at)
        else:
            self.response_trailers = trailers or None
            self._response_passed = True
            self._finish()

    def _finish(self) -> None:
        """Once the response is complete on both sides, it is over."""
        if not self._response_passed or self._upstream is not None or self._state == DONE:
            return
        self._state = DONE
        self._account(self._at)
        if self.response_trailers is not None:
            self._downstream.end_with(self.response_trailers)
        else:
            self._downstream.end()

    # -- local replies

    def on_upstream_failure(self, failure: Failure, reason: str, now: float) -> None:
        if not super()._has_begun() or self._head_passed:
            super().on_upstream_failure(failure, reason, now)
            return
        # As in Envoy, a response that filters hold has begun for the router, and not for the client.
        self._upstream = None
        self.response_flags |= failure.flags
        self.response_code_details = failure.details.replace("before", "after", 1)
        self._count_broken_call()
        self._reply(failure.status, failure.body, [], now)

    def _has_begun(self) -> bool:
        return super()._has_begun() and self._head_passed

    def _reply(self, status: int, body: bytes, extra: list[tuple[bytes, bytes]], now: float) -> None:
        self._at = now
        encoding = self._encoding or self._create_chain(self._manager.config.filters)
        decoding = self._decoding
        assert decoding is not None
        decoding.over = True
        if (
            self._encode_began
        ):  # as in Envoy, what takes the place of a response does not go the same way again
            encoding.over = True
            super()._reply(status, body, extra, now)
            return
        self._encode_began = True
        self._drop_upstream()
        self._state = STREAMING
        self._buffered.clear()
        self.local_reply_body = body
        if status == 400 and self._manager.config.closes_on_bad_request:
            self._downstream.close_after()
        body = self._shape_reply(status, body, extra, self._asks_grpc())
        self._response_ended = True
        if not body or self.method == b"HEAD":
            encoding.headers(True)
        else:
            encoding.headers(False)
            if not encoding.over:
                encoding.data(body, True)
        if self._state == STREAMING:
            self._arm()  # a filter holds it

    def _account(self, now: float) -> None:
        for way in (self._decoding, self._encoding):
            if way is not None:
                way.over = True
        for each in self._filters:
            each.on_stream_complete(self)
        super()._account(now)

    # -- the filters' side

    def continue_decoding(self, http_filter: HttpFilter) -> None:
        """What this filter has stopped of the request goes on."""
        decoding = self._decoding
        if decoding is None or decoding.over:
            return
        self._at = max(self._at, time.monotonic())
        try:
            if decoding.go_on(http_filter) and self._upstream is not None:
                self._upstream.flush()
        except Exception:
            self.on_bug()
            raise

    def continue_encoding(self, http_filter: HttpFilter) -> None:
        """The same of the response."""
        encoding = self._encoding
        if encoding is None or encoding.over:
            return
        self._at = max(self._at, time.monotonic())
        try:
            if encoding.go_on(http_filter):
                self.on_response_flush()
        except Exception:
            self.on_bug()
            raise

    def add_decoded_data(self, http_filter: HttpFilter, data: bytes) -> None:
        if self._decoding is not None:
            self._decoding.add_data(http_filter, data)

    def add_encoded_data(self, http_filter: HttpFilter, data: bytes) -> None:
        if self._encoding is not None:
            self._encoding.add_data(http_filter, data)

    def take_decoded_data(self, http_filter: HttpFilter) -> bytes:
        return b"" if self._decoding is None else self._decoding.take_data(http_filter)

    def take_encoded_data(self, http_filter: HttpFilter) -> bytes:
        return b"" if self._encoding is None else self._encoding.take_data(http_filter)

    def answer_for_filter(
        self,
        status: int,
        body: bytes,
        details: str,
        flags: int,
        grpc_status: int,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        """A filter answers in the host's place."""
        if self._state == DONE:
            return
        self.response_flags |= flags
        self.response_code_details = details
        self._grpc_status = grpc_status
        if self._head_passed:
            self._break_off(self._at)
        else:
            self._reply(status, body, headers, self._at)

    def clear_route_cache(self) -> None:
        self._route_cleared = self._filters_request

    def cluster_stat_name(self) -> str:
        """Under which name the cluster of the route counts; empty where there is none."""
        route = self._route
        if route is None or route.action != ROUTE:
            return ""
        name = route.cluster_name(self) if route.cluster_header else route.cluster
        cluster = self._manager.clusters.get(name)
        return "" if cluster is None else cluster.config.stat_name

    def reset_for_filter(self) -> None:
        """A filter breaks the request off."""
        if self._state != DONE:
            self._break_off(self._at)

    # -- back-pressure, from filters as well

    def on_held_too_much(self, of_request: bool) -> None:
        stats = self._manager.config.stats
        if of_request:
            stats.downstream_rq_too_large.value += 1
            self._fail(REQUEST_TOO_LARGE, self._at)
        else:
            stats.rs_too_large.value += 1
            self._fail(RESPONSE_TOO_LARGE, self._at)

    def on_held_much(self, of_request: bool) -> None:
        if of_request:
            self._downstream.pause()
        elif self._upstream is not None:
            self._upstream.pause()

    def on_held_less(self, of_request: bool) -> None:
        if not of_request:
            if self._upstream is not None and not self._blocked:
                self._upstream.resume()
        elif not self._host_full and self._buffered_bytes <= self._manager.config.connection.buffer_limit:
            self._downstream.resume()

    def on_upstream_blocked(self) -> None:
        self._host_full = True
        super().on_upstream_blocked()

    def on_upstream_writable(self) -> None:
        self._host_full = False
        decoding = self._decoding
        if decoding is None or not decoding.holds_much:
            super().on_upstream_writable()

    def on_downstream_writable(self) -> None:
        self._blocked = False
        encoding = self._encoding
        if encoding is None or not encoding.holds_much:
            super().on_downstream_writable()


class _Callbacks(FilterCallbacks):
    """What one filter may ask."""

    __slots__ = ("_exchange", "_filter")

    def __init__(self, exchange: FilteredExchange, http_filter: HttpFilter) -> None:
        self._exchange: Final = exchange
        self._filter: Final = http_filter

    def continue_decoding(self) -> None:
        self._exchange.continue_decoding(self._filter)

    def continue_encoding(self) -> None:
        self._exchange.continue_encoding(self._filter)

    def add_decoded_data(self, data: bytes) -> None:
        self._exchange.add_decoded_data(self._filter, data)

    def add_encoded_data(self, data: bytes) -> None:
        self._exchange.add_encoded_data(self._filter, data)

    def take_decoded_data(self) -> bytes:
        return self._exchange.take_decoded_data(self._filter)

    def take_encoded_data(self) -> bytes:
        return self._exchange.take_encoded_data(self._filter)

    def send_local_reply(
        self,
        status: int,
        body: bytes,
        details: str,
        flags: int = 0,
        grpc_status: int = NO_GRPC_STATUS,
        headers: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        self._exchange.answer_for_filter(status, body, details, flags, grpc_status, headers or [])

    def clear_route_cache(self) -> None:
        self._exchange.clear_route_cache()

    def cluster_stat_name(self) -> str:
        return self._exchange.cluster_stat_name()

    def reset_stream(self) -> None:
        self._exchange.reset_for_filter()


class FilteredExchangeFactory(StreamFactory):
    """Makes an exchange of each request of a listener whose manager has filters."""

    def __init__(self, manager: ConnectionManager) -> None:
        self._manager: Final = manager

    def new_stream(self, downstream: DownstreamStream) -> Stream:
        return FilteredExchange(self._manager, downstream)
