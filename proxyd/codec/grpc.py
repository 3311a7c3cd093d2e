"""What HTTP has to know of gRPC."""

from typing import Final

from proxyd.codec.headers import Headers

_CONTENT_TYPE: Final = b"application/grpc"


def is_grpc(headers: Headers) -> bool:
    """Whether the content is gRPC: ``application/grpc``, alone or with a ``+`` behind it."""
    content_type = headers.get(b"content-type")
    if content_type is None or not content_type.startswith(_CONTENT_TYPE):
        return False
    return content_type[len(_CONTENT_TYPE) : len(_CONTENT_TYPE) + 1] in (b"", b"+")
