"""The stat names of tcp_proxy: ``tcp.<stat_prefix>.``."""

from typing import Final

from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import Scope, escape


class TcpStats:
    """Downstream connections of all tcp_proxy filters with one stat_prefix."""

    def __init__(self, registry: Registry, stat_prefix: str) -> None:
        scope = Scope(registry, f"tcp.{escape(stat_prefix)}.")
        self.downstream_cx_no_route: Final = scope.counter("downstream_cx_no_route")
        self.downstream_cx_rx_bytes_total: Final = scope.counter("downstream_cx_rx_bytes_total")
        self.downstream_cx_total: Final = scope.counter("downstream_cx_total")
        self.downstream_cx_tx_bytes_total: Final = scope.counter("downstream_cx_tx_bytes_total")
        self.downstream_flow_control_paused_reading_total: Final = scope.counter(
            "downstream_flow_control_paused_reading_total"
        )
        self.downstream_flow_control_resumed_reading_total: Final = scope.counter(
            "downstream_flow_control_resumed_reading_total"
        )
        self.idle_timeout: Final = scope.counter("idle_timeout")
        self.max_downstream_connection_duration: Final = scope.counter("max_downstream_connection_duration")
        self.upstream_flush_active: Final = scope.gauge("upstream_flush_active")
        self.upstream_flush_total: Final = scope.counter("upstream_flush_total")
        scope.zero_counters(_ZERO_COUNTERS)
        scope.zero_gauges(_ZERO_GAUGES)


_ZERO_COUNTERS: Final = """
    downstream_cx_drain_close downstream_cx_overload_close early_data_received_count_total route_delayed_total
"""
_ZERO_GAUGES: Final = "downstream_cx_rx_bytes_buffered downstream_cx_tx_bytes_buffered"
