"""Clusters: groups of upstream hosts that do the same work."""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config import core
from proxyd.config.discovery import EdsClusterConfig
from proxyd.config.load_balancing import (
    LbPolicy,
    LeastRequestLbConfig,
    LoadBalancingPolicy,
    MaglevLbConfig,
    OriginalDstLbConfig,
    RingHashLbConfig,
    RoundRobinLbConfig,
)
from proxyd.config.message import (
    DURATION,
    MAX_SECONDS,
    UINT32,
    Message,
    NonEmpty,
    Oneof,
    PositiveSeconds,
    Seconds,
    UInt32,
)
from proxyd.config.proxy_protocol import ProxyProtocolUpstreamTransport
from proxyd.config.tls import RawBuffer, UpstreamTlsContext


class Endpoint(Message, frozen=True, kw_only=True):
    """An upstream host; ``hostname`` is what ``auto_host_rewrite`` writes."""

    proto: ClassVar[str] = "envoy.config.endpoint.v3.Endpoint"

    address: core.Address
    hostname: str = ""


class LbEndpoint(Message, frozen=True, kw_only=True):
    """An upstream host as the load balancer sees it. Default of load_balancing_weight: 1."""

    proto: ClassVar[str] = "envoy.config.endpoint.v3.LbEndpoint"

    endpoint: Endpoint
    load_balancing_weight: Annotated[int, Meta(ge=1, le=0xFFFFFFFF), UINT32] | None = None


class LocalityLbEndpoints(Message, frozen=True, kw_only=True):
    """Hosts of one place."""

    proto: ClassVar[str] = "envoy.config.endpoint.v3.LocalityLbEndpoints"

    lb_endpoints: tuple[LbEndpoint, ...] = ()


class ClusterLoadAssignment(Message, frozen=True, kw_only=True):
    """All hosts of a cluster."""

    proto: ClassVar[str] = "envoy.config.endpoint.v3.ClusterLoadAssignment"

    cluster_name: NonEmpty
    endpoints: tuple[LocalityLbEndpoints, ...] = ()


_EXPLICIT_PROTOCOL = Oneof("protocol_config", required=True)


class ExplicitHttpConfig(Message, frozen=True, kw_only=True):
    """The HTTP version spoken to the upstream."""

    proto: ClassVar[str] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig"

    http_protocol_options: Annotated[core.Http1ProtocolOptions | None, _EXPLICIT_PROTOCOL] = None
    http2_protocol_options: Annotated[core.Http2ProtocolOptions | None, _EXPLICIT_PROTOCOL] = None


class UseDownstreamHttpConfig(Message, frozen=True, kw_only=True):
    """Each request goes on in the HTTP version in which it came."""

    proto: ClassVar[str] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig"

    http_protocol_options: core.Http1ProtocolOptions | None = None
    http2_protocol_options: core.Http2ProtocolOptions | None = None


class AutoHttpConfig(Message, frozen=True, kw_only=True):
    """What is agreed on by ALPN; HTTP/1.1 where a host agrees on nothing."""

    proto: ClassVar[str] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig"

    http_protocol_options: core.Http1ProtocolOptions | None = None
    http2_protocol_options: core.Http2ProtocolOptions | None = None


_UPSTREAM_PROTOCOL = Oneof("upstream_protocol_options", required=True)


class HttpProtocolOptions(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
):
    """How HTTP is spoken to the cluster's hosts."""

    proto: ClassVar[str] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

    common_http_protocol_options: core.HttpProtocolOptions | None = None
    upstream_http_protocol_options: core.UpstreamHttpProtocolOptions | None = None
    explicit_http_config: Annotated[ExplicitHttpConfig | None, _UPSTREAM_PROTOCOL] = None
    use_downstream_protocol_config: Annotated[UseDownstreamHttpConfig | None, _UPSTREAM_PROTOCOL] = None
    auto_config: Annotated[AutoHttpConfig | None, _UPSTREAM_PROTOCOL] = None


class DiscoveryType(enum.IntEnum):
    """``Cluster.DiscoveryType``: hosts are IP addresses (STATIC), in a file of their own (EDS), or names.

    With STRICT_DNS all addresses of all names are hosts; with LOGICAL_DNS there is one name and one host, and
    new connections go to the first address that the name had last. Of ORIGINAL_DST it is the address that a
    client meant (listener filter original_dst, or the PROXY protocol's header) or that a request names.
    """

    STATIC = 0
    STRICT_DNS = 1
    LOGICAL_DNS = 2
    EDS = 3
    ORIGINAL_DST = 4


class DnsLookupFamily(enum.IntEnum):
    """``Cluster.DnsLookupFamily``; AUTO asks for IPv6 first and takes IPv4 where there is none."""

    AUTO = 0
    V4_ONLY = 1
    V6_ONLY = 2
    V4_PREFERRED = 3
    ALL = 4


# What systems take; Envoy fails at each connection instead.
_ProbeSeconds = Annotated[int, Meta(ge=0, le=32767), UINT32]


class TcpKeepalive(Message, frozen=True, kw_only=True):
    """Probes on idle connections, times in seconds. A 0 turns them off, unset means the system's choice."""

    proto: ClassVar[str] = "envoy.config.core.v3.TcpKeepalive"

    keepalive_probes: Annotated[int, Meta(ge=0, le=127), UINT32] | None = None
    keepalive_time: _ProbeSeconds | None = None
    keepalive_interval: _ProbeSeconds | None = None


class UpstreamConnectionOptions(Message, frozen=True, kw_only=True):
    """How connections to hosts are made."""

    proto: ClassVar[str] = "envoy.config.cluster.v3.UpstreamConnectionOptions"

    tcp_keepalive: TcpKeepalive | None = None


class TransportSocket(Message, frozen=True, kw_only=True):
    """What is between TCP and HTTP."""

    proto: ClassVar[str] = "envoy.config.core.v3.TransportSocket"

    name: NonEmpty
    typed_config: UpstreamTlsContext | RawBuffer | ProxyProtocolUpstreamTransport


_LB_CONFIG = Oneof("lb_config")
_Interval = Annotated[float, Meta(gt=0.001, le=MAX_SECONDS), DURATION]


class RefreshRate(Message, frozen=True, kw_only=True):
    """How long to wait while a name cannot be resolved, doubled each time up to max_interval.

    Default of max_interval: ten times base_interval. The wait is a random part of that, as in Envoy.
    """

    proto: ClassVar[str] = "envoy.config.cluster.v3.Cluster.RefreshRate"

    base_interval: _Interval
    max_interval: _Interval | None = None


class Cluster(Message, frozen=True, kw_only=True):
    """One cluster.

    Defaults of what is ``None``: connect_timeout 5 s, per_connection_buffer_limit_bytes 1 MiB,
    dns_refresh_rate 5 s, dns_failure_refresh_rate the same as dns_refresh_rate, cleanup_interval 5 s (after
    which hosts of ORIGINAL_DST that nobody uses are forgotten). dns_jitter delays each
    resolution by up to so much. load_balancing_policy, where it is set, is used instead of lb_policy.
    ``typed_extension_protocol_options`` has one supported key, ``HTTP_OPTIONS_KEY``; without it
    http2_protocol_options, Envoy's older word, has HTTP/2 spoken.
    """

    proto: ClassVar[str] = "envoy.config.cluster.v3.Cluster"

    name: NonEmpty
    alt_stat_name: str = ""
    type: DiscoveryType = DiscoveryType.STATIC
    connect_timeout: PositiveSeconds | None = None
    per_connection_buffer_limit_bytes: UInt32 | None = None
    lb_policy: LbPolicy = LbPolicy.ROUND_ROBIN
    least_request_lb_config: Annotated[LeastRequestLbConfig | None, _LB_CONFIG] = None
    round_robin_lb_config: Annotated[RoundRobinLbConfig | None, _LB_CONFIG] = None
    ring_hash_lb_config: Annotated[RingHashLbConfig | None, _LB_CONFIG] = None
    maglev_lb_config: Annotated[MaglevLbConfig | None, _LB_CONFIG] = None
    original_dst_lb_config: Annotated[OriginalDstLbConfig | None, _LB_CONFIG] = None
    load_balancing_policy: LoadBalancingPolicy | None = None
    load_assignment: ClusterLoadAssignment | None = None
    eds_cluster_config: EdsClusterConfig | None = None
    dns_refresh_rate: _Interval | None = None
    dns_failure_refresh_rate: RefreshRate | None = None
    dns_jitter: Seconds | None = None
    dns_lookup_family: DnsLookupFamily = DnsLookupFamily.AUTO
    cleanup_interval: PositiveSeconds | None = None
    max_requests_per_connection: UInt32 | None = None
    upstream_connection_options: UpstreamConnectionOptions | None = None
    transport_socket: TransportSocket | None = None
    http2_protocol_options: core.Http2ProtocolOptions | None = None
    typed_extension_protocol_options: dict[str, HttpProtocolOptions] = {}


HTTP_OPTIONS_KEY = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def is_resolved(cluster: Cluster) -> bool:
    """Whether the supervisor tells workers the hosts."""
    return cluster.type not in (DiscoveryType.STATIC, DiscoveryType.ORIGINAL_DST)


def upstream_tls(cluster: Cluster) -> UpstreamTlsContext | None:
    """The TLS of a cluster, behind the PROXY protocol or without it."""
    socket = cluster.transport_socket
    config = None if socket is None else socket.typed_config
    if isinstance(config, ProxyProtocolUpstreamTransport):
        config = config.transport_socket.typed_config
    return config if isinstance(config, UpstreamTlsContext) else None
