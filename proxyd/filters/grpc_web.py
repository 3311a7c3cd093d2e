"""``envoy.filters.http.grpc_web``: gRPC-Web, which browsers can speak, to the client, gRPC to the host.

The messages are the same. Of a call as text the body is base64, and so is that of an answer to who accepts
it, each message by itself; an answer's trailers are one more message behind the others. What is no answer of
gRPC becomes one of its head alone.

Source: gRPC Web, PROTOCOL-WEB.md, and what Envoy 1.40 does.
"""

import base64
import binascii
from typing import Final

from proxyd.codec.grpc import (
    PREFIX,
    grpc_status_of,
    is_grpc_response,
    message_prefix,
    percent_encoded,
    service_and_method,
)
from proxyd.filters.http_filter import (
    CONTINUE,
    STOP_ITERATION,
    STOP_ITERATION_NO_BUFFER,
    Body,
    HttpFilter,
    HttpFilterFactory,
    Trailers,
)
from proxyd.filters.stream_info import StreamInfo
from proxyd.stats.grpc_scopes import GrpcMethodStats, GrpcStats

_BINARY: Final = frozenset((b"application/grpc-web", b"application/grpc-web+proto"))
_TEXT: Final = frozenset((b"application/grpc-web-text", b"application/grpc-web-text+proto"))
_BINARY_ANSWER: Final = b"application/grpc-web+proto"
_TEXT_ANSWER: Final = b"application/grpc-web-text+proto"

_CONTENT_TYPE: Final = b"content-type"
_STATUS: Final = b"grpc-status"
_MESSAGE: Final = b"grpc-message"

_TRAILERS: Final = 0x80  # the flag of a message that is trailers
_MOST_MESSAGE: Final = 16384  # bytes of a body that become ``grpc-message``
_GROUP: Final = 3  # bytes that become four characters

_BAD_BASE64: Final = b"Bad gRPC-web request, invalid base64 data."


class GrpcWebFactory(HttpFilterFactory):
    """It has no options."""

    def __init__(self, stats: GrpcStats) -> None:
        self.stats: Final = stats

    def create(self) -> HttpFilter:
        return GrpcWebFilter(self)


class GrpcWebFilter(HttpFilter):
    """The filter for one request."""

    __slots__ = (
        "_factory", "_info", "_is_web", "_message", "_pending", "_stats", "_text", "_text_request",
        "_transforms",
    )  # fmt: skip

    def __init__(self, factory: GrpcWebFactory) -> None:
        super().__init__()
        self._factory: Final = factory
        self._is_web: bool = False
        self._text_request: bool = False
        self._pending: bytes = b""  # characters of the request, fewer than make a group
        self._text: MessageEncoder | None = None  # of an answer as text
        self._transforms: bool = False  # what the host says is no gRPC
        self._message: bytes = b""
        self._stats: GrpcMethodStats | None = None
        self._info: StreamInfo | None = None

    # -- the request

    def decode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        headers = info.request_headers
        content_type = headers.get(_CONTENT_TYPE) or b""
        self._text_request = content_type in _TEXT
        if not self._text_request and content_type not in _BINARY:
            return CONTINUE
        self._is_web = True
        self._info = info
        self._count(info.path)
        headers.remove(b"content-length")
        headers.set(_CONTENT_TYPE, b"application/grpc")
        headers.set(b"te", b"trailers")
        if headers.get(b"grpc-accept-encoding") is None:
            headers.add(b"grpc-accept-encoding", b"identity")
        if b",".join(headers.get_all(b"accept")) in _TEXT:
            self._text = MessageEncoder()
        return CONTINUE

    def _count(self, path: bytes) -> None:
        cluster = self.callbacks.cluster_stat_name()
        names = service_and_method(path)
        if cluster and names is not None:
            self._stats = self._factory.stats.method(cluster, names[0], names[1])

    def decode_data(self, body: Body, end_stream: bool) -> int:
        if not self._text_request:
            return CONTINUE
        text = self._pending + body.data
        whole = len(text) // 4 * 4
        if end_stream and whole != len(text):
            return self._refuse("grpc_base_64_decode_failed_bad_size")
        self._pending = text[whole:]
        if not whole:
            body.data = b""
            return CONTINUE
        decoded = _decode(text[:whole])
        if not decoded:
            return self._refuse("grpc_base_64_decode_failed")
        body.data = decoded
        return CONTINUE

    def _refuse(self, details: str) -> int:
        self.callbacks.send_local_reply(400, _BAD_BASE64, details)
        return STOP_ITERATION_NO_BUFFER

    # -- the response

    def encode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        if not self._is_web:
            return CONTINUE
        headers = info.response_headers
        self._charge(headers.get(_STATUS))
        self._transforms = (
            not end_stream
            and not is_grpc_response(info.response_code, headers, end_stream)
            and not (info.response_code == 200 and _is_web(headers.get(_CONTENT_TYPE)))
        )
        headers.set(_CONTENT_TYPE, _BINARY_ANSWER if self._text is None else _TEXT_ANSWER)
        if self._transforms:
            return STOP_ITERATION
        if not end_stream:
            headers.remove(b"content-length")  # trailers will come behind
        return CONTINUE

    def _charge(self, status: bytes | None) -> None:
        if self._stats is not None and status is not None:
            self._stats.charge_status(status)

    def encode_data(self, body: Body, end_stream: bool) -> int:
        if not self._is_web:
            return CONTINUE
        if self._transforms:
            left = _MOST_MESSAGE - len(self._message)
            self._message += body.data[:left]
            body.data = b""
            if not end_stream:
                return STOP_ITERATION_NO_BUFFER
            self._transform()
        elif self._text is not None:
            body.data = self._text.feed(body.data)
        return CONTINUE

    def encode_trailers(self, trailers: Trailers) -> int:
        if not self._is_web:
            return CONTINUE
        self._charge(next((value for name, value in trailers if name == _STATUS), None))
        if self._transforms:
            self._transform()
            return CONTINUE
        lines = b"".join([name + b":" + value + b"\r\n" for name, value in trailers])
        message = message_prefix(len(lines), _TRAILERS) + lines
        trailers.clear()
        self.callbacks.add_encoded_data(message if self._text is None else base64.b64encode(message))
        return CONTINUE

    def _transform(self) -> None:
        """Say all that there is in the head."""
        info = self._info
        if info is not None:
            headers = info.response_headers
            headers.set(_STATUS, b"%d" % grpc_status_of(info.response_code))
            headers.set(_MESSAGE, percent_encoded(self._message))
            headers.set(b"content-length", b"0")


class MessageEncoder:
    """Messages as base64, each by itself, as they come."""

    __slots__ = ("_held", "_left")

    def __init__(self) -> None:
        self._held: bytes = b""  # of the message under way: not enough for a group, or for its length
        self._left: int = -1  # bytes of it that are no text yet, those held included; -1: not known

    def feed(self, data: bytes) -> bytes:
        """The text of what is complete."""
        if not data:
            return b""
        data = self._held + data
        self._held = b""
        text: list[bytes] = []
        place = 0
        end = len(data)
        while place < end:
            start = place
            if self._left < 0:
                if end - place < PREFIX:
                    break
                self._left = PREFIX + int.from_bytes(data[place + 1 : place + PREFIX], "big")
            step = min(self._left, end - place)
            if step < self._left:
                step -= step % _GROUP  # the message goes on
                if step == 0:
                    break
            place += step
            self._left -= step
            text.append(base64.b64encode(data[start:place]))
            if self._left == 0:
                self._left = -1
        self._held = data[place:]
        return b"".join(text)


def _decode(text: bytes) -> bytes:
    """What base64 stands for; empty where it is none in its one right form (RFC 4648 section 3.5)."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
    return decoded if base64.b64encode(decoded) == text else b""


def _is_web(content_type: bytes | None) -> bool:
    """Whether a host speaks gRPC-Web itself."""
    return content_type is not None and content_type.partition(b";")[0].strip().lower() in _BINARY
