"""The command operators of Envoy's format strings: what ``%NAME(parameter):length%`` stands for.

The tables at the end say which operators there are; each is compiled to a ``Source``.
"""

import os
import socket
import uuid
from collections.abc import Callable
from difflib import get_close_matches
from typing import Final

from proxyd import errors
from proxyd.codec.certificate import preload
from proxyd.filters.stream_info import ConnectionStream, StreamInfo
from proxyd.snapshot.sources import (
    Constant,
    Duration,
    Fact,
    GrpcStatus,
    Path,
    QueryParameter,
    RequestHeader,
    ResponseHeader,
    ResponseTrailer,
    Source,
    StartTime,
    Value,
    flags_long_text,
    grpc_status,
    header_bytes,
    port_of,
    request_headers_bytes,
    underscored,
    without_port,
)
from proxyd.snapshot.time_format import DEFAULT_LOCAL_TIME, DEFAULT_TIME, TimeFormat
from proxyd.snapshot.tls_operators import CONNECTION_FACTS, TLS_FACTS, TLS_TIMES, TlsFact, ValidityTime

_HOSTNAME: Final = socket.gethostname()


class FormatError(ValueError):
    """A format that cannot be compiled; the text names the operator and what is wrong with it."""


def compile_operator(name: str, parameter: str | None, limit: int) -> Source:
    """The source behind ``%name(parameter):limit%``; ``limit`` is -1 where none is given.

    Raises FormatError for an unknown operator, one that proxyd does not support, or wrong parameters.
    """
    if name in _FACTS:
        if parameter is not None or limit >= 0:
            raise FormatError(f"%{name}% takes neither a parameter nor a length")
        return Fact(_FACTS[name])
    if name in _DURATIONS:
        if parameter is not None or limit >= 0:
            raise FormatError(f"%{name}% takes neither a parameter nor a length")
        begin, end = _DURATIONS[name]
        return Duration(_MOMENTS[begin], _MOMENTS[end])
    if name in TLS_FACTS:
        if parameter is not None or limit >= 0:
            raise FormatError(f"%{name}% takes neither a parameter nor a length")
        if "_PEER_" in name or "_LOCAL_" in name:
            preload()
        return TlsFact(*TLS_FACTS[name])
    if name in TLS_TIMES:
        return _validity_time(name, parameter or "", limit)
    if name in _ABSENT or name in _ABSENT_WITH_PARAMETER:
        if name in _ABSENT_WITH_PARAMETER and not parameter:
            raise FormatError(f"%{name}% must say of what, as %{name}(NAMESPACE)%")
        return Fact(lambda _: None)
    if name in _WITH_PARAMETER:
        return _WITH_PARAMETER[name](name, parameter or "", limit)
    if name in _UNSUPPORTED:
        raise FormatError(f"%{name}% is not supported by proxyd")
    known = [*_FACTS, *_DURATIONS, *_WITH_PARAMETER, *TLS_FACTS, *TLS_TIMES]
    near = get_close_matches(name, known, 1)
    hint = f"; did you mean %{near[0]}%?" if near else ""
    raise FormatError(f"%{name}% is no operator{hint}")


def _header_names(name: str, parameter: str) -> list[bytes]:
    names = parameter.split("?")
    if not names[0] or len(names) > 2:
        raise FormatError(f"%{name}({parameter})% must name one header, or two as X?Y")
    return [header.lower().encode() for header in names if header]


def _request_header(name: str, parameter: str, limit: int) -> Source:
    return RequestHeader(_header_names(name, parameter), limit)


def _response_header(name: str, parameter: str, limit: int) -> Source:
    return ResponseHeader(_header_names(name, parameter), limit)


def _trailer(name: str, parameter: str, limit: int) -> Source:
    return ResponseTrailer(_header_names(name, parameter), limit)


def _grpc_status(name: str, parameter: str, limit: int) -> Source:
    if limit >= 0 or parameter not in ("", "CAMEL_STRING", "SNAKE_STRING", "NUMBER"):
        raise FormatError(f"%{name}({parameter})%: expected CAMEL_STRING, SNAKE_STRING or NUMBER")
    return Fact(grpc_status) if parameter == "NUMBER" else GrpcStatus(parameter == "SNAKE_STRING")


def _time(name: str, parameter: str, limit: int) -> Source:
    if limit >= 0:
        raise FormatError(f"%{name}% takes no length")
    local = name.endswith("_LOCAL")
    spec = parameter or (DEFAULT_LOCAL_TIME if local else DEFAULT_TIME)
    try:
        return StartTime(TimeFormat(spec, local), name.startswith("EMIT"))
    except ValueError as error:
        raise FormatError(f"%{name}({parameter})%: {error}") from None


def _validity_time(name: str, parameter: str, limit: int) -> Source:
    if limit >= 0:
        raise FormatError(f"%{name}% takes no length")
    side, end = TLS_TIMES[name]
    try:
        return ValidityTime(side, end, parameter)
    except ValueError as error:
        raise FormatError(f"%{name}({parameter})%: {error}") from None


def _query_parameter(name: str, parameter: str, limit: int) -> Source:
    if not parameter:
        raise FormatError(f"%{name}% must name a query parameter, as %{name}(X)%")
    return QueryParameter(parameter.encode(), limit)


def _path(name: str, parameter: str, limit: int) -> Source:
    query, _, which = parameter.partition(":")
    if query not in ("", "WQ", "NQ") or which not in ("", "ORIG", "PATH", "ORIG_OR_PATH"):
        raise FormatError(f"%{name}({parameter})%: expected WQ or NQ, then :ORIG, :PATH or :ORIG_OR_PATH")
    return Path(query != "NQ", which, limit)


def _environment(name: str, parameter: str, limit: int) -> Source:
    if not parameter:
        raise FormatError(f"%{name}% must name a variable, as %{name}(X)%")
    value = os.environ.get(parameter, "-")
    return Constant(value if limit < 0 else value[:limit])


def _details(name: str, parameter: str, limit: int) -> Source:
    if limit >= 0:
        raise FormatError(f"%{name}% takes no length")
    if parameter == "ALLOW_WHITESPACES":
        return Fact(lambda info: info.response_code_details or None)
    return Fact(lambda info: underscored(info.response_code_details))


def _common_duration(name: str, parameter: str, limit: int) -> Source:
    begin, _, rest = parameter.partition(":")
    end, _, unit = rest.partition(":")
    per_second = {"ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}.get(unit or "ms")
    if limit >= 0 or not begin or not end or per_second is None:
        raise FormatError(f"%{name}({parameter})%: expected two moments and ms, us or ns, joined by colons")
    for moment in (begin, end):
        if moment not in _MOMENTS:
            raise FormatError(
                f"%{name}({parameter})%: the moment {moment} is not supported by proxyd "
                f"(supported: {', '.join(_MOMENTS)})"
            )
    return Duration(_MOMENTS[begin], _MOMENTS[end], per_second)


def _upstream_peer(info: StreamInfo) -> str:
    """The connection's peer is the chosen host, as nothing stands in between; empty without a connection."""
    reached = info.upstream_local_address if isinstance(info, ConnectionStream) else info.upstream_first_tx
    return info.upstream_host if reached else ""


def _access_log_type(info: StreamInfo) -> str:
    return info.access_log_type if isinstance(info, ConnectionStream) else "DownstreamEnd"


_FACTS: Final[dict[str, Callable[[StreamInfo], Value]]] = {
    **CONNECTION_FACTS,
    "ACCESS_LOG_TYPE": _access_log_type,
    "BYTES_RECEIVED": lambda info: info.bytes_received,
    "BYTES_SENT": lambda info: info.bytes_sent,
    "CONNECTION_ID": lambda info: info.connection.id,
    "CONNECTION_TERMINATION_DETAILS": lambda info: (
        info.connection_termination_details or underscored(info.connection.termination_details)
    ),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": lambda info: info.connection.direct_local_address or None,
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": lambda info: without_port(
        info.connection.direct_local_address
    ),
    "DOWNSTREAM_DIRECT_LOCAL_PORT": lambda info: port_of(info.connection.direct_local_address),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": lambda info: info.connection.direct_remote_address or None,
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": lambda info: without_port(
        info.connection.direct_remote_address
    ),
    "DOWNSTREAM_DIRECT_REMOTE_PORT": lambda info: port_of(info.connection.direct_remote_address),
    "DOWNSTREAM_LOCAL_ADDRESS": lambda info: info.connection.local_address or None,
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": lambda info: without_port(info.connection.local_address),
    "DOWNSTREAM_LOCAL_PORT": lambda info: port_of(info.connection.local_address),
    "DOWNSTREAM_REMOTE_ADDRESS": lambda info: info.downstream_remote_address or None,
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": lambda info: without_port(info.downstream_remote_address),
    "DOWNSTREAM_REMOTE_PORT": lambda info: port_of(info.downstream_remote_address),
    "DOWNSTREAM_WIRE_BYTES_RECEIVED": lambda info: info.wire.downstream_received if info.wire else 0,
    "DOWNSTREAM_WIRE_BYTES_SENT": lambda info: info.wire.downstream_sent if info.wire else 0,
    "FILTER_CHAIN_NAME": lambda info: info.connection.filter_chain_name or None,
    "GRPC_STATUS_NUMBER": grpc_status,
    "HOSTNAME": lambda _: _HOSTNAME,
    "LOCAL_REPLY_BODY": lambda info: info.local_reply_body,
    "PROTOCOL": lambda info: info.protocol or None,
    "QUERY_PARAMS": lambda info: info.path.partition(b"?")[2] or None,
    "REQUEST_HEADERS_BYTES": request_headers_bytes,
    "RESPONSE_CODE": lambda info: info.response_code,
    "RESPONSE_FLAGS": lambda info: errors.flags_text(info.response_flags),
    "RESPONSE_FLAGS_LONG": lambda info: flags_long_text(info.response_flags),
    "RESPONSE_TRAILERS_BYTES": lambda info: header_bytes(info.response_trailers),
    "ROUTE_NAME": lambda info: info.route_name or None,
    "STREAM_ID": lambda info: info.request_id or None,
    "UNIQUE_ID": lambda _: str(uuid.uuid4()),
    "UPSTREAM_CLUSTER": lambda info: info.upstream_cluster or None,
    "UPSTREAM_HOST": lambda info: info.upstream_host or None,
    "UPSTREAM_LOCAL_ADDRESS": lambda info: info.upstream_local_address or None,
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": lambda info: without_port(info.upstream_local_address),
    "UPSTREAM_LOCAL_PORT": lambda info: port_of(info.upstream_local_address),
    "UPSTREAM_PROTOCOL": lambda info: "HTTP/1.1" if info.upstream_first_tx else None,
    "UPSTREAM_REMOTE_ADDRESS": lambda info: _upstream_peer(info) or None,
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": lambda info: without_port(_upstream_peer(info)),
    "UPSTREAM_REMOTE_PORT": lambda info: port_of(_upstream_peer(info)),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": lambda info: info.attempt_count,
    "UPSTREAM_WIRE_BYTES_RECEIVED": lambda info: info.wire.upstream_received if info.wire else 0,
    "UPSTREAM_WIRE_BYTES_SENT": lambda info: info.wire.upstream_sent if info.wire else 0,
    "UPSTREAM_TRANSPORT_FAILURE_REASON": lambda info: underscored(info.upstream_transport_failure_reason),
}

# Moments of a stream under the names that %COMMON_DURATION% gives them
_MOMENTS: Final[dict[str, Callable[[StreamInfo], float]]] = {
    "DS_RX_BEG": lambda info: info.start,
    "DS_RX_END": lambda info: info.request_end,
    "US_TX_BEG": lambda info: info.upstream_first_tx,
    "US_TX_END": lambda info: info.upstream_last_tx,
    "US_RX_BEG": lambda info: info.response_start,
    "US_RX_END": lambda info: info.response_end,
    "DS_TX_END": lambda info: info.end,
}

_DURATIONS: Final = {
    "DURATION": ("DS_RX_BEG", "DS_TX_END"),
    "REQUEST_DURATION": ("DS_RX_BEG", "DS_RX_END"),
    "REQUEST_TX_DURATION": ("DS_RX_BEG", "US_TX_END"),
    "RESPONSE_DURATION": ("DS_RX_BEG", "US_RX_BEG"),
    "RESPONSE_TX_DURATION": ("US_RX_BEG", "DS_TX_END"),
}

_WITH_PARAMETER: Final[dict[str, Callable[[str, str, int], Source]]] = {
    "COMMON_DURATION": _common_duration,
    "EMIT_TIME": _time,
    "EMIT_TIME_LOCAL": _time,
    "ENVIRONMENT": _environment,
    "GRPC_STATUS": _grpc_status,
    "PATH": _path,
    "QUERY_PARAM": _query_parameter,
    "REQ": _request_header,
    "RESP": _response_header,
    "RESPONSE_CODE_DETAILS": _details,
    "START_TIME": _time,
    "START_TIME_LOCAL": _time,
    "TRAILER": _trailer,
}

# Operators about what proxyd has none of: metadata, filter state, traces, virtual clusters. As in Envoy where
# there is none, they stand for nothing.
_ABSENT_NAMES: Final = """
    SPAN_ID TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT TRACE_ID VIRTUAL_CLUSTER_NAME
"""
_ABSENT: Final = frozenset(_ABSENT_NAMES.split())
_ABSENT_WITH_PARAMETER: Final = frozenset(
    ("CLUSTER_METADATA", "DYNAMIC_METADATA", "FILTER_STATE", "UPSTREAM_FILTER_STATE", "UPSTREAM_METADATA")
)

# Operators of Envoy 1.40 that ask for what proxyd does not keep. They are refused by name, so that nobody
# takes them for misspelt.
_UNSUPPORTED_NAMES: Final = """
    CEL COALESCE CUSTOM_FLAGS DOWNSTREAM_CX_RTT DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED
    DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DETECTED_CLOSE_TYPE
    DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_HANDSHAKE_DURATION
    DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID
    DOWNSTREAM_LOCAL_CLOSE_REASON METADATA RESPONSE_HEADERS_BYTES ROUNDTRIP_DURATION
    ROUTE_RESOLUTION_TIME_US UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID
    UPSTREAM_CONNECTION_IDS_ATTEMPTED UPSTREAM_CONNECTION_POOL_READY_DURATION
    UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
    UPSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT
    UPSTREAM_HOSTS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAME
    UPSTREAM_HOST_NAMES_ATTEMPTED UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT
    UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_LOCAL_CLOSE_REASON UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID
    UPSTREAM_SERVER_NAME
"""
_UNSUPPORTED: Final = frozenset(_UNSUPPORTED_NAMES.split())
