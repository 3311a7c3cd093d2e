"""The PROXY protocol towards hosts."""

import enum
from typing import ClassVar

from proxyd.config.message import Message, NonEmpty
from proxyd.config.tls import RawBuffer, UpstreamTlsContext


class Version(enum.IntEnum):
    """``ProxyProtocolConfig.Version``."""

    V1 = 0
    V2 = 1


class ProxyProtocolConfig(Message, frozen=True, kw_only=True):
    """How headers are written."""

    proto: ClassVar[str] = "envoy.config.core.v3.ProxyProtocolConfig"

    version: Version = Version.V1


class TransportSocket(Message, frozen=True, kw_only=True):
    """What follows a header."""

    proto: ClassVar[str] = "envoy.config.core.v3.TransportSocket"

    name: NonEmpty
    typed_config: UpstreamTlsContext | RawBuffer


class ProxyProtocolUpstreamTransport(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
):
    """Each connection begins with the addresses of the client's connection that it is made for.

    Requests of other connections do not share it.
    """

    proto: ClassVar[str] = (
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
    )

    config: ProxyProtocolConfig | None = None
    transport_socket: TransportSocket
