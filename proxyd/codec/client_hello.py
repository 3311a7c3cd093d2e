"""The first message of a TLS client, read before a certificate is chosen: bytes in, facts out.

Nothing here decides: what is no ClientHello is said to be none, and whoever asked goes on. RFC 8446 section
4.1.2 and 4.2.11, RFC 5246 section 7.4.1.2, RFC 6066 section 3, RFC 5077 section 3.2.
"""

from typing import Final

# What has been found.
MORE: Final = 0  # not all of it has come
HELLO: Final = 1
NO_TLS: Final = 2  # something else
BROKEN: Final = 3  # begins like TLS and is malformed
TOO_LARGE: Final = 4

MAX_BYTES: Final = 16384  # Envoy's limit, of all records together

_HANDSHAKE: Final = 0x16
_CLIENT_HELLO: Final = 1
_RECORD_HEAD: Final = 5
_MAX_RECORD: Final = 16384
_MAX_NAME: Final = 255
_MAX_FRAGMENTS: Final = 32  # each is looked at again whenever more comes

_SERVER_NAME: Final = 0
_SUPPORTED_GROUPS: Final = 10
_SIGNATURE_ALGORITHMS: Final = 13
_ALPN: Final = 16
_SESSION_TICKET: Final = 35
_PRE_SHARED_KEY: Final = 41
_SUPPORTED_VERSIONS: Final = 43

TICKET_NAME_BYTES: Final = 16  # of OpenSSL's tickets: the name of the key that one is sealed with

TLS_1_2: Final = 0x0303
TLS_1_3: Final = 0x0304


class ClientHello:
    """What a client offers. The server name is in lower case without a final dot; empty where none is.

    ``ticket`` is how the ticket of the session begins that it would resume; empty where it has none.
    """

    __slots__ = ("alpn", "ciphers", "groups", "server_name", "signatures", "ticket", "versions")

    def __init__(self) -> None:
        self.server_name: str = ""
        self.alpn: list[str] = []
        self.ciphers: list[int] = []
        self.groups: list[int] = []
        self.signatures: list[int] = []  # SignatureScheme
        self.versions: list[int] = []
        self.ticket: bytes = b""


class _MalformedError(Exception):
    pass


class ClientHelloReader:
    """Collects what comes until the message is whole, in ``limit`` bytes; never more than one read beyond."""

    __slots__ = ("_limit", "_received", "hello")

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._limit: Final = limit
        self._received: bytes = b""
        self.hello: ClientHello | None = None

    @property
    def received(self) -> bytes:
        """All bytes so far: whoever speaks with the client has to be given them."""
        return self._received

    def feed(self, data: bytes) -> int:
        """MORE, HELLO (then ``hello`` is there), NO_TLS, BROKEN or TOO_LARGE."""
        self._received = self._received + data if self._received else data
        try:
            message = self._message()
        except _MalformedError:
            return BROKEN
        if message is None:
            first = self._received[:3]
            if first and (first[0] != _HANDSHAKE or (len(first) > 1 and first[1] != 3)):
                return NO_TLS
            return TOO_LARGE if len(self._received) >= self._limit else MORE
        try:
            self.hello = _parse(message)
        except (_MalformedError, IndexError):
            return BROKEN
        return HELLO

    def _message(self) -> bytes | None:
        """The handshake message without its head, of as many records as it has; None: not whole yet."""
        data = self._received
        if len(data) > self._limit:
            data = data[: self._limit]
        place = 0
        parts: list[bytes] = []
        length = 0
        fragments = 0
        while len(data) >= place + _RECORD_HEAD:
            if data[place] != _HANDSHAKE or data[place + 1] != 3:
                if place:
                    raise _MalformedError
                return None
            size = data[place + 3] << 8 | data[place + 4]
            fragments += 1
            if size == 0 or size > _MAX_RECORD or fragments > _MAX_FRAGMENTS:
                raise _MalformedError
            begin = place + _RECORD_HEAD
            place = begin + size
            if len(data) < place:
                return None
            parts.append(data[begin:place])
            length += size
            if length >= 4:
                if len(parts) > 1:
                    parts = [b"".join(parts)]
                head = parts[0]
                if head[0] != _CLIENT_HELLO:
                    raise _MalformedError
                whole = head[1] << 16 | head[2] << 8 | head[3]
                if whole > MAX_BYTES:
                    raise _MalformedError
                if length >= 4 + whole:
                    return head[4 : 4 + whole]
        return None


class _Cursor:
    """A place in bytes; reading beyond the end is a mistake of the peer."""

    __slots__ = ("data", "end", "place")

    def __init__(self, data: bytes) -> None:
        self.data: Final = data
        self.place: int = 0
        self.end: Final = len(data)

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> bytes:
        begin = self.place
        self.place = begin + size
        if self.place > self.end:
            raise _MalformedError
        return self.data[begin : self.place]

    def vector(self, size: int) -> bytes:
        """What follows a length of ``size`` bytes."""
        return self.take(self.number(size))

    def left(self) -> bool:
        return self.place < self.end


def _parse(message: bytes) -> ClientHello:
    hello = ClientHello()
    cursor = _Cursor(message)
    version = cursor.number(2)
    cursor.take(32)  # random
    cursor.vector(1)  # session id
    hello.ciphers = _numbers(cursor.vector(2))
    cursor.vector(1)  # compression
    if cursor.left():
        extensions = _Cursor(cursor.vector(2))
        while extensions.left():
            kind = extensions.number(2)
            _extension(hello, kind, extensions.vector(2))
    if not hello.versions:
        hello.versions = [version]
    return hello


def _extension(hello: ClientHello, kind: int, data: bytes) -> None:
    if kind == _SERVER_NAME:
        names = _Cursor(_Cursor(data).vector(2))
        while names.left():
            host = names.number(1) == 0
            name = names.vector(2)
            # What OpenSSL would refuse is no name to those who pass it on either.
            if host and not hello.server_name and len(name) <= _MAX_NAME and 0 not in name:
                hello.server_name = name.decode("ascii", "replace").lower().removesuffix(".")
    elif kind == _ALPN:
        protocols = _Cursor(_Cursor(data).vector(2))
        while protocols.left():
            hello.alpn.append(protocols.vector(1).decode("latin-1"))
    elif kind == _SUPPORTED_GROUPS:
        hello.groups = _numbers(_Cursor(data).vector(2))
    elif kind == _SIGNATURE_ALGORITHMS:
        hello.signatures = _numbers(_Cursor(data).vector(2))
    elif kind == _SUPPORTED_VERSIONS:
        hello.versions = _numbers(_Cursor(data).vector(1))
    elif kind == _SESSION_TICKET:
        hello.ticket = data[:TICKET_NAME_BYTES]
    elif kind == _PRE_SHARED_KEY:
        # Of the first identity, behind two lengths that are OpenSSL's to look at. It is the last extension.
        hello.ticket = data[4 : 4 + TICKET_NAME_BYTES]


def _numbers(data: bytes) -> list[int]:
    if len(data) & 1:
        raise _MalformedError
    return [data[place] << 8 | data[place + 1] for place in range(0, len(data), 2)]
