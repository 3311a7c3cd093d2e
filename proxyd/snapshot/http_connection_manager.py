"""The HTTP of a listener in its compiled form: every option settled, routes and formats compiled."""

from typing import Final

import msgspec

from proxyd.codec.http1_requests import ALLOW, DROP_HEADER
from proxyd.codec.http1_requests import REJECT_REQUEST as REJECT_HEADER
from proxyd.codec.http2 import Http2Options
from proxyd.config.access_log import AccessLog, FileAccessLog, StdoutAccessLog
from proxyd.config.core import HeadersWithUnderscoresAction, Node
from proxyd.config.http_connection_manager import (
    HttpConnectionManager,
    PathWithEscapedSlashesAction,
    ServerHeaderTransformation,
)
from proxyd.config.route import RouteConfiguration
from proxyd.errors import REQUEST_HEADER_TIMEOUT, REQUEST_TIMEOUT, STREAM_IDLE_REQUEST, Failure
from proxyd.filters.http_filter import HttpFilterFactory
from proxyd.snapshot.access_log_filter import LogFilter, compile_filter
from proxyd.snapshot.formatter import Formatter, compile_format
from proxyd.snapshot.forwarding import ForwardingSnapshot
from proxyd.snapshot.http2_options import compile_http2
from proxyd.snapshot.http_filters import Factories, HttpFilters
from proxyd.snapshot.local_reply import LocalReply
from proxyd.snapshot.normalization import (
    ANY_PORT,
    KEEP_UNCHANGED,
    MATCHING_PORT,
    NO_PORT,
    REJECT_REQUEST,
    UNESCAPE_AND_FORWARD,
    UNESCAPE_AND_REDIRECT,
    AuthorityNormalization,
    PathNormalization,
)
from proxyd.snapshot.route import NO_TIMEOUT
from proxyd.snapshot.router import Router, compile_router
from proxyd.snapshot.runtime import Runtime
from proxyd.stats.http2_scopes import Http2Stats
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import HttpStats, ListenerHttpStats, UnderscoreStats

# Envoy's defaults (HttpConnectionManager, HttpProtocolOptions).
MAX_HEADERS_KB: Final = 60
MAX_HEADERS_COUNT: Final = 100
IDLE_TIMEOUT_S: Final = 3600.0
STREAM_IDLE_TIMEOUT_S: Final = 300.0
DELAYED_CLOSE_TIMEOUT_S: Final = 1.0
DRAIN_TIMEOUT_S: Final = 5.0

# HttpConnectionManager.CodecType.
AUTO: Final = 0
HTTP1: Final = 1
HTTP2: Final = 2

OVERWRITE: Final = 0
APPEND_IF_ABSENT: Final = 1
PASS_THROUGH: Final = 2

_SERVER_HEADER: Final = {
    ServerHeaderTransformation.OVERWRITE: OVERWRITE,
    ServerHeaderTransformation.APPEND_IF_ABSENT: APPEND_IF_ABSENT,
    ServerHeaderTransformation.PASS_THROUGH: PASS_THROUGH,
}

_ESCAPED_SLASHES: Final = {
    PathWithEscapedSlashesAction.IMPLEMENTATION_SPECIFIC_DEFAULT: KEEP_UNCHANGED,
    PathWithEscapedSlashesAction.KEEP_UNCHANGED: KEEP_UNCHANGED,
    PathWithEscapedSlashesAction.REJECT_REQUEST: REJECT_REQUEST,
    PathWithEscapedSlashesAction.UNESCAPE_AND_REDIRECT: UNESCAPE_AND_REDIRECT,
    PathWithEscapedSlashesAction.UNESCAPE_AND_FORWARD: UNESCAPE_AND_FORWARD,
}

_UNDERSCORES: Final = {
    HeadersWithUnderscoresAction.ALLOW: ALLOW,
    HeadersWithUnderscoresAction.REJECT_REQUEST: REJECT_HEADER,
    HeadersWithUnderscoresAction.DROP_HEADER: DROP_HEADER,
}


class HttpConnectionOptions:
    """What a downstream HTTP connection goes by. Times in seconds, 0.0 for none; sizes in bytes."""

    def __init__(self) -> None:
        self.codec: int = HTTP1
        self.http2: Http2Options = Http2Options()
        self.http2_stats: Http2Stats | None = None  # unless HTTP/2 is not spoken
        self.max_header_bytes: int = MAX_HEADERS_KB * 1024
        self.max_header_count: int = MAX_HEADERS_COUNT
        self.accept_http_10: bool = False
        self.default_host_for_http_10: bytes = b""
        self.allow_absolute_url: bool = True
        self.underscores: int = ALLOW
        self.underscore_stats: UnderscoreStats | None = None  # unless that is all
        self.refuse_https: bool = False
        self.enable_trailers: bool = False
        self.proper_case: bool = False
        self.idle_timeout: float = IDLE_TIMEOUT_S
        self.max_connection_duration: float = 0.0
        self.max_requests_per_connection: int = 0
        self.head_timeout: float = 0.0  # from a request's first byte to the end of its head
        self.head_timeout_failure: Failure = REQUEST_HEADER_TIMEOUT
        self.delayed_close_timeout: float = DELAYED_CLOSE_TIMEOUT_S
        self.flush_timeout: float = STREAM_IDLE_TIMEOUT_S  # for a complete response to be taken
        self.drain_timeout: float = DRAIN_TIMEOUT_S  # for a request under way to a connection that is to end
        self.buffer_limit: int = 1024 * 1024
        self.counts_wire_bytes: bool = False  # for each request, as a format asks for it
        self.filter_chain_name: str = ""
        self.tls: bool = False

    @property
    def detects_http2(self) -> bool:
        """Whether a client may speak either version."""
        return self.codec == AUTO


class AccessLogSnapshot:
    """One access log: ``path`` of a file, or empty with ``standard`` 1 for stdout and 2 for stderr."""

    def __init__(
        self, path: str, standard: int, formatter: Formatter, log_filter: LogFilter | None = None
    ) -> None:
        self.filter: Final = log_filter
        self.path: Final = path
        self.standard: Final = standard
        self.formatter: Final = formatter


class ConnectionManagerSnapshot:
    """One compiled connection manager of one listener."""

    def __init__(
        self,
        config: HttpConnectionManager,
        listener_address: str,
        buffer_limit: int,
        registry: Registry,
        runtime: Runtime,
        node: Node | None,
        tls: bool = False,
    ) -> None:
        self.stats: Final = HttpStats(registry, config.stat_prefix)
        self.listener_stats: Final = ListenerHttpStats(registry, listener_address, config.stat_prefix)
        # With rds what the file says has been put there; an update of the file replaces it.
        filters = HttpFilters(config.http_filters, registry, config.upgrade_configs)
        self.filtered: Final[bool] = filters.any
        self.filters: tuple[HttpFilterFactory, ...] = filters.default  # where a route does not say otherwise
        self.upgrade_filters: Final[dict[bytes, Factories]] = {  # the same, of protocols with their own
            protocol: each.default for protocol, each in filters.upgrades.items()
        }
        table = config.route_config or RouteConfiguration()
        self.router: Router = compile_router(table, runtime, filters if filters.any else None)
        self.connection: Final = _connection_options(config, buffer_limit)
        if tls:
            self.connection.tls = True
            self.connection.refuse_https = False
        if self.connection.codec != HTTP1:
            self.connection.http2_stats = Http2Stats(registry, "http2.")
        if self.connection.underscores != ALLOW:
            self.connection.underscore_stats = UnderscoreStats(registry)
        self.access_logs: Final = compile_access_logs(config.access_log, runtime)
        # What costs something is found out only where a format names it.
        written = msgspec.json.encode(config)
        self.logs_upstream: bool = any(
            part in written for part in (b"%UPSTREAM_LOCAL_", b"%UPSTREAM_TLS_", b"%UPSTREAM_PEER_")
        )
        self.connection.counts_wire_bytes = b"_WIRE_BYTES_" in written
        self.server_name: Final[bytes] = (config.server_name or "envoy").encode()
        self.server_header: Final[int] = _SERVER_HEADER[config.server_header_transformation]
        self.via: Final[bytes] = config.via.encode()
        self.forwarding: Final = ForwardingSnapshot(config, node)
        self.path_normalization: Final = PathNormalization(
            bool(config.normalize_path),
            config.merge_slashes,
            _ESCAPED_SLASHES[config.path_with_escaped_slashes_action],
        )
        port = NO_PORT
        if config.strip_any_host_port:
            port = ANY_PORT
        elif config.strip_matching_host_port:
            port = MATCHING_PORT
        self.authority_normalization: Final = AuthorityNormalization(port, config.strip_trailing_host_dot)
        self.normalizes: Final[bool] = self.path_normalization.active or self.authority_normalization.active
        # As in Envoy, whatever the reason for the 400: a direct response closes, too.
        stream_error = config.stream_error_on_invalid_http_message
        http1 = config.http_protocol_options
        if http1 is not None and http1.override_stream_error_on_invalid_http_message is not None:
            stream_error = http1.override_stream_error_on_invalid_http_message
        self.closes_on_bad_request: Final[bool] = not stream_error
        self.always_set_request_id_in_response: Final[bool] = config.always_set_request_id_in_response
        idle = config.stream_idle_timeout
        replies = config.local_reply_config
        self.local_reply: Final = None if replies is None else LocalReply(replies, runtime)
        self.proxy_100_continue: Final[bool] = config.proxy_100_continue
        self.upgrades: Final[dict[bytes, bool]] = {
            each.upgrade_type.lower().encode(): each.enabled is not False for each in config.upgrade_configs
        }
        self.stream_idle_timeout: Final[float] = STREAM_IDLE_TIMEOUT_S if idle is None else idle
        self.request_timeout: Final[float] = config.request_timeout or 0.0
        common = config.common_http_protocol_options
        duration = None if common is None else common.max_stream_duration
        self.max_stream_duration: Final[float] = duration or 0.0
        times = (self.stream_idle_timeout, self.request_timeout, self.max_stream_duration)
        self.least_timeout: Final[float] = min((time for time in times if time > 0.0), default=NO_TIMEOUT)

    def take_routes(self, other: "ConnectionManagerSnapshot") -> None:
        """Route by another's table from now on; the two differ in nothing else."""
        self.router = other.router
        self.logs_upstream = other.logs_upstream
        self.connection.counts_wire_bytes = other.connection.counts_wire_bytes


def _set_head_timeout(options: HttpConnectionOptions, config: HttpConnectionManager) -> None:
    """The first to pass of the times that, as in Envoy, begin with the first byte of a request."""
    idle = config.stream_idle_timeout
    for timeout, failure in (
        (config.request_headers_timeout, REQUEST_HEADER_TIMEOUT),
        (config.request_timeout, REQUEST_TIMEOUT),
        (STREAM_IDLE_TIMEOUT_S if idle is None else idle, STREAM_IDLE_REQUEST),
    ):
        if timeout and (not options.head_timeout or timeout < options.head_timeout):
            options.head_timeout = timeout
            options.head_timeout_failure = failure


def _connection_options(config: HttpConnectionManager, buffer_limit: int) -> HttpConnectionOptions:
    options = HttpConnectionOptions()
    options.buffer_limit = buffer_limit
    options.codec = config.codec_type.value
    options.http2 = compile_http2(
        config.http2_protocol_options, bool(config.stream_error_on_invalid_http_message)
    )
    # As in Envoy, only a client at the edge is known to speak without TLS.
    options.refuse_https = bool(config.use_remote_address) and config.xff_num_trusted_hops == 0
    if config.max_request_headers_kb is not None:
        options.max_header_bytes = config.max_request_headers_kb * 1024
    _set_head_timeout(options, config)
    if config.stream_flush_timeout is not None:
        options.flush_timeout = config.stream_flush_timeout
    elif config.stream_idle_timeout is not None:
        options.flush_timeout = config.stream_idle_timeout
    if config.drain_timeout is not None:
        options.drain_timeout = config.drain_timeout
    if config.delayed_close_timeout is not None:
        options.delayed_close_timeout = config.delayed_close_timeout
    http1 = config.http_protocol_options
    if http1 is not None:
        options.accept_http_10 = http1.accept_http_10
        options.proper_case = http1.header_key_format is not None
        options.default_host_for_http_10 = http1.default_host_for_http_10.encode()
        options.allow_absolute_url = http1.allow_absolute_url is not False
        options.enable_trailers = http1.enable_trailers
    common = config.common_http_protocol_options
    if common is not None:
        if common.idle_timeout is not None:
            options.idle_timeout = common.idle_timeout
        if common.max_headers_count is not None:
            options.max_header_count = common.max_headers_count
        options.underscores = _UNDERSCORES[common.headers_with_underscores_action]
        options.max_connection_duration = common.max_connection_duration or 0.0
        options.max_requests_per_connection = common.max_requests_per_connection or 0
    return options


def compile_access_logs(
    config: tuple[AccessLog, ...], runtime: Runtime | None = None
) -> list[AccessLogSnapshot]:
    """The access logs of a connection manager or of the admin API, formats compiled.

    Raises:
        FormatError: a format names an operator that does not exist or is not supported.
        RegexError: a filter has an expression that is none.
    """
    return [_access_log(entry, runtime or Runtime([])) for entry in config]


def _access_log(entry: AccessLog, runtime: Runtime) -> AccessLogSnapshot:
    log_filter = None if entry.filter is None else compile_filter(entry.filter, runtime)
    config = entry.typed_config
    formatter = compile_format(config.log_format)
    if isinstance(config, FileAccessLog):
        return AccessLogSnapshot(config.path, 0, formatter, log_filter)
    return AccessLogSnapshot("", 1 if isinstance(config, StdoutAccessLog) else 2, formatter, log_filter)
