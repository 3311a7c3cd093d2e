"""The listener filter that carries datagrams to a cluster."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.message import UINT32, Message, NonEmpty, Oneof, PositiveSeconds


class UdpSocketConfig(Message, frozen=True, kw_only=True):
    """How datagrams are received. Longer ones than ``max_rx_datagram_size`` are dropped.

    Default for clients: 1500 bytes; from hosts all that are possible are taken.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.UdpSocketConfig"

    max_rx_datagram_size: Annotated[int, Meta(ge=1, le=65535), UINT32] | None = None


class UdpListenerConfig(Message, frozen=True, kw_only=True):
    """What UDP listeners have of their own."""

    proto: ClassVar[str] = "envoy.config.listener.v3.UdpListenerConfig"

    downstream_socket_config: UdpSocketConfig | None = None


class Route(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route",
):
    """To the hosts of this cluster. As in Envoy it may be unknown: a datagram finds out."""

    proto: ClassVar[str] = "envoy.extensions.filters.udp.udp_proxy.v3.Route"

    cluster: NonEmpty


class TypedExtensionConfig(Message, frozen=True, kw_only=True):
    """An action."""

    proto: ClassVar[str] = "xds.core.v3.TypedExtensionConfig"

    name: NonEmpty
    typed_config: Route


class OnMatch(Message, frozen=True, kw_only=True):
    """What to do."""

    proto: ClassVar[str] = "xds.type.matcher.v3.Matcher.OnMatch"

    action: TypedExtensionConfig


class Matcher(Message, frozen=True, kw_only=True):
    """Where datagrams go: all the same way, which Envoy writes as what to do when nothing matches."""

    proto: ClassVar[str] = "xds.type.matcher.v3.Matcher"

    on_no_match: OnMatch


_POLICY = Oneof("policy_specifier", required=True)


class HashPolicy(Message, frozen=True, kw_only=True):
    """By what a load balancer that hashes chooses a host. As in Envoy, one that does not looks at none.

    ``source_ip`` can only be true.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.HashPolicy"

    source_ip: Annotated[bool | None, _POLICY] = None
    key: Annotated[NonEmpty | None, _POLICY] = None


_ROUTE = Oneof("route_specifier", required=True)


class UdpProxyConfig(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
):
    """A session for each client: its datagrams go to one host, and the host's to the client.

    Default of idle_timeout: 1 minute without a datagram in either direction. With
    ``use_per_packet_load_balancing`` a host is chosen for each datagram; a client has a session with each.
    ``cluster`` is the older word for a ``matcher`` that has one action.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig"

    stat_prefix: NonEmpty
    cluster: Annotated[NonEmpty | None, _ROUTE] = None
    matcher: Annotated[Matcher | None, _ROUTE] = None
    idle_timeout: PositiveSeconds | None = None
    hash_policies: Annotated[tuple[HashPolicy, ...], Meta(max_length=1)] = ()
    upstream_socket_config: UdpSocketConfig | None = None
    use_per_packet_load_balancing: bool = False
