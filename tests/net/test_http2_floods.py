"""Clients that ask for more than they may: each is told, counted and cut off, and costs nobody else."""

from collections.abc import Iterator
from typing import Any

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.net.conftest import MakeStage
from tests.net.http2_client import Http2Client, connect, engines, raw, request_fields
from tests.net.playbook import Stage

CALM = 11  # ENHANCE_YOUR_CALM
UNKNOWN = b"\0\0\1\x42\0\0\0\0\0?"


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


def ping() -> Frame:
    return PingFrame(0, b"12345678")


def is_cut_off(play: Stage, client: Http2Client) -> None:
    """The client is told why, and the next one is served."""
    assert [code for _, code in client.goaways] == [CALM]
    assert client.client.ended
    play.pass_time(1.5)
    assert client.client.closed
    assert play.http("downstream_cx_protocol_error") == 1
    other = connect(play)
    stream = other.get("/direct")
    assert other.answers[stream].body == b"hi"


def test_empty_data(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get(method="POST", end=False)
    play.origin()
    client.throw([DataFrame(stream, b"")])
    client.throw([DataFrame(stream, b"x")])
    client.throw([DataFrame(stream, b"")])
    assert client.goaways == []
    client.throw([DataFrame(stream, b"")])
    is_cut_off(play, client)
    assert play.counter("http2.inbound_empty_frames_flood") == 1
    assert play.log()[0] == "POST /a 0 DPE http2.inbound_empty_frames_flood"


def test_empty_data_in_padding(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get(method="POST", end=False)
    play.origin()
    client.throw([DataFrame(stream, b"", flags=["PADDED"], pad_length=100) for _ in range(2)])
    is_cut_off(play, client)


def test_as_many_empty_frames_as_are_configured(stage: MakeStage) -> None:
    options = {"max_consecutive_inbound_frames_with_empty_payload": 3}
    play = stage(manager={"http2_protocol_options": options})
    client = connect(play)
    stream = client.get(method="POST", end=False)
    play.origin()
    client.throw([DataFrame(stream, b"") for _ in range(3)])
    assert client.goaways == []
    client.throw([DataFrame(stream, b"")])
    is_cut_off(play, client)


def test_priorities(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    client.get("/direct")
    frame = PriorityFrame(1, depends_on=0, stream_weight=1)
    client.throw([frame] * 200)  # of one stream, and of what was before it
    assert client.goaways == []
    client.throw([frame])
    is_cut_off(play, client)
    assert play.counter("http2.inbound_priority_frames_flood") == 1


def test_window_updates(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    client.throw([WindowUpdateFrame(0, window_increment=1)] * 5)
    assert client.goaways == []
    client.throw([WindowUpdateFrame(0, window_increment=1)])
    is_cut_off(play, client)
    assert play.counter("http2.inbound_window_update_frames_flood") == 1


def test_window_updates_for_data_that_was_sent_are_none(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    for _ in range(20):
        client.get("/direct")
    client.throw([WindowUpdateFrame(0, window_increment=1)] * 400)
    assert client.goaways == []


def test_pings(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    for _ in range(10):
        client.throw([ping()] * 90)
    assert client.pings == 900
    assert client.goaways == []
    client.throw([ping()] * 200)
    is_cut_off(play, client)
    assert play.counter("http2.outbound_control_flood") == 1


def test_pings_now_and_then_are_answered(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    for _ in range(30):
        client.throw([ping()] * 90)
        play.pass_time(1)
    assert client.goaways == []
    assert client.pings == 2700


def test_settings(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    client.throw([SettingsFrame(0)] * 1200)
    is_cut_off(play, client)


def test_frames_of_kinds_that_nobody_knows(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    client.client.say(UNKNOWN * 20)
    stream = client.get("/direct")
    assert client.answers[stream].body == b"hi"
    client.client.say(UNKNOWN * 1200)
    client.listen()
    is_cut_off(play, client)


def test_pings_of_a_client_that_does_not_read_the_answers(stage: MakeStage) -> None:
    options = {"max_outbound_control_frames": 50}
    play = stage(
        manager={"http2_protocol_options": options},
        listener={"per_connection_buffer_limit_bytes": 100},
    )
    client = connect(play)
    client.client.stall()
    client.client.say(b"".join(ping().serialize() for _ in range(40)))
    client.client.say(b"".join(ping().serialize() for _ in range(40)))
    client.client.take()
    client.listen()
    is_cut_off(play, client)
    assert play.counter("http2.outbound_control_flood") == 1


def test_continuations(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    block = client.encode(request_fields())
    client.throw([HeadersFrame(1, block)])
    client.throw([ContinuationFrame(1, client.encode([("a", "b")]))] * 30)
    is_cut_off(play, client)
    assert play.counter("http2.header_overflow") == 1


def test_empty_continuations(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    client.throw([HeadersFrame(1, client.encode(request_fields())), *[ContinuationFrame(1, b"")] * 2])
    is_cut_off(play, client)
    assert play.counter("http2.inbound_empty_frames_flood") == 1


def test_a_head_without_end(stage: MakeStage) -> None:
    play = stage(manager={"max_request_headers_kb": 20})
    client = connect(play)
    client.throw([HeadersFrame(1, client.encode(request_fields()))])
    client.throw([ContinuationFrame(1, client.encode([("a", "~" * 12000)])) for _ in range(3)])
    assert client.goaways
    assert client.client.ended


def test_a_bomb_of_compressed_fields(stage: MakeStage, engine: str) -> None:
    """A few bytes that stand for very many: each names a large field of the table."""
    play = stage()
    client = connect(play)
    first = client.encode([*request_fields(), ("bomb", "x" * 3900)])
    client.throw([HeadersFrame(1, first, flags=["END_HEADERS", "END_STREAM"])])
    play.origin()
    again = client.encode([("bomb", "x" * 3900)])
    assert len(again) == 1
    client.throw(
        [
            HeadersFrame(3, client.encode(request_fields()) + again * 16000),
            ContinuationFrame(3, again * 10, flags=["END_HEADERS"]),
        ]
    )
    assert client.goaways
    assert client.client.ended
    assert play.loop.dials == []
    play.pass_time(1.5)
    assert client.client.closed


def test_rapid_resets(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    frames = 0
    for stream in range(1, 1201, 2):
        if client.client.ended:
            break
        block = client.encode(request_fields())
        client.throw(
            [
                HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]),
                RstStreamFrame(stream, error_code=8),
            ]
        )
        frames += 1
    assert 240 <= frames <= 260  # half of 500, as in Envoy
    assert [code for _, code in client.goaways] == [CALM]
    assert play.http("downstream_rq_too_many_premature_resets") == 1
    for dial in list(play.loop.dials):
        dial.refuse()
    play.loop.dials.clear()


def test_resets_of_what_was_answered_are_none(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    for _ in range(300):
        stream = client.get("/direct", method="POST", end=False)
        assert client.answers[stream].body == b"hi"
    assert client.goaways == []


def test_more_streams_than_are_allowed(stage: MakeStage, engine: str) -> None:
    play = stage(manager={"http2_protocol_options": {"max_concurrent_streams": 3}})
    client = connect(play)
    block_of = client.encode
    client.throw(
        [
            HeadersFrame(stream, block_of(request_fields()), flags=["END_HEADERS", "END_STREAM"])
            for stream in (1, 3, 5, 7)
        ]
    )
    assert len(play.loop.dials) <= 3
    assert [code for _, code in client.goaways] == [1]
    for dial in list(play.loop.dials):
        dial.refuse()
    play.loop.dials.clear()


def test_more_streams_than_the_client_could_know_of(stage: MakeStage, engine: str) -> None:
    play = stage(manager={"http2_protocol_options": {"max_concurrent_streams": 1}})
    client = raw(play)  # has not acknowledged our SETTINGS
    block = Http2Client(client).encode(request_fields())
    for stream in (1, 3):
        client.say(HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]).serialize())
    if engine == "h2":  # which gives its connection up
        assert client.heard()[3] == 7
        assert client.ended
    else:
        assert client.heard() == b"\0\0\4\3\0\0\0\0\3" + b"\0\0\0\7"  # REFUSED_STREAM
    play.dial().refuse()


def test_a_client_that_never_reads_its_responses(stage: MakeStage) -> None:
    options = {"max_outbound_frames": 100}
    play = stage(
        manager={"http2_protocol_options": options}, listener={"per_connection_buffer_limit_bytes": 1000}
    )
    client = connect(play)
    client.client.stall()
    for stream in range(1, 401, 2):
        block = client.encode(request_fields("/direct"))
        client.client.say(HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]).serialize())
    assert play.counter("http2.outbound_flood") == 1
    assert client.client.transport.get_write_buffer_size() < 70_000
    play.pass_time(5)
    assert client.client.closed


def test_a_client_that_gives_no_window(stage: MakeStage) -> None:
    play = stage(
        manager={"stream_idle_timeout": "4s"}, listener={"per_connection_buffer_limit_bytes": 10_000}
    )
    client = connect(play, window=0)
    stream = client.get()
    origin = play.origin()
    body = b"x" * 8_000
    origin.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(10):
        origin.say(b"1f40\r\n" + body + b"\r\n")
    client.listen()
    assert client.answers[stream].status == "200"
    assert client.answers[stream].body == b""
    assert not origin.transport.reading
    play.pass_time(5)
    client.listen()
    assert client.answers[stream].reset is not None
    assert origin.closed


FLUSHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as long as streams may be idle": ({"stream_idle_timeout": "4s"}, {}),
    "by itself": ({"stream_idle_timeout": "1s", "stream_flush_timeout": "4s"}, {"idle_timeout": "1s"}),
    "of the route": ({"stream_flush_timeout": "1s"}, {"flush_timeout": "4s"}),
}


@pytest.mark.parametrize(("manager", "action"), FLUSHES.values(), ids=FLUSHES)
def test_a_client_that_never_takes_the_end(
    stage: MakeStage, manager: dict[str, Any], action: dict[str, Any]
) -> None:
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "backend", **action}}]
    play = stage(routes=routes, manager=manager)
    client = connect(play, window=10)
    client.reads_on = False
    stream = client.get()
    origin = play.origin()
    origin.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 1000)
    client.listen()
    assert client.answers[stream].body == b"x" * 10
    play.pass_time(3)
    client.connection.increment_flow_control_window(10, stream)  # it goes on, but too slowly
    client.flush()
    assert client.answers[stream].body == b"x" * 20
    assert client.resets == {}
    play.pass_time(1.5)
    client.listen()
    assert client.resets == {stream: 2}  # INTERNAL_ERROR, as in Envoy
    assert play.counter("http2.tx_flush_timeout") == 1
    assert play.counter("http2.tx_reset") == 1
    assert "http2.streams_active" not in play.active()
    other = client.get()
    origin.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
    client.listen()
    assert client.answers[other].body == b"hi"  # the connection goes on


def test_a_client_may_take_the_end_whenever_it_likes(stage: MakeStage) -> None:
    play = stage(manager={"stream_idle_timeout": "1s", "stream_flush_timeout": "0s"})
    client = connect(play, window=1)
    stream = client.get("/direct")
    play.pass_time(1000)
    client.throw([WindowUpdateFrame(stream, window_increment=10)])
    assert client.answers[stream].body == b"hi"
    assert client.resets == {}


def stalled_client(stage: MakeStage, length: int) -> tuple[Stage, Http2Client]:
    """It takes nothing of a response that fills its transport and its windows."""
    play = stage(
        manager={"stream_idle_timeout": "1s", "stream_flush_timeout": "4s"},
        listener={"per_connection_buffer_limit_bytes": 1000},
    )
    client = connect(play, window=100_000)
    client.connection.increment_flow_control_window(1 << 20)
    client.get()
    origin = play.origin()
    client.client.stall()
    origin.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length + b"x" * 200_000)
    return play, client


def test_a_client_that_takes_nothing_any_more(stage: MakeStage) -> None:
    play, client = stalled_client(stage, 200_000)
    play.pass_time(3.5)
    client.client.take(client.client.transport.get_write_buffer_size())  # slowly, but it does
    play.pass_time(3.5)
    assert not client.client.closed
    assert play.counter("http2.tx_flush_timeout") == 0
    play.pass_time(1)
    assert client.client.closed
    assert play.counter("http2.tx_flush_timeout") == 1


def test_a_client_that_does_not_even_take_a_reset(stage: MakeStage, engine: str) -> None:
    if engine == "h2":
        pytest.skip("h2 knows nothing more of a stream that is to be reset: its connection counts as idle")
    play, client = stalled_client(stage, 300_000)
    play.pass_time(4.5)
    assert play.counter("http2.tx_reset") == 1  # it was idle
    assert not client.client.closed
    play.pass_time(1)
    assert client.client.closed
    assert play.counter("http2.tx_flush_timeout") == 1


FRAMES: dict[str, tuple[bytes, int]] = {
    "data of no stream": (b"\0\0\1\0\0\0\0\0\0x", 1),
    "data of an idle stream": (b"\0\0\1\0\0\0\0\0\x05x", 1),
    "a ping of the wrong size": (b"\0\0\7\6\0\0\0\0\0" + b"1234567", 6),
    "a ping of a stream": (b"\0\0\x08\6\0\0\0\0\1" + b"12345678", 1),
    "settings of a stream": (b"\0\0\0\4\0\0\0\0\1", 1),
    "settings of the wrong size": (b"\0\0\5\4\0\0\0\0\0" + b"12345", 6),
    "an acknowledgement with settings": (b"\0\0\6\4\1\0\0\0\0" + b"\0\3\0\0\0\1", 6),
    "a window of 2^31": (b"\0\0\6\4\0\0\0\0\0" + b"\0\4\x80\0\0\0", 3),
    "a frame size of nothing": (b"\0\0\6\4\0\0\0\0\0" + b"\0\5\0\0\0\0", 1),
    "a frame that is too large": (b"\0\x40\1\0\0\0\0\0\1" + bytes(16385), 6),
    "a window update of nothing": (b"\0\0\4\x08\0\0\0\0\0" + bytes(4), 1),
    "too large a window": (b"\0\0\4\x08\0\0\0\0\0" + b"\x7f\xff\xff\xff", 3),
    "a reset of an idle stream": (b"\0\0\4\3\0\0\0\0\5" + b"\0\0\0\x08", 1),
    "a reset of no stream": (b"\0\0\4\3\0\0\0\0\0" + b"\0\0\0\x08", 1),
    "a head of a stream of ours": (b"\0\0\1\1\5\0\0\0\2" + b"\x82", 1),
    "a head of no stream": (b"\0\0\1\1\5\0\0\0\0" + b"\x82", 1),
    "a head that cannot be decoded": (b"\0\0\1\1\5\0\0\0\1" + b"\xff", 9),
    "a continuation of nothing": (b"\0\0\1\x09\4\0\0\0\1" + b"\x82", 1),
    "a push": (b"\0\0\5\5\4\0\0\0\1" + b"\0\0\0\2\x82", 1),
    "padding that is larger than its frame": (b"\0\0\2\1\x0d\0\0\0\1" + b"\x05\x82", 1),
}


@pytest.mark.parametrize(("frame", "code"), FRAMES.values(), ids=FRAMES)
def test_broken_frames(stage: MakeStage, frame: bytes, code: int) -> None:
    play = stage()
    client = connect(play)
    client.client.say(frame)
    client.listen()
    codes = [code for _, code in client.goaways]
    assert codes  # RFC 9113 section 5.4.1: with what code is for the engine to say
    assert codes[0] != 0
    assert client.client.ended
    play.pass_time(1.5)
    assert client.client.closed


def test_a_connection_that_does_not_begin_with_the_preface(stage: MakeStage) -> None:
    play = stage(manager={"codec_type": "HTTP2"})
    client = play.connect()
    client.say(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert client.ended
    play.pass_time(1.5)
    assert client.closed
