"""Where the values of a format string come from: one small class for each way to ask the stream's facts."""

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from proxyd.codec.grpc import grpc_status_of, is_grpc
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.matchers import query_parameters_of
from proxyd.snapshot.time_format import TimeFormat

Value = bytes | str | int | None

_MAX_STATUS_DIGITS: Final = 9
# The names of gRPC's statuses, by number: in camel case, in capitals.
_GRPC_NAMES: Final = (
    ("OK", "OK"), ("Canceled", "CANCELLED"), ("Unknown", "UNKNOWN"), ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"), ("NotFound", "NOT_FOUND"), ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"), ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"), ("Aborted", "ABORTED"), ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"), ("Internal", "INTERNAL"), ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"), ("Unauthenticated", "UNAUTHENTICATED"),
)  # fmt: skip


class Source:
    """Where an operator's value comes from."""

    def get(self, info: StreamInfo) -> Value:
        """The value for this request; None where it has none."""
        raise NotImplementedError


class Fact(Source):
    """An operator without parameters: one function of the stream's facts."""

    def __init__(self, read: Callable[[StreamInfo], Value]) -> None:
        self.read: Final = read

    def get(self, info: StreamInfo) -> Value:
        return self.read(info)


class Constant(Source):
    """A value that is known at load."""

    def __init__(self, value: Value) -> None:
        self.value: Final = value

    def get(self, info: StreamInfo) -> Value:
        return self.value


class RequestHeader(Source):
    """``%REQ(X?Y):Z%``: the first value of X, else of Y, cut to Z bytes."""

    def __init__(self, names: list[bytes], limit: int) -> None:
        self.names: Final = names
        self.limit: Final = limit

    def get(self, info: StreamInfo) -> Value:
        for name in self.names:
            value = request_header(info, name)
            if value is not None:
                return value if self.limit < 0 else value[: self.limit]
        return None


class ResponseHeader(Source):
    """``%RESP(X?Y):Z%``."""

    def __init__(self, names: list[bytes], limit: int) -> None:
        self.names: Final = names
        self.limit: Final = limit

    def get(self, info: StreamInfo) -> Value:
        for name in self.names:
            if name == b":status":
                value = b"%d" % info.response_code if info.response_code else None
            else:
                value = info.response_headers.get(name)
            if value is not None:
                return value if self.limit < 0 else value[: self.limit]
        return None


class ResponseTrailer(Source):
    """``%TRAILER(X?Y):Z%``."""

    def __init__(self, names: list[bytes], limit: int) -> None:
        self.names: Final = names
        self.limit: Final = limit

    def get(self, info: StreamInfo) -> Value:
        for wanted in self.names:
            for name, value in info.response_trailers or ():
                if name == wanted:
                    return value if self.limit < 0 else value[: self.limit]
        return None


class GrpcStatus(Source):
    """``%GRPC_STATUS%`` as a name, in camel case or in capitals."""

    def __init__(self, capitals: bool) -> None:
        self.capitals: Final = capitals

    def get(self, info: StreamInfo) -> Value:
        status = grpc_status(info)
        if status is None or not 0 <= status < len(_GRPC_NAMES):
            return None if status is None else str(status)
        camel, capitals = _GRPC_NAMES[status]
        return capitals if self.capitals else camel


class QueryParameter(Source):
    """``%QUERY_PARAM(X):Z%``: the first X of the query, percent-decoded, cut to Z bytes."""

    def __init__(self, name: bytes, limit: int) -> None:
        self.name: Final = name
        self.limit: Final = limit

    def get(self, info: StreamInfo) -> Value:
        for name, value in query_parameters_of(info.path).items():
            if unquote_to_bytes(name) == self.name:
                decoded = unquote_to_bytes(value)
                return decoded if self.limit < 0 else decoded[: self.limit]
        return None


class Path(Source):
    """``%PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH):Z%``: with or without the query, before or after a rewrite."""

    def __init__(self, query: bool, which: str, limit: int) -> None:
        self.query: Final = query
        self.which: Final = which
        self.limit: Final = limit

    def get(self, info: StreamInfo) -> Value:
        if self.which == "PATH":
            path = info.path
        elif self.which == "ORIG":
            path = info.original_path
        else:
            path = info.original_path or info.path
        if not path:
            return None
        if not self.query:
            path = path.partition(b"?")[0]
        return path if self.limit < 0 else path[: self.limit]


class StartTime(Source):
    """``%START_TIME(format)%`` and its relatives; ``emit`` takes the moment of writing instead."""

    def __init__(self, times: TimeFormat, emit: bool) -> None:
        self.times: Final = times
        self.emit: Final = emit

    def get(self, info: StreamInfo) -> Value:
        return self.times.format(time.time() if self.emit else info.start_time)


class Duration(Source):
    """Time between two moments of the stream, in units of ``per_second``."""

    def __init__(
        self,
        begin: Callable[[StreamInfo], float],
        end: Callable[[StreamInfo], float],
        per_second: int = 1000,
    ) -> None:
        self.begin: Final = begin
        self.end: Final = end
        self.per_second: Final = per_second

    def get(self, info: StreamInfo) -> Value:
        begin = self.begin(info)
        end = self.end(info)
        if begin == 0.0 or end == 0.0:
            return None
        return max(0, int((end - begin) * self.per_second))


def request_header(info: StreamInfo, name: bytes) -> bytes | None:
    """A request header as the operators see it: with the pseudo headers, and as it left for the upstream."""
    if name == b":path":
        return info.path or None
    if name == b":method":
        return info.method or None
    if name in (b":authority", b"host"):
        return info.authority or None
    if name == b":scheme":
        return (info.method and info.scheme) or None
    if name == b"x-request-id" and info.request_id:
        return info.request_id
    if name == b"x-envoy-original-path" and info.original_path:
        return info.original_path
    return info.request_headers.get(name)


def grpc_status(info: StreamInfo) -> int | None:
    """The status of a gRPC request, where none was told by that of HTTP; -1 for one that is no number."""
    if not is_grpc(info.request_headers):
        return None
    for name, value in info.response_trailers or ():
        if name == b"grpc-status":
            return _status_number(value)
    told = info.response_headers.get(b"grpc-status")
    return _status_number(told) if told is not None else grpc_status_of(info.response_code)


def _status_number(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) <= _MAX_STATUS_DIGITS else -1


def header_bytes(items: list[tuple[bytes, bytes]] | None) -> int:
    """The size of names and values."""
    return sum([len(name) + len(value) for name, value in items or ()])


def request_headers_bytes(info: StreamInfo) -> int:
    """The size of a request's headers, pseudo headers included, as the upstream gets them."""
    size = header_bytes(info.request_headers.items)
    for name, value in (
        (b":method", info.method),
        (b":path", info.path),
        (b":authority", info.authority),
        (b":scheme", info.scheme if info.method else b""),
    ):
        if value:
            size += len(name) + len(value)
    return size


def without_port(address: str) -> str | None:
    """The IP address of ``ip:port``, without the brackets of IPv6; None for an empty one."""
    return address.rpartition(":")[0].strip("[]") or None


def port_of(address: str) -> int | None:
    """The port of ``ip:port``."""
    port = address.rpartition(":")[2]
    return int(port) if port.isdigit() else None


LONG_FLAG_NAMES: Final = (
    "NoHealthyUpstream", "UpstreamConnectionFailure", "UpstreamOverflow", "NoRouteFound",
    "UpstreamRetryLimitExceeded", "NoClusterFound", "DurationTimeout", "DownstreamConnectionTermination",
    "FailedLocalHealthCheck", "UpstreamRequestTimeout", "LocalReset", "UpstreamRemoteReset",
    "UpstreamConnectionTermination", "DelayInjected", "FaultInjected", "RateLimited",
    "UnauthorizedExternalService", "RateLimitServiceError", "InvalidEnvoyRequestHeaders", "StreamIdleTimeout",
    "DownstreamProtocolError", "UpstreamProtocolError", "UpstreamMaxStreamDurationReached",
    "OverloadManagerTerminated", "DnsResolutionFailed", "DownstreamRemoteReset",
)  # fmt: skip


def flags_long_text(flags: int) -> str:
    """The value of ``%RESPONSE_FLAGS_LONG%``: long names joined by a comma, ``-`` for none."""
    return ",".join(name for bit, name in enumerate(LONG_FLAG_NAMES) if flags >> bit & 1) or "-"


def underscored(text: str) -> str | None:
    """``text`` as one word, as Envoy logs its own sentences; None for an empty one."""
    return "_".join(text.split(" ")) or None
