"""Local replies in their compiled form: ``local_reply_config``, and what gRPC clients are told instead."""

from typing import Final

from proxyd.codec.grpc import grpc_status_of, percent_encoded
from proxyd.codec.headers import Headers
from proxyd.config.core import SubstitutionFormatString
from proxyd.config.local_reply import LocalReplyConfig, ResponseMapper
from proxyd.errors import NO_GRPC_STATUS
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.access_log_filter import LogFilter, compile_filter
from proxyd.snapshot.formatter import Formatter, compile_format
from proxyd.snapshot.header_mutation import HeaderMutation, compile_response_mutation
from proxyd.snapshot.runtime import Runtime

_TEXT: Final = b"text/plain"
_JSON: Final = b"application/json"
_CONTENT_TYPE: Final = b"content-type"

_GRPC: Final = b"application/grpc"


class BodyFormat:
    """What a body is made into, and of which type that is."""

    def __init__(self, source: SubstitutionFormatString) -> None:
        """Raises FormatError."""
        self.formatter: Final[Formatter] = compile_format(source)
        default = _TEXT if source.json_format is None else _JSON
        self.content_type: Final[bytes] = source.content_type.encode() or default


class Mapper:
    """A compiled ``ResponseMapper``."""

    def __init__(self, config: ResponseMapper, runtime: Runtime) -> None:
        """Raises FormatError and RegexError."""
        self.filter: Final[LogFilter] = compile_filter(config.filter, runtime)
        self.status: Final[int] = config.status_code or 0
        self.body: Final[bytes | None] = None if config.body is None else config.body.contents
        override = config.body_format_override
        self.format: Final = None if override is None else BodyFormat(override)
        self.mutation: Final[HeaderMutation | None] = compile_response_mutation(config.headers_to_add, ())


class LocalReply:
    """A compiled ``LocalReplyConfig``."""

    def __init__(self, config: LocalReplyConfig, runtime: Runtime) -> None:
        """Raises FormatError and RegexError."""
        self._mappers: Final = [Mapper(mapper, runtime) for mapper in config.mappers]
        self._format: Final = None if config.body_format is None else BodyFormat(config.body_format)

    def rewrite(self, info: StreamInfo, body: bytes) -> bytes:
        """The body in place of ``body``; status and headers are changed in ``info``."""
        before = body
        headers = info.response_headers
        content_type = headers.get(_CONTENT_TYPE)
        body_format = self._format
        for mapper in self._mappers:
            if not mapper.filter.passes(info):
                continue
            if mapper.body is not None:
                body = mapper.body
            if mapper.mutation is not None:
                mapper.mutation.apply(headers, info)
            if mapper.status:
                info.response_code = mapper.status
            body_format = mapper.format or body_format
            break
        new_type = _TEXT
        if body_format is not None:
            info.local_reply_body = body
            body = body_format.formatter.format(info)
            new_type = body_format.content_type
        # As in Envoy, the type that the route has given is that of the route's body.
        own = content_type is not None and body == before
        if body and not own and headers.get(_CONTENT_TYPE) == content_type:
            headers.set(_CONTENT_TYPE, new_type)
        return body


def answer_grpc(info: StreamInfo, body: bytes, status: int) -> None:
    """Turn a local reply into gRPC's form: all in the headers, as Envoy does.

    Without a ``status`` (NO_GRPC_STATUS) it is the one that stands for the response's own.
    """
    headers: Headers = info.response_headers
    if headers.get(_CONTENT_TYPE) == _JSON:
        body = body.removesuffix(b"\n")
    headers.set(_CONTENT_TYPE, _GRPC)
    headers.remove(b"content-length")
    if headers.get(b"grpc-status") is None:
        if status == NO_GRPC_STATUS:
            status = grpc_status_of(info.response_code)
        headers.add(b"grpc-status", b"%d" % status)
    if body and info.method != b"HEAD":
        headers.set(b"grpc-message", percent_encoded(body))
    info.response_code = 200
