"""The network filter that carries bytes to a cluster and looks at none of them."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.access_log import AccessLog
from proxyd.config.message import (
    DURATION,
    MAX_SECONDS,
    UINT32,
    Message,
    NonEmpty,
    Oneof,
    Seconds,
)

_LEAST_DURATION = 0.001
_Duration = Annotated[float, Meta(ge=_LEAST_DURATION, le=MAX_SECONDS), DURATION]


class ClusterWeight(Message, frozen=True, kw_only=True):
    """One of several clusters, and its share of the connections."""

    proto: ClassVar[str] = (
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight"
    )

    name: NonEmpty
    weight: Annotated[int, Meta(ge=1, le=0xFFFFFFFF), UINT32]


class WeightedCluster(Message, frozen=True, kw_only=True):
    """Clusters that connections are spread over, each by its weight."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster"

    clusters: Annotated[tuple[ClusterWeight, ...], Meta(min_length=1)]


class SourceIp(Message, frozen=True, kw_only=True):
    """The hash of the client's IP address."""

    proto: ClassVar[str] = "envoy.type.v3.HashPolicy.SourceIp"


_POLICY = Oneof("policy_specifier", required=True)


class HashPolicy(Message, frozen=True, kw_only=True):
    """By what a load balancer that hashes chooses a host. As in Envoy, one that does not looks at none."""

    proto: ClassVar[str] = "envoy.type.v3.HashPolicy"

    source_ip: Annotated[SourceIp | None, _POLICY] = None


class Percent(Message, frozen=True, kw_only=True):
    """From 0 to 100."""

    proto: ClassVar[str] = "envoy.type.v3.Percent"

    value: Annotated[float, Meta(ge=0, le=100)] = 0.0


class BackoffStrategy(Message, frozen=True, kw_only=True):
    """How long to wait before another try: base_interval, twice as long each time, half of it by chance.

    Default of max_interval: ten times the base_interval.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.BackoffStrategy"

    base_interval: _Duration
    max_interval: Annotated[float, Meta(gt=0, le=MAX_SECONDS), DURATION] | None = None


class TcpAccessLogOptions(Message, frozen=True, kw_only=True):
    """When there are lines besides the one at a connection's end."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TcpAccessLogOptions"

    access_log_flush_interval: _Duration | None = None
    flush_access_log_on_connected: bool = False


_CLUSTER = Oneof("cluster_specifier", required=True)


class TcpProxy(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
):
    """A connection to a host of a cluster for each of a client's.

    Defaults: idle_timeout 1 h (0 for none), from the last byte in either direction;
    max_downstream_connection_duration none; max_connect_attempts 1.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"

    stat_prefix: NonEmpty
    cluster: Annotated[str | None, _CLUSTER] = None
    weighted_clusters: Annotated[WeightedCluster | None, _CLUSTER] = None
    idle_timeout: Seconds | None = None
    access_log: tuple[AccessLog, ...] = ()
    max_connect_attempts: Annotated[int, Meta(ge=1, le=0xFFFFFFFF), UINT32] | None = None
    backoff_options: BackoffStrategy | None = None
    hash_policy: Annotated[tuple[HashPolicy, ...], Meta(max_length=1)] = ()
    max_downstream_connection_duration: _Duration | None = None
    max_downstream_connection_duration_jitter_percentage: Percent | None = None
    access_log_options: TcpAccessLogOptions | None = None
