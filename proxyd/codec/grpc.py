"""What HTTP has to know of gRPC."""

from typing import Final

from proxyd.codec.headers import Headers

_UNKNOWN: Final = 2
_STATUS: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_CONTENT_TYPE: Final = b"application/grpc"


def is_grpc(headers: Headers) -> bool:
    """Whether the content is gRPC: ``application/grpc``, alone or with a ``+`` behind it."""
    content_type = headers.get(b"content-type")
    if content_type is None or not content_type.startswith(_CONTENT_TYPE):
        return False
    return content_type[len(_CONTENT_TYPE) : len(_CONTENT_TYPE) + 1] in (b"", b"+")


def grpc_status_of(status: int) -> int:
    """The gRPC status that stands for an HTTP status."""
    return _STATUS.get(status, _UNKNOWN)
