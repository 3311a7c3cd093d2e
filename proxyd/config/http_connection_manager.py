"""The network filter that speaks HTTP, and the HTTP filters inside it."""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.access_log import AccessLog
from proxyd.config.core import Http1ProtocolOptions, HttpProtocolOptions
from proxyd.config.message import UINT32, HeaderText, Message, NonEmpty, Seconds, UInt32
from proxyd.config.route import RouteConfiguration


class Router(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
):
    """The last HTTP filter: it carries the request to the cluster."""

    proto: ClassVar[str] = "envoy.extensions.filters.http.router.v3.Router"


class HttpFilter(Message, frozen=True, kw_only=True):
    """One filter of the chain."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"

    name: NonEmpty
    typed_config: Router


class CodecType(enum.IntEnum):
    """``HttpConnectionManager.CodecType``: what the clients of a listener speak."""

    AUTO = 0
    HTTP1 = 1


class ServerHeaderTransformation(enum.IntEnum):
    """``HttpConnectionManager.ServerHeaderTransformation``: what becomes of a ``server`` header."""

    OVERWRITE = 0
    APPEND_IF_ABSENT = 1
    PASS_THROUGH = 2


class UpgradeConfig(Message, frozen=True, kw_only=True):
    """A protocol that requests may upgrade to, such as websocket, or CONNECT. Default of enabled: true."""

    proto: ClassVar[str] = (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig"
    )

    upgrade_type: str = ""
    enabled: bool | None = None


class HttpConnectionManager(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
):
    """Everything about the HTTP of a listener.

    Defaults of what is ``None``: server_name "envoy", use_remote_address false, generate_request_id true,
    max_request_headers_kb 60, stream_idle_timeout 300 s, drain_timeout 5 s, delayed_close_timeout 1 s; the
    other timeouts are off.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

    codec_type: CodecType = CodecType.AUTO
    stat_prefix: NonEmpty
    route_config: RouteConfiguration
    http_filters: tuple[HttpFilter, ...] = ()
    access_log: tuple[AccessLog, ...] = ()
    server_name: HeaderText = ""
    server_header_transformation: ServerHeaderTransformation = ServerHeaderTransformation.OVERWRITE
    use_remote_address: bool | None = None
    xff_num_trusted_hops: UInt32 = 0
    skip_xff_append: bool = False
    via: HeaderText = ""
    generate_request_id: bool | None = None
    preserve_external_request_id: bool = False
    always_set_request_id_in_response: bool = False
    common_http_protocol_options: HttpProtocolOptions | None = None
    http_protocol_options: Http1ProtocolOptions | None = None
    max_request_headers_kb: Annotated[int, Meta(gt=0, le=8192), UINT32] | None = None
    stream_idle_timeout: Seconds | None = None
    request_timeout: Seconds | None = None
    request_headers_timeout: Seconds | None = None
    drain_timeout: Seconds | None = None
    delayed_close_timeout: Seconds | None = None
    upgrade_configs: tuple[UpgradeConfig, ...] = ()
    proxy_100_continue: bool = False
