"""``envoy.filters.http.grpc_stats``: counts the gRPC calls that pass, and changes nothing."""

from typing import Final

from proxyd.codec.grpc import MessageCounter, is_grpc, is_grpc_response, service_and_method
from proxyd.filters.http_filter import CONTINUE, Body, HttpFilter, HttpFilterFactory, Trailers
from proxyd.filters.stream_info import StreamInfo
from proxyd.stats.grpc_scopes import GrpcMethodStats, GrpcStats

_STATUS: Final = b"grpc-status"


class GrpcStatsFactory(HttpFilterFactory):
    """Which names calls are counted by. Methods are pairs of a service and its method."""

    def __init__(
        self,
        stats: GrpcStats,
        all_methods: bool,
        methods: frozenset[tuple[bytes, bytes]],
        replace_dots: bool,
        upstream: bool,
    ) -> None:
        """Unless ``all_methods`` have names of their own, ``methods`` have."""
        self._stats: Final = stats
        self._all_methods: Final = all_methods
        self._methods: Final = methods
        self._replace_dots: Final = replace_dots
        self.upstream: Final = upstream  # whether the hosts' times are recorded

    def create(self) -> HttpFilter:
        return GrpcStatsFilter(self)

    def stats_of(self, cluster: str, path: bytes) -> GrpcMethodStats | None:
        """Where a call counts; None for what cannot be one by its path."""
        parts = service_and_method(path)
        if parts is None:
            return None
        service, method = parts
        if self._all_methods:
            if self._replace_dots:
                service = service.replace(b".", b"_")
            return self._stats.method(cluster, service, method)
        if (service, method) in self._methods:
            return self._stats.method(cluster, service, method, bounded=False)
        return self._stats.cluster(cluster)


class GrpcStatsFilter(HttpFilter):
    """The filter for one request."""

    __slots__ = ("_factory", "_info", "_requests", "_responses", "_stats")

    def __init__(self, factory: GrpcStatsFactory) -> None:
        super().__init__()
        self._factory: Final = factory
        self._stats: GrpcMethodStats | None = None  # unless nothing is to be counted
        self._info: StreamInfo | None = None
        self._requests: MessageCounter | None = None
        self._responses: MessageCounter | None = None

    def decode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        if is_grpc(info.request_headers):
            cluster = self.callbacks.cluster_stat_name()
            if cluster:
                self._stats = self._factory.stats_of(cluster, info.path)
                self._info = info
                self._requests = MessageCounter()
        return CONTINUE

    def decode_data(self, body: Body, end_stream: bool) -> int:
        if self._stats is not None and self._requests is not None:
            count = self._requests.feed(body.data)
            if count:
                self._stats.charge_request_messages(count)
        return CONTINUE

    def encode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        if self._stats is not None:
            if is_grpc_response(info.response_code, info.response_headers, end_stream):
                self._responses = MessageCounter()
            status = info.response_headers.get(_STATUS)
            if status is not None:
                self._stats.charge_status(status)
            if end_stream:
                self._charge_upstream(info)
        return CONTINUE

    def encode_data(self, body: Body, end_stream: bool) -> int:
        if self._stats is not None and self._responses is not None:
            count = self._responses.feed(body.data)
            if count:
                self._stats.charge_response_messages(count)
        return CONTINUE

    def encode_trailers(self, trailers: Trailers) -> int:
        if self._stats is not None and self._info is not None:
            for name, value in trailers:
                if name == _STATUS:
                    self._stats.charge_status(value)
                    break
            self._charge_upstream(self._info)
        return CONTINUE

    def _charge_upstream(self, info: StreamInfo) -> None:
        if self._stats is None or not self._factory.upstream:
            return
        received = max(info.response_start, info.response_end)
        if info.upstream_last_tx > 0.0 and received > 0.0:
            self._stats.charge_upstream(received - info.upstream_last_tx)
