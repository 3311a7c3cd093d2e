"""Clusters: groups of upstream hosts that do the same work."""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config import core
from proxyd.config.message import DURATION, Message, NonEmpty, Oneof, PositiveSeconds, UInt32


class Endpoint(Message, frozen=True, kw_only=True):
    """An upstream host; ``hostname`` is what ``auto_host_rewrite`` writes."""

    proto: ClassVar[str] = "envoy.config.endpoint.v3.Endpoint"

    address: core.Address
    hostname: str = ""


class LbEndpoint(Message, frozen=True, kw_only=True):
    """An upstream host as the load balancer sees it."""

    proto: ClassVar[str] = "envoy.config.endpoint.v3.LbEndpoint"

    endpoint: Endpoint


class LocalityLbEndpoints(Message, frozen=True, kw_only=True):
    """Hosts of one place."""

    proto: ClassVar[str] = "envoy.config.endpoint.v3.LocalityLbEndpoints"

    lb_endpoints: tuple[LbEndpoint, ...] = ()


class ClusterLoadAssignment(Message, frozen=True, kw_only=True):
    """All hosts of a cluster."""

    proto: ClassVar[str] = "envoy.config.endpoint.v3.ClusterLoadAssignment"

    cluster_name: NonEmpty
    endpoints: tuple[LocalityLbEndpoints, ...] = ()


class ExplicitHttpConfig(Message, frozen=True, kw_only=True):
    """The HTTP version spoken to the upstream: HTTP/1.1."""

    proto: ClassVar[str] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig"

    http_protocol_options: Annotated[
        core.Http1ProtocolOptions | None, Oneof("protocol_config", required=True)
    ] = None


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
    explicit_http_config: Annotated[ExplicitHttpConfig | None, _UPSTREAM_PROTOCOL] = None


class DiscoveryType(enum.IntEnum):
    """``Cluster.DiscoveryType``: hosts are IP addresses (STATIC) or resolved again and again."""

    STATIC = 0
    STRICT_DNS = 1


class LbPolicy(enum.IntEnum):
    """``Cluster.LbPolicy``."""

    ROUND_ROBIN = 0


class DnsLookupFamily(enum.IntEnum):
    """``Cluster.DnsLookupFamily``; AUTO asks for IPv6 first and takes IPv4 where there is none."""

    AUTO = 0
    V4_ONLY = 1
    V6_ONLY = 2
    V4_PREFERRED = 3
    ALL = 4


class Cluster(Message, frozen=True, kw_only=True):
    """One cluster.

    Defaults of what is ``None``: connect_timeout 5 s, per_connection_buffer_limit_bytes 1 MiB,
    dns_refresh_rate 5 s.
    ``typed_extension_protocol_options`` has one supported key, ``HTTP_OPTIONS_KEY``.
    """

    proto: ClassVar[str] = "envoy.config.cluster.v3.Cluster"

    name: NonEmpty
    alt_stat_name: str = ""
    type: DiscoveryType = DiscoveryType.STATIC
    connect_timeout: PositiveSeconds | None = None
    per_connection_buffer_limit_bytes: UInt32 | None = None
    lb_policy: LbPolicy = LbPolicy.ROUND_ROBIN
    load_assignment: ClusterLoadAssignment | None = None
    dns_refresh_rate: Annotated[float, Meta(gt=0.001), DURATION] | None = None
    dns_lookup_family: DnsLookupFamily = DnsLookupFamily.AUTO
    typed_extension_protocol_options: dict[str, HttpProtocolOptions] = {}


HTTP_OPTIONS_KEY = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
