"""The one registry of what a ``typed_config`` can hold: ``@type`` to Struct, and names that imply a type."""

from typing import Final

from proxyd.config.access_log import FileAccessLog, StderrAccessLog, StdoutAccessLog
from proxyd.config.cluster import HTTP_OPTIONS_KEY, HttpProtocolOptions
from proxyd.config.direct_response import Config as DirectResponse
from proxyd.config.grpc_filters import Config as GrpcHttp1Bridge
from proxyd.config.grpc_filters import FilterConfig as GrpcStats
from proxyd.config.grpc_filters import GrpcWeb
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.http_filters import FilterConfig, Router
from proxyd.config.listener_filters import HttpInspector, OriginalDst, ProxyProtocol, TlsInspector
from proxyd.config.load_balancing import LeastRequest, Maglev, Random, RingHash, RoundRobin
from proxyd.config.message import Message
from proxyd.config.network_filters import ConnectionLimit, Echo, LocalRateLimit, SniCluster
from proxyd.config.network_rbac import RBAC
from proxyd.config.proxy_protocol import ProxyProtocolUpstreamTransport
from proxyd.config.tcp_proxy import TcpProxy
from proxyd.config.tls import DownstreamTlsContext, RawBuffer, UpstreamTlsContext
from proxyd.config.udp_proxy import Route, UdpProxyConfig

# Envoy goes by ``@type`` alone. Where it is missing, proxyd goes by the extension's well-known name.
_BY_NAME: Final[dict[str, type[Message]]] = {
    "envoy.access_loggers.file": FileAccessLog,
    "envoy.access_loggers.stderr": StderrAccessLog,
    "envoy.access_loggers.stdout": StdoutAccessLog,
    "envoy.filters.http.grpc_http1_bridge": GrpcHttp1Bridge,
    "envoy.filters.http.grpc_stats": GrpcStats,
    "envoy.filters.http.grpc_web": GrpcWeb,
    "envoy.filters.http.router": Router,
    "envoy.filters.listener.http_inspector": HttpInspector,
    "envoy.filters.listener.original_dst": OriginalDst,
    "envoy.filters.listener.proxy_protocol": ProxyProtocol,
    "envoy.filters.listener.tls_inspector": TlsInspector,
    "envoy.filters.network.connection_limit": ConnectionLimit,
    "envoy.filters.network.direct_response": DirectResponse,
    "envoy.filters.network.echo": Echo,
    "envoy.filters.network.http_connection_manager": HttpConnectionManager,
    "envoy.filters.network.local_ratelimit": LocalRateLimit,
    "envoy.filters.network.rbac": RBAC,
    "envoy.filters.network.sni_cluster": SniCluster,
    "envoy.filters.network.tcp_proxy": TcpProxy,
    "envoy.filters.udp_listener.udp_proxy": UdpProxyConfig,
    "envoy.load_balancing_policies.least_request": LeastRequest,
    "envoy.load_balancing_policies.maglev": Maglev,
    "envoy.load_balancing_policies.random": Random,
    "envoy.load_balancing_policies.ring_hash": RingHash,
    "envoy.load_balancing_policies.round_robin": RoundRobin,
    "envoy.transport_sockets.raw_buffer": RawBuffer,
    "envoy.transport_sockets.upstream_proxy_protocol": ProxyProtocolUpstreamTransport,
    HTTP_OPTIONS_KEY: HttpProtocolOptions,
}

# A name that several share does not say which of them is meant, nor does a filter's name in a route.
_UNNAMED: Final[tuple[type[Message], ...]] = (
    DownstreamTlsContext,
    FilterConfig,
    Route,
    UpstreamTlsContext,
)

_BY_PROTO: Final = {struct.proto: struct for struct in (*_BY_NAME.values(), *_UNNAMED)}


def by_name(name: str) -> type[Message] | None:
    """The Struct of an extension by its well-known name."""
    return _BY_NAME.get(name)


def by_type(proto: str) -> type[Message] | None:
    """The Struct of an extension by its message's full name, the part of a type URL behind the slash."""
    return _BY_PROTO.get(proto)
