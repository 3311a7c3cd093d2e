"""``envoy.filters.http.grpc_http1_bridge``: gRPC for clients of HTTP/1, which see no trailers.

A call's answer is held until its trailers are there. What they say is then said in the head, whose status is
503 where the call has failed, and the length of the body with it.
"""

from typing import Final

from proxyd.codec.grpc import PREFIX, is_grpc, message_prefix
from proxyd.filters.http_filter import (
    CONTINUE,
    STOP_ITERATION,
    STOP_ITERATION_AND_BUFFER,
    Body,
    HttpFilter,
    HttpFilterFactory,
    Trailers,
)
from proxyd.filters.stream_info import StreamInfo

_PROTOBUF: Final = b"application/x-protobuf"
_CONTENT_LENGTH: Final = b"content-length"
_MOST_DIGITS: Final = 20  # of 64 bits


class GrpcHttp1BridgeFactory(HttpFilterFactory):
    """The compiled options."""

    def __init__(self, upgrade_protobuf: bool, ignore_query: bool) -> None:
        self.upgrade_protobuf: Final = upgrade_protobuf
        self.ignore_query: Final = ignore_query

    def create(self) -> HttpFilter:
        return GrpcHttp1BridgeFilter(self)


class GrpcHttp1BridgeFilter(HttpFilter):
    """The filter for one request."""

    __slots__ = ("_bridges", "_factory", "_frames", "_info")

    def __init__(self, factory: GrpcHttp1BridgeFactory) -> None:
        super().__init__()
        self._factory: Final = factory
        self._bridges: bool = False
        self._frames: bool = False  # the client knows nothing of gRPC's messages
        self._info: StreamInfo | None = None

    def decode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        headers = info.request_headers
        frames = self._factory.upgrade_protobuf and headers.get(b"content-type") == _PROTOBUF
        if info.protocol == "HTTP/2" or not (frames or is_grpc(headers)):
            return CONTINUE
        self._bridges = True
        self._frames = frames
        self._info = info
        if self._factory.ignore_query:
            info.path = info.path.partition(b"?")[0]
        if frames:
            headers.set(b"content-type", b"application/grpc")
            headers.remove(_CONTENT_LENGTH)
            self.callbacks.clear_route_cache()
        return CONTINUE

    def decode_data(self, body: Body, end_stream: bool) -> int:
        if not self._frames:
            return CONTINUE
        if not end_stream:
            return STOP_ITERATION_AND_BUFFER
        body.data = self._framed(self.callbacks.take_decoded_data() + body.data)
        return CONTINUE

    def decode_trailers(self, trailers: Trailers) -> int:
        if self._frames:
            self.callbacks.add_decoded_data(self._framed(self.callbacks.take_decoded_data()))
        return CONTINUE

    def _framed(self, message: bytes) -> bytes:
        """As in Envoy, no body is no message."""
        return message_prefix(len(message)) + message if message else b""

    def encode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        return STOP_ITERATION if self._bridges and not end_stream else CONTINUE

    def encode_data(self, body: Body, end_stream: bool) -> int:
        return STOP_ITERATION_AND_BUFFER if self._bridges and not end_stream else CONTINUE

    def encode_trailers(self, trailers: Trailers) -> int:
        info = self._info
        if not self._bridges or info is None:
            return CONTINUE
        headers = info.response_headers
        for name in (b"grpc-status", b"grpc-message"):
            value = next((value for key, value in trailers if key == name), None)
            if value is not None:
                headers.set(name, value)
                if name == b"grpc-status" and not _is_zero(value):
                    info.response_code = 503
        data = self.callbacks.take_encoded_data()
        if self._frames:
            data = data[PREFIX:]
        headers.set(_CONTENT_LENGTH, b"%d" % len(data))
        self.callbacks.add_encoded_data(data)
        return CONTINUE


def _is_zero(text: bytes) -> bool:
    """Whether it is a whole number, and that one."""
    digits = text.strip().removeprefix(b"+")
    return digits.isdigit() and len(digits) <= _MOST_DIGITS and int(digits) == 0
