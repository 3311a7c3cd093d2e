"""The network filter that speaks HTTP."""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.access_log import AccessLog
from proxyd.config.core import (
    CidrRange,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    SchemeHeaderTransformation,
)
from proxyd.config.discovery import Rds
from proxyd.config.http_filters import HttpFilter
from proxyd.config.local_reply import LocalReplyConfig
from proxyd.config.message import UINT32, HeaderText, Message, NonEmpty, Oneof, Seconds, UInt32
from proxyd.config.route import RouteConfiguration


class CodecType(enum.IntEnum):
    """``HttpConnectionManager.CodecType``: what clients speak; AUTO looks at how they begin."""

    AUTO = 0
    HTTP1 = 1
    HTTP2 = 2


class ServerHeaderTransformation(enum.IntEnum):
    """``HttpConnectionManager.ServerHeaderTransformation``: what becomes of a ``server`` header."""

    OVERWRITE = 0
    APPEND_IF_ABSENT = 1
    PASS_THROUGH = 2


class ForwardClientCertDetails(enum.IntEnum):
    """``HttpConnectionManager.ForwardClientCertDetails``: what becomes of ``x-forwarded-client-cert``.

    Of a connection without a client's certificate every mode but ALWAYS_FORWARD_ONLY takes the header away.
    """

    SANITIZE = 0
    FORWARD_ONLY = 1
    APPEND_FORWARD = 2
    SANITIZE_SET = 3
    ALWAYS_FORWARD_ONLY = 4


class SetCurrentClientCertDetails(Message, frozen=True, kw_only=True):
    """What ``x-forwarded-client-cert`` tells of this connection's client besides its certificate's hash and
    the URIs of both certificates. Default of subject: false."""

    proto: ClassVar[str] = (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails"
    )

    subject: bool | None = None
    cert: bool = False
    chain: bool = False
    dns: bool = False
    uri: bool = False


class PathWithEscapedSlashesAction(enum.IntEnum):
    """What becomes of a path with ``%2F`` or ``%5C``; the default leaves it as it is."""

    IMPLEMENTATION_SPECIFIC_DEFAULT = 0
    KEEP_UNCHANGED = 1
    REJECT_REQUEST = 2
    UNESCAPE_AND_REDIRECT = 3
    UNESCAPE_AND_FORWARD = 4


class InternalAddressConfig(Message, frozen=True, kw_only=True):
    """Who is internal: by default nobody. The ``x-envoy-*`` headers of internal clients are heeded."""

    proto: ClassVar[str] = (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig"
    )

    cidr_ranges: tuple[CidrRange, ...] = ()


class UpgradeConfig(Message, frozen=True, kw_only=True):
    """A protocol that requests may upgrade to, such as websocket, or CONNECT. Default of enabled: true.

    Its requests go through ``filters`` where there are any, else through http_filters.
    """

    proto: ClassVar[str] = (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig"
    )

    upgrade_type: str = ""
    filters: tuple[HttpFilter, ...] = ()
    enabled: bool | None = None


_ROUTES = Oneof("route_specifier", required=True)


class HttpConnectionManager(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
):
    """Everything about the HTTP of a listener.

    Defaults of what is ``None``: server_name "envoy", use_remote_address false, generate_request_id true,
    max_request_headers_kb 60, stream_idle_timeout 300 s, stream_flush_timeout (for a client of HTTP/2 to
    take a response that is complete) as that, drain_timeout 5 s, delayed_close_timeout 1 s; the other
    timeouts are off. A connection whose idle_timeout or max_connection_duration has passed takes one more
    request for drain_timeout, and answers it with ``connection: close``. A client on a loopback address
    stands in ``x-forwarded-for`` as this machine's first other IPv4 address. With ``rds`` the route table
    is in a file; proxyd itself puts what is there into ``route_config`` before a worker sees it.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

    codec_type: CodecType = CodecType.AUTO
    stat_prefix: NonEmpty
    route_config: Annotated[RouteConfiguration | None, _ROUTES] = None
    rds: Annotated[Rds | None, _ROUTES] = None
    http_filters: tuple[HttpFilter, ...] = ()
    access_log: tuple[AccessLog, ...] = ()
    server_name: HeaderText = ""
    server_header_transformation: ServerHeaderTransformation = ServerHeaderTransformation.OVERWRITE
    scheme_header_transformation: SchemeHeaderTransformation | None = None
    use_remote_address: bool | None = None
    xff_num_trusted_hops: UInt32 = 0
    internal_address_config: InternalAddressConfig | None = None
    skip_xff_append: bool = False
    append_x_forwarded_port: bool = False
    add_user_agent: bool | None = None
    forward_client_cert_details: ForwardClientCertDetails = ForwardClientCertDetails.SANITIZE
    set_current_client_cert_details: SetCurrentClientCertDetails | None = None
    via: HeaderText = ""
    generate_request_id: bool | None = None
    preserve_external_request_id: bool = False
    always_set_request_id_in_response: bool = False
    common_http_protocol_options: HttpProtocolOptions | None = None
    http_protocol_options: Http1ProtocolOptions | None = None
    http2_protocol_options: Http2ProtocolOptions | None = None
    max_request_headers_kb: Annotated[int, Meta(gt=0, le=8192), UINT32] | None = None
    stream_idle_timeout: Seconds | None = None
    stream_flush_timeout: Seconds | None = None
    request_timeout: Seconds | None = None
    request_headers_timeout: Seconds | None = None
    drain_timeout: Seconds | None = None
    delayed_close_timeout: Seconds | None = None
    normalize_path: bool | None = None
    merge_slashes: bool = False
    path_with_escaped_slashes_action: PathWithEscapedSlashesAction = (
        PathWithEscapedSlashesAction.IMPLEMENTATION_SPECIFIC_DEFAULT
    )
    strip_matching_host_port: bool = False
    strip_any_host_port: Annotated[bool, Oneof("strip_port_mode")] = False
    strip_trailing_host_dot: bool = False
    upgrade_configs: tuple[UpgradeConfig, ...] = ()
    proxy_100_continue: bool = False
    stream_error_on_invalid_http_message: bool | None = None
    local_reply_config: LocalReplyConfig | None = None
