"""What requests over HTTP/2 cost on the wire: the access log tells just what the two ends have seen.

What they have seen is read by hyperframe, from all bytes of their connections.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, RstStreamFrame, SettingsFrame

from proxyd.codec.http2 import PREFACE
from tests.net.conftest import MakeStage
from tests.net.dialogue import GET
from tests.net.http2_client import Http2Client, engines, raw, request_fields
from tests.net.http2_origin import Http2Origin
from tests.net.playbook import FILE_LOG, Peer, Stage
from tests.net.test_http2_upstream import CLUSTER

_FORMAT = (
    "%REQ(:PATH)% %DOWNSTREAM_WIRE_BYTES_RECEIVED% %DOWNSTREAM_WIRE_BYTES_SENT% "
    "%UPSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_RECEIVED%\n"
)


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


@pytest.fixture
def play(stage: MakeStage) -> Stage:
    made = stage(cluster=CLUSTER)
    log = {
        "@type": FILE_LOG,
        "path": str(made._log),
        "log_format": {"text_format_source": {"inline_string": _FORMAT}},
    }
    made.change(manager={"access_log": [{"name": "log", "typed_config": log}]}, cluster=CLUSTER)
    return made


class Tap:
    """All that goes between proxyd and one of its peers."""

    def __init__(self, peer: Peer) -> None:
        self._said = bytearray()
        self._heard = bytearray()
        self._peer = peer
        self._say, self._hear = peer.say, peer.heard
        peer.say = self._saying  # type: ignore[method-assign]
        peer.heard = self._hearing  # type: ignore[method-assign]

    def _saying(self, *pieces: bytes) -> None:
        for data in pieces:
            self._said += data
        self._say(*pieces)

    def _hearing(self) -> bytes:
        data = self._hear()
        self._heard += data
        return data

    def said(self, stream: int) -> int:
        data = bytes(self._said)
        return _sum(data.removeprefix(PREFACE), stream)

    def heard(self, stream: int) -> int:
        self._hearing()
        return _sum(bytes(self._heard).removeprefix(PREFACE), stream)


def _sum(data: bytes, stream: int) -> int:
    total = 0
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        if frame.stream_id == stream:
            total += 9 + length
        data = data[9 + length :]
    return total


def both(play: Stage) -> tuple[Http2Client, Tap, Any]:
    """A client of HTTP/2 and its tap; and what accepts the connection to the host, with its tap."""
    peer = play.connect()
    tap = Tap(peer)
    client = Http2Client(peer).start()

    def accept() -> tuple[Http2Origin, Tap]:
        made = play.origin()
        host_tap = Tap(made)
        return Http2Origin(made), host_tap

    return client, tap, accept


def test_one_request(play: Stage) -> None:
    client, tap, accept = both(play)
    stream = client.get("/a", ("x-long", "y" * 300))
    host, host_tap = accept()
    host.answer(1, b"ok", ("x-answer", "z" * 100))
    client.listen()
    line = f"/a {tap.said(stream)} {tap.heard(stream)} {host_tap.heard(1)} {host_tap.said(1)}"
    assert play.log() == [line]
    assert tap.said(stream) > 200


def test_requests_side_by_side_with_bodies_and_trailers(play: Stage) -> None:
    client, tap, accept = both(play)
    first = client.get("/first", method="POST", end=False)
    host, host_tap = accept()
    second = client.get("/second", method="POST", end=False)
    client.send(first, b"x" * 10_000)
    client.send(first, b"x" * 10_000)
    client.send(second, b"y" * 500)
    host.listen()
    client.end(first, [("x-t", "1")])
    client.send(second, b"z", end=True)
    host.listen()
    assert host.requests[1].trailers
    host.head(3)
    host.head(1)
    for stream in (1, 3, 1):
        host.data(stream, b"q" * 1000 * stream)
    host.trailers(3, ("x-t", "2"))
    host.data(1, b"", end=True)
    client.listen()
    assert play.log() == [
        f"/second {tap.said(second)} {tap.heard(second)} {host_tap.heard(3)} {host_tap.said(3)}",
        f"/first {tap.said(first)} {tap.heard(first)} {host_tap.heard(1)} {host_tap.said(1)}",
    ]


def test_the_line_waits_for_what_the_client_has_not_taken(play: Stage) -> None:
    client, tap, accept = both(play)
    client.reads_on = False
    stream = client.get("/a")
    host, _ = accept()
    host.head(1)
    for _ in range(3):
        host.data(1, b"x" * 16_000)
    host.data(1, b"x" * 16_000)
    host.data(1, b"x" * 16_000, end=True)
    client.listen()
    assert len(client.answers[stream].body) == 65_535  # its window
    assert play.log() == []
    client.connection.increment_flow_control_window(100_000)
    client.connection.increment_flow_control_window(100_000, stream)
    client.flush()
    assert client.answers[stream].ended
    [line] = play.log()
    assert line.split()[2] == str(tap.heard(stream))


def test_a_client_that_goes_before_it_has_taken_all(play: Stage) -> None:
    client, tap, accept = both(play)
    client.reads_on = False
    stream = client.get("/a")
    host, _ = accept()
    host.head(1)
    for end in (False, False, False, False, True):
        host.data(1, b"x" * 16_000, end=end)
    client.listen()
    assert play.log() == []
    client.client.close()
    [line] = play.log()
    assert line.split()[2] == str(tap.heard(stream))


def test_a_head_in_pieces(play: Stage) -> None:
    client = raw(play)
    tap = Tap(client)
    block = Http2Client(client).encode([*request_fields("/direct"), ("x-a", "b" * 100)])
    client.say(HeadersFrame(1, block[:10], flags=["END_STREAM"]).serialize())
    pieces = ContinuationFrame(1, block[10:20]).serialize()
    pieces += ContinuationFrame(1, block[20:], flags=["END_HEADERS"]).serialize()
    for place in range(0, len(pieces), 7):
        client.say(pieces[place : place + 7])
    assert play.log() == [f"/direct {tap.said(1)} {tap.heard(1)} 0 0"]


def test_a_reset_counts_where_it_comes_and_not_where_it_goes(play: Stage) -> None:
    client, tap, accept = both(play)
    stream = client.get("/a")
    host, host_tap = accept()
    host.listen()
    asked = host_tap.heard(1)
    client.reset(stream)
    host.listen()
    assert host.requests[1].reset is not None
    assert play.log() == [f"/a {tap.said(stream)} 0 {asked} 0"]


def test_connections_that_were_there_before_a_log_asked(play: Stage) -> None:
    listener: Any = play.listener
    listener.options.counts_wire_bytes = False
    client, tap, accept = both(play)
    first = client.get("/first", method="POST", end=False)
    host, host_tap = accept()
    client.send(first, b"x" * 100)
    host.listen()
    listener.options.counts_wire_bytes = True
    second = client.get("/second")
    host.listen()
    host.answer(3, b"ok")
    client.listen()
    second_line = f"/second {tap.said(second)} {tap.heard(second)} {host_tap.heard(3)} {host_tap.said(3)}"
    client.send(first, b"x", end=True)
    host.listen()
    host.answer(1, b"ok")
    client.listen()
    assert play.log() == [second_line, "/first 0 0 0 0"]


def test_a_client_of_http_1_and_a_host_of_http_2(play: Stage) -> None:
    client = play.connect()
    client.say(GET)
    made = play.origin()
    tap = Tap(made)
    host = Http2Origin(made)
    host.answer(1, b"hello")
    answer = client.heard()
    assert play.log() == [f"/a {len(GET)} {len(answer)} {tap.heard(1)} {tap.said(1)}"]


def test_streams_beyond_those_that_a_client_was_told_of_are_refused_and_counted(
    stage: MakeStage, engine: str
) -> None:
    if engine == "h2":
        pytest.skip("h2 has no limit before its SETTINGS are acknowledged")
    play = stage(manager={"http2_protocol_options": {"max_concurrent_streams": 2}})
    peer = play.connect()
    client = Http2Client(peer)
    frames: list[Frame] = [SettingsFrame(0)]
    for number in (1, 3, 5, 7):
        block = client.encode(request_fields("/a"))
        frames.append(HeadersFrame(number, block, flags=["END_HEADERS", "END_STREAM"]))
    data = b"".join(frame.serialize() for frame in frames)
    peer.say(PREFACE + data[:-4], data[-4:])
    assert play.counter("http2.stream_refused_errors") == 2
    assert play.counter("http2.tx_reset") == 2
    assert play.http("downstream_rq_total") == 2
    peer.say(SettingsFrame(0, flags=["ACK"]).serialize(), RstStreamFrame(1, error_code=8).serialize())
    block = client.encode(request_fields("/a"))
    peer.say(HeadersFrame(9, block, flags=["END_HEADERS"]).serialize())
    peer.say(DataFrame(9, b"", flags=["END_STREAM"]).serialize())
    assert play.counter("http2.stream_refused_errors") == 2
    assert play.http("downstream_rq_total") == 3
