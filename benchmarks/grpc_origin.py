"""A host of gRPC that answers any unary call with one message: HTTP/2 with as little work as it can be done.

What requests say is not looked at, so headers are not decoded; those of responses are always the same and in
no table, so one encoding fits every connection. A call is answered when its stream ends.
"""

import asyncio

_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 4, 6, 8, 9
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_FRAME_HEAD = 9
_PREFACE_REST = b"SM\r\n\r\n"  # of the client's preface, behind what looks like the head of a request
_WINDOW = (1 << 31) - 1
_FIRST_WINDOW = 65535


def _literal(name: bytes, value: bytes) -> bytes:
    """A header in HPACK, never put into a table."""
    return b"\x00%c%b%c%b" % (len(name), name, len(value), value)


_STATUS_200 = b"\x88"  # entry 8 of the table that every peer has
_HEAD = _STATUS_200 + _literal(b"content-type", b"application/grpc")
_MESSAGE = b"\x00\x00\x00\x00\x0d\x0a\x0bhello again"  # a string, field 1, as a reply of examples is
_TRAILERS = _literal(b"grpc-status", b"0")


def _frame(kind: int, flags: int, stream: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream + payload


class GrpcOrigin(asyncio.Protocol):
    """One connection, from behind the first part of the client's preface on."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._data = b""
        self._preface = True
        self._ended = False  # the request whose headers go on in CONTINUATION
        self._taken = 0  # bytes of bodies that the connection's window has not been given back
        nobody = bytes(4)
        transport.write(
            _frame(_SETTINGS, 0, nobody, b"")
            + _frame(_WINDOW_UPDATE, 0, nobody, (_WINDOW - _FIRST_WINDOW).to_bytes(4, "big"))
        )

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        place, end = 0, len(data)
        if self._preface:
            if end < len(_PREFACE_REST):
                self._data = data
                return
            self._preface = False
            place = len(_PREFACE_REST)
        answers = []
        while place + _FRAME_HEAD <= end:
            after = place + _FRAME_HEAD + int.from_bytes(data[place : place + 3], "big")
            if after > end:
                break
            answers.append(self._answer(data, place, after))
            place = after
        self._data = data[place:]
        self._transport.write(b"".join(answers))

    def _answer(self, data: bytes, place: int, after: int) -> bytes:
        """What is sent because of one frame."""
        kind, flags = data[place + 3], data[place + 4]
        if kind in (_DATA, _HEADERS, _CONTINUATION):
            if kind == _DATA:
                self._taken += after - place - _FRAME_HEAD
            if kind != _CONTINUATION:
                self._ended = bool(flags & _END_STREAM)
            if self._ended and (kind == _DATA or flags & _END_HEADERS):
                return self._reply(data[place + 5 : place + _FRAME_HEAD])
        elif kind == _SETTINGS and not flags & _ACK:
            return _frame(_SETTINGS, _ACK, bytes(4), b"")
        elif kind == _PING and not flags & _ACK:
            return _frame(_PING, _ACK, bytes(4), data[place + _FRAME_HEAD : after])
        return b""

    def _reply(self, stream: bytes) -> bytes:
        """The peer's windows are not counted: it opens them again long before such replies fill them."""
        answer = b"%b%b%b%b%b%b" % (_BEFORE_HEAD, stream, _BEFORE_MESSAGE, stream, _BEFORE_TRAILERS, stream)
        if self._taken < _WINDOW >> 1:
            return answer + _TRAILERS
        given, self._taken = self._taken, 0
        return answer + _TRAILERS + _frame(_WINDOW_UPDATE, 0, bytes(4), given.to_bytes(4, "big"))


_BEFORE_HEAD = _frame(_HEADERS, _END_HEADERS, b"", _HEAD)[:5]
_BEFORE_MESSAGE = _HEAD + _frame(_DATA, 0, b"", _MESSAGE)[:5]
_BEFORE_TRAILERS = _MESSAGE + _frame(_HEADERS, _END_HEADERS | _END_STREAM, b"", _TRAILERS)[:5]
