"""What HTTP has to know of gRPC."""

from typing import Final

from proxyd.codec.headers import Headers

_UNKNOWN: Final = 2
_STATUS: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_CONTENT_TYPE: Final = b"application/grpc"

PREFIX: Final = 5  # bytes in front of each message: one of flags, four of its length

GRPC_TIMEOUT: Final = b"grpc-timeout"
_BLANKS: Final = b" \t\n\v\f\r"
_MOST: Final = 99_999_999
_MOST_READ: Final = 100  # digits, zeros in front included
_UNITS: Final = {  # to milliseconds: times, divided by
    b"H": (3_600_000, 1),
    b"M": (60_000, 1),
    b"S": (1000, 1),
    b"m": (1, 1),
    b"u": (1, 1000),
    b"n": (1, 1_000_000),
}


def is_grpc(headers: Headers) -> bool:
    """Whether the content is gRPC: ``application/grpc``, alone or with a ``+`` behind it."""
    content_type = headers.get(b"content-type")
    if content_type is None or not content_type.startswith(_CONTENT_TYPE):
        return False
    return content_type[len(_CONTENT_TYPE) : len(_CONTENT_TYPE) + 1] in (b"", b"+")


def grpc_timeout_of(headers: Headers) -> int:
    """The milliseconds of ``grpc-timeout``, parts of one as a whole one; -1 where it is missing or is none.

    Source: gRPC over HTTP/2, Timeout; read as Envoy does, which lets a sign pass.
    """
    text = b",".join(headers.get_all(GRPC_TIMEOUT))
    unit = _UNITS.get(text[-1:])
    digits = text[:-1].strip(_BLANKS)
    if unit is None or not digits:
        return -1
    sign = digits[:1]
    if sign in (b"+", b"-"):
        digits = digits[1:]
    if not digits.isdigit() or len(digits) > _MOST_READ:
        return -1
    number = int(digits)
    if number > _MOST or (number and sign == b"-"):
        return -1
    multiplier, divisor = unit
    return -(-number * multiplier // divisor)


def grpc_timeout_text(milliseconds: int) -> bytes:
    """The same as a header says it: at most eight digits, in the smallest unit that has room for it."""
    number = milliseconds
    unit = b"m"
    if number > _MOST:
        number //= 1000
        unit = b"S"
    while number > _MOST:
        if unit == b"H":
            number = _MOST
            break
        number //= 60
        unit = b"M" if unit == b"S" else b"H"
    return b"%d%s" % (number, unit)


def grpc_status_of(status: int) -> int:
    """The gRPC status that stands for an HTTP status."""
    return _STATUS.get(status, _UNKNOWN)


def service_and_method(path: bytes) -> tuple[bytes, bytes] | None:
    """Of a call, by its path; None where it has not just these two parts."""
    parts = [part for part in path.partition(b"?")[0].split(b"/") if part]
    return (parts[0], parts[1]) if len(parts) == 2 else None


def message_prefix(length: int, flags: int = 0) -> bytes:
    """What stands in front of a message of so many bytes."""
    return bytes((flags,)) + length.to_bytes(4, "big")


def is_grpc_response(status: int, headers: Headers, end_stream: bool) -> bool:
    """Whether a response is gRPC's: one without a body by its ``grpc-status``, any other by its type."""
    if end_stream:
        return headers.get(b"grpc-status") is not None
    return status == 200 and is_grpc(headers)


class MessageCounter:
    """Counts the messages that begin in a body: each is a byte of flags, four of its length, and so many."""

    __slots__ = ("_head", "_skip")

    def __init__(self) -> None:
        self._head: bytes = b""  # of a message, not complete
        self._skip: int = 0  # bytes of a message's rest

    def feed(self, data: bytes) -> int:
        """How many begin in the next piece."""
        count = 0
        place = 0
        end = len(data)
        if self._head:
            count -= 1  # it has been counted
            data = self._head + data
            end = len(data)
            self._head = b""
        while place < end:
            if self._skip:
                step = min(self._skip, end - place)
                self._skip -= step
                place += step
                continue
            count += 1
            if end - place < PREFIX:
                self._head = data[place:]
                break
            self._skip = int.from_bytes(data[place + 1 : place + PREFIX], "big")
            place += PREFIX
        return count


def percent_encoded(text: bytes) -> bytes:
    """As gRPC wants its messages: what is not printable ASCII, and the percent sign."""
    return b"".join(
        [b"%c" % byte if 0x20 <= byte < 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in text]
    )
