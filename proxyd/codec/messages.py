"""Heads of HTTP messages, and what readers tell of messages as they unfold, whatever the protocol version."""

from typing import Final

from mypy_extensions import trait

from proxyd.codec.framing import NO_BODY
from proxyd.codec.headers import Headers

# RFC 3986 section 3.2: what an authority can be made of.
AUTHORITY_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@%[]"


class RequestHead:
    """The head of one request, framing decided, fields of one hop taken out.

    ``path`` is in origin form with its query; ``authority`` comes from an absolute target, else from Host.
    """

    __slots__ = (
        "authority", "body", "expect", "expect_continue", "has_host", "headers", "keep_alive",
        "method", "path", "plain", "scheme", "trailers", "upgrade", "version_minor",
    )  # fmt: skip

    def __init__(self, headers: Headers) -> None:
        self.method: bytes = b""
        self.path: bytes = b""
        self.authority: bytes = b""
        self.scheme: bytes = b""  # of an absolute target; empty otherwise
        self.has_host: bool = False
        # HTTP/1.1 with an authority, a path of ordinary characters and no body, asking for nothing special.
        self.plain: bool = False
        self.version_minor: int = 1
        self.headers: Headers = headers
        self.body: int = NO_BODY
        self.keep_alive: bool = True
        self.upgrade: bytes = b""  # the protocol asked for, lower-case; empty for none
        self.expect: bytes = b""
        self.expect_continue: bool = False
        self.trailers: list[tuple[bytes, bytes]] | None = None  # known at the end, where they are wanted


class ResponseHead:
    """The head of one response, framing decided, fields of one hop taken out."""

    __slots__ = ("body", "headers", "keep_alive", "status", "trailers")

    def __init__(self, headers: Headers) -> None:
        self.status: int = 0
        self.headers: Headers = headers
        self.body: int = NO_BODY
        self.keep_alive: bool = True
        self.trailers: list[tuple[bytes, bytes]] | None = None  # known at the end, where they are wanted


@trait
class RequestEvents:
    """What a RequestReader calls. Data arrives only between a head and its end."""

    __slots__ = ()

    def on_request(self, head: RequestHead) -> None:
        raise NotImplementedError

    def on_request_data(self, data: bytes) -> None:
        raise NotImplementedError

    def on_request_end(self) -> None:
        raise NotImplementedError


@trait
class ResponseEvents:
    """What a ResponseReader calls. An interim (1xx) response has no end; a 101 that was asked for is none."""

    __slots__ = ()

    def on_interim(self, head: ResponseHead) -> None:
        raise NotImplementedError

    def on_response(self, head: ResponseHead) -> None:
        raise NotImplementedError

    def on_response_data(self, data: bytes) -> None:
        raise NotImplementedError

    def on_response_end(self) -> None:
        raise NotImplementedError
