"""udp_proxy in its compiled form."""

from typing import Final

from proxyd.codec.xxh64 import xxh64
from proxyd.config.listener import Listener
from proxyd.config.udp_proxy import UdpProxyConfig
from proxyd.snapshot.hash_policy import NO_KEY
from proxyd.stats.metrics import Registry
from proxyd.stats.udp_scopes import UdpListenerStats, UdpProxyStats

# Envoy's defaults (UdpProxyConfig, UdpSocketConfig).
IDLE_TIMEOUT_S: Final = 60.0
MAX_RX_DATAGRAM: Final = 1500
_LONGEST: Final = 65535  # no datagram has more bytes


class UdpProxySnapshot:
    """One compiled UDP listener. Times in seconds, sizes in bytes."""

    def __init__(
        self, config: UdpProxyConfig, listener: Listener, stat_address: str, registry: Registry
    ) -> None:
        self.stats: Final = UdpProxyStats(registry, config.stat_prefix)
        self.listener_stats: Final = UdpListenerStats(registry, stat_address)
        route = config.matcher
        self.cluster: Final[str] = (
            config.cluster or "" if route is None else route.on_no_match.action.typed_config.cluster
        )
        idle = config.idle_timeout
        self.idle_timeout: Final[float] = IDLE_TIMEOUT_S if idle is None else idle
        policy = config.hash_policies[0] if config.hash_policies else None
        self.hashes_source: Final[bool] = policy is not None and policy.source_ip is not None
        self.key: Final[int] = NO_KEY if policy is None or policy.key is None else xxh64(policy.key.encode())
        self.per_packet: Final[bool] = config.use_per_packet_load_balancing
        udp = listener.udp_listener_config
        from_clients = None if udp is None else udp.downstream_socket_config
        size = None if from_clients is None else from_clients.max_rx_datagram_size
        self.max_from_clients: Final[int] = size or MAX_RX_DATAGRAM
        from_hosts = config.upstream_socket_config
        size = None if from_hosts is None else from_hosts.max_rx_datagram_size
        self.max_from_hosts: Final[int] = size or _LONGEST
