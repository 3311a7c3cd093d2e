"""Hosts that ask for more than they may, or keep no rule: each is told, counted and left for another."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.net.conftest import MakeStage
from tests.net.dialogue import GET
from tests.net.http2_client import engines
from tests.net.http2_origin import Http2Origin, origin
from tests.net.playbook import Client, Stage
from tests.net.test_http2_rfc9113 import frames_of
from tests.net.test_http2_upstream import CLUSTER

CALM = 11  # ENHANCE_YOUR_CALM
PING = PingFrame(0, b"12345678").serialize()
UNKNOWN = b"\0\0\1\x42\0\0\0\0\0?"
OK = hpack.Encoder().encode([(":status", "200")])


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


class Bad(NamedTuple):
    """What a host says, and what is counted of it."""

    words: Callable[[], bytes]
    counter: str
    code: int = 0  # what it is told; 0: whatever the engine finds


def head(block: bytes, *flags: str, stream: int = 1) -> bytes:
    return HeadersFrame(stream, block, flags=flags).serialize()


def bomb() -> bytes:
    """A few bytes that stand for very many: each names a large field of the table."""
    encoder = hpack.Encoder()
    first = encoder.encode([(":status", "100"), ("bomb", "x" * 3900)])
    again = encoder.encode([("bomb", "x" * 3900)])
    assert len(again) == 1
    return (
        head(first, "END_HEADERS")
        + head(OK + again * 16000)
        + ContinuationFrame(1, again * 10, flags=["END_HEADERS"]).serialize()
    )


FLOODS: dict[str, Bad] = {
    "pings": Bad(lambda: PING * 1200, "outbound_control_flood", CALM),
    "settings": Bad(lambda: SettingsFrame(0).serialize() * 1200, "outbound_control_flood", CALM),
    "frames of a kind that nobody knows": Bad(lambda: UNKNOWN * 1200, "outbound_control_flood", CALM),
    "empty data": Bad(
        lambda: head(OK, "END_HEADERS") + DataFrame(1, b"").serialize() * 2,
        "inbound_empty_frames_flood",
        CALM,
    ),
    "priorities": Bad(
        lambda: PriorityFrame(1, depends_on=0, stream_weight=1).serialize() * 300,
        "inbound_priority_frames_flood",
        CALM,
    ),
    "window updates": Bad(
        lambda: WindowUpdateFrame(0, window_increment=1).serialize() * 100,
        "inbound_window_update_frames_flood",
        CALM,
    ),
    "continuations": Bad(
        lambda: head(OK) + ContinuationFrame(1, OK).serialize() * 50, "header_overflow", CALM
    ),
    "empty continuations": Bad(
        lambda: head(OK) + ContinuationFrame(1, b"").serialize() * 2, "inbound_empty_frames_flood", CALM
    ),
    "a bomb of compressed fields": Bad(bomb, "header_overflow rx_messaging_error"),
    "a frame that is too large": Bad(lambda: b"\0\x40\1\0\0\0\0\0\1" + bytes(16385), "rx_messaging_error", 6),
}
RULES: dict[str, Bad] = {
    "a push": Bad(lambda: b"\0\0\5\5\4\0\0\0\1" + b"\0\0\0\2\x82", "rx_messaging_error"),
    "data before a head": Bad(lambda: DataFrame(1, b"x").serialize(), "rx_messaging_error"),
    "data of a stream that nobody has opened": Bad(
        lambda: DataFrame(3, b"x").serialize(), "rx_messaging_error"
    ),
    "a head of a stream that nobody has opened": Bad(
        lambda: head(OK, "END_HEADERS", stream=2), "rx_messaging_error"
    ),
    "a reset of a stream that nobody has opened": Bad(
        lambda: RstStreamFrame(5, error_code=8).serialize(), "rx_messaging_error"
    ),
    "a head that cannot be decoded": Bad(
        lambda: head(b"\xff\xff\xff\xff\xff", "END_HEADERS"), "rx_messaging_error"
    ),
    "too large a window": Bad(
        lambda: WindowUpdateFrame(0, window_increment=2**31 - 1).serialize() * 2, "rx_messaging_error"
    ),
    "a window update of nothing": Bad(lambda: b"\0\0\4\x08\0\0\0\0\0" + bytes(4), "rx_messaging_error"),
    "settings of the wrong size": Bad(lambda: b"\0\0\5\4\0\0\0\0\0" + b"12345", "rx_messaging_error"),
    "a ping of a stream": Bad(lambda: b"\0\0\x08\6\0\0\0\0\1" + b"12345678", "rx_messaging_error"),
    "what is no HTTP/2": Bad(lambda: b"HTTP/1.1 400 Bad Request\r\n\r\n", "rx_messaging_error"),
}


def asked(play: Stage) -> tuple[Client, Http2Origin]:
    client = play.connect()
    client.say(GET)
    host = origin(play)
    host.listen()
    assert 1 in host.requests
    return client, host


# It costs nothing, and the next frame that matters is looked at.
OVERLOOKED_BY_H2 = ("a head of a stream that nobody has opened", "a reset of a stream that nobody has opened")


@pytest.mark.parametrize("name", [*FLOODS, *RULES])
def test_it_is_told_counted_and_left(stage: MakeStage, name: str, engine: str) -> None:
    if engine == "h2" and name in OVERLOOKED_BY_H2:
        pytest.skip("h2 overlooks it")
    bad = FLOODS[name] if name in FLOODS else RULES[name]
    play = stage(cluster=CLUSTER)
    client, host = asked(play)
    host.origin.say(bad.words())
    assert host.origin.closed
    (code,) = frames_of(host.origin.heard()).goaways
    assert code == bad.code if bad.code else code
    assert sum(play.upstream(f"http2.{name}") for name in bad.counter.split()) == 1
    assert play.upstream("upstream_cx_protocol_error") == 1
    lines = client.hears()
    assert client.closed if "200" in lines[0] else lines[0].startswith("HTTP/1.1 50")
    other, another = asked(play)
    another.answer(1)
    assert other.hears()[-1] == "ok"


def test_one_that_reads_nothing_either_is_left(stage: MakeStage) -> None:
    play = stage(cluster={**CLUSTER, "per_connection_buffer_limit_bytes": 100})
    client, host = asked(play)
    host.origin.stall()
    host.origin.say(PING * 900)
    host.origin.say(PING * 300)
    assert play.upstream("http2.outbound_control_flood") == 1
    assert client.hears()[0] == "HTTP/1.1 502 Bad Gateway"
    play.pass_time(5)
    assert host.origin.closed
