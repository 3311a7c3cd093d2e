"""Routes: which request goes where."""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.core import (
    DataSource,
    HeaderValueOption,
    Int64Range,
    Metadata,
    RegexMatchAndSubstitute,
    RegexMatcher,
    RoutingPriority,
    RuntimeFractionalPercent,
    StringMatcher,
)
from proxyd.config.http_filters import TypedPerFilterConfig
from proxyd.config.message import (
    UINT32,
    HeaderName,
    HeaderText,
    Message,
    NonEmpty,
    Oneof,
    PathText,
    Seconds,
    UInt32,
)
from proxyd.config.proxy_protocol import ProxyProtocolConfig

HeadersToAdd = Annotated[tuple[HeaderValueOption, ...], Meta(max_length=1000)]
HeadersToRemove = tuple[HeaderName, ...]

_HEADER_MATCH = Oneof("header_match_specifier")


class HeaderMatcher(Message, frozen=True, kw_only=True):
    """A condition on a request header; without a specifier the header has to be present."""

    proto: ClassVar[str] = "envoy.config.route.v3.HeaderMatcher"

    name: HeaderName
    exact_match: Annotated[str | None, _HEADER_MATCH] = None
    safe_regex_match: Annotated[RegexMatcher | None, _HEADER_MATCH] = None
    range_match: Annotated[Int64Range | None, _HEADER_MATCH] = None
    present_match: Annotated[bool | None, _HEADER_MATCH] = None
    prefix_match: Annotated[NonEmpty | None, _HEADER_MATCH] = None
    suffix_match: Annotated[NonEmpty | None, _HEADER_MATCH] = None
    contains_match: Annotated[NonEmpty | None, _HEADER_MATCH] = None
    string_match: Annotated[StringMatcher | None, _HEADER_MATCH] = None
    invert_match: bool = False
    treat_missing_header_as_empty: bool = False


_QUERY_MATCH = Oneof("query_parameter_match_specifier")


class QueryParameterMatcher(Message, frozen=True, kw_only=True):
    """A condition on a query parameter; without a specifier the parameter has to be present."""

    proto: ClassVar[str] = "envoy.config.route.v3.QueryParameterMatcher"

    name: Annotated[NonEmpty, Meta(max_length=1024)]
    string_match: Annotated[StringMatcher | None, _QUERY_MATCH] = None
    present_match: Annotated[bool | None, _QUERY_MATCH] = None


_PATH = Oneof("path_specifier", required=True)
_PathSeparatedPrefix = Annotated[
    str,
    Meta(
        pattern="^[^?#]+[^?#/]$",
        extra={"says": 'must have at least two characters, no "?" or "#", and not end with "/"'},
    ),
]


class GrpcRouteMatchOptions(Message, frozen=True, kw_only=True):
    """The request has to be gRPC by its content type."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions"


class ConnectMatcher(Message, frozen=True, kw_only=True):
    """CONNECT requests, which have no path, and no others."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteMatch.ConnectMatcher"


class RouteMatch(Message, frozen=True, kw_only=True):
    """What a request has to look like. Default of case_sensitive, which safe_regex does not heed: true."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteMatch"

    prefix: Annotated[str | None, _PATH] = None
    path: Annotated[str | None, _PATH] = None
    safe_regex: Annotated[RegexMatcher | None, _PATH] = None
    path_separated_prefix: Annotated[_PathSeparatedPrefix | None, _PATH] = None
    connect_matcher: Annotated[ConnectMatcher | None, _PATH] = None
    case_sensitive: bool | None = None
    runtime_fraction: RuntimeFractionalPercent | None = None
    headers: tuple[HeaderMatcher, ...] = ()
    query_parameters: tuple[QueryParameterMatcher, ...] = ()
    grpc: GrpcRouteMatchOptions | None = None


class ClusterNotFoundResponseCode(enum.IntEnum):
    """``RouteAction.ClusterNotFoundResponseCode``."""

    SERVICE_UNAVAILABLE = 0
    NOT_FOUND = 1
    INTERNAL_SERVER_ERROR = 2


_WEIGHT_HOST_REWRITE = Oneof("host_rewrite_specifier")


class ClusterWeight(Message, frozen=True, kw_only=True):
    """One cluster of several: by its name or by the request header that names it."""

    proto: ClassVar[str] = "envoy.config.route.v3.WeightedCluster.ClusterWeight"

    name: str = ""
    cluster_header: HeaderText = ""
    weight: UInt32
    request_headers_to_add: HeadersToAdd = ()
    request_headers_to_remove: HeadersToRemove = ()
    response_headers_to_add: HeadersToAdd = ()
    response_headers_to_remove: HeadersToRemove = ()
    typed_per_filter_config: TypedPerFilterConfig = {}
    host_rewrite_literal: Annotated[HeaderText | None, _WEIGHT_HOST_REWRITE] = None


class WeightedCluster(Message, frozen=True, kw_only=True):
    """Clusters by weight.

    A runtime value under ``runtime_key_prefix``, a point and the cluster's name replaces its weight. A
    request whose header ``header_name`` is a whole number is sent by it, not by chance.
    """

    proto: ClassVar[str] = "envoy.config.route.v3.WeightedCluster"

    clusters: Annotated[tuple[ClusterWeight, ...], Meta(min_length=1)]
    total_weight: UInt32 | None = None
    runtime_key_prefix: str = ""
    header_name: Annotated[HeaderText | None, Oneof("random_value_specifier")] = None


class MaxStreamDuration(Message, frozen=True, kw_only=True):
    """The longest that a request and its response may take together; 0 turns it off.

    It takes the place of the route's ``timeout``. Default of max_stream_duration: the connection manager's.
    With grpc_timeout_header_max a request's own ``grpc-timeout`` counts instead, up to that (0: any), and
    less grpc_timeout_header_offset. The host of a gRPC request is told as ``grpc-timeout`` what counts.
    """

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction.MaxStreamDuration"

    max_stream_duration: Seconds | None = None
    grpc_timeout_header_max: Seconds | None = None
    grpc_timeout_header_offset: Seconds | None = None


class ConnectConfig(Message, frozen=True, kw_only=True):
    """CONNECT ends here: its bytes go to the host as they are, behind a PROXY header if that is wanted."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig"

    proxy_protocol_config: ProxyProtocolConfig | None = None


class UpgradeConfig(Message, frozen=True, kw_only=True):
    """A protocol that requests of this route may upgrade to, or not. Default of enabled: true."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction.UpgradeConfig"

    upgrade_type: Annotated[HeaderText, Meta(min_length=1)]
    enabled: bool | None = None
    connect_config: ConnectConfig | None = None


_CLUSTER = Oneof("cluster_specifier", required=True)
_HOST_REWRITE = Oneof("host_rewrite_specifier")


class Header(Message, frozen=True, kw_only=True):
    """A header's value, after a rewriting; of several values, sorted, all."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction.HashPolicy.Header"

    header_name: HeaderName
    regex_rewrite: RegexMatchAndSubstitute | None = None


class Cookie(Message, frozen=True, kw_only=True):
    """A cookie's value. None is made for a client that has none."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction.HashPolicy.Cookie"

    name: NonEmpty


class ConnectionProperties(Message, frozen=True, kw_only=True):
    """The client's IP address, as forwarded headers tell it, too."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties"

    source_ip: bool = False


class QueryParameter(Message, frozen=True, kw_only=True):
    """The first value of a parameter of the query, as it is written there."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter"

    name: NonEmpty


_POLICY = Oneof("policy_specifier", required=True)


class HashPolicy(Message, frozen=True, kw_only=True):
    """By what a load balancer that hashes chooses a host. As in Envoy, one that does not looks at none.

    What several find is mixed, in their order; after one that is ``terminal`` and has found something no
    other is asked.
    """

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction.HashPolicy"

    header: Annotated[Header | None, _POLICY] = None
    cookie: Annotated[Cookie | None, _POLICY] = None
    connection_properties: Annotated[ConnectionProperties | None, _POLICY] = None
    query_parameter: Annotated[QueryParameter | None, _POLICY] = None
    terminal: bool = False


class RouteAction(Message, frozen=True, kw_only=True):
    """Proxying to a cluster. Default of timeout: 15 s; 0 turns it off.

    The older max_grpc_timeout and grpc_timeout_offset do with ``timeout`` and a gRPC request's own
    ``grpc-timeout`` what grpc_timeout_header_max and grpc_timeout_header_offset do with max_stream_duration;
    without ``grpc-timeout``, the maximum counts.
    """

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction"

    cluster: Annotated[NonEmpty | None, _CLUSTER] = None
    cluster_header: Annotated[HeaderName | None, _CLUSTER] = None
    weighted_clusters: Annotated[WeightedCluster | None, _CLUSTER] = None
    cluster_not_found_response_code: ClusterNotFoundResponseCode = (
        ClusterNotFoundResponseCode.SERVICE_UNAVAILABLE
    )
    prefix_rewrite: PathText = ""
    regex_rewrite: RegexMatchAndSubstitute | None = None
    host_rewrite_literal: Annotated[HeaderText | None, _HOST_REWRITE] = None
    auto_host_rewrite: Annotated[bool | None, _HOST_REWRITE] = None
    host_rewrite_header: Annotated[HeaderText | None, _HOST_REWRITE] = None
    host_rewrite_path_regex: Annotated[RegexMatchAndSubstitute | None, _HOST_REWRITE] = None
    append_x_forwarded_host: bool = False
    timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    flush_timeout: Seconds | None = None
    priority: RoutingPriority = RoutingPriority.DEFAULT
    hash_policy: tuple[HashPolicy, ...] = ()
    max_grpc_timeout: Seconds | None = None
    grpc_timeout_offset: Seconds | None = None
    max_stream_duration: MaxStreamDuration | None = None
    upgrade_configs: tuple[UpgradeConfig, ...] = ()


class RedirectResponseCode(enum.IntEnum):
    """``RedirectAction.RedirectResponseCode``."""

    MOVED_PERMANENTLY = 0
    FOUND = 1
    SEE_OTHER = 2
    TEMPORARY_REDIRECT = 3
    PERMANENT_REDIRECT = 4


_SCHEME_REWRITE = Oneof("scheme_rewrite_specifier")
_PATH_REWRITE = Oneof("path_rewrite_specifier")


class RedirectAction(Message, frozen=True, kw_only=True):
    """An answer that sends the client elsewhere; what is unset stays as it was in the request."""

    proto: ClassVar[str] = "envoy.config.route.v3.RedirectAction"

    https_redirect: Annotated[bool | None, _SCHEME_REWRITE] = None
    scheme_redirect: Annotated[str | None, _SCHEME_REWRITE] = None
    host_redirect: HeaderText = ""
    port_redirect: Annotated[int, Meta(ge=0, le=65535), UINT32] = 0
    path_redirect: Annotated[HeaderText | None, _PATH_REWRITE] = None
    prefix_rewrite: Annotated[HeaderText | None, _PATH_REWRITE] = None
    regex_rewrite: Annotated[RegexMatchAndSubstitute | None, _PATH_REWRITE] = None
    response_code: RedirectResponseCode = RedirectResponseCode.MOVED_PERMANENTLY
    strip_query: bool = False


class DirectResponseAction(Message, frozen=True, kw_only=True):
    """An answer from the proxy itself."""

    proto: ClassVar[str] = "envoy.config.route.v3.DirectResponseAction"

    status: Annotated[int, Meta(ge=200, lt=600), UINT32]
    body: DataSource | None = None


_ACTION = Oneof("action", required=True)


class Route(Message, frozen=True, kw_only=True):
    """A match and what to do; the first route that matches is taken."""

    proto: ClassVar[str] = "envoy.config.route.v3.Route"

    name: str = ""
    match: RouteMatch
    route: Annotated[RouteAction | None, _ACTION] = None
    redirect: Annotated[RedirectAction | None, _ACTION] = None
    direct_response: Annotated[DirectResponseAction | None, _ACTION] = None
    metadata: Metadata | None = None
    request_headers_to_add: HeadersToAdd = ()
    request_headers_to_remove: HeadersToRemove = ()
    response_headers_to_add: HeadersToAdd = ()
    response_headers_to_remove: HeadersToRemove = ()
    typed_per_filter_config: TypedPerFilterConfig = {}


class TlsRequirementType(enum.IntEnum):
    """``VirtualHost.TlsRequirementType``: which requests must have come over TLS."""

    NONE = 0
    EXTERNAL_ONLY = 1
    ALL = 2


class VirtualHost(Message, frozen=True, kw_only=True):
    """The routes of some domains: exact, ``*.suffix``, ``prefix.*`` or ``*``.

    The attempt counts are told in ``x-envoy-attempt-count``. A request that proxyd sends once more because
    its connection had died is still the first attempt to the host.
    """

    proto: ClassVar[str] = "envoy.config.route.v3.VirtualHost"

    name: NonEmpty
    domains: Annotated[tuple[HeaderText, ...], Meta(min_length=1)]
    routes: tuple[Route, ...] = ()
    require_tls: TlsRequirementType = TlsRequirementType.NONE
    include_request_attempt_count: bool = False
    include_attempt_count_in_response: bool = False
    request_headers_to_add: HeadersToAdd = ()
    request_headers_to_remove: HeadersToRemove = ()
    response_headers_to_add: HeadersToAdd = ()
    response_headers_to_remove: HeadersToRemove = ()
    typed_per_filter_config: TypedPerFilterConfig = {}


class RouteConfiguration(Message, frozen=True, kw_only=True):
    """A whole route table.

    Defaults of validate_clusters, whether every cluster that a route names must exist: true; of
    max_direct_response_body_size_bytes: 4096.
    """

    proto: ClassVar[str] = "envoy.config.route.v3.RouteConfiguration"

    name: str = ""
    virtual_hosts: tuple[VirtualHost, ...] = ()
    request_headers_to_add: HeadersToAdd = ()
    request_headers_to_remove: HeadersToRemove = ()
    response_headers_to_add: HeadersToAdd = ()
    response_headers_to_remove: HeadersToRemove = ()
    typed_per_filter_config: TypedPerFilterConfig = {}
    most_specific_header_mutations_wins: bool = False
    validate_clusters: bool | None = None
    max_direct_response_body_size_bytes: UInt32 | None = None
    ignore_port_in_host_matching: bool = False
