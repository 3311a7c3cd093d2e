"""Messages that the others are made of: addresses, the node, sources of data, matchers of strings."""

import enum
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from proxyd.config.message import (
    COMPUTED,
    DURATION,
    MAX_SECONDS,
    UINT32,
    HeaderText,
    HeaderToken,
    Int64,
    JsonObject,
    Message,
    NonEmpty,
    Oneof,
    PathText,
    Seconds,
    UInt32,
)


class Locality(Message, frozen=True, kw_only=True):
    """Where the node runs."""

    proto: ClassVar[str] = "envoy.config.core.v3.Locality"

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


class Node(Message, frozen=True, kw_only=True):
    """Who this proxy is, as /server_info and management servers see it."""

    proto: ClassVar[str] = "envoy.config.core.v3.Node"

    id: str = ""
    cluster: str = ""
    metadata: JsonObject | None = None
    locality: Locality | None = None


class Protocol(enum.IntEnum):
    """``SocketAddress.Protocol``; of a host nobody asks."""

    TCP = 0
    UDP = 1


class SocketAddress(Message, frozen=True, kw_only=True):
    """An IP address (or the hostname of an upstream) and a port; port 0 asks for a free one.

    With ``ipv4_compat`` a listener on ``::`` takes IPv4 as well, and an IPv4-mapped address is the IPv4 one.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.SocketAddress"

    protocol: Protocol = Protocol.TCP
    address: NonEmpty
    port_value: Annotated[int, Meta(ge=0, le=65535), UINT32]
    ipv4_compat: bool = False


# The port of what has none.
PIPE: Final = -1


class Pipe(Message, frozen=True, kw_only=True):
    """A Unix domain socket; a path that begins with ``@`` is a name in Linux's abstract namespace.

    ``mode`` are the file's permissions where a listener makes it; 0: what the process's umask leaves.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.Pipe"

    path: NonEmpty
    mode: Annotated[int, Meta(ge=0, le=0o777), UINT32] = 0


_ADDRESS = Oneof("address", required=True)


class Address(Message, frozen=True, kw_only=True):
    """Where to listen or to connect."""

    proto: ClassVar[str] = "envoy.config.core.v3.Address"

    socket_address: Annotated[SocketAddress | None, _ADDRESS] = None
    pipe: Annotated[Pipe | None, _ADDRESS] = None

    @property
    def host(self) -> str:
        """The IP address, or the path of a pipe."""
        if self.pipe is not None:
            return self.pipe.path
        return "" if self.socket_address is None else self.socket_address.address

    @property
    def udp(self) -> bool:
        """Whether datagrams are meant."""
        return self.socket_address is not None and self.socket_address.protocol is Protocol.UDP

    @property
    def ipv4_compat(self) -> bool:
        """Whether a socket for IPv6 takes IPv4 as well."""
        return self.socket_address is not None and self.socket_address.ipv4_compat

    @property
    def port(self) -> int:
        """The port, PIPE for a pipe."""
        if self.pipe is not None:
            return PIPE
        return 0 if self.socket_address is None else self.socket_address.port_value


class TrafficDirection(enum.IntEnum):
    """Which way a listener's traffic flows, as ``/listeners`` and tracing tell it."""

    UNSPECIFIED = 0
    INBOUND = 1
    OUTBOUND = 2


_SPECIFIER = Oneof("specifier", required=True)


class DataSource(Message, frozen=True, kw_only=True):
    """Data in the configuration or beside it. Readers take ``contents``; the loader has read it already.

    Workers never open the file or look at the environment: all of them see what the supervisor saw.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.DataSource"

    filename: Annotated[NonEmpty | None, _SPECIFIER] = None
    inline_bytes: Annotated[bytes | None, _SPECIFIER] = None
    inline_string: Annotated[str | None, _SPECIFIER] = None
    environment_variable: Annotated[NonEmpty | None, _SPECIFIER] = None
    loaded: Annotated[bytes, COMPUTED] = b""

    def __repr__(self) -> str:
        """Without the data: they may be a key, and this may be printed anywhere."""
        return f"DataSource(filename={self.filename!r}, environment_variable={self.environment_variable!r})"

    @property
    def contents(self) -> bytes:
        """The data themselves, wherever they were."""
        if self.inline_string is not None:
            return self.inline_string.encode()
        return self.inline_bytes if self.inline_bytes is not None else self.loaded


_FORMAT = Oneof("format", required=True)


class SubstitutionFormatString(Message, frozen=True, kw_only=True):
    """A line made of command operators such as ``%RESPONSE_CODE%``.

    content_type is for the bodies of local replies; if unset: text/plain, with json_format application/json.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.SubstitutionFormatString"

    text_format_source: Annotated[DataSource | None, _FORMAT] = None
    json_format: Annotated[JsonObject | None, _FORMAT] = None
    omit_empty_values: bool = False
    content_type: HeaderText = ""


class CidrRange(Message, frozen=True, kw_only=True):
    """The addresses that begin like ``address_prefix``. Default of prefix_len: 0, all of its family."""

    proto: ClassVar[str] = "envoy.config.core.v3.CidrRange"

    address_prefix: NonEmpty
    prefix_len: Annotated[int, Meta(ge=0, le=128), UINT32] | None = None


_TRANSFORMATION = Oneof("transformation")
_Scheme = Annotated[str, Meta(pattern="^https?\\Z", extra={"says": "must be http or https"})]


class SchemeHeaderTransformation(Message, frozen=True, kw_only=True):
    """The scheme that all requests are said to have come with, whatever they did come with."""

    proto: ClassVar[str] = "envoy.config.core.v3.SchemeHeaderTransformation"

    scheme_to_overwrite: Annotated[_Scheme | None, _TRANSFORMATION] = None


class HeadersWithUnderscoresAction(enum.IntEnum):
    """``HttpProtocolOptions.HeadersWithUnderscoresAction``: what becomes of a header named ``a_b``."""

    ALLOW = 0
    REJECT_REQUEST = 1
    DROP_HEADER = 2


class HttpProtocolOptions(Message, frozen=True, kw_only=True):
    """Limits of HTTP connections whatever their version. Default of idle_timeout: 3600 s; 0 turns it off.

    max_response_headers_kb is for upstreams only, 80 if unset; max_stream_duration for downstreams only.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.HttpProtocolOptions"

    idle_timeout: Seconds | None = None
    max_connection_duration: Seconds | None = None
    max_headers_count: Annotated[int, Meta(ge=1, le=0xFFFFFFFF), UINT32] | None = None
    max_response_headers_kb: Annotated[int, Meta(gt=0, le=8192), UINT32] | None = None
    max_stream_duration: Seconds | None = None
    headers_with_underscores_action: HeadersWithUnderscoresAction = HeadersWithUnderscoresAction.ALLOW
    max_requests_per_connection: UInt32 | None = None


class ProperCaseWords(Message, frozen=True, kw_only=True):
    """``content-type`` is written ``Content-Type``."""

    proto: ClassVar[str] = "envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords"


_HEADER_FORMAT = Oneof("header_format", required=True)


_MaybeHeader = Annotated[
    str, Meta(pattern=r"^[-!#$%&'*+.^_`|~0-9A-Za-z:]*\Z", extra={"says": "must be a header name"})
]


class UpstreamHttpProtocolOptions(Message, frozen=True, kw_only=True):
    """What each request decides about the TLS of the connection that carries it.

    ``auto_sni`` takes the request's authority, or the header ``override_auto_sni_header``, as SNI;
    ``auto_san_validation`` looks for the same among the host's DNS names.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.UpstreamHttpProtocolOptions"

    auto_sni: bool = False
    auto_san_validation: bool = False
    override_auto_sni_header: _MaybeHeader = ""


class HeaderKeyFormat(Message, frozen=True, kw_only=True):
    """How names of headers are written; in lower case without one."""

    proto: ClassVar[str] = "envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat"

    proper_case_words: Annotated[ProperCaseWords | None, _HEADER_FORMAT] = None


class Http1ProtocolOptions(Message, frozen=True, kw_only=True):
    """HTTP/1 alone. Default of allow_absolute_url: true. allow_chunked_length can only be false."""

    proto: ClassVar[str] = "envoy.config.core.v3.Http1ProtocolOptions"

    allow_absolute_url: bool | None = None
    accept_http_10: bool = False
    default_host_for_http_10: str = ""
    header_key_format: HeaderKeyFormat | None = None
    enable_trailers: bool = False
    allow_chunked_length: bool = False
    override_stream_error_on_invalid_http_message: bool | None = None


class Percent(Message, frozen=True, kw_only=True):
    """A part of a hundred."""

    proto: ClassVar[str] = "envoy.type.v3.Percent"

    value: Annotated[float, Meta(ge=0, le=100)] = 0.0


_KeepaliveTime = Annotated[float, Meta(ge=0.001, le=MAX_SECONDS), DURATION]


class KeepaliveSettings(Message, frozen=True, kw_only=True):
    """PINGs every ``interval``; a connection on which one is not answered in ``timeout`` is closed.

    Default of interval_jitter: 15 %. ``connection_idle_interval``, of upstreams, sends one before a request
    that follows so much silence.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.KeepaliveSettings"

    interval: _KeepaliveTime | None = None
    timeout: _KeepaliveTime
    interval_jitter: Percent | None = None
    connection_idle_interval: _KeepaliveTime | None = None


class SettingsParameter(Message, frozen=True, kw_only=True):
    """One parameter of SETTINGS frames."""

    proto: ClassVar[str] = "envoy.config.core.v3.Http2ProtocolOptions.SettingsParameter"

    identifier: Annotated[int, Meta(ge=0, le=65535), UINT32]
    value: UInt32


_WindowSize = Annotated[int, Meta(ge=65535, le=2147483647), UINT32]
_OneOrMore = Annotated[int, Meta(ge=1, le=0xFFFFFFFF), UINT32]


class Http2ProtocolOptions(Message, frozen=True, kw_only=True):
    """HTTP/2 alone.

    Defaults of what is ``None``: hpack_table_size 4096, max_concurrent_streams 1024,
    initial_stream_window_size 16 MiB, initial_connection_window_size 24 MiB, max_outbound_frames 10000,
    max_outbound_control_frames 1000, max_consecutive_inbound_frames_with_empty_payload 1,
    max_inbound_priority_frames_per_stream 100, max_inbound_window_update_frames_per_data_frame_sent 10.
    Without an override a malformed message costs its connection.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.Http2ProtocolOptions"

    hpack_table_size: UInt32 | None = None
    max_concurrent_streams: Annotated[int, Meta(ge=1, le=2147483647), UINT32] | None = None
    initial_stream_window_size: _WindowSize | None = None
    initial_connection_window_size: _WindowSize | None = None
    allow_connect: bool = False
    max_outbound_frames: _OneOrMore | None = None
    max_outbound_control_frames: _OneOrMore | None = None
    max_consecutive_inbound_frames_with_empty_payload: UInt32 | None = None
    max_inbound_priority_frames_per_stream: UInt32 | None = None
    max_inbound_window_update_frames_per_data_frame_sent: _OneOrMore | None = None
    stream_error_on_invalid_http_messaging: bool = False
    override_stream_error_on_invalid_http_message: bool | None = None
    custom_settings_parameters: tuple[SettingsParameter, ...] = ()
    connection_keepalive: KeepaliveSettings | None = None


class Int64Range(Message, frozen=True, kw_only=True):
    """Numbers from ``start`` up to but not including ``end``."""

    proto: ClassVar[str] = "envoy.type.v3.Int64Range"

    start: Int64 = 0
    end: Int64 = 0


class GoogleRE2(Message, frozen=True, kw_only=True):
    """The engine of regular expressions, which there is no choice of."""

    proto: ClassVar[str] = "envoy.type.matcher.v3.RegexMatcher.GoogleRE2"


class RegexMatcher(Message, frozen=True, kw_only=True):
    """A regular expression in RE2's syntax; the whole text has to match it."""

    proto: ClassVar[str] = "envoy.type.matcher.v3.RegexMatcher"

    google_re2: Annotated[GoogleRE2 | None, Oneof("engine_type")] = None
    regex: NonEmpty


class RegexMatchAndSubstitute(Message, frozen=True, kw_only=True):
    """Every match of ``pattern`` becomes ``substitution``; \\1 to \\9 in it are groups."""

    proto: ClassVar[str] = "envoy.type.matcher.v3.RegexMatchAndSubstitute"

    pattern: RegexMatcher
    substitution: PathText = ""


class RoutingPriority(enum.IntEnum):
    """``RoutingPriority``: whose limits a request is counted against."""

    DEFAULT = 0


class Metadata(Message, frozen=True, kw_only=True):
    """What is noted about a part of the configuration, for those who read it; proxyd does not so far."""

    proto: ClassVar[str] = "envoy.config.core.v3.Metadata"

    filter_metadata: dict[str, JsonObject] = {}


_MATCH_PATTERN = Oneof("match_pattern", required=True)


class StringMatcher(Message, frozen=True, kw_only=True):
    """How a string has to look; ``ignore_case`` has no effect on ``safe_regex``, which has (?i)."""

    proto: ClassVar[str] = "envoy.type.matcher.v3.StringMatcher"

    exact: Annotated[str | None, _MATCH_PATTERN] = None
    prefix: Annotated[NonEmpty | None, _MATCH_PATTERN] = None
    suffix: Annotated[NonEmpty | None, _MATCH_PATTERN] = None
    safe_regex: Annotated[RegexMatcher | None, _MATCH_PATTERN] = None
    contains: Annotated[NonEmpty | None, _MATCH_PATTERN] = None
    ignore_case: bool = False


class DenominatorType(enum.IntEnum):
    """``FractionalPercent.DenominatorType``."""

    HUNDRED = 0
    TEN_THOUSAND = 1
    MILLION = 2


class FractionalPercent(Message, frozen=True, kw_only=True):
    """A part of the requests: ``numerator`` of a hundred, ten thousand or a million."""

    proto: ClassVar[str] = "envoy.type.v3.FractionalPercent"

    numerator: UInt32 = 0
    denominator: DenominatorType = DenominatorType.HUNDRED


class RuntimeFractionalPercent(Message, frozen=True, kw_only=True):
    """A part of the requests, as the runtime layers have it under ``runtime_key``, else the default value."""

    proto: ClassVar[str] = "envoy.config.core.v3.RuntimeFractionalPercent"

    default_value: FractionalPercent
    runtime_key: str = ""


class HeaderValue(Message, frozen=True, kw_only=True):
    """A header; the value is a format string with command operators such as ``%PROTOCOL%``."""

    proto: ClassVar[str] = "envoy.config.core.v3.HeaderValue"

    key: Annotated[HeaderToken, Meta(max_length=16384)]
    value: Annotated[HeaderText, Meta(max_length=16384)] = ""


class HeaderAppendAction(enum.IntEnum):
    """``HeaderValueOption.HeaderAppendAction``: what becomes of values that are there already."""

    APPEND_IF_EXISTS_OR_ADD = 0
    ADD_IF_ABSENT = 1
    OVERWRITE_IF_EXISTS_OR_ADD = 2
    OVERWRITE_IF_EXISTS = 3


class HeaderValueOption(Message, frozen=True, kw_only=True):
    """A header to add; without ``keep_empty_value`` one that would be empty is not added.

    ``append`` is the old form of ``append_action``: true appends, false overwrites.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.HeaderValueOption"

    header: HeaderValue
    append: bool | None = None
    append_action: HeaderAppendAction = HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD
    keep_empty_value: bool = False
