"""The one table of the ways in which a request fails.

A failure is raised nowhere: the step that meets it names its row, and the exchange turns the row into a
local reply, response flags, details and counters. Rows follow Envoy 1.40; the bodies are what its users see.
"""

from typing import Final

# Response flags, as %RESPONSE_FLAGS% prints them. A request can carry several, so each is one bit.
FLAG_NAMES: Final = (
    "UH", "UF", "UO", "NR", "URX", "NC", "DT", "DC", "LH", "UT", "LR", "UR", "UC", "DI", "FI", "RL",
    "UAEX", "RLSE", "IH", "SI", "DPE", "UPE", "UMSDR", "OM", "DF", "DR",
)  # fmt: skip

UH: Final = 1 << 0
UF: Final = 1 << 1
UO: Final = 1 << 2
NR: Final = 1 << 3
URX: Final = 1 << 4
NC: Final = 1 << 5
DT: Final = 1 << 6
DC: Final = 1 << 7
UT: Final = 1 << 9
LR: Final = 1 << 10
UR: Final = 1 << 11
UC: Final = 1 << 12
IH: Final = 1 << 18
SI: Final = 1 << 19
DPE: Final = 1 << 20
UPE: Final = 1 << 21
UMSDR: Final = 1 << 22
DR: Final = 1 << 25


def flags_text(flags: int) -> str:
    """The value of ``%RESPONSE_FLAGS%``: short names joined by a comma, ``-`` for none."""
    if not flags:
        return "-"
    return ",".join(name for bit, name in enumerate(FLAG_NAMES) if flags >> bit & 1)


NO_GRPC_STATUS: Final = -1
DEADLINE_EXCEEDED: Final = 4


class Failure:
    """One way a request fails: what the client is told and what the operator can read about it."""

    __slots__ = ("body", "close", "details", "flags", "grpc_status", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        flags: int,
        details: str,
        close: bool = False,
        grpc_status: int = NO_GRPC_STATUS,
    ) -> None:
        self.status: Final = status
        self.body: Final = body
        self.flags: Final = flags
        self.details: Final = details  # %RESPONSE_CODE_DETAILS%
        self.close: Final = close  # the downstream connection cannot be used any further
        self.grpc_status: Final = grpc_status  # where it is not the one that stands for ``status``


_RESET = b"upstream connect error or disconnect/reset before headers. reset reason: "
_BEFORE = "upstream_reset_before_response_started{"

# The proxy's own decisions
NO_ROUTE: Final = Failure(404, b"", NR, "route_not_found")
NO_CLUSTER: Final = Failure(503, b"", NC, "cluster_not_found")
NO_HEALTHY_UPSTREAM: Final = Failure(503, b"no healthy upstream", UH, "no_healthy_upstream")
MISSING_HOST: Final = Failure(400, b"", 0, "missing_host_header", True)
PATH_NORMALIZATION_FAILED: Final = Failure(400, b"", 0, "path_normalization_failed", True)
NO_PATH: Final = Failure(404, b"", 0, "absolute_path_rejected")
UPGRADE_FAILED: Final = Failure(403, b"", 0, "upgrade_failed", True)
INTERNAL_ERROR: Final = Failure(500, b"", 0, "internal_error", True)

# The upstream's side
CONNECT_FAILED: Final = Failure(
    503, _RESET + b"remote connection failure", UF, _BEFORE + "remote_connection_failure}"
)
CONNECT_TIMEOUT: Final = Failure(503, _RESET + b"connection timeout", UF, _BEFORE + "connection_timeout}")
UPSTREAM_CLOSED: Final = Failure(
    503, _RESET + b"connection termination", UC, _BEFORE + "connection_termination}"
)
UPSTREAM_PROTOCOL_ERROR: Final = Failure(502, _RESET + b"protocol error", UPE, _BEFORE + "protocol_error}")
UPSTREAM_RESET: Final = Failure(503, _RESET + b"remote reset", UR, _BEFORE + "remote_reset}")
UPSTREAM_REFUSED: Final = Failure(
    503, _RESET + b"remote refused stream reset", UR, _BEFORE + "remote_refused_stream_reset}"
)
UPSTREAM_OVERFLOW: Final = Failure(503, _RESET + b"overflow", UO, _BEFORE + "overflow}")
UPSTREAM_TIMEOUT: Final = Failure(504, b"upstream request timeout", UT, "response_timeout")
UPSTREAM_TRY_TIMEOUT: Final = Failure(504, b"upstream request timeout", UT, "upstream_per_try_timeout")

# What a filter held back to see all of it
REQUEST_TOO_LARGE: Final = Failure(413, b"Payload Too Large", 0, "request_payload_too_large")
RESPONSE_TOO_LARGE: Final = Failure(500, b"Internal Server Error", 0, "response_payload_too_large")

# The downstream's side
BAD_REQUEST: Final = Failure(400, b"Bad Request", DPE, "http1.codec_error", True)
LENGTH_AND_CHUNKED: Final = Failure(
    400, b"Bad Request", DPE, "http1.content_length_and_chunked_not_allowed", True
)
INVALID_AUTHORITY: Final = Failure(400, b"Bad Request", DPE, "http.invalid_authority", True)
INVALID_URL: Final = Failure(400, b"Bad Request", DPE, "http1.invalid_url", True)
INVALID_SCHEME: Final = Failure(400, b"Bad Request", DPE, "http1.invalid_scheme", True)
INVALID_CHARACTERS: Final = Failure(400, b"Bad Request", DPE, "http1.invalid_characters", True)
UNDERSCORE_IN_NAME: Final = Failure(400, b"Bad Request", DPE, "http1.unexpected_underscore", True)
HTTPS_ON_PLAINTEXT: Final = Failure(403, b"Forbidden", DPE, "http1.https_url_on_plaintext_connection", True)
BODY_DISALLOWED: Final = Failure(400, b"Bad Request", DPE, "http1.body_disallowed", True)
CONNECTION_HEADER: Final = Failure(400, b"Bad Request", DPE, "http1.connection_header_rejected", True)
UNKNOWN_TRANSFER_ENCODING: Final = Failure(
    501, b"Not Implemented", DPE, "http1.invalid_transfer_encoding", True
)
HEADERS_TOO_LARGE: Final = Failure(
    431, b"Request Header Fields Too Large", DPE, "http1.headers_too_large", True
)
TOO_MANY_HEADERS: Final = Failure(
    431, b"Request Header Fields Too Large", DPE, "http1.too_many_headers", True
)
LOW_VERSION: Final = Failure(426, b"Upgrade Required", DPE, "low_version", True)
REQUEST_TIMEOUT: Final = Failure(408, b"request timeout", 0, "request_overall_timeout", True)
REQUEST_HEADER_TIMEOUT: Final = Failure(408, b"request header timeout", 0, "request_header_timeout", True)
STREAM_IDLE_REQUEST: Final = Failure(408, b"stream timeout", SI, "stream_idle_timeout", True)
STREAM_IDLE: Final = Failure(504, b"stream timeout", SI, "stream_idle_timeout")
STREAM_DURATION_REQUEST: Final = Failure(
    408, b"downstream duration timeout", 0, "max_duration_timeout", True, DEADLINE_EXCEEDED
)
STREAM_DURATION: Final = Failure(
    504, b"downstream duration timeout", 0, "max_duration_timeout", grpc_status=DEADLINE_EXCEEDED
)

# The client's end of a request, after which nothing can be answered: the status is 0
CLIENT_GONE: Final = Failure(0, b"", DC, "downstream_remote_disconnect")
CLIENT_CANCELLED: Final = Failure(0, b"", DR, "http2.remote_reset")
CLIENT_FINISHED: Final = Failure(0, b"", 0, "")  # reset without an error
WRONG_LENGTH: Final = Failure(0, b"", DPE, "http2.remote_reset")
BAD_FIELD: Final = Failure(0, b"", DPE, "http2.invalid.header.field")
BAD_MESSAGE: Final = Failure(0, b"", DPE, "http2.violation.of.messaging.rule")
FIELDS_TOO_LARGE: Final = Failure(0, b"", DR, "http2.header_list_size_too_large")
TOO_MANY_FIELDS: Final = Failure(0, b"", DR, "http2.too_many_headers")
UNDERSCORE_IN_FIELD: Final = Failure(0, b"", DR, "http2.unexpected_underscore")
CODEC_ERROR: Final = Failure(0, b"", DPE, "codec_error:Protocol_error")
EMPTY_FRAMES_FLOOD: Final = Failure(0, b"", DPE, "http2.inbound_empty_frames_flood")
PRIORITY_FLOOD: Final = Failure(0, b"", DPE, "codec_error:Too_many_PRIORITY_frames")
WINDOW_UPDATE_FLOOD: Final = Failure(0, b"", DPE, "codec_error:Too_many_WINDOW_UPDATE_frames")
HEADER_FLOOD: Final = Failure(0, b"", DPE, "codec_error:Too_many_CONTINUATION_frames")
CONTROL_FLOOD: Final = Failure(0, b"", DPE, "codec_error:Too_many_control_frames")
OUTBOUND_CONTROL_FLOOD: Final = Failure(
    0, b"", DPE, "codec_error:Too_many_control_frames_in_the_outbound_queue."
)
OUTBOUND_FLOOD: Final = Failure(0, b"", DPE, "codec_error:Too_many_frames_in_the_outbound_queue.")
PREMATURE_RESETS: Final = Failure(0, b"", DPE, "too_many_premature_resets")
HEAD_TOO_SLOW: Final = Failure(0, b"", 0, "request_header_timeout")
