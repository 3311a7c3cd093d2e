"""Envoy's stats of HTTP/2: ``http2.`` for all clients together, ``cluster.<name>.http2.`` for hosts."""

from typing import Final

from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import Scope


class Http2Stats:
    """Counted by connections of one side; ``prefix`` is one of the two, with its dot at the end."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        scope = Scope(registry, prefix)
        self.dropped_headers_with_underscores: Final = scope.counter("dropped_headers_with_underscores")
        self.goaway_sent: Final = scope.counter("goaway_sent")
        self.header_list_size_too_large: Final = scope.counter("header_list_size_too_large")
        self.header_overflow: Final = scope.counter("header_overflow")
        self.inbound_empty_frames_flood: Final = scope.counter("inbound_empty_frames_flood")
        self.inbound_priority_frames_flood: Final = scope.counter("inbound_priority_frames_flood")
        self.inbound_window_update_frames_flood: Final = scope.counter("inbound_window_update_frames_flood")
        self.keepalive_timeout: Final = scope.counter("keepalive_timeout")
        self.outbound_control_flood: Final = scope.counter("outbound_control_flood")
        self.outbound_flood: Final = scope.counter("outbound_flood")
        self.requests_rejected_with_underscores_in_headers: Final = scope.counter(
            "requests_rejected_with_underscores_in_headers"
        )
        self.rx_messaging_error: Final = scope.counter("rx_messaging_error")
        self.rx_reset: Final = scope.counter("rx_reset")
        self.trailers: Final = scope.counter("trailers")
        self.tx_flush_timeout: Final = scope.counter("tx_flush_timeout")
        self.tx_reset: Final = scope.counter("tx_reset")
        self.stream_refused_errors: Final = scope.counter("stream_refused_errors")  # by us, of clients
        self.streams_active: Final = scope.gauge("streams_active")
        scope.zero_counters(_ZERO_COUNTERS)
        scope.zero_gauges(_ZERO_GAUGES)


_ZERO_COUNTERS: Final = """
    cookies_total_bytes_too_large headers_cb_no_stream metadata_empty_frames
"""
_ZERO_GAUGES: Final = """
    deferred_stream_close outbound_control_frames_active outbound_frames_active pending_send_bytes
"""
