"""RFC 9113 and RFC 7541, section by section: what a server has to take, and what it has to refuse and how.

Each case is what a client sends behind its preface. An error of a stream may cost the connection as well
(section 5.4.2); with what code an engine answers is told where it is not the code that the RFC names.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
)

from proxyd.codec.http2 import Http2Options
from proxyd.codec.http2_frames import NO_FLOOD, FrameWatch
from tests.net.conftest import MakeStage
from tests.net.http2_client import engines, request_fields
from tests.net.playbook import Client, Stage

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PROTOCOL, FLOW, CLOSED, SIZE, REFUSED, COMPRESSION = 1, 3, 5, 6, 7, 9  # error codes
LAST: Final = 2**31 - 1


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


class Say:
    """Frames of a client that keeps no rule but those of HPACK, and these only if it likes."""

    def __init__(self) -> None:
        self._encoder = hpack.Encoder()

    def block(self, *more: tuple[str, str], without: str = "", **pseudo: str) -> bytes:
        """A request's block: a POST, unless the ``pseudo`` fields say otherwise."""
        fields = [(name, pseudo.get(name[1:], value)) for name, value in request_fields("/direct", "POST")]
        return self.encode(*(each for each in fields if each[0] != without), *more)

    def encode(self, *fields: tuple[str, str]) -> bytes:
        return bytes(self._encoder.encode(fields))

    def head(self, *more: tuple[str, str], stream: int = 1, end: bool = False, **other: str) -> bytes:
        return head(stream, self.block(*more, **other), end=end)


def head(stream: int, block: bytes, end: bool = False, whole: bool = True, **priority: int) -> bytes:
    flags = [*(["END_STREAM"] if end else []), *(["END_HEADERS"] if whole else [])]
    return HeadersFrame(
        stream, block, flags=[*flags, *(["PRIORITY"] if priority else [])], **priority
    ).serialize()


def more(stream: int, block: bytes, whole: bool = True) -> bytes:
    return ContinuationFrame(stream, block, flags=["END_HEADERS"] if whole else []).serialize()


def data(stream: int, content: bytes, end: bool = False) -> bytes:
    return DataFrame(stream, content, flags=["END_STREAM"] if end else []).serialize()


def raw(kind: int, stream: int, payload: bytes, flags: int = 0) -> bytes:
    """A frame that hyperframe would not make."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(**values: int) -> bytes:
    return SettingsFrame(
        0, settings={getattr(SettingsFrame, key): value for key, value in values.items()}
    ).serialize()


def setting(number: int, value: int) -> bytes:
    return raw(4, 0, number.to_bytes(2, "big") + value.to_bytes(4, "big"))


def window(stream: int, increment: int) -> bytes:
    return raw(8, stream, increment.to_bytes(4, "big"))


def reset(stream: int, code: int = 8) -> bytes:
    return RstStreamFrame(stream, error_code=code).serialize()


PING: Final = PingFrame(0, b"12345678").serialize()
PRIORITY: Final = PriorityFrame(1, depends_on=0, stream_weight=1).serialize()
Words = Callable[[Say], bytes]


class Bad(NamedTuple):
    """What has to be refused: of which stream it is the error, 0 for the connection's, and its codes."""

    words: Words
    stream: int
    codes: tuple[int, ...]
    pause: bool = False  # the request before has been answered, and its stream is closed


# What has to be taken, and then stream 1 has its answer.
GOOD: dict[str, Words] = {
    "3.4 the preface and a request": lambda say: say.head(end=True),
    "4.1 a frame of unknown kind": lambda say: raw(0x16, 0, b"?" * 8) + say.head(end=True),
    "4.1 a frame of unknown kind amid a stream": lambda say: (
        say.head() + raw(0x16, 1, b"?") + data(1, b"", True)
    ),
    "4.1 a flag that has no meaning": lambda say: raw(6, 0, b"12345678", 0x16) + say.head(end=True),
    "4.1 the reserved bit": lambda say: raw(6, 1 << 31, b"12345678") + say.head(end=True),
    "4.2 as large a frame as is allowed": lambda say: say.head() + data(1, bytes(1 << 14), True),
    "5.1 PRIORITY of an idle stream": lambda say: PRIORITY + say.head(end=True),
    "5.1 WINDOW_UPDATE of what is half closed": lambda say: say.head(end=True) + window(1, 1),
    "5.1 PRIORITY of what is half closed": lambda say: say.head(end=True) + PRIORITY,
    "5.1 RST_STREAM of what is closed": lambda say: (
        say.head(stream=3) + reset(3) * 2 + say.head(stream=5, end=True)
    ),
    "5.1 WINDOW_UPDATE of what is closed": lambda say: (
        say.head(stream=3) + reset(3) + window(3, 1) + say.head(stream=5, end=True)
    ),
    "5.1 PRIORITY of what is closed": lambda say: say.head(end=True) + PRIORITY,
    "6.1 DATA in pieces": lambda say: say.head() + data(1, b"a") + data(1, b"b", True),
    "6.1 DATA with padding": lambda say: say.head() + raw(0, 1, b"\2ab\0\0", 0x9),
    "6.2 HEADERS with padding": lambda say: raw(1, 1, b"\2" + say.block() + b"\0\0", 0xD),
    "6.2 HEADERS with a priority": lambda say: head(1, say.block(), True, depends_on=0, stream_weight=255),
    "6.3 PRIORITY, exclusive": lambda say: (
        PriorityFrame(5, depends_on=3, stream_weight=0, exclusive=True).serialize() + say.head(end=True)
    ),
    "6.4 RST_STREAM": lambda say: say.head(stream=1) + reset(1) + say.head(stream=3, end=True),
    "6.5.2 a setting that nobody knows": lambda say: setting(0xFF, 1) + say.head(end=True),
    "6.5.3 the last value of a setting counts": lambda say: (
        raw(4, 0, b"\0\4\0\0\0\0" + b"\0\4\0\0\xff\xff") + say.head(end=True)
    ),
    "6.7 an answer to no PING": lambda say: raw(6, 0, b"87654321", 1) + say.head(end=True),
    "6.9 WINDOW_UPDATE of the connection": lambda say: window(0, 1) + say.head(end=True),
    "6.9 WINDOW_UPDATE of a stream": lambda say: say.head() + window(1, 1) + data(1, b"", True),
    "6.9.1 a window as large as it can be": lambda say: window(0, LAST - 65535) + say.head(end=True),
    "6.10 CONTINUATION": lambda say: _in_pieces(say, 2),
    "6.10 CONTINUATION again and again": lambda say: _in_pieces(say, 5),
    "7 RST_STREAM with a code that nobody knows": lambda say: (
        say.head(stream=1) + reset(1, 0xFF) + say.head(stream=3, end=True)
    ),
    "8.1 trailers": lambda say: (
        say.head(("trailer", "x-t")) + data(1, b"a") + head(1, say.encode(("x-t", "1")), True)
    ),
    "8.2 te: trailers": lambda say: say.head(("te", "trailers"), end=True),
    "8.1.1 content-length": lambda say: say.head(("content-length", "2")) + data(1, b"ab", True),
    "7541 6.2.1 a literal, its name of the table": lambda say: _literal(say, b"\x7a", False),
    "7541 6.2.1 a literal with a new name": lambda say: _literal(say, b"\x40\3x-a", False),
    "7541 6.2.2 a literal without indexing": lambda say: _literal(say, b"\0\3x-a", False),
    "7541 6.2.3 a literal that is never indexed": lambda say: _literal(say, b"\x10\3x-a", False),
    "7541 5.2 a literal by Huffman": lambda say: _literal(say, b"\0\3x-a", True),
    "7541 6.3 an update of the table's size": lambda say: head(1, b"\x20" + say.block(), True),
    "7541 4.2 two updates of the table's size": lambda say: head(1, b"\x20\x3f\xe1\x1f" + say.block(), True),
    "7541 6.1 what an earlier block has put into the table": lambda say: (
        say.head(("x-a", "b"), end=True) + say.head(("x-a", "b"), stream=3, end=True)
    ),
}


def _in_pieces(say: Say, pieces: int) -> bytes:
    block = say.block()
    parts = [block[at : at + 1] for at in range(pieces)] + [block[pieces:]]
    middle = b"".join(more(1, part, whole=False) for part in parts[1:-1])
    return head(1, parts[0], True, whole=False) + middle + more(1, parts[-1])


def _literal(say: Say, name: bytes, huffman: bool) -> bytes:
    value = (
        b"\x83\x1c\x64\x7f"[:4] if huffman else b"\3abc"
    )  # "abc": 00011 100011 00100, and EOS's first bits
    return head(1, say.block() + name + (b"\x82\x1c\x64" if huffman else value), True)


def _open(say: Say) -> bytes:
    return say.head()


def _half(say: Say) -> bytes:
    return say.head(path="/a", end=True)  # which the host has not answered


def _was_reset(say: Say) -> bytes:
    return say.head() + reset(1)


BAD: dict[str, Bad] = {
    "4.2 too large DATA": Bad(lambda say: _open(say) + data(1, bytes((1 << 14) + 1)), 1, (SIZE,)),
    "4.2 too large HEADERS": Bad(lambda say: head(1, say.block(("x", "y" * 20000)), True), 0, (SIZE,)),
    "4.3 a block that is none": Bad(lambda say: head(1, b"\xff\xff\xff\xff\xff"), 0, (COMPRESSION,)),
    "4.3 PRIORITY within a block": Bad(
        lambda say: head(1, say.block(), whole=False) + PRIORITY, 0, (PROTOCOL,)
    ),
    "4.3 HEADERS of another stream within a block": Bad(
        lambda say: head(1, say.block(), whole=False) + head(3, say.block()), 0, (PROTOCOL,)
    ),
    "5.1 DATA of an idle stream": Bad(lambda say: data(1, b"x"), 0, (PROTOCOL,)),
    "5.1 RST_STREAM of an idle stream": Bad(lambda say: reset(1), 0, (PROTOCOL,)),
    "5.1 WINDOW_UPDATE of an idle stream": Bad(lambda say: window(1, 100), 0, (PROTOCOL,)),
    "5.1 CONTINUATION of an idle stream": Bad(lambda say: more(1, say.block()), 0, (PROTOCOL,)),
    "5.1 DATA of what is half closed": Bad(lambda say: _half(say) + data(1, b"x"), 1, (CLOSED,)),
    "5.1 HEADERS of what is half closed": Bad(lambda say: _half(say) + say.head(), 1, (CLOSED,)),
    "5.1 CONTINUATION of what is half closed": Bad(
        lambda say: _half(say) + more(1, say.block()), 0, (CLOSED, PROTOCOL)
    ),
    "5.1 DATA after RST_STREAM": Bad(lambda say: _was_reset(say) + data(1, b"x"), 1, (CLOSED,)),
    "5.1 HEADERS after RST_STREAM": Bad(lambda say: _was_reset(say) + say.head(), 1, (CLOSED,)),
    "5.1 CONTINUATION after RST_STREAM": Bad(
        lambda say: _was_reset(say) + more(1, say.block()), 0, (CLOSED, PROTOCOL)
    ),
    "5.1 DATA of what is closed": Bad(lambda say: data(1, b"x"), 1, (CLOSED,), True),
    "5.1 HEADERS of what is closed": Bad(lambda say: say.head(), 0, (CLOSED, PROTOCOL), True),
    "5.1 CONTINUATION of what is closed": Bad(lambda say: more(1, say.block()), 0, (CLOSED, PROTOCOL), True),
    "5.1.1 an even number": Bad(lambda say: say.head(stream=2), 0, (PROTOCOL,)),
    "5.1.1 a smaller number than before": Bad(
        lambda say: say.head(stream=5, end=True) + say.head(stream=3), 0, (PROTOCOL, CLOSED)
    ),
    "5.1.2 too many streams": Bad(
        lambda say: b"".join(say.head(stream=number, path="/a") for number in (3, 5, 7)),
        7,
        (PROTOCOL, REFUSED),
    ),
    "5.5 an unknown frame within a block": Bad(
        lambda say: head(1, say.block(), whole=False) + raw(0x16, 0, b"????????"), 0, (PROTOCOL,)
    ),
    "6.1 DATA of no stream": Bad(lambda say: raw(0, 0, b"x"), 0, (PROTOCOL,)),
    "6.1 DATA with too much padding": Bad(lambda say: _open(say) + raw(0, 1, b"\6test", 0x9), 0, (PROTOCOL,)),
    "6.2 HEADERS of no stream": Bad(lambda say: raw(1, 0, say.block(), 0x5), 0, (PROTOCOL,)),
    "6.2 HEADERS with too much padding": Bad(
        lambda say: raw(1, 1, b"\xff" + say.block(), 0xD), 0, (PROTOCOL,)
    ),
    "6.3 PRIORITY of no stream": Bad(lambda say: raw(2, 0, b"\0\0\0\0\1"), 0, (PROTOCOL,)),
    "6.3 PRIORITY of the wrong size": Bad(lambda say: _open(say) + raw(2, 1, b"\0\0\0\1"), 1, (SIZE,)),
    "6.4 RST_STREAM of no stream": Bad(lambda say: raw(3, 0, b"\0\0\0\x08"), 0, (PROTOCOL,)),
    "6.4 RST_STREAM of the wrong size": Bad(lambda say: _open(say) + raw(3, 1, b"\0\0\x08"), 0, (SIZE,)),
    "6.5 an acknowledgement with SETTINGS": Bad(lambda say: raw(4, 0, b"\0\3\0\0\0\1", 1), 0, (SIZE,)),
    "6.5 SETTINGS of a stream": Bad(lambda say: raw(4, 1, b"\0\3\0\0\0\1"), 0, (PROTOCOL,)),
    "6.5 SETTINGS of the wrong size": Bad(lambda say: raw(4, 0, b"\0\3\0"), 0, (SIZE,)),
    "6.5.2 ENABLE_PUSH that is no switch": Bad(lambda say: setting(2, 2), 0, (PROTOCOL,)),
    "6.5.2 too large an INITIAL_WINDOW_SIZE": Bad(lambda say: setting(4, 1 << 31), 0, (FLOW,)),
    "6.5.2 too small a MAX_FRAME_SIZE": Bad(lambda say: setting(5, 16383), 0, (PROTOCOL,)),
    "6.5.2 too large a MAX_FRAME_SIZE": Bad(lambda say: setting(5, 1 << 24), 0, (PROTOCOL,)),
    "6.6 PUSH_PROMISE": Bad(lambda say: _open(say) + raw(5, 1, b"\0\0\0\2" + say.block(), 4), 0, (PROTOCOL,)),
    "6.7 PING of a stream": Bad(lambda say: raw(6, 1, b"12345678"), 0, (PROTOCOL,)),
    "6.7 PING of the wrong size": Bad(lambda say: raw(6, 0, b"123456"), 0, (SIZE,)),
    "6.8 GOAWAY of a stream": Bad(lambda say: raw(7, 1, bytes(8)), 0, (PROTOCOL,)),
    "6.9 WINDOW_UPDATE of nothing": Bad(lambda say: window(0, 0), 0, (PROTOCOL,)),
    "6.9 WINDOW_UPDATE of nothing, of a stream": Bad(lambda say: _half(say) + window(1, 0), 1, (PROTOCOL,)),
    "6.9 WINDOW_UPDATE of the wrong size": Bad(lambda say: raw(8, 0, b"\0\0\1"), 0, (SIZE,)),
    "6.9.1 too large a window": Bad(lambda say: window(0, LAST) * 2, 0, (FLOW,)),
    "6.9.1 too large a window of a stream": Bad(lambda say: _half(say) + window(1, LAST) * 2, 1, (FLOW,)),
    "6.9.2 windows made too large by SETTINGS": Bad(
        lambda say: _half(say) + window(1, LAST - 65535) + setting(4, 65536), 0, (FLOW,)
    ),
    "6.10 DATA within a block": Bad(
        lambda say: head(1, say.block(), whole=False) + data(1, b"x"), 0, (PROTOCOL,)
    ),
    "6.10 DATA within a block, after CONTINUATION": Bad(
        lambda say: head(1, say.block(), whole=False) + more(1, b"", whole=False) + data(1, b"x"),
        0,
        (PROTOCOL,),
    ),
    "6.10 CONTINUATION of no stream": Bad(
        lambda say: head(1, say.block(), whole=False) + raw(9, 0, say.encode(("a", "b")), 4), 0, (PROTOCOL,)
    ),
    "6.10 CONTINUATION after a block": Bad(
        lambda say: _open(say) + more(1, say.encode(("a", "b"))), 0, (PROTOCOL,)
    ),
    "6.10 CONTINUATION after CONTINUATION that ends a block": Bad(
        lambda say: _in_pieces(say, 2) + more(1, say.encode(("a", "b"))), 0, (PROTOCOL, CLOSED)
    ),
    "6.10 CONTINUATION after DATA": Bad(
        lambda say: _open(say) + data(1, b"x") + more(1, say.encode(("a", "b"))), 0, (PROTOCOL,)
    ),
    "8.1 a second head that does not end the stream": Bad(
        lambda say: _open(say) + head(1, say.encode(("x-t", "1"))), 1, (PROTOCOL,)
    ),
    "8.2.1 a name in upper case": Bad(lambda say: say.head(("X-Test", "ok"), end=True), 1, (PROTOCOL,)),
    "8.2.1 a name with a blank": Bad(lambda say: say.head(("x test", "ok"), end=True), 1, (PROTOCOL,)),
    "8.2.1 an empty name": Bad(lambda say: head(1, say.block() + b"\0\0\1a", True), 1, (PROTOCOL,)),
    "8.2.1 a line feed in a value": Bad(lambda say: say.head(("x", "a\nb"), end=True), 1, (PROTOCOL,)),
    "8.2.1 a NUL in a value": Bad(lambda say: say.head(("x", "a\0b"), end=True), 1, (PROTOCOL,)),
    "8.2.1 a value that begins with a blank": Bad(
        lambda say: say.head(("x", " a"), end=True), 1, (PROTOCOL,)
    ),
    "8.3 a pseudo field that nobody knows": Bad(
        lambda say: say.head((":test", "ok"), end=True), 1, (PROTOCOL,)
    ),
    "8.3 a pseudo field of responses": Bad(
        lambda say: say.head((":status", "200"), end=True), 1, (PROTOCOL,)
    ),
    "8.3 a pseudo field in trailers": Bad(
        lambda say: _open(say) + head(1, say.encode((":method", "GET")), True), 1, (PROTOCOL,)
    ),
    "8.3 a pseudo field behind others": Bad(
        lambda say: head(1, say.encode(("x", "y")) + say.block(), True), 1, (PROTOCOL,)
    ),
    "8.2.2 connection": Bad(lambda say: say.head(("connection", "keep-alive"), end=True), 1, (PROTOCOL,)),
    "8.2.2 transfer-encoding": Bad(lambda say: say.head(("transfer-encoding", "chunked")), 1, (PROTOCOL,)),
    "8.2.2 te": Bad(lambda say: say.head(("te", "trailers, deflate"), end=True), 1, (PROTOCOL,)),
    "8.3.1 an empty :path": Bad(lambda say: say.head(path="", end=True), 1, (PROTOCOL,)),
    "8.3.1 no :method": Bad(lambda say: say.head(without=":method", end=True), 1, (PROTOCOL,)),
    "8.3.1 no :scheme": Bad(lambda say: say.head(without=":scheme", end=True), 1, (PROTOCOL,)),
    "8.3.1 no :path": Bad(lambda say: say.head(without=":path", end=True), 1, (PROTOCOL,)),
    "8.3.1 two :method": Bad(
        lambda say: head(1, say.encode((":method", "GET")) + say.block(), True), 1, (PROTOCOL,)
    ),
    "8.3.1 two :scheme": Bad(
        lambda say: head(1, say.encode((":scheme", "http")) + say.block(), True), 1, (PROTOCOL,)
    ),
    "8.3.1 two :path": Bad(
        lambda say: head(1, say.encode((":path", "/")) + say.block(), True), 1, (PROTOCOL,)
    ),
    "8.1.1 less DATA than content-length says": Bad(
        lambda say: say.head(("content-length", "2"), path="/a") + data(1, b"x", True), 1, (PROTOCOL,)
    ),
    "8.1.1 more DATA than content-length says": Bad(
        lambda say: say.head(("content-length", "2"), path="/a") + data(1, b"xx") + data(1, b"x", True),
        1,
        (PROTOCOL,),
    ),
    "7541 2.3.3 an index beyond the tables": Bad(
        lambda say: head(1, say.block() + b"\xff\0", True), 0, (COMPRESSION,)
    ),
    "7541 2.3.3 a name's index beyond the tables": Bad(
        lambda say: head(1, say.block() + b"\x7f\x20\1a", True), 0, (COMPRESSION,)
    ),
    "7541 4.2 an update of the table's size at the end": Bad(
        lambda say: head(1, say.block() + b"\x20", True), 0, (COMPRESSION,)
    ),
    "7541 5.2 a byte of padding": Bad(
        lambda say: head(1, say.block() + b"\0\3x-a\x83\x1c\x64\xff", True), 0, (COMPRESSION,)
    ),
    "7541 5.2 padding of zeros": Bad(
        lambda say: head(1, say.block() + b"\0\3x-a\x81\x18", True), 0, (COMPRESSION,)
    ),
    "7541 5.2 the end of a text within it": Bad(
        lambda say: head(1, say.block() + b"\0\3x-a\x84\xff\xff\xff\xff", True), 0, (COMPRESSION,)
    ),
    "7541 6.1 index 0": Bad(lambda say: head(1, say.block() + b"\x80", True), 0, (COMPRESSION,)),
    "7541 6.3 a larger table than is allowed": Bad(
        lambda say: head(1, b"\x3f\xe2\x1f" + say.block(), True), 0, (COMPRESSION,)
    ),
}


class Heard(NamedTuple):
    goaways: list[int]
    resets: dict[int, int]
    answered: set[int]  # streams whose response has ended
    pongs: list[bytes]


def frames_of(text: bytes) -> Heard:
    heard = Heard([], {}, set(), [])
    while text:
        frame, length = Frame.parse_frame_header(memoryview(text[:9]))
        frame.parse_body(memoryview(text[9 : 9 + length]))
        text = text[9 + length :]
        if isinstance(frame, GoAwayFrame):
            heard.goaways.append(frame.error_code)
        elif isinstance(frame, RstStreamFrame):
            heard.resets[frame.stream_id] = frame.error_code
        elif isinstance(frame, PingFrame) and "ACK" in frame.flags:
            heard.pongs.append(bytes(frame.opaque_data))
        elif isinstance(frame, (DataFrame, HeadersFrame)) and "END_STREAM" in frame.flags:
            heard.answered.add(frame.stream_id)
    return heard


def begin(play: Stage) -> Client:
    """A client that has acknowledged our SETTINGS."""
    client = play.connect()
    client.say(PREFACE + settings() + raw(4, 0, b"", 1))
    client.heard()
    return client


@pytest.mark.parametrize("words", GOOD.values(), ids=GOOD)
def test_what_has_to_be_taken(stage: MakeStage, words: Words) -> None:
    play = stage()
    client = begin(play)
    said = words(Say())
    client.say(said)
    heard = frames_of(client.heard())
    assert heard.answered
    assert (heard.goaways, heard.resets) == ([], {})
    client.say(PING)
    assert frames_of(client.heard()).pongs[-1] == b"12345678"
    assert not client.ended


@pytest.mark.parametrize("code", [0, 0xFF])
def test_a_client_that_goes_away_has_its_answers_and_no_more(stage: MakeStage, code: int) -> None:
    play = stage()
    client = begin(play)
    say = Say()
    client.say(say.head(path="/a", end=True) + GoAwayFrame(0, last_stream_id=0, error_code=code).serialize())
    assert not client.ended
    play.origin().say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
    heard = frames_of(client.heard())
    assert heard.answered == {1}
    assert heard.goaways in ([], [0])  # libnghttp2 has nothing to say any more
    assert client.ended


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_has_to_be_refused(stage: MakeStage, engine: str, bad: Bad) -> None:
    play = stage(manager={"http2_protocol_options": {"max_concurrent_streams": 2}})
    client = begin(play)
    say = Say()
    if bad.pause:
        client.say(say.head(end=True))
        assert frames_of(client.heard()).answered == {1}
    client.say(bad.words(say))
    heard = frames_of(client.heard())
    for dial in play.loop.dials:
        dial.refuse()
    play.loop.dials.clear()
    if heard.goaways:
        # h2 has no other word for what it finds wrong with a connection.
        assert heard.goaways[0] in (*bad.codes, PROTOCOL if engine == "h2" else bad.codes[0])
        assert client.ended
        play.pass_time(1.5)
        assert client.closed
    else:
        assert bad.stream
        assert heard.resets[bad.stream] in bad.codes
        client.say(PING)
        assert frames_of(client.heard()).pongs == [b"12345678"]


def test_what_is_on_its_way_for_a_stream_that_we_have_ended(stage: MakeStage) -> None:
    play = stage()
    client = begin(play)
    say = Say()
    client.say(say.head())  # answered before it is complete: the rest is not wanted
    heard = frames_of(client.heard())
    assert (heard.answered, heard.resets, heard.goaways) == ({1}, {1: 0}, [])
    client.say(data(1, b"x"), data(1, b"x"), head(1, say.encode(("x-t", "1")), True))
    client.say(say.head(stream=3, end=True))
    heard = frames_of(client.heard())
    assert (heard.answered, heard.goaways) == ({3}, [])
    assert heard.resets in ({}, {1: CLOSED})  # h2 does not know by whom it was ended


def test_more_and_more_late_data(stage: MakeStage) -> None:
    play = stage()
    client = begin(play)
    client.say(Say().head(end=True))
    client.heard()
    client.say(data(1, b"x") * 900)
    assert frames_of(client.heard()).goaways == []
    client.say(data(1, b"x") * 200)
    assert frames_of(client.heard()).goaways == [11]
    assert play.counter("http2.outbound_control_flood") == 1


def test_little_is_remembered_of_streams_that_are_over() -> None:
    watch = FrameWatch(Http2Options(), 1000, True, 0.0)
    watch.skip = 0
    for stream in range(1, 20001, 4):
        assert watch.feed(head(stream, b"\x82"), 0.0) == NO_FLOOD
        watch.give_up(stream)
    assert len(watch._given_up) == 1000
    assert len(watch._skipped) == 100
    assert watch.feed(data(19997, b"x"), 0.0) == NO_FLOOD
    assert watch.late == []
    assert watch.feed(data(1, b"x"), 0.0) == NO_FLOOD
    assert watch.late == [1]  # that was too long ago


def test_nothing_is_late_where_streams_were_never_ended() -> None:
    options = Http2Options()
    options.max_concurrent_streams = 10
    watch = FrameWatch(options, 1000, True, 0.0)
    watch.skip = 0
    for stream in range(1, 2101, 2):
        watch.feed(head(stream, b"\x82"), 0.0)
    assert not watch.sending
    watch.feed(data(1, b"x", True), 0.0)
    watch.feed(data(1, b"x"), 0.0)
    assert watch.late == []
