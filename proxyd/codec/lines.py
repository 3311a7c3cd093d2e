"""Header lines seen before: most lines of a head were in an earlier one, and one look finds what they say.

What a line says does not depend on its neighbours, so it is worked out once and kept. Only lines of the
plainest form are taken, more narrowly than RFC 9112 and llhttp do; any other, and whatever frames a message,
is left to the parser. Peers choose lines: the tables are bounded in both directions.
"""

from typing import Final

from proxyd.codec.framing import FRAMING_FIELDS, parse_length

Item = tuple[bytes, bytes]

LINES: Final[dict[bytes, Item]] = {}  # an ordinary field by its line, name in lower case
WIRES: Final[dict[bytes, bytes]] = {}  # how the same field is written, for the same lines
HOSTS: Final[dict[bytes, bytes]] = {}  # an authority by its Host line
LENGTHS: Final[dict[bytes, tuple[Item, int]]] = {}  # the field and its number by a Content-Length line
STATUSES: Final[dict[bytes, int]] = {}  # a final status with room for a body by its status line
KEEP_ALIVE: Final = frozenset(
    (b"Connection: keep-alive", b"connection: keep-alive", b"Connection: Keep-Alive")
)

_LIMIT: Final = 2048
_LONGEST: Final = 512
_LONGEST_STATUS: Final = 64
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = b"0123456789"
_NAME_BYTES: Final = _LETTERS + _DIGITS + b"-"
_VALUE_BYTES: Final = bytes(range(0x20, 0x7F))
_AUTHORITY_BYTES: Final = _LETTERS + _DIGITS + b"-.:"
# RFC 3986: a path and its query.
TARGET_BYTES: Final = _LETTERS + _DIGITS + b"/?-._~!$&'()*+,;=:@%"
METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT", b"PATCH", b"DELETE"))


def learn_line(line: bytes) -> Item | None:
    """The field of a line, kept for the next time; None where the parser is to look at it."""
    name, _, value = line.partition(b":")
    value = value.strip(b" ")
    if not name or not value or name.translate(None, _NAME_BYTES) or value.translate(None, _VALUE_BYTES):
        return None
    lower = name.lower()
    if lower in FRAMING_FIELDS:
        return None
    item = (lower, value)
    if len(line) <= _LONGEST:
        if len(LINES) >= _LIMIT:
            LINES.clear()
            WIRES.clear()
        LINES[line] = item
        WIRES[line] = b"%b: %b" % item
    return item


def learn_host(line: bytes) -> bytes:
    """The authority of a Host line, kept for the next time; empty where the parser is to look at it."""
    name, _, value = line.partition(b":")
    value = value.strip(b" ")
    if name.lower() != b"host" or value.translate(None, _AUTHORITY_BYTES):
        return b""
    if len(line) <= _LONGEST:
        if len(HOSTS) >= _LIMIT:
            HOSTS.clear()
        HOSTS[line] = value
    return value


def take_host(lines: list[bytes]) -> bytes:
    """Take the Host line out, wherever it stands; its authority, or empty where the parser is to look."""
    for place, line in enumerate(lines):
        if line in HOSTS or line[:5].lower() == b"host:":
            authority = HOSTS.get(line) or learn_host(line)
            if authority:
                del lines[place]
            return authority
    return b""


def learn_length(line: bytes) -> tuple[Item, int] | None:
    """The field and the number of a Content-Length line; None where it is none or not a plain one."""
    name, _, value = line.partition(b":")
    value = value.strip(b" ")
    length = parse_length(value)
    if name.lower() != b"content-length" or length < 0:
        return None
    known = ((b"content-length", value), length)
    if len(line) <= _LONGEST:
        if len(LENGTHS) >= _LIMIT:
            LENGTHS.clear()
        LENGTHS[line] = known
    return known


def learn_status(line: bytes) -> int:
    """The status of a status line, kept for the next time; 0 where the parser is to look at it."""
    digits = line[9:12]
    if (
        line[:9] != b"HTTP/1.1 "
        or line[12:13] != b" "
        or not digits.isdigit()
        or len(line) > _LONGEST_STATUS
        or line.translate(None, _VALUE_BYTES)
    ):
        return 0
    status = int(digits)
    if not 200 <= status <= 599 or status in (204, 304):
        return 0
    if len(STATUSES) >= _LIMIT:
        STATUSES.clear()
    STATUSES[line] = status
    return status
