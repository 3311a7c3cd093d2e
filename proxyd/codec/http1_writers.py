"""HTTP/1 heads, chunks and trailers as they are written (RFC 9112)."""

from typing import Final

from proxyd.codec.framing import CHUNKED, NO_BODY, end_to_end
from proxyd.codec.headers import Headers

REASONS: Final[dict[int, bytes]] = {
    100: b"Continue", 101: b"Switching Protocols",
    200: b"OK", 201: b"Created", 202: b"Accepted", 203: b"Non-Authoritative Information", 204: b"No Content",
    205: b"Reset Content", 206: b"Partial Content", 207: b"Multi-Status", 208: b"Already Reported",
    226: b"IM Used", 300: b"Multiple Choices", 301: b"Moved Permanently", 302: b"Found", 303: b"See Other",
    304: b"Not Modified", 305: b"Use Proxy", 307: b"Temporary Redirect", 308: b"Permanent Redirect",
    400: b"Bad Request", 401: b"Unauthorized", 402: b"Payment Required", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 406: b"Not Acceptable", 407: b"Proxy Authentication Required",
    408: b"Request Timeout", 409: b"Conflict", 410: b"Gone", 411: b"Length Required",
    412: b"Precondition Failed", 413: b"Payload Too Large", 414: b"URI Too Long",
    415: b"Unsupported Media Type", 416: b"Range Not Satisfiable", 417: b"Expectation Failed",
    421: b"Misdirected Request", 422: b"Unprocessable Entity", 423: b"Locked", 424: b"Failed Dependency",
    426: b"Upgrade Required", 428: b"Precondition Required", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large", 500: b"Internal Server Error", 501: b"Not Implemented",
    502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported", 506: b"Variant Also Negotiates", 507: b"Insufficient Storage",
    508: b"Loop Detected", 510: b"Not Extended", 511: b"Network Authentication Required",
    599: b"Last Unassigned Server Error Code",
}  # fmt: skip

_STATUS_LINES: Final[dict[int, bytes]] = {
    status: b"HTTP/1.1 %d %s\r\n" % (status, reason) for status, reason in REASONS.items()
}

LAST_CHUNK: Final = b"0\r\n\r\n"


def status_line(minor: int, status: int) -> bytes:
    """The status line of HTTP/1.``minor``; as in Envoy, unregistered codes are called Unknown."""
    line = _STATUS_LINES.get(status)
    if line is None:
        line = b"HTTP/1.1 %d Unknown\r\n" % status
    return line if minor else b"HTTP/1.0" + line[8:]


def write_request_head(method: bytes, path: bytes, authority: bytes, headers: Headers, body: int) -> bytes:
    """A request head; writes the framing of ``body`` except a length, which is in ``headers``."""
    return b"".join(
        (
            method,
            b" ",
            path,
            b" HTTP/1.1\r\nhost: ",
            authority,
            b"\r\n",
            headers.wire(),
            b"transfer-encoding: chunked\r\n\r\n" if body == CHUNKED else b"\r\n",
        )
    )


def write_response_head(minor: int, status: int, headers: Headers, body: int, connection: bytes) -> bytes:
    """A response head; ``connection`` is the value of that field, empty for none."""
    end = b"transfer-encoding: chunked\r\n" if body == CHUNKED else b""
    if connection:
        end += b"connection: %b\r\n" % connection
    return b"".join((status_line(minor, status), headers.wire(), end, b"\r\n"))


def write_interim(status: int, items: list[tuple[bytes, bytes]]) -> bytes:
    """The head of an interim response, which is all of it."""
    return write_response_head(1, status, Headers(items), NO_BODY, b"")


def write_trailers(items: list[tuple[bytes, bytes]]) -> bytes:
    """The end of a chunked body with trailer fields; those that may not be trailers are left out."""
    fields = [b"%b: %b\r\n" % item for item in end_to_end(items)]
    return b"0\r\n%b\r\n" % b"".join(fields)


def write_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112 section 7.1); ``data`` must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)
