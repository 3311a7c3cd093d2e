"""Cases whose client speaks HTTP/2, and that client: frames by hyperframe, heads by hpack."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.conformance.case import Answer, Case
from tests.conformance.client import PROBE_BODY, Played, connect
from tests.conformance.wire import Message

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HTTP_2 = 2  # the "minor" version of a Message

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ask:
    """One request as it is sent: these fields, then a body in pieces, then trailers or a plain end.

    Without ``ends`` nothing says that it is complete. ``resets`` with that code once the origin has it.
    """

    fields: Pairs
    body: tuple[bytes, ...] = ()
    trailers: Pairs = ()
    ends: bool = True
    resets: int = -1


@dataclass(frozen=True)
class Reply:
    """What an origin that speaks HTTP/2 does about one request, once that is complete or ``early``."""

    fields: Pairs = ()
    body: tuple[bytes, ...] = ()
    trailers: Pairs = ()
    interim: tuple[Pairs, ...] = ()
    resets: int = -1  # with that code, behind the rest
    closes: bool = False  # the connection, behind the rest
    waits: bool = False  # for ever
    goes_away: bool = False  # GOAWAY, and this request is not answered
    early: bool = False
    path: bytes = b""  # of the request that it is for, where several come in any order; else for the next


@dataclass(frozen=True)
class Http2Case(Case):
    """Requests on one connection, all sent before the first response is read.

    ``replies`` are those of the origin that speaks HTTP/2. Without ``asks`` the client speaks HTTP/1.1.
    """

    asks: tuple[Ask, ...] = ()
    replies: tuple[Reply, ...] = ()


def fields(path: str = "/", *more: tuple[str, str], **pseudo: str) -> Pairs:
    """A request's; ``method``, ``scheme``, ``authority`` replace the usual, an empty text leaves them out."""
    values = {"method": "GET", "scheme": "http", "authority": "a.test", "path": path, **pseudo}
    return (*((f":{name}", value) for name, value in values.items() if value), *more)


def http2(name: str, *asks: Ask | Pairs, **more: Any) -> Http2Case:
    """A case of one connection; requests without a body may be given as their fields."""
    made = tuple(each if isinstance(each, Ask) else Ask(each) for each in asks)
    if "upstream" in more:
        more["answers"] = (Answer((more.pop("upstream"),)),)
    if "answer" in more:
        more["answers"] = (more.pop("answer"),)
    return Http2Case(f"h2-{name}", (), listener=more.pop("listener", "h2"), asks=made, **more)


def reply(*more: tuple[str, str], status: str = "200", **rest: Any) -> Reply:
    return Reply(((":status", status), *more), **rest)


def take_frames(data: bytearray) -> Iterator[Frame]:
    """The whole frames at the front of ``data``, each taken off it."""
    while len(data) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(bytes(data[:9])))
        if len(data) < 9 + length:
            return
        frame.parse_body(memoryview(bytes(data[9 : 9 + length])))
        del data[: 9 + length]
        yield frame


@dataclass
class _Stream:
    interim: list[Message] = field(default_factory=list)
    message: Message | None = None
    ended: bool = False
    reset: int = -1


class _Client:
    def __init__(self, case: Http2Case, address: tuple[str, int], used: set[int]) -> None:
        self._socket = connect(case.source, address, used)
        self.port: int = self._socket.getsockname()[1]
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._data = bytearray()
        self._block = b""
        self.streams: dict[int, _Stream] = {}
        self.closed = False
        self.acquainted = False  # the proxy's SETTINGS are in force
        self.goaway = -1
        self.send(
            PREFACE + SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 24}).serialize()
        )
        self.send(WindowUpdateFrame(0, window_increment=1 << 24).serialize())

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except ConnectionError:
            pass  # what was answered before can still be read

    def ask(self, number: int, ask: Ask) -> None:
        self.streams[number] = _Stream()
        ends_now = ask.ends and not ask.body and not ask.trailers
        block = self._encoder.encode(ask.fields)
        head = HeadersFrame(number, block, flags=["END_HEADERS", *(["END_STREAM"] if ends_now else [])])
        frames: list[Frame] = [head]
        for place, piece in enumerate(ask.body):
            last = place == len(ask.body) - 1 and ask.ends and not ask.trailers
            frames.append(DataFrame(number, piece, flags=["END_STREAM"] if last else []))
        if ask.trailers:
            frames.append(
                HeadersFrame(number, self._encoder.encode(ask.trailers), flags=["END_HEADERS", "END_STREAM"])
            )
        self.send(b"".join(frame.serialize() for frame in frames))

    def reset(self, number: int, code: int) -> None:
        self.streams[number].reset = code
        self.send(RstStreamFrame(number, error_code=code).serialize())

    def pending(self) -> bool:
        return any(not each.ended and each.reset < 0 for each in self.streams.values())

    def read(self, deadline: float) -> bool:
        """Take in what comes; False at the end or when time is up."""
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError:
            return False
        except ConnectionError:
            data = b""
        self.closed = self.closed or not data
        self._data += data
        for frame in take_frames(self._data):
            self._take(frame)
        return bool(data)

    def _take(self, frame: Frame) -> None:
        stream = self.streams.setdefault(frame.stream_id, _Stream()) if frame.stream_id else None
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.send(SettingsFrame(0, flags=["ACK"]).serialize())
            self.acquainted = True
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.send(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
        elif isinstance(frame, GoAwayFrame):
            self.goaway = frame.error_code
        elif stream is not None:
            if isinstance(frame, RstStreamFrame):
                stream.reset = frame.error_code
            elif isinstance(frame, HeadersFrame):
                self._take_head(stream, self._decoder.decode(frame.data, raw=True))
            elif isinstance(frame, DataFrame) and stream.message is not None:
                stream.message.body += frame.data
            if "END_STREAM" in frame.flags and stream.message is not None:
                stream.ended = True
                stream.message.complete = True

    def _take_head(self, stream: _Stream, pairs: Any) -> None:
        found = [(bytes(name), bytes(value)) for name, value in pairs]
        if found and found[0][0] == b":status":
            message = Message((found[0][1], b""), HTTP_2, found[1:], "frames", complete=False)
            if message.status < 200:
                stream.interim.append(message)
            else:
                stream.message = message
        elif stream.message is not None:
            stream.message.trailers += found

    def close(self) -> None:
        self._socket.close()


class Awaited(Protocol):
    """Whatever origin a case is about."""

    def await_request(self, timeout: float) -> bool: ...


def play_http2(case: Http2Case, address: tuple[str, int], origin: Awaited, used: set[int]) -> Played:
    """Send all, read until every stream is over, and ask whether the connection takes another."""
    client = _Client(case, address, used)
    deadline = time.monotonic() + case.patience
    while not client.acquainted and client.read(deadline):
        pass
    for number, ask in enumerate(case.asks):
        client.ask(2 * number + 1, ask)
        if ask.resets >= 0:
            origin.await_request(case.patience)
            client.reset(2 * number + 1, ask.resets)
    deadline = time.monotonic() + case.patience
    while not client.closed and client.pending() and client.read(deadline):
        pass
    asked = dict(client.streams)
    fate = _probe(client, 2 * len(case.asks) + 1) if case.probe else "closed"
    client.close()
    told: list[str] = []
    responses: list[Message] = []
    for number, stream in sorted(asked.items()):
        responses += stream.interim
        if stream.message is not None:
            responses.append(stream.message)
        if stream.reset >= 0:
            told.append(f"stream {number} reset: {stream.reset}")
        elif not stream.ended:
            told.append(f"stream {number} open")
    return Played(responses, ", ".join(told).encode(), fate, client.port)


def _probe(client: _Client, number: int) -> str:
    deadline = time.monotonic() + 3.0
    client.ask(number, Ask(fields(authority="probe.test")))
    while not client.closed and client.goaway <= 0 and client.pending() and client.read(deadline):
        pass
    message = client.streams[number].message
    if message is not None and PROBE_BODY in message.body:
        return "kept"
    return "closed" if client.closed or client.goaway > 0 else "silent"
