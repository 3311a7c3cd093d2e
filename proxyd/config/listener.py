"""Listeners: where clients connect, and what is done with their bytes."""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.access_log import AccessLog
from proxyd.config.core import Address, CidrRange, TrafficDirection
from proxyd.config.direct_response import Config as DirectResponse
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.listener_filters import ListenerFilter
from proxyd.config.message import UINT32, Message, NonEmpty, Seconds, UInt32
from proxyd.config.network_filters import ConnectionLimit, Echo, LocalRateLimit, SniCluster
from proxyd.config.network_rbac import RBAC
from proxyd.config.tcp_proxy import TcpProxy
from proxyd.config.tls import DownstreamTlsContext, RawBuffer
from proxyd.config.udp_proxy import UdpListenerConfig


class Filter(Message, frozen=True, kw_only=True):
    """A network filter."""

    proto: ClassVar[str] = "envoy.config.listener.v3.Filter"

    name: NonEmpty
    typed_config: (
        HttpConnectionManager
        | TcpProxy
        | Echo
        | DirectResponse
        | SniCluster
        | ConnectionLimit
        | LocalRateLimit
        | RBAC
    )


class TransportSocket(Message, frozen=True, kw_only=True):
    """What is between TCP and the filters."""

    proto: ClassVar[str] = "envoy.config.core.v3.TransportSocket"

    name: NonEmpty
    typed_config: DownstreamTlsContext | RawBuffer


class ConnectionSourceType(enum.IntEnum):
    """``FilterChainMatch.ConnectionSourceType``: clients on this machine, or elsewhere."""

    ANY = 0
    SAME_IP_OR_LOOPBACK = 1
    EXTERNAL = 2


_Port = Annotated[int, Meta(ge=1, le=65535), UINT32]


class FilterChainMatch(Message, frozen=True, kw_only=True):
    """Which connections a chain is for. Of several chains the one that is more specific is taken, looked at
    in this order: destination_port, prefix_ranges, server_names (exact, then the longest ``*.suffix``),
    transport_protocol, application_protocols, direct_source_prefix_ranges, source_type,
    source_prefix_ranges, source_ports."""

    proto: ClassVar[str] = "envoy.config.listener.v3.FilterChainMatch"

    destination_port: _Port | None = None
    prefix_ranges: tuple[CidrRange, ...] = ()
    direct_source_prefix_ranges: tuple[CidrRange, ...] = ()
    source_type: ConnectionSourceType = ConnectionSourceType.ANY
    source_prefix_ranges: tuple[CidrRange, ...] = ()
    source_ports: tuple[_Port, ...] = ()
    server_names: tuple[str, ...] = ()
    transport_protocol: str = ""
    application_protocols: tuple[str, ...] = ()


class FilterChain(Message, frozen=True, kw_only=True):
    """What a connection goes through. ``transport_socket_connect_timeout`` is for the handshake; none if
    unset or 0."""

    proto: ClassVar[str] = "envoy.config.listener.v3.FilterChain"

    filter_chain_match: FilterChainMatch | None = None
    filters: tuple[Filter, ...] = ()
    transport_socket: TransportSocket | None = None
    transport_socket_connect_timeout: Seconds | None = None
    name: str = ""


class AdditionalAddress(Message, frozen=True, kw_only=True):
    """One more address of the same listener."""

    proto: ClassVar[str] = "envoy.config.listener.v3.AdditionalAddress"

    address: Address


class Listener(Message, frozen=True, kw_only=True):
    """One listener.

    Defaults of what is ``None``: per_connection_buffer_limit_bytes 1 MiB, enable_reuse_port true,
    tcp_backlog_size the system's limit, listener_filters_timeout 15 s (0 for none). ``access_log`` has a line
    for each connection.

    With ``use_original_dst`` a connection that was redirected is handed over to the listener that has the
    address it was meant for, or that port at 0.0.0.0 or [::], where there is one; ``bind_to_port: false`` is
    for listeners that get connections in no other way. The listener filter original_dst comes along.

    A listener whose address has the protocol UDP has no filter chains, and udp_proxy as its listener filter.
    """

    proto: ClassVar[str] = "envoy.config.listener.v3.Listener"

    name: str = ""
    address: Address
    additional_addresses: tuple[AdditionalAddress, ...] = ()
    stat_prefix: str = ""
    filter_chains: tuple[FilterChain, ...] = ()
    default_filter_chain: FilterChain | None = None
    per_connection_buffer_limit_bytes: UInt32 | None = None
    listener_filters: tuple[ListenerFilter, ...] = ()
    listener_filters_timeout: Seconds | None = None
    continue_on_listener_filters_timeout: bool = False
    traffic_direction: TrafficDirection = TrafficDirection.UNSPECIFIED
    tcp_backlog_size: UInt32 | None = None
    enable_reuse_port: bool | None = None
    access_log: tuple[AccessLog, ...] = ()
    use_original_dst: bool | None = None
    bind_to_port: bool | None = None
    udp_listener_config: UdpListenerConfig | None = None
