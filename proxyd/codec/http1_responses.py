"""HTTP/1 responses: bytes in, calls out. No socket, no clock (RFC 9112).

The reader owns one httptools parser and calls its events object as responses unfold, by the rules of
``framing``; its leniency flags are never set.
"""

from typing import Final

import httptools

from proxyd.codec.framing import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    FRAMING_FIELDS,
    HOST,
    LENGTH,
    NO_BODY,
    TRANSFER_ENCODING,
    TUNNEL,
    UNTIL_CLOSE,
    UPGRADE,
    nominated,
    parse_length,
    response_body,
    upgrade_connection,
)
from proxyd.codec.headers import HeaderBlock, Headers, write_fields
from proxyd.codec.http1_fields import (
    CONTROLS,
    FIELD_BYTES,
    LONGEST_BLOCK,
    ORDINARY,
    OWS,
    Refused,
    lower_name,
    raise_bug,
)
from proxyd.codec.lines import KEEP_ALIVE, LENGTHS, LINES, STATUSES, learn_length, learn_line, learn_status
from proxyd.codec.messages import ResponseEvents, ResponseHead

_STATUS_BYTES: Final = len(b"HTTP/1.1 200 \r\n\r\n")
_LINE_ENDS: Final = (b"\r", b"\n")


class _Nobody(ResponseEvents):
    """Whom a released reader would tell, if it read anything."""


_NOBODY: Final = _Nobody()
_NO_PARSER: Final = httptools.HttpResponseParser(_NOBODY)


class ResponseReader:
    """Reads the responses of one upstream connection, one request at a time."""

    def __init__(
        self,
        events: ResponseEvents,
        max_header_bytes: int,
        max_header_count: int,
        enable_trailers: bool = False,
    ) -> None:
        self._events: ResponseEvents = events
        self._enable_trailers: Final = enable_trailers
        self._max_bytes: Final = max_header_bytes
        self._max_count: Final = max_header_count
        self._parser: httptools.HttpResponseParser = httptools.HttpResponseParser(self)
        self._head: ResponseHead = ResponseHead(Headers())
        self._items: list[tuple[bytes, bytes]] = []
        self._bytes: int = 0
        self._fed: int = 0
        self._progress: bool = False
        self._count: int = 0
        self._content_length: bytes | None = None
        self._transfer_encoding: bytes | None = None
        self._connection: bytes = b""
        self._to_head: bool = False
        self._expected: bool = False  # a request is out whose response has not ended
        self._plain: bool = False  # and its response needs no special care
        self._block: bytes = b""  # the last plain head, and what it said
        self._block_status: int = 0
        self._block_fields: HeaderBlock = HeaderBlock([], b"")
        self._block_length: int = 0
        self._in_body: bool = False
        self._left: int = 0  # bytes that are still to come of a body of known length, -1 if until the close
        self._unparsed: bool = False  # the parser has not seen some of them
        self._interim: bool = False
        self._may_tunnel: bool = False
        self._to_connect: bool = False
        self._tunnel: bool = False
        self._upgrade: bytes = b""
        self._tail: bytes = b""  # the last bytes of an unfinished head behind which a tunnel may begin
        self.in_head: bool = False
        self.failed: bool = False

    def expect(self, method: bytes, tunnel: bool = False) -> None:
        """A request of ``method`` has been sent; its response may now be read.

        With ``tunnel`` it asked for an upgrade, or is a CONNECT: a head that accepts has the framing
        TUNNEL, and what follows it has no end.
        """
        self._expected = True
        self._to_head = method == b"HEAD"
        self._plain = not self._to_head and not tunnel
        self._may_tunnel = tunnel
        self._to_connect = method == b"CONNECT"

    def release(self) -> None:
        """Hear no more and tell no more: without the circle with its owner both are freed at once."""
        self._events = _NOBODY
        self._parser = _NO_PARSER
        self.failed = True

    def feed(self, data: bytes) -> bool:
        """Read ``data``; False where the peer broke the protocol, after which nothing more can be read."""
        if self.failed:
            return False
        if self._left:
            data = self._take_body(data)
            if not data:
                return True
        if self._plain and not self.in_head and not self._in_body and self._read_plain(data):
            return True
        return self._feed_to_tunnel(data) if self._may_tunnel else self._parse(data)

    def _take_body(self, data: bytes) -> bytes:
        """Hand on what of a body need not be parsed, for the parser would copy it; returns what is left."""
        end = self._left
        if end < 0:
            self._events.on_response_data(data)
            return b""
        if end > len(data):
            self._left = end - len(data)
            self._unparsed = True
            self._fed = 0
            self._events.on_response_data(data)
            return b""
        if not self._unparsed:
            return data
        self._left = 0
        self._unparsed = False
        self._parser = httptools.HttpResponseParser(self)
        self._events.on_response_data(data[:end])
        self._in_body = False
        self._expected = False
        self._events.on_response_end()
        return data[end:]

    def _read_plain(self, data: bytes) -> bool:
        """Read ``data`` where it is one whole response of known length that says nothing out of the ordinary.

        False where it is anything else, and nothing has happened.
        """
        if not self._block or not data.startswith(self._block):
            end = data.find(b"\r\n\r\n")
            if end < 0 or end + 4 > self._max_bytes or not self._take_block(data[: end + 4]):
                return False
        start = len(self._block)
        length = self._block_length
        if len(data) != start + length:
            return False
        self._plain = False
        fields = self._block_fields
        head = ResponseHead(Headers(fields.items.copy(), fields))
        head.status = self._block_status
        head.body = LENGTH if length else NO_BODY
        self._head = head
        events = self._events
        events.on_response(head)
        if length:
            events.on_response_data(data[start:])
        self._expected = False
        events.on_response_end()
        return True

    def _take_block(self, block: bytes) -> bool:
        """Keep what the head ``block`` says; False if it is not plain."""
        lines = block[:-4].split(b"\r\n")
        if len(lines) > self._max_count or len(block) > LONGEST_BLOCK:
            return False
        status = STATUSES.get(lines[0]) or learn_status(lines[0])
        if not status:
            return False
        del lines[0]
        length = -1
        items: list[tuple[bytes, bytes]] = []
        for line in lines:
            item = LINES.get(line)
            if item is None:
                known = LENGTHS.get(line)
                if known is None:
                    if line in KEEP_ALIVE:
                        continue
                    item = learn_line(line)
                    known = None if item is not None else learn_length(line)
                if known is not None:
                    if length >= 0:
                        return False
                    item, length = known
                elif item is None:
                    return False
            items.append(item)
        if length < 0:
            return False
        self._block = block
        self._block_status = status
        self._block_fields = HeaderBlock(items, write_fields(items))
        self._block_length = length
        return True

    def _feed_to_tunnel(self, data: bytes) -> bool:
        """The parser cannot tell where a head has ended, so it is given no byte of what follows one."""
        while self._may_tunnel and not self._tunnel:
            joined = self._tail + data
            end = joined.find(b"\r\n\r\n")
            if end < 0:
                self._tail = joined[-3:]
                return self._parse(data)
            length = end + 4 - len(self._tail)
            self._tail = b""
            if not self._parse(data[:length]):
                return False
            if not self._tunnel and not self._interim_over():
                self._may_tunnel = False
            data = data[length:]
            if not data:
                return True
        if self._tunnel:
            self._events.on_response_data(data)
            return True
        return self._parse(data)

    def _interim_over(self) -> bool:
        """Whether what the parser has seen last is the end of an interim response, or nothing."""
        return self._expected and not self._in_body and not self.in_head

    def _parse(self, data: bytes) -> bool:
        self._progress = False
        if data[:1] in _LINE_ENDS and not self.in_head and not self._in_body:
            self.failed = True  # the parser skips empty lines, which only requests may have before them
            return False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.failed = not self._tunnel
        except httptools.HttpParserError as error:
            raise_bug(error)
            self.failed = True
        if self.in_head or self._in_body:
            self._fed = 0 if self._progress else self._fed + len(data)
            if self._fed > self._max_bytes:
                self.failed = True
        return not self.failed

    def finish(self) -> bool:
        """The peer has closed; True where that rightly ends the response under way (RFC 9112, 6.3)."""
        if self._in_body and self._head.body == UNTIL_CLOSE and not self.failed:
            self._in_body = False
            self._left = 0
            self._expected = False
            self._events.on_response_end()
            return True
        return False

    def in_message(self) -> bool:
        """Whether a response has begun and not ended."""
        return self.in_head or self._in_body

    # -- called by the parser ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if not self._expected:
            self._refuse()  # bytes that nobody asked for
        self._head = ResponseHead(Headers())
        self._items = self._head.headers.items
        self._bytes = _STATUS_BYTES
        self._fed = 0
        self._count = 0
        self._content_length = None
        self._transfer_encoding = None
        self._connection = b""
        self.in_head = True

    def on_status(self, reason: bytes) -> None:
        self._bytes += len(reason)
        if reason.translate(None, CONTROLS) != reason:
            self._refuse()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._bytes += len(name) + len(value) + FIELD_BYTES
        self._count += 1
        if self._bytes > self._max_bytes or self._count > self._max_count:
            self._refuse()
        value = value.strip(OWS)
        lower = ORDINARY.get(name)
        if lower is None:
            lower = lower_name(name)
        if self._in_body:
            if self._enable_trailers:
                if self._head.trailers is None:
                    self._head.trailers = []
                self._head.trailers.append((lower, value))
            return
        kind = FRAMING_FIELDS.get(lower, 0)
        if kind <= HOST or kind == EXPECT:
            self._items.append((lower, value))
        elif kind == CONTENT_LENGTH:
            if self._content_length is not None:
                self._refuse()
            self._content_length = value
            self._items.append((lower, value))
        elif kind == TRANSFER_ENCODING:
            if self._transfer_encoding is not None:
                self._refuse()
            self._transfer_encoding = value
        elif kind == CONNECTION:
            self._connection = self._connection + b"," + value if self._connection else value
        elif kind == UPGRADE:
            self._upgrade = value

    def on_headers_complete(self) -> None:
        self.in_head = False
        head = self._head
        parser = self._parser
        status = parser.get_status_code()
        head.status = status
        if parser.get_http_version() not in ("1.1", "1.0"):
            self._refuse()
        if self._may_tunnel and (200 <= status < 300 if self._to_connect else status == 101):
            self._begin_tunnel()
            return
        if status < 100 or status == 101:
            self._refuse()
        if status < 200:
            if self._content_length is not None or self._transfer_encoding is not None:
                self._refuse()
            self._interim = True
            self._drop_nominated()
            self._events.on_interim(head)
            return
        self._plain = False  # what follows is no answer to this request
        head.body = response_body(status, self._to_head, self._content_length, self._transfer_encoding)
        if head.body < 0:
            self._refuse()
        head.keep_alive = parser.should_keep_alive() and head.body != UNTIL_CLOSE
        if self._to_head:  # where no length is announced, the parser expects a body until the close
            head.keep_alive = self._keeps_alive(parser.get_http_version())
        self._drop_nominated()
        if status == 204 and self._content_length is not None:  # a zero, which a 204 must not announce either
            head.headers.remove(b"content-length")
        self._in_body = True
        self._progress = True
        self._count = 0
        self._bytes = 0
        if not self._to_head:
            if head.body == LENGTH:
                self._left = parse_length(self._content_length or b"")
            elif head.body == UNTIL_CLOSE:
                self._left = -1
        self._events.on_response(head)
        if self._to_head:
            # The parser would wait for the body that a HEAD response only announces.
            self._parser = httptools.HttpResponseParser(self)
            self._in_body = False
            self._expected = False
            self._events.on_response_end()

    def _drop_nominated(self) -> None:
        if self._connection:
            headers = self._head.headers
            names = nominated(self._connection)
            headers.items = [item for item in headers.items if item[0] not in names]

    def _begin_tunnel(self) -> None:
        head = self._head
        framed = self._content_length is not None or self._transfer_encoding is not None
        self._drop_nominated()
        if self._to_connect:
            head.headers.remove(b"content-length")  # which means nothing here (RFC 9110 section 9.3.6)
        elif framed or not self._upgrade:
            self._refuse()
        else:
            head.headers.items.append((b"connection", upgrade_connection(self._connection)))
            head.headers.items.append((b"upgrade", self._upgrade))
        head.body = TUNNEL
        head.keep_alive = False
        self._tunnel = True
        self._progress = True
        self._events.on_response(head)

    def _keeps_alive(self, version: str) -> bool:
        options = nominated(self._connection)
        if b"close" in options:
            return False
        return version == "1.1" or b"keep-alive" in options

    def on_body(self, data: bytes) -> None:
        self._progress = True
        if self._left > 0:
            self._left -= len(data)
        if self._in_body:
            self._events.on_response_data(data)
        else:
            self._refuse()

    def on_message_complete(self) -> None:
        self._progress = True
        if self._interim:
            self._interim = False
            return
        if not self._in_body:
            return
        self._in_body = False
        self._expected = False
        self._events.on_response_end()

    def _refuse(self) -> None:
        self.failed = True
        raise Refused
