"""What is known of one request: Envoy's StreamInfo. Filters, access loggers and formatters read it."""

from proxyd.codec.headers import Headers
from proxyd.filters.connection_info import NO_CONNECTION, ConnectionInfo
from proxyd.filters.tls_info import TlsInfo


class WireBytes:
    """What one request cost on the wire, counted where a log asks for it: heads, bodies and their framing."""

    __slots__ = ("downstream_received", "downstream_sent", "upstream_received", "upstream_sent")

    def __init__(self) -> None:
        self.downstream_received: int = 0
        self.downstream_sent: int = 0
        self.upstream_received: int = 0
        self.upstream_sent: int = 0


class StreamInfo:
    """Facts collected while a request passes; the exchange writes them, everyone else only reads.

    Times are seconds of the monotonic clock, 0.0 where the moment has not come; ``start_time`` alone is
    wall-clock seconds since the epoch. Addresses are ``ip:port`` text. Byte counts are of bodies.
    """

    __slots__ = (
        "attempt_count", "authority", "bytes_received", "bytes_sent", "connection",
        "connection_termination_details", "downstream_remote_address", "end", "local_reply_body",
        "method", "original_path", "path", "protocol", "request_end", "request_headers",
        "request_id", "response_code", "response_code_details", "response_end", "response_flags",
        "response_headers", "response_start", "response_trailers", "route_name", "scheme", "start",
        "start_time",
        "upstream_cluster", "upstream_first_tx", "upstream_host", "upstream_last_tx",
        "upstream_local_address", "upstream_tls", "upstream_transport_failure_reason", "wire",
    )  # fmt: skip

    def __init__(self, headers: Headers | None = None) -> None:
        """``headers`` stands for both messages' until they come; then they are replaced, never changed."""
        self.method: bytes = b""
        self.path: bytes = b""
        self.original_path: bytes = b""  # before a rewrite; empty where nothing was rewritten
        self.authority: bytes = b""
        self.scheme: bytes = b"http"
        self.protocol: str = ""  # HTTP/1.0, HTTP/1.1, HTTP/2; empty where no request was understood
        self.request_headers: Headers = Headers() if headers is None else headers
        self.response_headers: Headers = Headers() if headers is None else headers
        self.response_trailers: list[tuple[bytes, bytes]] | None = None
        self.request_id: bytes = b""
        self.response_code: int = 0
        self.response_code_details: str = ""
        self.response_flags: int = 0  # bits of proxyd.errors
        self.connection_termination_details: str = ""
        self.upstream_transport_failure_reason: str = ""
        self.bytes_received: int = 0
        self.bytes_sent: int = 0
        self.attempt_count: int = 0
        self.start_time: float = 0.0
        self.start: float = 0.0
        self.request_end: float = 0.0  # last byte of the request received
        self.upstream_first_tx: float = 0.0
        self.upstream_last_tx: float = 0.0
        self.response_start: float = 0.0  # first byte of the upstream's response received
        self.response_end: float = 0.0
        self.end: float = 0.0
        self.upstream_host: str = ""
        self.upstream_cluster: str = ""
        self.upstream_local_address: str = ""
        self.upstream_tls: TlsInfo | None = None
        self.route_name: str = ""
        self.connection: ConnectionInfo = NO_CONNECTION
        self.downstream_remote_address: str = ""  # the connection's, or who forwarded headers say it is
        self.local_reply_body: bytes = b""
        self.wire: WireBytes | None = None


class ConnectionStream(StreamInfo):
    """Not a request: a connection as a whole. Byte counts are of what the connection carries."""

    __slots__ = ("access_log_type",)

    def __init__(self) -> None:
        super().__init__()
        self.access_log_type: str = "NotSet"  # as %ACCESS_LOG_TYPE% says it; this in a listener's own log
