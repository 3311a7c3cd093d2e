"""The stat names of udp_proxy."""

from typing import Final

from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import Scope, escape


class UdpProxyStats:
    """``udp.<stat_prefix>.``: sessions of all udp_proxy filters with one stat_prefix."""

    def __init__(self, registry: Registry, stat_prefix: str) -> None:
        scope = Scope(registry, f"udp.{escape(stat_prefix)}.")
        self.downstream_sess_active: Final = scope.gauge("downstream_sess_active")
        self.downstream_sess_no_route: Final = scope.counter("downstream_sess_no_route")
        self.downstream_sess_rx_bytes: Final = scope.counter("downstream_sess_rx_bytes")
        self.downstream_sess_rx_datagrams: Final = scope.counter("downstream_sess_rx_datagrams")
        self.downstream_sess_rx_errors: Final = scope.counter("downstream_sess_rx_errors")
        self.downstream_sess_total: Final = scope.counter("downstream_sess_total")
        self.downstream_sess_tx_bytes: Final = scope.counter("downstream_sess_tx_bytes")
        self.downstream_sess_tx_datagrams: Final = scope.counter("downstream_sess_tx_datagrams")
        self.downstream_sess_tx_errors: Final = scope.counter("downstream_sess_tx_errors")
        self.idle_timeout: Final = scope.counter("idle_timeout")
        scope.zero_counters("session_filter_config_missing")


class UdpListenerStats:
    """``listener.<stat_prefix, else address>.udp.``"""

    def __init__(self, registry: Registry, stat_address: str) -> None:
        scope = Scope(registry, f"listener.{escape(stat_address)}.udp.")
        self.downstream_rx_datagram_dropped: Final = scope.counter("downstream_rx_datagram_dropped")


class UdpClusterStats:
    """``cluster.<name>.udp.``: datagrams to and from a cluster's hosts."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        """``prefix`` is the cluster's, with a dot at its end."""
        scope = Scope(registry, f"{prefix}udp.")
        self.sess_rx_datagrams: Final = scope.counter("sess_rx_datagrams")
        self.sess_rx_datagrams_dropped: Final = scope.counter("sess_rx_datagrams_dropped")
        self.sess_rx_errors: Final = scope.counter("sess_rx_errors")
        self.sess_tx_datagrams: Final = scope.counter("sess_tx_datagrams")
        self.sess_tx_errors: Final = scope.counter("sess_tx_errors")
        scope.zero_counters("sess_tunnel_buffer_overflow sess_tunnel_failure sess_tunnel_success")
