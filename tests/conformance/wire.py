"""A strict reader of HTTP/1.1 messages (RFC 9112), written for the tests and without proxyd's code.

It takes nothing that two readers could take differently: lines end in CRLF, one length or exactly
``chunked``, one Host, names are tokens. What breaks a rule raises ``Malformed``; what is not complete yet is
None.
"""

import re
from dataclasses import dataclass, field
from typing import Final

NONE: Final = "none"
LENGTH: Final = "length"
CHUNKED: Final = "chunked"
UNTIL_CLOSE: Final = "until close"

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE: Final = re.compile(rb"(%b) ([!-~\x80-\xff]+) HTTP/1\.([01])" % _TOKEN)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9]) ([\t -~\x80-\xff]*)")
_FIELD: Final = re.compile(rb"(%b):[\t ]*([\t -~\x80-\xff]*?)[\t ]*" % _TOKEN)
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[\t ]*;[\t -~\x80-\xff]*)?")

Fields = list[tuple[bytes, bytes]]


class Malformed(Exception):  # noqa: N818 - a verdict
    """The bytes are no HTTP/1.1, or could be taken for two different things."""


@dataclass
class Message:
    """A request (``first`` is method and target) or a response (status and reason)."""

    first: tuple[bytes, bytes]
    minor: int
    fields: Fields
    framing: str
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    complete: bool = True

    def all(self, name: bytes) -> list[bytes]:
        """The values of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name]

    @property
    def status(self) -> int:
        return int(self.first[0])


def take_request(data: bytes) -> tuple[Message, bytes] | None:
    """The first request of ``data`` and what follows it; None where it is not complete."""
    head = _take_head(data)
    if head is None:
        return None
    line, fields, rest = head
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Malformed(f"request line {line!r}")
    message = Message((match[1], match[2]), int(match[3]), fields, NONE)
    if len(message.all(b"host")) != 1:
        raise Malformed("not exactly one Host")
    return _take_body(message, rest, _announced(message))


def request_head(data: bytes) -> Message | None:
    """The head of an incomplete request, if at least that is there and right."""
    head = _take_head(data)
    match = _REQUEST_LINE.fullmatch(head[0]) if head else None
    if head is None or match is None:
        return None
    message = Message((match[1], match[2]), int(match[3]), head[1], NONE, complete=False)
    message.framing = _announced(message)[0]
    return message


def take_response(data: bytes, method: bytes = b"GET", closed: bool = False) -> tuple[Message, bytes] | None:
    """The first response of ``data``, to ``method``, and what follows it; None where it is not complete.

    With ``closed`` nothing more will come: a body may end there, and one that may not is cut off
    (``complete`` is False).
    """
    head = _take_head(data)
    if head is None:
        return None
    line, fields, rest = head
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise Malformed(f"status line {line!r}")
    message = Message((match[2], match[3]), int(match[1]), fields, NONE)
    announced = _announced(message)
    tunnel = method == b"CONNECT" and message.status < 300
    if method == b"HEAD" or tunnel or message.status < 200 or message.status in (204, 304):
        message.framing = announced[0]
        return message, rest
    if announced[0] == NONE:
        message.framing = UNTIL_CLOSE
        message.body = rest
        return (message, b"") if closed else None
    taken = _take_body(message, rest, announced)
    if taken is None and closed:
        message.complete = False
        message.framing = announced[0]
        message.body = _partial_body(rest, announced[0])
        return message, b""
    return taken


def _take_head(data: bytes) -> tuple[bytes, Fields, bytes] | None:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    return lines[0], [_field(line) for line in lines[1:]], data[end + 4 :]


def _field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise Malformed(f"field {line!r}")
    return match[1], match[2]


def _announced(message: Message) -> tuple[str, int]:
    """The framing that the fields announce, and the length."""
    lengths, codings = message.all(b"content-length"), message.all(b"transfer-encoding")
    if codings:
        if lengths or codings != [b"chunked"] or message.minor == 0:
            raise Malformed(f"ambiguous framing: {lengths}, {codings}")
        return CHUNKED, 0
    if not lengths:
        return NONE, 0
    if len(lengths) > 1 or not lengths[0].isdigit():
        raise Malformed(f"content-length {lengths}")
    return LENGTH, int(lengths[0])


def _take_body(message: Message, rest: bytes, announced: tuple[str, int]) -> tuple[Message, bytes] | None:
    message.framing, length = announced
    if message.framing == CHUNKED:
        return _take_chunks(message, rest)
    if len(rest) < length:
        return None
    message.body = rest[:length]
    return message, rest[length:]


def _take_chunks(message: Message, rest: bytes) -> tuple[Message, bytes] | None:
    parts = []
    while True:
        line, found, rest = rest.partition(b"\r\n")
        if not found:
            return None
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise Malformed(f"chunk {line!r}")
        size = int(match[1], 16)
        if size == 0:
            break
        if len(rest) < size + 2:
            return None
        if rest[size : size + 2] != b"\r\n":
            raise Malformed("a chunk longer than it says")
        parts.append(rest[:size])
        rest = rest[size + 2 :]
    message.body = b"".join(parts)
    while True:
        line, found, rest = rest.partition(b"\r\n")
        if not found:
            return None
        if not line:
            return message, rest
        message.trailers.append(_field(line))


def _partial_body(rest: bytes, framing: str) -> bytes:
    if framing != CHUNKED:
        return rest
    body = b""
    while match := re.match(rb"([0-9A-Fa-f]+)[^\r\n]*\r\n", rest):
        size = int(match[1], 16)
        body += rest[match.end() : match.end() + size]
        rest = rest[match.end() + size + 2 :]
    return body
