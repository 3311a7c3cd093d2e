"""What looks at a connection before a filter chain is chosen."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.message import UINT32, Message, NonEmpty
from proxyd.config.proxy_protocol import Version
from proxyd.config.udp_proxy import UdpProxyConfig


class TlsInspector(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
):
    """Reads the first message of TLS before a filter chain is chosen; added where a chain asks for it."""

    proto: ClassVar[str] = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"

    close_connection_on_client_hello_parsing_errors: bool = False
    max_client_hello_size: Annotated[int, Meta(ge=256, le=16384), UINT32] | None = None


class ProxyProtocol(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
):
    """Takes the addresses of a PROXY header, of either version, for the connection's own.

    A connection without a header is closed, unless ``allow_requests_without_proxy_protocol`` lets it pass.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"

    allow_requests_without_proxy_protocol: bool = False
    disallowed_versions: tuple[Version, ...] = ()
    stat_prefix: str = ""


class HttpInspector(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
):
    """Finds out whether a connection without TLS begins with HTTP, for ``application_protocols``."""

    proto: ClassVar[str] = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"


class OriginalDst(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
):
    """Takes the address that a client meant, before iptables led its connection here, for the local one.

    Linux alone can tell. ORIGINAL_DST clusters go there, and filter chains are chosen by it.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"


class ListenerFilter(Message, frozen=True, kw_only=True):
    """One of them; they look one after the other."""

    proto: ClassVar[str] = "envoy.config.listener.v3.ListenerFilter"

    name: NonEmpty
    typed_config: TlsInspector | ProxyProtocol | HttpInspector | OriginalDst | UdpProxyConfig
