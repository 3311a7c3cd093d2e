"""Clusters in their compiled form: limits and defaults settled, addresses as the loop takes them."""

from typing import Final

from proxyd.config.cluster import HTTP_OPTIONS_KEY, Cluster, DiscoveryType
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import ClusterStats

# Envoy's defaults (config.cluster.v3.Cluster, CircuitBreakers.Thresholds, HttpProtocolOptions).
CONNECT_TIMEOUT_S: Final = 5.0
BUFFER_LIMIT: Final = 1024 * 1024
IDLE_TIMEOUT_S: Final = 3600.0
MAX_CONNECTIONS: Final = 1024
MAX_PENDING_REQUESTS: Final = 1024


class ClusterSnapshot:
    """One compiled cluster. Times in seconds, 0.0 for none."""

    def __init__(self, config: Cluster, registry: Registry) -> None:
        self.name: Final = config.name
        self.stat_name: Final = config.alt_stat_name or config.name
        self.stats: Final = ClusterStats(registry, self.stat_name)
        self.resolved: Final = config.type == DiscoveryType.STRICT_DNS  # hosts come from the supervisor
        timeout = config.connect_timeout
        self.connect_timeout: Final[float] = CONNECT_TIMEOUT_S if timeout is None else timeout
        limit = config.per_connection_buffer_limit_bytes
        self.buffer_limit: Final[int] = BUFFER_LIMIT if limit is None else limit
        self.max_connections: Final = MAX_CONNECTIONS
        self.max_pending_requests: Final = MAX_PENDING_REQUESTS
        options = config.typed_extension_protocol_options.get(HTTP_OPTIONS_KEY)
        common = None if options is None else options.common_http_protocol_options
        idle = None if common is None else common.idle_timeout
        self.idle_timeout: Final[float] = IDLE_TIMEOUT_S if idle is None else idle
        most = None if common is None else common.max_requests_per_connection
        self.max_requests_per_connection: Final[int] = most or 0  # 0 for no limit
        duration = None if common is None else common.max_connection_duration
        self.max_connection_duration: Final[float] = duration or 0.0
        self.hosts: Final[list[tuple[str, int, str]]] = [] if self.resolved else static_hosts(config)


def static_hosts(config: Cluster) -> list[tuple[str, int, str]]:
    """``(ip, port, hostname)`` of every endpoint, in file order; the IP stands in for a hostname."""
    hosts: list[tuple[str, int, str]] = []
    if config.load_assignment is None:
        return hosts
    for locality in config.load_assignment.endpoints:
        for item in locality.lb_endpoints:
            address = item.endpoint.address.socket_address
            hosts.append((address.address, address.port_value, item.endpoint.hostname or address.address))
    return hosts
