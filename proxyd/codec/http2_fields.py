"""THE place for what an HTTP/2 message may say (RFC 9113 section 8), whatever the engine lets through.

A message that breaks a rule is malformed: it reaches nobody. What passes is free of fields of one hop, of
names and values that HTTP/1 could read as something else, and announces a length only if it is to be kept.
"""

from typing import Final

from proxyd.codec.framing import (
    BODYLESS_STATUSES,
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
    UPGRADE,
    parse_length,
)
from proxyd.codec.headers import HeaderBlock, Headers, write_fields
from proxyd.codec.http2 import Fields
from proxyd.codec.lines import METHODS, TARGET_BYTES
from proxyd.codec.messages import RequestHead, ResponseHead

# HttpProtocolOptions.HeadersWithUnderscoresAction, as in http1_requests.
_REJECT_REQUEST: Final = 1

# RFC 9110 section 5.6.2, without upper-case letters (RFC 9113 section 8.2.1).
_NAME_BYTES: Final = b"abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
_METHOD_BYTES: Final = _NAME_BYTES + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SCHEME_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-."
_PLAIN_AUTHORITY_BYTES: Final = _SCHEME_BYTES + b":"
_CONTROLS: Final = bytes(code for code in range(32) if code != 9) + b"\x7f"
_CONTROLS_AND_SPACES: Final = _CONTROLS + b"\t "
_BLANKS: Final = (b" ", b"\t")

# Names seen before and what is said of them in ``framing``; peers choose them, so the table is bounded.
_NAMES: Final[dict[bytes, int]] = {}
_NAMES_LIMIT: Final = 2048
_NAME_LONGEST: Final = 64
_COOKIE: Final = 100
_UNDERSCORE: Final = 101
_BAD: Final = 102

# What becomes of a request's head beside being read.
MALFORMED: Final = 1  # a stream error (RFC 9113 section 8.1.1)
TOO_LARGE: Final = 2
TOO_MANY: Final = 3
UNDERSCORES: Final = 4
BAD_FIELD: Final = 5  # a field that must not be there, or not like this; a stream error as well

_PSEUDO: Final[dict[bytes, int]] = {
    b":method": 1,
    b":path": 2,
    b":scheme": 3,
    b":authority": 4,
    b":protocol": 5,
}
# Larger ones are not kept by each connection for the next message.
_LONGEST_BLOCK: Final = 2048


def _kind(name: bytes) -> int:
    """What is to be done about a field of this name; kept for the next one."""
    if not name or name.translate(None, _NAME_BYTES):
        return _BAD
    kind = FRAMING_FIELDS.get(name, 0)
    if name == b"cookie":
        kind = _COOKIE
    elif b"_" in name:
        kind = _UNDERSCORE
    if len(name) <= _NAME_LONGEST:
        if len(_NAMES) >= _NAMES_LIMIT:
            _NAMES.clear()
        _NAMES[name] = kind
    return kind


def _is_value(value: bytes) -> bool:
    """RFC 9113 section 8.2.1, and no other control character either: HTTP/1 allows none."""
    return (
        value.translate(None, _CONTROLS) == value and value[:1] not in _BLANKS and value[-1:] not in _BLANKS
    )


class FieldBlock:
    """The regular fields of a message: checked, without those of one hop, cookies joined (section 8.2.3)."""

    __slots__ = ("block", "content_length", "dropped", "expect", "fault", "fields", "host", "size")

    def __init__(self, fields: Fields, underscores: int, request: bool) -> None:
        """``underscores``: what becomes of names with one, as in HttpProtocolOptions."""
        self.fields: Final = fields
        self.fault: int = 0
        self.size: int = 0  # of names and values
        self.dropped: int = 0  # for an underscore
        self.host: bytes = b""
        self.expect: bytes = b""
        self.content_length: int = -1
        items: list[tuple[bytes, bytes]] = []
        cookies: list[bytes] = []
        for item in fields:
            name, value = item
            self.size += len(name) + len(value)
            kind = _NAMES.get(name, -1)
            if kind < 0:
                kind = _kind(name)
            if not _is_value(value):
                self.fault = BAD_FIELD
            elif kind == 0:
                items.append(item)
            elif kind == _UNDERSCORE:
                self._take_underscore(item, items, underscores)
            elif kind == _COOKIE and request:
                cookies.append(value)
            elif not self._take(kind, item, items, request):
                self.fault = BAD_FIELD
        if cookies:
            items.append((b"cookie", b"; ".join(cookies)))
        self.block: Final = HeaderBlock(items, write_fields(items))

    def _take_underscore(
        self, item: tuple[bytes, bytes], items: list[tuple[bytes, bytes]], underscores: int
    ) -> None:
        if not underscores:
            items.append(item)
        elif underscores == _REJECT_REQUEST:
            self.fault = self.fault or UNDERSCORES
        else:
            self.dropped += 1

    def _take(
        self, kind: int, item: tuple[bytes, bytes], items: list[tuple[bytes, bytes]], request: bool
    ) -> bool:
        """A field that a rule is about; False where it must not be there."""
        name, value = item
        if kind == CONTENT_LENGTH:
            length = parse_length(value)
            if length < 0 or self.content_length >= 0:
                return False
            self.content_length = length
            items.append(item)
        elif kind == HOST and request:
            if self.host or not value:
                return False
            self.host = value
        elif kind == TE and request and value.lower() == b"trailers":
            items.append((name, b"trailers"))
        elif kind == EXPECT and request:
            self.expect = self.expect + b"," + value if self.expect else value
        elif kind in (CONNECTION, TRANSFER_ENCODING, UPGRADE) or kind == _BAD:
            return False
        elif kind == HOP_BY_HOP:
            return name == b"http2-settings"  # the others are connection-specific (section 8.2.2)
        elif kind == TE:
            return not request  # of a response it says nothing
        else:
            items.append(item)
        return True


_NO_FIELDS: Final = FieldBlock((), 0, True)


class _RepeatedHead:
    """What a head says, for others that say the same."""

    __slots__ = ("_authority", "_block", "_body", "_method", "_path", "_plain", "_scheme")

    def __init__(self, head: RequestHead, block: HeaderBlock) -> None:
        self._method: Final = head.method
        self._path: Final = head.path
        self._scheme: Final = head.scheme
        self._authority: Final = head.authority
        self._body: Final = head.body
        self._plain: Final = head.plain
        self._block: Final = block

    def head(self) -> RequestHead:
        """One more, in which whoever gets it may change everything."""
        block = self._block
        head = RequestHead(Headers(block.items.copy(), block))
        head.method = self._method
        head.path = self._path
        head.scheme = self._scheme
        head.authority = self._authority
        head.has_host = True
        head.body = self._body
        head.plain = self._plain
        return head


class RequestFields:
    """Reads the heads of one connection's requests.

    Most bring the same fields as the one before. Calls of one method, as gRPC's are, are alike in everything:
    what is the same for the third time is not read again.
    """

    __slots__ = (
        "_allow_connect", "_known", "_last_end", "_last_fields", "_max_bytes", "_max_count", "_repeated",
        "_underscores", "dropped", "fault",
    )  # fmt: skip

    def __init__(self, max_bytes: int, max_count: int, underscores: int, allow_connect: bool) -> None:
        self._max_bytes: Final = max_bytes
        self._max_count: Final = max_count
        self._underscores: Final = underscores
        self._allow_connect: Final = allow_connect
        self._known: FieldBlock = _NO_FIELDS
        self._last_fields: Fields = ()  # of the last head that may be repeated
        self._last_end: bool = False
        self._repeated: _RepeatedHead | None = None  # what they say, once they have come twice
        self.fault: int = 0
        self.dropped: int = 0  # headers, for an underscore in their names, since somebody set it to 0

    def read(self, fields: Fields, end: bool) -> RequestHead | None:
        """The head that ``fields`` are; None where ``fault`` says why there is none."""
        self.fault = 0
        again = end == self._last_end and fields == self._last_fields
        if again and self._repeated is not None:
            return self._repeated.head()
        pseudo = 0
        size = 0
        present = 0
        head = RequestHead(_NO_HEADERS)
        protocol = b""
        for name, value in fields:
            kind = _PSEUDO.get(name, 0)
            if not kind:
                break
            bit = 1 << kind
            if present & bit:
                return self._refuse(BAD_FIELD)
            present |= bit
            pseudo += 1
            size += len(name) + len(value)
            if kind == 1:
                head.method = value
            elif kind == 2:
                head.path = value
            elif kind == 3:
                head.scheme = value
            elif kind == 4:
                head.authority = value
            else:
                protocol = value
        known = self._known
        rest = fields[pseudo:]
        if known.fields != rest:
            known = FieldBlock(rest, self._underscores, True)
            if not known.fault and known.size <= _LONGEST_BLOCK:
                self._known = known
        self.dropped += known.dropped
        if known.fault:
            return self._refuse(known.fault)
        if size + known.size > self._max_bytes:
            return self._refuse(TOO_LARGE)
        if len(fields) > self._max_count:
            return self._refuse(TOO_MANY)
        if not self._set_authority(head, present, known.host):
            return self._refuse(MALFORMED)
        block = known.block
        head.headers = Headers(block.items.copy(), block)
        if not end:
            head.body = LENGTH if known.content_length >= 0 else CHUNKED
        elif known.content_length > 0:
            return self._refuse(MALFORMED)
        if protocol or head.method == b"CONNECT":
            return head if self._set_tunnel(head, present, protocol) else self._refuse(MALFORMED)
        if present & _NEEDED != _NEEDED or not self._set_target(head):
            return self._refuse(MALFORMED)
        if known.expect:
            self._set_expect(head, known.expect)
        head.plain = (
            end
            and not known.expect
            and head.method in METHODS
            and head.path[:1] == b"/"
            and not head.path.translate(None, TARGET_BYTES)
            and bool(head.authority)
            and not head.authority.translate(None, _PLAIN_AUTHORITY_BYTES)
        )
        if again:
            self._repeated = _RepeatedHead(head, block)
        elif size + known.size <= _LONGEST_BLOCK and not known.expect and not known.dropped:
            self._last_fields = fields
            self._last_end = end
            self._repeated = None
        return head

    def _refuse(self, fault: int) -> RequestHead | None:
        self.fault = fault
        return None

    def _set_authority(self, head: RequestHead, present: int, host: bytes) -> bool:
        """An authority that the fields do not agree on is an attempt to be understood in two ways."""
        if present & _AUTHORITY:
            head.has_host = True
            # An intended difference: Envoy drops the field.
            return bool(head.authority) and (not host or host.lower() == head.authority.lower())
        head.authority = host
        head.has_host = True
        return bool(host)

    def _set_target(self, head: RequestHead) -> bool:
        """Method, scheme and path in their form (sections 8.3.1)."""
        path = head.path
        if head.method not in METHODS and (not head.method or head.method.translate(None, _METHOD_BYTES)):
            return False
        if not head.scheme or head.scheme.translate(None, _SCHEME_BYTES):
            return False
        head.scheme = head.scheme.lower()
        if path[:1] != b"/" and not (path == b"*" and head.method == b"OPTIONS"):
            return False
        return path.translate(None, _CONTROLS_AND_SPACES) == path

    def _set_expect(self, head: RequestHead, expect: bytes) -> None:
        head.expect = expect
        if expect.lower() == b"100-continue":
            head.expect_continue = True
        else:
            head.headers.items.append((b"expect", expect))

    def _set_tunnel(self, head: RequestHead, present: int, protocol: bytes) -> bool:
        """A CONNECT (section 8.5), or one for another protocol (RFC 8441): to the exchange, an upgrade."""
        if head.method != b"CONNECT" or not head.authority or head.body == NO_BODY:
            return False
        if head.body == LENGTH:
            return False
        head.body = NO_BODY
        if not present & 1 << _PSEUDO[b":protocol"]:
            return not present & (_NEEDED & ~(1 << 1))
        if not self._allow_connect or present & _NEEDED != _NEEDED or not protocol:
            return False
        if protocol.translate(None, _METHOD_BYTES + b"/"):
            return False
        head.method = b"GET"
        head.upgrade = protocol.lower()
        head.headers.items.append((b"connection", b"Upgrade"))
        head.headers.items.append((b"upgrade", protocol))
        return self._set_target(head)


_NO_HEADERS: Final = Headers()
_NEEDED: Final = 1 << 1 | 1 << 2 | 1 << 3
_AUTHORITY: Final = 1 << 4


class ResponseFields:
    """Reads the heads of one connection's responses; most bring the same fields as the one before."""

    __slots__ = (
        "_known", "_last_body", "_last_end", "_last_fields", "_last_status", "_max_bytes", "_max_count",
        "fault",
    )  # fmt: skip

    def __init__(self, max_bytes: int, max_count: int) -> None:
        self._max_bytes: Final = max_bytes
        self._max_count: Final = max_count
        self._known: FieldBlock = _NO_FIELDS
        # Of the last head of a response whose fields are those of ``_known``, what it says beside them.
        self._last_fields: Fields = ()
        self._last_end: bool = False
        self._last_status: int = 0
        self._last_body: int = NO_BODY
        self.fault: int = 0

    def read(self, fields: Fields, end: bool, to_head: bool) -> ResponseHead | None:
        """The head that ``fields`` are, of a response or an interim one; None where ``fault`` says why not.

        ``to_head``: it answers a HEAD.
        """
        self.fault = 0
        if not to_head and self._last_status and end == self._last_end and fields == self._last_fields:
            block = self._known.block
            head = ResponseHead(Headers(block.items.copy(), block))
            head.status = self._last_status
            head.body = self._last_body
            return head
        status = fields[0][1] if fields and fields[0][0] == b":status" else b""
        if len(status) != 3 or not status.isdigit() or status == b"101" or status < b"100":
            self.fault = MALFORMED
            return None
        known = self._known
        rest = fields[1:]
        if known.fields != rest:
            known = FieldBlock(rest, 0, False)
            if not known.fault and known.size <= _LONGEST_BLOCK:
                self._known = known
                self._last_status = 0
        if known.fault:
            self.fault = known.fault
        elif known.size > self._max_bytes:
            self.fault = TOO_LARGE
        elif len(fields) > self._max_count:
            self.fault = TOO_MANY
        if self.fault:
            return None
        block = known.block
        head = ResponseHead(Headers(block.items.copy(), block))
        head.status = int(status)
        length = known.content_length
        if to_head or head.status < 200 or head.status in BODYLESS_STATUSES:
            if length >= 0 and not to_head and head.status != 304:
                if length > 0:
                    self.fault = MALFORMED  # it announces what it must not have
                    return None
                head.headers.remove(b"content-length")
            head.body = NO_BODY
        elif end and length > 0:
            self.fault = MALFORMED
            return None
        elif not end and length != 0:
            head.body = CHUNKED if length < 0 else LENGTH
        if known is self._known and head.headers.block() is block and not to_head and head.status >= 200:
            self._last_fields = fields
            self._last_end = end
            self._last_status = head.status
            self._last_body = head.body
        return head


def read_trailers(fields: Fields) -> list[tuple[bytes, bytes]] | None:
    """The fields behind a body, but for those that frame or route a message; None if they are malformed."""
    trailers: list[tuple[bytes, bytes]] = []
    for item in fields:
        kind = _NAMES.get(item[0], -1)
        if kind < 0:
            kind = _kind(item[0])
        if kind in _NOT_TRAILERS or not _is_value(item[1]):
            return None
        if kind == 0 or kind >= _COOKIE:
            trailers.append(item)
    return trailers


_NOT_TRAILERS: Final = frozenset((CONNECTION, TRANSFER_ENCODING, UPGRADE, HOP_BY_HOP, _BAD))
