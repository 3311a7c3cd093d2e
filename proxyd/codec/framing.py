"""THE place for decisions about where an HTTP/1 message ends and which fields belong to one hop.

RFC 9112 section 6 (message body length) and RFC 9110 section 7.6.1 (connection-specific fields). Whatever is
ambiguous is refused: a message must never reach the next hop as something else than this proxy took it for.
"""

from typing import Final

from proxyd.errors import BAD_REQUEST, LENGTH_AND_CHUNKED, UNKNOWN_TRANSFER_ENCODING, Failure

# How the body of a message is delimited.
NO_BODY: Final = 0
LENGTH: Final = 1
CHUNKED: Final = 2
UNTIL_CLOSE: Final = 3  # responses only
TUNNEL: Final = 4  # no message any more: an upgrade or CONNECT was accepted, the bytes are the new protocol's

# Fields that the codec reads itself. Those above END_TO_END are of one hop and never forwarded.
ORDINARY: Final = 0
HOST: Final = 1
CONTENT_LENGTH: Final = 2
END_TO_END: Final = 2
CONNECTION: Final = 3
TRANSFER_ENCODING: Final = 4
UPGRADE: Final = 5
TE: Final = 6
EXPECT: Final = 7
HOP_BY_HOP: Final = 8  # keep-alive, proxy-connection, http2-settings

FRAMING_FIELDS: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"connection": CONNECTION,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
    b"te": TE,
    b"expect": EXPECT,
    b"keep-alive": HOP_BY_HOP,
    b"proxy-connection": HOP_BY_HOP,
    b"http2-settings": HOP_BY_HOP,
}

# A Connection field must not make an intermediary drop what it frames by; TE has rules of its own.
_NOT_NOMINABLE: Final = frozenset((b"content-length", b"transfer-encoding", b"te"))

# Where a request came from must not be hidden by nominating these: Envoy refuses such a request, and one that
# nominates this many.
_REFUSED_NOMINATIONS: Final = frozenset((b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"))
_TOO_MANY_NOMINATIONS: Final = 10

# Methods whose requests have no body unless a field announces one (RFC 9110 section 8.6): an h1 upstream is
# told `content-length: 0` for the others.
BODYLESS_METHODS: Final = frozenset((b"GET", b"HEAD", b"DELETE", b"CONNECT", b"TRACE"))

# Final statuses whose responses end with their head, whatever it says (RFC 9112 section 6.3).
BODYLESS_STATUSES: Final = frozenset((204, 304))

_MAX_LENGTH_DIGITS: Final = 18

# What a Connection field can say beside "upgrade" without making the next hop drop fields.
_CONNECTION_OPTIONS: Final = frozenset((b"upgrade", b"close", b"keep-alive"))


def parse_length(value: bytes) -> int:
    """The number of a Content-Length value, or -1 where it is none: digits only, no sign, no list."""
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        return -1
    return int(value)


def request_body(
    version_minor: int, content_length: bytes | None, transfer_encoding: bytes | None
) -> int | Failure:
    """NO_BODY, LENGTH or CHUNKED for a request, or the failure that refuses it (RFC 9112 section 6.3).

    ``transfer_encoding`` is the value of the only such field. HTTP/1.0 knows no transfer codings, so one
    there is taken as an attempt to be understood differently by the next hop.
    """
    if transfer_encoding is not None:
        if content_length is not None:
            return LENGTH_AND_CHUNKED
        if transfer_encoding.lower() != b"chunked":
            return UNKNOWN_TRANSFER_ENCODING
        return CHUNKED if version_minor == 1 else BAD_REQUEST
    if content_length is None:
        return NO_BODY
    length = parse_length(content_length)
    if length < 0:
        return BAD_REQUEST
    return LENGTH if length else NO_BODY


def response_body(
    status: int, to_head: bool, content_length: bytes | None, transfer_encoding: bytes | None
) -> int:
    """NO_BODY, LENGTH, CHUNKED or UNTIL_CLOSE for a response; -1 where it cannot be told (RFC 9112, 6.3)."""
    if transfer_encoding is not None and content_length is not None:
        return -1
    if status == 204 and (transfer_encoding is not None or content_length not in (None, b"0")):
        return -1  # it announces what it must not have
    if to_head or status < 200 or status == 204 or status == 304:
        return NO_BODY
    if transfer_encoding is not None:
        return CHUNKED if transfer_encoding.lower() == b"chunked" else -1
    if content_length is None:
        return UNTIL_CLOSE
    length = parse_length(content_length)
    if length < 0:
        return -1
    return LENGTH if length else NO_BODY


def upgrade_connection(connection: bytes) -> bytes:
    """The Connection value that goes with a forwarded Upgrade: what came, unless it nominates fields."""
    options = [token.strip(b" \t").lower() for token in connection.split(b",")]
    return connection if _CONNECTION_OPTIONS.issuperset(options) else b"Upgrade"


def end_to_end(trailers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The trailer fields that may be sent on: none that frames or routes a message (RFC 9110, 6.5.1).

    Envoy lets them pass.
    """
    return [item for item in trailers if item[0] not in FRAMING_FIELDS]


def nominated(connection: bytes) -> list[bytes]:
    """The lower-case names that a Connection value makes hop-by-hop, options such as ``close`` included."""
    names = [token.strip(b" \t").lower() for token in connection.split(b",")]
    return [name for name in names if name and name not in _NOT_NOMINABLE]


def may_nominate(names: list[bytes]) -> bool:
    """Whether a request may make these fields hop-by-hop."""
    if len(names) >= _TOO_MANY_NOMINATIONS:
        return False
    return not any(name in _REFUSED_NOMINATIONS or name[:1] == b":" for name in names)
