"""HTTP/1 readers and writers: bytes in, calls out, and the reverse. No socket, no clock (RFC 9112).

A reader owns one httptools parser and calls its events object as messages unfold. Leniency flags of the
parser are never set; what it lets through is refused here by the rules of ``framing``.
"""

from typing import Final

import httptools
from mypy_extensions import trait

from proxyd.codec.framing import (
    CHUNKED,
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
    TUNNEL,
    UNTIL_CLOSE,
    UPGRADE,
    end_to_end,
    may_nominate,
    nominated,
    parse_length,
    request_body,
    response_body,
    upgrade_connection,
)
from proxyd.codec.headers import HeaderBlock, Headers, write_fields
from proxyd.codec.lines import (
    KEEP_ALIVE,
    LENGTHS,
    LINES,
    METHODS,
    STATUSES,
    TARGET_BYTES,
    WIRES,
    learn_length,
    learn_line,
    learn_status,
    take_host,
)
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

# The lower-case form of names that no rule is about: names repeat, and one look tells all there is to know.
# Peers choose names: the table is bounded in both directions.
_ORDINARY: Final[dict[bytes, bytes]] = {}
_ORDINARY_LIMIT: Final = 2048
_ORDINARY_LONGEST: Final = 64
# Longer ones are not kept by each connection for the next message.
_LONGEST_BLOCK: Final = 2048
_OWS: Final = b" \t"
# What a first line has beside method and target, with the empty line; a field beside name and value.
_LINE_BYTES: Final = len(b"  HTTP/1.1\r\n\r\n")
_FIELD_BYTES: Final = len(b": \r\n")
_STATUS_BYTES: Final = len(b"HTTP/1.1 200 \r\n\r\n")
# HttpProtocolOptions.HeadersWithUnderscoresAction.
ALLOW: Final = 0
REJECT_REQUEST: Final = 1
DROP_HEADER: Final = 2
# How llhttp begins to word that a character must not be where it is, and those that Envoy refuses first.
_WRONG_CHARACTER: Final = ("Invalid header value char", "Invalid header token", "Invalid char in url")
_LINE_ENDS: Final = (b"\r", b"\n")
_CONTROLS: Final = bytes(code for code in range(32) if code not in b"\t\r\n") + b"\x7f"
# RFC 3986 section 3.2: what an authority can be made of.
_AUTHORITY_BYTES: Final = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@%[]"
)
_HOST_NAME_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-."
_IPV6_BYTES: Final = b"ABCDEFabcdef0123456789:."


def _lower(name: bytes) -> bytes:
    lower = name.lower()
    if len(name) <= _ORDINARY_LONGEST and lower not in FRAMING_FIELDS and b"_" not in lower:
        if len(_ORDINARY) >= _ORDINARY_LIMIT:
            _ORDINARY.clear()
        _ORDINARY[name] = lower
    return lower


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


class _Refused(Exception):  # noqa: N818 - ends a parser's run, is no error of this program
    """Stops the parser from inside a callback; the reason stands in the reader."""


def _raise_bug(error: httptools.HttpParserError) -> None:
    """Let out what is no refusal: the parser takes all that its callbacks raise for malformed input."""
    cause = error.__context__
    if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, _Refused):
        raise cause or error


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
        self._events: Final = events
        self._max_bytes: Final = max_header_bytes
        self._max_count: Final = max_header_count
        self._accept_http_10: Final = accept_http_10
        self._allow_absolute_url: Final = allow_absolute_url
        self._underscores: Final = underscores
        self._refuse_https: Final = refuse_https
        self._enable_trailers: Final = enable_trailers
        self._parser: httptools.HttpRequestParser = httptools.HttpRequestParser(self)
        self._head: RequestHead = RequestHead(Headers())
        self._items: list[tuple[bytes, bytes]] = []
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
        self._block_fields: HeaderBlock = HeaderBlock([], b"")
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
        self.head_seen: RequestHead | None = None  # the head that a failure belongs to, as far as it is known

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
            try:
                self._parser.feed_data(rest)
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
                _raise_bug(error)
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
        self._parser = httptools.HttpRequestParser(self)
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
        self._head = head
        self.head_seen = head
        self._events.on_request(head)
        self._events.on_request_end()
        return True

    def _take_block(self, block: bytes) -> bool:
        """Keep the fields of ``block``, which begins behind the first line; False if it is not plain."""
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
        self._block = block if len(block) <= _LONGEST_BLOCK else b""
        self._block_authority = authority
        self._block_fields = plain
        return True

    def _failure_of(self, text: str, data: bytes | memoryview) -> Failure:
        """What llhttp's words for a refused head are called in Envoy; ``data`` is what was fed."""
        if self._in_body:
            return BAD_REQUEST
        if "Transfer-Encoding" in text:
            return LENGTH_AND_CHUNKED if "Content-Length" in text else UNKNOWN_TRANSFER_ENCODING
        if text == "Invalid HTTP version":
            return LOW_VERSION
        if text.startswith(_WRONG_CHARACTER) and bytes(data).translate(None, _CONTROLS) != data:
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
        self._parser = httptools.HttpRequestParser(self)
        if head.body != NO_BODY:
            # The parser took the body for the new protocol's bytes: a head of the same framing puts it right.
            self._restored = True
            framing = b"transfer-encoding: chunked"
            if head.body == LENGTH:
                framing = b"content-length: " + (self._content_length or b"0")
            self._parser.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n\r\n")
            self._restored = False

    # -- called by the parser ------------------------------------------------------------------------------

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
        lower = _ORDINARY.get(name)
        if lower is not None and self.in_head:
            self._items.append((lower, value.strip(_OWS)))
        else:
            self._other_header(name, value)

    def _other_header(self, name: bytes, value: bytes) -> None:
        """A field of the head that is seen for the first time or frames the message, or a trailer."""
        if self._restored:
            return
        lower = _lower(name)
        if not self.in_head:
            self._bytes += len(name) + len(value)
            self._count += 1
            if self._bytes > self._max_bytes:
                self._refuse(HEADERS_TOO_LARGE)
            self._take_trailer(lower, value.strip(_OWS))
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
            self._framing_field(kind, lower, value.strip(_OWS))
        else:
            items.append((lower, value.strip(_OWS)))
        if len(items) == present:
            self._count += 1
            self._bytes += len(name) + len(value)

    def _check_limits(self) -> None:
        items = self._items
        if self._carried + self._feeding > self._max_bytes:
            # As in Envoy, all of the head counts; how much space was before a value is known no more.
            size = len(self._parser.get_method()) + _LINE_BYTES + self._bytes + self._count * _FIELD_BYTES
            for name, value in items:
                size += len(name) + len(value) + _FIELD_BYTES
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
        self.head_seen = head
        parser = self._parser
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
        if head.authority.translate(None, _AUTHORITY_BYTES):
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
        if head.version_minor == 0 or not self._parser.should_upgrade():
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
        if head.body != NO_BODY and self._parser.should_upgrade():
            return  # the body is still to come, behind a head that asked for an upgrade
        self._in_body = False
        if not head.keep_alive:
            self._ended = True
        self._events.on_request_end()

    def _refuse(self, failure: Failure) -> None:
        self._ended = True
        self.failure = failure
        raise _Refused


class ResponseReader:
    """Reads the responses of one upstream connection, one request at a time."""

    def __init__(
        self,
        events: ResponseEvents,
        max_header_bytes: int,
        max_header_count: int,
        enable_trailers: bool = False,
    ) -> None:
        self._events: Final = events
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
        if len(lines) > self._max_count or len(block) > _LONGEST_BLOCK:
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
            _raise_bug(error)
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
        if reason.translate(None, _CONTROLS) != reason:
            self._refuse()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._bytes += len(name) + len(value) + _FIELD_BYTES
        self._count += 1
        if self._bytes > self._max_bytes or self._count > self._max_count:
            self._refuse()
        value = value.strip(_OWS)
        lower = _ORDINARY.get(name)
        if lower is None:
            lower = _lower(name)
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
        raise _Refused


# -- writers -----------------------------------------------------------------------------------------------

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
