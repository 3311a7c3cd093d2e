"""Clusters in their compiled form: limits and defaults settled, addresses as the loop takes them."""

from typing import Final, NamedTuple

from proxyd.config.cluster import (
    HTTP_OPTIONS_KEY,
    Cluster,
    ClusterLoadAssignment,
    DiscoveryType,
    TcpKeepalive,
    is_resolved,
    upstream_tls,
)
from proxyd.config.load_balancing import OriginalDstLbConfig
from proxyd.config.proxy_protocol import ProxyProtocolConfig, ProxyProtocolUpstreamTransport
from proxyd.snapshot.load_balancing import compile_load_balancing
from proxyd.snapshot.runtime import Runtime
from proxyd.snapshot.tls import ClientTls, SecretNotReadyError, TlsSettings
from proxyd.snapshot.upstream_protocol import HTTP1, UpstreamProtocol
from proxyd.stats.http2_scopes import Http2Stats
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import ClusterStats
from proxyd.stats.tls_scopes import CLUSTER, TlsStats

# Envoy's defaults (config.cluster.v3.Cluster, CircuitBreakers.Thresholds, HttpProtocolOptions).
CONNECT_TIMEOUT_S: Final = 5.0
BUFFER_LIMIT: Final = 1024 * 1024
IDLE_TIMEOUT_S: Final = 3600.0
CLEANUP_INTERVAL_S: Final = 5.0
ORIGINAL_DST_HEADER: Final = "x-envoy-original-dst-host"
PROXIED_IDLE_TIMEOUT_S: Final = 10.0  # proxyd's own
MAX_CONNECTIONS: Final = 1024
MAX_PENDING_REQUESTS: Final = 1024
MAX_REQUESTS: Final = 1024
MAX_RESPONSE_HEADERS_KB: Final = 80  # of HTTP/1
MAX_RESPONSE_HEADERS: Final = 100


class HostEntry(NamedTuple):
    """One host as the host sets list it; ``weight`` from 1 up."""

    ip: str
    port: int
    hostname: str
    weight: int = 1


class KeepAlive(NamedTuple):
    """TCP keep-alive probes: how many, after and every how many seconds; 0: the system's default."""

    probes: int
    time: int
    interval: int


class OriginalDstSnapshot:
    """How hosts of an ORIGINAL_DST cluster are found, and how long they are kept without use."""

    def __init__(self, config: Cluster) -> None:
        options = config.original_dst_lb_config or OriginalDstLbConfig()
        name = (options.http_header_name or ORIGINAL_DST_HEADER) if options.use_http_header else ""
        self.header: Final[bytes] = name.lower().encode()  # empty for none
        port = options.upstream_port_override
        self.port: Final[int] = -1 if port is None else port  # -1: as it was meant
        interval = config.cleanup_interval
        self.cleanup_interval: Final[float] = CLEANUP_INTERVAL_S if interval is None else interval


class ClusterSnapshot:
    """One compiled cluster. Times in seconds, 0.0 for none."""

    def __init__(
        self, config: Cluster, registry: Registry, runtime: Runtime, settings: TlsSettings | None = None
    ) -> None:
        """Raises TlsError, RegexError."""
        self.written: Cluster = config
        self.name: Final = config.name
        self.stat_name: Final = config.alt_stat_name or config.name
        self.stats: Final = ClusterStats(registry, self.stat_name)
        self.resolved: Final = is_resolved(config)  # hosts come from the supervisor
        self.original_dst: Final = (  # hosts are made as connections want them
            OriginalDstSnapshot(config) if config.type == DiscoveryType.ORIGINAL_DST else None
        )
        self.logical_host: Final = logical_host(config)
        self.load_balancing: Final = compile_load_balancing(config, runtime)
        timeout = config.connect_timeout
        self.connect_timeout: Final[float] = CONNECT_TIMEOUT_S if timeout is None else timeout
        limit = config.per_connection_buffer_limit_bytes
        self.buffer_limit: Final[int] = BUFFER_LIMIT if limit is None else limit
        self.max_connections: Final = MAX_CONNECTIONS
        self.max_pending_requests: Final = MAX_PENDING_REQUESTS
        self.max_requests: Final = MAX_REQUESTS
        options = config.typed_extension_protocol_options.get(HTTP_OPTIONS_KEY)
        spoken = UpstreamProtocol(config)
        self.protocol: Final[int] = spoken.protocol
        self.http2: Final = spoken.http2
        self.http2_stats: Final = (
            None if spoken.protocol == HTTP1 else Http2Stats(registry, self.stats.prefix + "http2.")
        )
        self.enable_trailers: Final[bool] = spoken.http1.enable_trailers
        self.proper_case: Final[bool] = spoken.http1.header_key_format is not None
        common = None if options is None else options.common_http_protocol_options
        idle = None if common is None else common.idle_timeout
        self.proxy_protocol: Final[int] = _proxy_protocol(config)
        self.idle_timeout: Final[float] = _idle_timeout(idle, self.proxy_protocol > 0)
        most = None if common is None else common.max_requests_per_connection
        # 0 for no limit
        self.max_requests_per_connection: Final[int] = most or config.max_requests_per_connection or 0
        duration = None if common is None else common.max_connection_duration
        self.max_connection_duration: Final[float] = duration or 0.0
        size = None if common is None else common.max_response_headers_kb
        self.max_response_header_bytes: Final[int] = (size or MAX_RESPONSE_HEADERS_KB) * 1024
        count = None if common is None else common.max_headers_count
        self.max_response_headers: Final[int] = count or MAX_RESPONSE_HEADERS
        connecting = config.upstream_connection_options
        self.keep_alive: Final = keep_alive(None if connecting is None else connecting.tcp_keepalive)
        # Other contents of the same files, or of secrets, are for connections from then on.
        self.waits: TlsStats | None = None  # for a secret: until it is there, no connection can be made
        self.tls: ClientTls | None = None  # None where HTTP goes over bare TCP
        tls = upstream_tls(config)
        if tls is not None:
            stats = TlsStats(registry, CLUSTER, self.stat_name)
            try:
                self.tls = ClientTls(tls, config, settings or TlsSettings({}), stats)
            except SecretNotReadyError:
                self.waits = stats
        self.hosts: Final[list[HostEntry]] = [] if self.resolved else endpoints(config)

    def take_tls(self, other: "ClusterSnapshot") -> None:
        """Use another's certificates and trust from now on; the two differ in nothing else."""
        self.tls = other.tls
        self.written = other.written


def _proxy_protocol(config: Cluster) -> int:
    """The version of the PROXY header that connections begin with, 0 for none."""
    socket = config.transport_socket
    proxied = None if socket is None else socket.typed_config
    if not isinstance(proxied, ProxyProtocolUpstreamTransport):
        return 0
    return (proxied.config or ProxyProtocolConfig()).version.value + 1


def _idle_timeout(configured: float | None, proxied: bool) -> float:
    """How long a connection waits for its next request; 0.0 for ever.

    One that begins with a client's addresses is of no use to anybody when that client has gone.
    """
    timeout = IDLE_TIMEOUT_S if configured is None else configured
    if not proxied:
        return timeout
    return min(timeout, PROXIED_IDLE_TIMEOUT_S) if timeout > 0.0 else PROXIED_IDLE_TIMEOUT_S


def endpoints(config: Cluster) -> list[HostEntry]:
    """Every endpoint in file order, as written there: the ``ip`` may still be a name to resolve."""
    return [] if config.load_assignment is None else assigned(config.load_assignment)


def assigned(assignment: ClusterLoadAssignment) -> list[HostEntry]:
    """Every endpoint of an assignment in file order."""
    return [
        HostEntry(
            item.endpoint.address.host,
            item.endpoint.address.port,
            item.endpoint.hostname,
            item.load_balancing_weight or 1,
        )
        for locality in assignment.endpoints
        for item in locality.lb_endpoints
    ]


def logical_host(config: Cluster) -> str:
    """``name:port``, what a LOGICAL_DNS cluster's host counts under whatever its address; else empty."""
    if config.type != DiscoveryType.LOGICAL_DNS:
        return ""
    entry = endpoints(config)[0]
    return f"{entry.ip}:{entry.port}"


def keep_alive(config: TcpKeepalive | None) -> KeepAlive | None:
    """None for no probes."""
    if config is None:
        return None
    values = (config.keepalive_probes, config.keepalive_time, config.keepalive_interval)
    if 0 in values:
        return None
    return KeepAlive(values[0] or 0, values[1] or 0, values[2] or 0)
