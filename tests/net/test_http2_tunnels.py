"""WebSocket and CONNECT where one side or both speak HTTP/2 (RFC 8441, RFC 9113 section 8.5)."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import request
from tests.net.http2_client import Fields, Http2Client, connect, engines
from tests.net.http2_origin import origin
from tests.net.playbook import Stage
from tests.net.test_http2_upstream import CLUSTER, http2

ROUTES: list[dict[str, Any]] = [
    {"match": {"connect_matcher": {}}, "route": {"cluster": "backend"}},
    {"match": {"prefix": "/"}, "route": {"cluster": "backend"}},
]
MANAGER = {
    "upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
    "http2_protocol_options": {"allow_connect": True},
}
WEBSOCKET: Fields = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "x"),
    (":path", "/chat"),
    ("sec-websocket-version", "13"),
]
CONNECT: Fields = [(":method", "CONNECT"), (":authority", "x:443")]


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


def asked(play: Stage, fields: Fields) -> tuple[Http2Client, int]:
    client = connect(play)
    assert client.settings[8] == 1
    return client, client.open(fields, end=False)


def test_a_websocket_of_http_2_is_one_of_http_1_to_the_host(stage: MakeStage) -> None:
    play = stage(manager=MANAGER, routes=ROUTES)
    client, stream = asked(play, WEBSOCKET)
    host = play.origin()
    lines = host.request()
    assert lines[0] == "GET /chat HTTP/1.1"
    assert "connection: Upgrade" in lines
    assert "upgrade: websocket" in lines
    (key,) = [line[19:] for line in lines if line.startswith("sec-websocket-key: ")]
    assert len(key) == 24  # sixteen bytes; HTTP/2 has no such field
    host.say(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-accept: x\r\nsec-websocket-protocol: chat\r\n\r\nhello"
    )
    client.listen()
    answer = client.answers[stream]
    assert answer.status == "200"
    assert answer.field("upgrade") is None
    assert answer.field("connection") is None
    assert answer.field("sec-websocket-accept") is None
    assert answer.field("sec-websocket-protocol") == "chat"
    assert answer.body == b"hello"
    client.send(stream, b"ping")
    assert host.heard() == b"ping"
    host.say(b"pong")
    client.listen()
    assert answer.body == b"hellopong"
    client.end(stream)
    assert host.transport.eof_written
    host.say(b"bye")
    host.close()
    client.listen()
    assert answer.body == b"hellopongbye"
    assert answer.ended
    assert play.http("downstream_cx_upgrades_total") == 1
    other = client.get("/x")
    play.origin().say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    client.listen()
    assert client.answers[other].status == "200"


def test_a_host_that_does_not_want_a_websocket(stage: MakeStage) -> None:
    play = stage(manager=MANAGER, routes=ROUTES)
    client, stream = asked(play, WEBSOCKET)
    play.origin().say(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
    client.listen()
    answer = client.answers[stream]
    assert (answer.status, answer.body, answer.ended) == ("403", b"no", True)


def test_a_protocol_that_is_not_allowed_is_refused(stage: MakeStage) -> None:
    play = stage(manager={"http2_protocol_options": {"allow_connect": True}}, routes=ROUTES)
    client, stream = asked(play, WEBSOCKET)
    assert client.answers[stream].status == "403"
    assert client.goaways == []


def test_a_websocket_of_http_1_is_one_of_http_2_to_the_host(stage: MakeStage) -> None:
    play = stage(manager=MANAGER, routes=ROUTES, cluster=http2({"allow_connect": True}))
    client = play.connect()
    more = ("connection: Upgrade", "upgrade: websocket", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")
    client.say(request("GET", "/chat", *more, "sec-websocket-version: 13"))
    host = origin(play)
    host.listen()
    fields = dict(host.requests[1].fields)
    assert (fields[":method"], fields[":protocol"], fields[":path"]) == ("CONNECT", "websocket", "/chat")
    assert "upgrade" not in fields
    assert "connection" not in fields
    host.head(1, ("sec-websocket-protocol", "chat"))
    lines = client.hears()
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    assert "upgrade: websocket" in lines
    assert "connection: Upgrade" in lines
    assert "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in lines  # RFC 6455 section 1.3
    client.say(b"ping")
    host.listen()
    assert host.requests[1].body == b"ping"
    host.data(1, b"pong")
    assert client.heard() == b"pong"
    client.close()
    host.listen()
    assert host.requests[1].ended
    host.data(1, b"bye", end=True)
    assert client.heard() == b"bye"
    assert client.ended


def test_a_websocket_of_http_2_stays_one(stage: MakeStage) -> None:
    play = stage(manager=MANAGER, routes=ROUTES, cluster=http2({"allow_connect": True}))
    client, stream = asked(play, WEBSOCKET)
    host = origin(play)
    host.listen()
    assert host.requests[1].field(":protocol") == "websocket"
    assert host.requests[1].field("sec-websocket-key") is None
    host.head(1)
    client.listen()
    assert client.answers[stream].status == "200"
    client.send(stream, b"ping", end=True)
    host.listen()
    assert (host.requests[1].body, host.requests[1].ended) == (b"ping", True)
    host.data(1, b"pong", end=True)
    client.listen()
    assert (client.answers[stream].body, client.answers[stream].ended) == (b"pong", True)


def test_a_connect_goes_on_as_one(stage: MakeStage) -> None:
    play = stage(manager=MANAGER, routes=ROUTES)
    client, stream = asked(play, CONNECT)
    host = play.origin()
    assert host.request()[0] == "CONNECT x:443 HTTP/1.1"
    host.say(b"HTTP/1.1 200 OK\r\n\r\nhello")
    client.listen()
    assert client.answers[stream].status == "200"
    assert client.answers[stream].body == b"hello"
    client.send(stream, b"x")
    assert host.heard() == b"x"
    client.reset(stream)
    assert host.closed


def test_a_connect_of_http_1_to_a_host_of_http_2(stage: MakeStage) -> None:
    play = stage(manager=MANAGER, routes=ROUTES, cluster=CLUSTER)
    client = play.connect()
    client.say(b"CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n")
    host = origin(play)
    host.listen()
    names = [name for name, _ in host.requests[1].fields if name.startswith(":")]
    assert names == [":method", ":authority"]
    host.head(1)
    assert client.heard().startswith(b"HTTP/1.1 200 OK\r\n")
    client.say(b"ping")
    host.listen()
    assert host.requests[1].body == b"ping"


def test_a_tunnel_s_client_that_takes_nothing_stops_the_host(stage: MakeStage) -> None:
    play = stage(manager=MANAGER, routes=ROUTES, listener={"per_connection_buffer_limit_bytes": 10_000})
    client, stream = asked(play, WEBSOCKET)
    host = play.origin()
    host.say(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    client.listen()
    client.reads_on = False
    for _ in range(20):
        host.say(b"x" * 10_000)
    client.listen()
    assert not host.transport.reading
    client.reset(stream)
    assert host.closed


@pytest.mark.parametrize(
    ("fate", "code"),
    [("refuses", 0), ("answers otherwise", 0), ("is not there", 10), ("breaks off", 10)],
)
def test_with_what_code_a_failing_tunnel_is_reset(stage: MakeStage, fate: str, code: int) -> None:
    """As in Envoy: CONNECT_ERROR (RFC 9113 section 8.5), unless the host has said no."""
    play = stage(manager=MANAGER, routes=ROUTES)
    client, stream = asked(play, WEBSOCKET)
    if fate == "is not there":
        play.dial().refuse()
    else:
        host = play.origin()
        if fate == "breaks off":
            host.say(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            host.reset()
        else:
            status = b"403 No" if fate == "refuses" else b"200 OK"
            host.say(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nno")
    client.listen()
    assert client.resets == {stream: code}
