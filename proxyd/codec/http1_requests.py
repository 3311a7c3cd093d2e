"""HTTP/1 requests: bytes in, calls out. No socket, no clock (RFC 9112).

The reader owns one httptools parser and calls its events object as requests unfold. Leniency flags of the
parser are never set; what it lets through is refused here by the rules of ``framing``.
"""

from typing import Final

import httptools

from proxyd.codec.framing import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    FRAMING_FIELDS,
    HOP_BY_HOP,
    HOST,
    LENGTH,
    NO_BODY,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    may_nominate,
    nominated,
    parse_length,
    request_body,
    upgrade_connection,
)
from proxyd.codec.headers import NO_HEADERS, HeaderBlock, Headers, write_fields
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
from proxyd.codec.lines import KEEP_ALIVE, LINES, METHODS, TARGET_BYTES, WIRES, learn_line, take_host
from proxyd.codec.messages import AUTHORITY_BYTES, RequestEvents, RequestHead
from proxyd.errors import (
    BAD_REQUEST,
    BODY_DISALLOWED,
    CONNECTION_HEADER,
    HEADERS_TOO_LARGE,
    HTTPS_ON_PLAINTEXT,
    INVALID_AUTHORITY,
    INVALID_CHARACTERS,
    INVALID_SCHEME,
    INVALID_URL,
    LENGTH_AND_CHUNKED,
    LOW_VERSION,
    TOO_MANY_HEADERS,
    UNDERSCORE_IN_NAME,
    UNKNOWN_TRANSFER_ENCODING,
    Failure,
)

# What a first line has beside method and target, with the empty line; a field beside name and value.
_LINE_BYTES: Final = len(b"  HTTP/1.1\r\n\r\n")
# HttpProtocolOptions.HeadersWithUnderscoresAction.
ALLOW: Final = 0
REJECT_REQUEST: Final = 1
DROP_HEADER: Final = 2
# How llhttp begins to word that a character must not be where it is, and those that Envoy refuses first.
_WRONG_CHARACTER: Final = ("Invalid header value char", "Invalid header token", "Invalid char in url")
_HOST_NAME_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-."
_IPV6_BYTES: Final = b"ABCDEFabcdef0123456789:."


def _is_url_authority(authority: bytes, with_port: bool) -> bool:
    """Whether a target's authority is host or host:port as Envoy takes them: more narrowly than a Host field.

    User information (RFC 9110 section 4.2.4) is taken for an attempt to deceive.
    """
    if authority[:1] == b"[":
        host, closed, rest = authority[1:].partition(b"]")
        colon, port = rest[:1], rest[1:]
        if not closed or host.translate(None, _IPV6_BYTES):
            return False
    else:
        host, colon, port = authority.partition(b":")
        if host.translate(None, _HOST_NAME_BYTES):
            return False
    if not colon:
        return bool(host) and not with_port
    return bool(host) and colon == b":" and port.isdigit() and len(port) <= 8 and int(port) <= 65535


def _plain_block(lines: list[bytes]) -> HeaderBlock | None:
    """The fields of these lines, or None where the parser has to look at one of them."""
    try:
        items = list(map(LINES.__getitem__, lines))
        wires = list(map(WIRES.__getitem__, lines))
        wires.append(b"")
        return HeaderBlock(items, b"\r\n".join(wires))
    except KeyError:
        pass
    items = []
    for line in lines:
        item = LINES.get(line)
        if item is None:
            if line in KEEP_ALIVE:
                continue  # what HTTP/1.1 does anyhow
            item = learn_line(line)
            if item is None:
                return None
        items.append(item)
    return HeaderBlock(items, write_fields(items))


class Opening:
    """What followed the first line of the first head on some connection."""

    def __init__(self, block: bytes, authority: bytes, fields: HeaderBlock, count: int) -> None:
        self.block: Final = block
        self.authority: Final = authority
        self.fields: Final = fields
        self.count: Final = count


# Connections of one kind of client begin alike: they share what they say. Peers choose it, so it is bounded.
OPENINGS: Final[dict[bytes, Opening]] = {}
_MOST_OPENINGS: Final = 512
_NO_FIELDS: Final = HeaderBlock([], b"")
_NO_HEAD: Final = RequestHead(NO_HEADERS)


class _Nobody(RequestEvents):
    """Whom a released reader would tell, if it read anything."""


_NOBODY: Final = _Nobody()


class RequestReader:
    """Reads the requests of one downstream connection."""

    def __init__(
        self,
        events: RequestEvents,
        max_header_bytes: int,
        max_header_count: int,
        accept_http_10: bool,
        allow_absolute_url: bool,
        underscores: int = ALLOW,
        refuse_https: bool = False,
        enable_trailers: bool = False,
    ) -> None:
        """Three parameters are Envoy's Http1ProtocolOptions of these names. Beside them:

        ``underscores``: what becomes of a header with one in its name, ALLOW, REJECT_REQUEST or DROP_HEADER.
        ``refuse_https``: a target that says https is no client's of a plain connection.
        """
        self._events: RequestEvents = events
        self._max_bytes: Final = max_header_bytes
        self._max_count: Final = max_header_count
        self._accept_http_10: Final = accept_http_10
        self._allow_absolute_url: Final = allow_absolute_url
        self._underscores: Final = underscores
        self._refuse_https: Final = refuse_https
        self._enable_trailers: Final = enable_trailers
        # Made for the first request that needs it: most connections have none.
        self._parser: httptools.HttpRequestParser | None = None
        self._head: RequestHead = _NO_HEAD  # what the parser reads; a plain head is not kept
        self._items: list[tuple[bytes, bytes]] = _NO_HEAD.headers.items
        self._url: bytes = b""
        self._bytes: int = 0
        self._fed: int = 0  # bytes of the head or chunk framing under way, at least
        self._carried: int = 0  # bytes of the head under way fed before, at most
        self._feeding: int = 0  # bytes being fed
        self._progress: bool = False  # what was fed held more than these
        self._count: int = 0  # of fields that are not in _items
        self._content_length: bytes | None = None
        self._transfer_encoding: bytes | None = None
        self._connection: bytes = b""
        self._block: bytes = b""  # what followed the first line of the last plain head, and what it said
        self._block_authority: bytes = b""
        self._block_fields: HeaderBlock = _NO_FIELDS
        self._in_body: bool = False
        self._left: int = 0  # bytes of a body of known length that are still to come
        self._unparsed: bool = False  # the parser has not seen some of them
        self._restored: bool = False  # the parser was given a synthetic head after a refused upgrade
        self._ended: bool = False  # nothing may follow (Connection: close or a failure)
        self._past_head: bool = False  # behind a head that asked for an upgrade: nothing is parsed
        self._tunnel: bool = False
        self._held: bytes = b""
        self.postponed: bool = False  # nobody has said yet whether that head begins a tunnel
        self.failure: Failure | None = None
        self.in_head: bool = False  # a head has begun and is not complete
        self.dropped: int = 0  # headers, for an underscore in their names, since somebody set it to 0

    def release(self) -> None:
        """Hear no more and tell no more: without the circle with its owner both are freed at once."""
        self._events = _NOBODY
        self._parser = None
        self._ended = True

    def feed(self, data: bytes) -> Failure | None:
        """Read ``data``; returns the failure that ended the connection's readability, else None.

        Every byte after a failure or after a request that asked to close is ignored.
        """
        if self._past_head:
            self._pass_on(data)
            return self.failure
        if self._left and not self._ended:
            data = self._take_body(data)
            if not data:
                return self.failure
        if not self.in_head and not self._in_body and not self._ended and self._read_plain(data):
            return self.failure
        rest: bytes | memoryview = data
        while not self._ended:
            self._progress = False
            self._feeding = len(rest)
            parser = self._parser
            if parser is None:
                self._parser = parser = httptools.HttpRequestParser(self)
            try:
                parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = memoryview(rest)[upgrade.args[0] :]
                if self._tunnel or self.postponed:
                    self._past_head = True
                    self._pass_on(bytes(rest))
                    break
                self._after_upgrade()
                if rest:
                    continue
            except httptools.HttpParserError as error:
                raise_bug(error)
                if not self._ended:
                    self._ended = True
                    self.failure = self._failure_of(str(error), rest)
                break
            # The parser collects an unfinished field before it is seen here.
            if self.in_head or self._in_body:
                self._carried += len(rest)
                self._fed = 0 if self._progress else self._fed + len(rest)
                if self._fed > self._max_bytes:
                    self._ended = True
                    self.failure = HEADERS_TOO_LARGE
            break
        return self.failure

    def _take_body(self, data: bytes) -> bytes:
        """Hand on what of a body need not be parsed, for the parser would copy it; returns what is left."""
        left = self._left - len(data)
        if left > 0:
            self._left = left
            self._unparsed = True
            self._fed = 0
            self._events.on_request_data(data)
            return b""
        if not self._unparsed:
            return data
        end = self._left
        self._left = 0
        self._unparsed = False
        self._parser = None  # it has not seen where the body ends
        self._events.on_request_data(data[:end])
        self._in_body = False
        self._ended = not self._head.keep_alive
        self._events.on_request_end()
        return data[end:]

    def _read_plain(self, data: bytes) -> bool:
        """Read ``data`` where it is one head without a body that says nothing out of the ordinary.

        False where it is anything else, and nothing has happened. Most requests are of this kind, and most
        differ from the one before in their first line only.
        """
        block = self._block
        end = len(data) - len(block) if block and data.endswith(block) else -1
        place = end if end >= 0 else data.find(b"\r\n")
        if place <= 0:
            return False
        first = data[:place].split(b" ")
        if len(first) != 3 or first[2] != b"HTTP/1.1" or first[0] not in METHODS:
            return False
        path = first[1]
        if path[:1] != b"/" or path.translate(None, TARGET_BYTES):
            return False
        if (end < 0 and not self._take_block(data[place:])) or len(data) > self._max_bytes:
            return False
        fields = self._block_fields
        head = RequestHead(Headers(fields.items.copy(), fields))
        head.method = first[0]
        head.path = path
        head.authority = self._block_authority
        head.has_host = True
        head.plain = True
        self._events.on_request(head)
        self._events.on_request_end()
        return True

    def _take_block(self, block: bytes) -> bool:
        """Keep the fields of ``block``, which begins behind the first line; False if it is not plain."""
        opens = not self._block and len(block) <= LONGEST_BLOCK
        if opens:
            known = OPENINGS.get(block)
            if known is not None and known.count < self._max_count:
                self._block = known.block
                self._block_authority = known.authority
                self._block_fields = known.fields
                return True
        fields = block.split(b"\r\n")
        count = len(fields) - 4  # beside Host, what is before the first end of line and behind the last two
        if count < 0 or fields[-1] or fields[-2] or count >= self._max_count:
            return False
        fields = fields[1:-2]
        authority = take_host(fields)
        if not authority:
            return False
        plain = _plain_block(fields)
        if plain is None:
            return False
        self._block = block if len(block) <= LONGEST_BLOCK else b""
        self._block_authority = authority
        self._block_fields = plain
        if opens:
            if len(OPENINGS) >= _MOST_OPENINGS:
                OPENINGS.clear()
            OPENINGS[block] = Opening(block, authority, plain, count)
        return True

    def _failure_of(self, text: str, data: bytes | memoryview) -> Failure:
        """What llhttp's words for a refused head are called in Envoy; ``data`` is what was fed."""
        if self._in_body:
            return BAD_REQUEST
        if "Transfer-Encoding" in text:
            return LENGTH_AND_CHUNKED if "Content-Length" in text else UNKNOWN_TRANSFER_ENCODING
        if text == "Invalid HTTP version":
            return LOW_VERSION
        if text.startswith(_WRONG_CHARACTER) and bytes(data).translate(None, CONTROLS) != data:
            return INVALID_CHARACTERS
        return BAD_REQUEST

    def begin_tunnel(self) -> None:
        """While a head is told that asks for an upgrade or is a CONNECT: what follows is endless data."""
        self._tunnel = True

    def postpone(self) -> None:
        """The same, where it cannot be said yet: what follows is kept until ``settle``."""
        self.postponed = True

    def settle(self) -> Failure | None:
        """Go on behind a postponed head, into a tunnel after ``begin_tunnel``; returns what ``feed`` does."""
        self.postponed = False
        held, self._held = self._held, b""
        if not self._tunnel:
            self._past_head = False
            self._after_upgrade()
            if self._head.body == NO_BODY:
                self._in_body = False
                self._ended = not self._head.keep_alive
        return self.feed(held) if held else self.failure

    def _pass_on(self, data: bytes) -> None:
        if self.postponed:
            self._held += data
        elif data:
            self._events.on_request_data(data)

    def _after_upgrade(self) -> None:
        """An upgrade that is not taken: the parser stopped behind the head, the request goes on as usual."""
        head = self._head
        self._parser = parser = httptools.HttpRequestParser(self)
        if head.body != NO_BODY:
            # The parser took the body for the new protocol's bytes: a head of the same framing puts it right.
            self._restored = True
            framing = b"transfer-encoding: chunked"
            if head.body == LENGTH:
                framing = b"content-length: " + (self._content_length or b"0")
            parser.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n\r\n")
            self._restored = False

    # -- called by the parser ------------------------------------------------------------------------------

    def _calling(self) -> httptools.HttpRequestParser:
        """The parser, to be asked in what it calls."""
        parser = self._parser
        assert parser is not None
        return parser

    def on_message_begin(self) -> None:
        if self._restored:
            return
        self._head = RequestHead(Headers())
        self._items = self._head.headers.items
        self._url = b""
        self._bytes = 0
        self._fed = 0
        self._carried = 0
        self._count = 0
        self._content_length = None
        self._transfer_encoding = None
        self._connection = b""
        self.in_head = True

    def on_url(self, url: bytes) -> None:
        if self._restored:
            return
        self._url = self._url + url if self._url else url
        self._bytes += len(url)
        if self._bytes > self._max_bytes:
            self._refuse(HEADERS_TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        # The most frequent call of all. Limits are looked at once, when the head is complete; a head that
        # does not end is stopped by `feed`.
        lower = ORDINARY.get(name)
        if lower is not None and self.in_head:
            self._items.append((lower, value.strip(OWS)))
        else:
            self._other_header(name, value)

    def _other_header(self, name: bytes, value: bytes) -> None:
        """A field of the head that is seen for the first time or frames the message, or a trailer."""
        if self._restored:
            return
        lower = lower_name(name)
        if not self.in_head:
            self._bytes += len(name) + len(value)
            self._count += 1
            if self._bytes > self._max_bytes:
                self._refuse(HEADERS_TOO_LARGE)
            self._take_trailer(lower, value.strip(OWS))
            return
        if self._underscores and b"_" in lower:
            if self._underscores == REJECT_REQUEST:
                self._refuse(UNDERSCORE_IN_NAME)
            self.dropped += 1
            return
        items = self._items
        present = len(items)
        kind = FRAMING_FIELDS.get(lower, 0)
        if kind:
            self._framing_field(kind, lower, value.strip(OWS))
        else:
            items.append((lower, value.strip(OWS)))
        if len(items) == present:
            self._count += 1
            self._bytes += len(name) + len(value)

    def _check_limits(self) -> None:
        items = self._items
        if self._carried + self._feeding > self._max_bytes:
            # As in Envoy, all of the head counts; how much space was before a value is known no more.
            size = len(self._calling().get_method()) + _LINE_BYTES + self._bytes + self._count * FIELD_BYTES
            for name, value in items:
                size += len(name) + len(value) + FIELD_BYTES
            if size > self._max_bytes:
                self._refuse(HEADERS_TOO_LARGE)
        if len(items) + self._count > self._max_count:
            self._refuse(TOO_MANY_HEADERS)

    def _take_trailer(self, name: bytes, value: bytes) -> None:
        """As in Envoy, trailers are dropped unless enabled, and only then counted."""
        if not self._enable_trailers:
            return
        if self._count > self._max_count:
            self._refuse(TOO_MANY_HEADERS)
        if self._head.trailers is None:
            self._head.trailers = []
        self._head.trailers.append((name, value))

    def _framing_field(self, kind: int, name: bytes, value: bytes) -> None:
        head = self._head
        if kind == HOST:
            if head.has_host:
                self._refuse(BAD_REQUEST)
            head.has_host = True
            head.authority = value
        elif kind == CONTENT_LENGTH:
            if self._content_length is not None:
                self._refuse(BAD_REQUEST)
            self._content_length = value
            self._items.append((name, value))
        elif kind == TRANSFER_ENCODING:
            if self._transfer_encoding is not None:
                self._refuse(UNKNOWN_TRANSFER_ENCODING)
            self._transfer_encoding = value
        elif kind == CONNECTION:
            self._connection = self._connection + b"," + value if self._connection else value
        elif kind == UPGRADE:
            head.upgrade = head.upgrade + b"," + value if head.upgrade else value
        elif kind == TE:
            if b"trailers" in value.lower():
                self._items.append((name, b"trailers"))
        elif kind == EXPECT:
            head.expect = head.expect + b"," + value if head.expect else value
        else:
            assert kind == HOP_BY_HOP

    def on_headers_complete(self) -> None:
        if self._restored:
            return
        self._check_limits()
        self.in_head = False
        head = self._head
        parser = self._calling()
        head.method = parser.get_method()
        version = parser.get_http_version()
        if version == "1.1":
            head.version_minor = 1
        elif version == "1.0":
            head.version_minor = 0
            if not self._accept_http_10:
                self._refuse(LOW_VERSION)
        else:
            self._refuse(LOW_VERSION)
        body = request_body(head.version_minor, self._content_length, self._transfer_encoding)
        if isinstance(body, Failure):
            self._refuse(body)
            return
        head.body = body
        # What follows a CONNECT is not ours to read as requests.
        head.keep_alive = parser.should_keep_alive() and head.method != b"CONNECT"
        if version == "1.0" and b"keep-alive" not in self._connection.lower():
            head.keep_alive = False  # for the parser, Proxy-Connection says it too
        if self._connection:
            names = nominated(self._connection)
            if not may_nominate(names):
                self._refuse(CONNECTION_HEADER)
            self._drop_nominated(names)
        if head.upgrade:
            self._take_upgrade()
        if head.expect:
            if head.expect.lower() == b"100-continue":
                head.expect_continue = True
            else:
                head.headers.items.append((b"expect", head.expect))
        self._set_target(self._url)
        if head.authority.translate(None, AUTHORITY_BYTES):
            self._refuse(INVALID_AUTHORITY)
        self._in_body = True
        self._progress = True
        self._count = 0
        self._bytes = 0
        if body == LENGTH and not head.upgrade and head.method != b"CONNECT":
            self._left = parse_length(self._content_length or b"")
        self._events.on_request(head)

    def _take_upgrade(self) -> None:
        """An Upgrade field stands for itself and its Connection option; in HTTP/1.0 it means nothing."""
        head = self._head
        wanted, head.upgrade = head.upgrade, b""
        if head.version_minor == 0 or not self._calling().should_upgrade():
            return
        head.upgrade = wanted.lower()
        if head.upgrade != b"h2c":
            head.headers.items.append((b"connection", upgrade_connection(self._connection)))
            head.headers.items.append((b"upgrade", wanted))

    def _drop_nominated(self, names: list[bytes]) -> None:
        if names == [b"close"] or names == [b"keep-alive"]:
            return
        head = self._head
        kept = [item for item in head.headers.items if item[0] not in names]
        head.headers.items = kept
        if b"host" in names:
            head.authority = b""

    def _set_target(self, target: bytes) -> None:
        """Split the four forms of a request target (RFC 9112 section 3.2)."""
        head = self._head
        if head.method == b"CONNECT":
            if not _is_url_authority(target, True):
                self._refuse(INVALID_URL)
            if self._transfer_encoding is not None:
                self._refuse(UNKNOWN_TRANSFER_ENCODING)
            if self._content_length is not None:
                if head.body != NO_BODY:
                    self._refuse(BODY_DISALLOWED)
                head.headers.remove(b"content-length")
            head.authority = target
            head.has_host = True
            return
        if target[:1] == b"/" or (target == b"*" and head.method == b"OPTIONS"):
            head.path = target
            return
        scheme, found, rest = target.partition(b"://")
        if not found:
            self._refuse(INVALID_URL)
        if not self._allow_absolute_url:
            head.path = target
            return
        if scheme.lower() not in (b"http", b"https"):
            self._refuse(INVALID_SCHEME)
        head.scheme = scheme.lower()
        if self._refuse_https and head.scheme == b"https":
            self._refuse(HTTPS_ON_PLAINTEXT)
        end = len(rest)
        for mark in (b"/", b"?", b"#"):
            place = rest.find(mark)
            if 0 <= place < end:
                end = place
        authority = rest[:end]
        if not _is_url_authority(authority, False):
            self._refuse(INVALID_URL)
        head.authority = authority
        head.has_host = True
        path = rest[end:]
        head.path = path if path[:1] == b"/" else b"/" + path

    def on_body(self, data: bytes) -> None:
        self._progress = True
        if self._left:
            self._left -= len(data)
        self._events.on_request_data(data)

    def on_message_complete(self) -> None:
        head = self._head
        if self._restored:
            return
        self._progress = True
        if self._tunnel or self.postponed:
            return
        if head.body != NO_BODY and self._calling().should_upgrade():
            return  # the body is still to come, behind a head that asked for an upgrade
        self._in_body = False
        if not head.keep_alive:
            self._ended = True
        self._events.on_request_end()

    def _refuse(self, failure: Failure) -> None:
        self._ended = True
        self.failure = failure
        raise Refused
