"""CONNECT that ends here: the host has the bytes of the tunnel and hears nothing of HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.net.conftest import MakeStage
from tests.net.http2_client import Http2Client, connect, engines
from tests.net.playbook import Client, Origin, Stage

LIMIT = 10_000
SMALL = {"per_connection_buffer_limit_bytes": LIMIT}
ASK = b"CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n"
FIELDS = [(":method", "CONNECT"), (":authority", "x:443")]


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


def terminates(config: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    upgrade = {"upgrade_type": "CONNECT", "connect_config": config or {}}
    action = {"cluster": "backend", "upgrade_configs": [upgrade]}
    return [{"match": {"connect_matcher": {}}, "route": action}]


def talk(play: Stage) -> tuple[Client, Origin]:
    client = play.connect()
    client.say(ASK)
    origin = play.origin()
    assert client.hears()[0] == "HTTP/1.1 200 OK"
    return client, origin


def test_the_host_has_the_bytes_alone(stage: MakeStage) -> None:
    play = stage(routes=terminates())
    client = play.connect()
    client.say(ASK + b"early")
    assert client.heard() == b""  # nobody is there yet
    origin = play.origin()
    assert client.hears() == ["HTTP/1.1 200 OK", "", ""]
    assert origin.heard() == b"early"
    origin.say(b"HTTP/1.1 500 is no HTTP here\r\n\r\n")
    assert client.heard() == b"HTTP/1.1 500 is no HTTP here\r\n\r\n"
    client.say(b"\0\xff", b"more")
    assert origin.heard() == b"\0\xffmore"
    assert play.active()["http.in.downstream_cx_upgrades_active"] == 1
    client.reset()
    assert origin.closed
    assert play.log() == ["CONNECT - 200 DC downstream_remote_disconnect"]
    assert play.upstream("upstream_rq_200") == 1


def test_each_half_closes_by_itself(stage: MakeStage) -> None:
    play = stage(routes=terminates())
    client, origin = talk(play)
    client.close()
    assert origin.ended
    assert not origin.closed
    origin.say(b"still")
    assert client.heard() == b"still"
    origin.close()
    assert client.closed
    assert origin.closed
    client, origin = talk(play)
    origin.close()
    client.say(b"still")
    assert origin.heard() == b"still"
    client.close()
    assert origin.closed


def test_a_host_that_is_not_there(stage: MakeStage) -> None:
    play = stage(routes=terminates())
    client = play.connect()
    client.say(ASK)
    play.dial().refuse()
    lines = client.hears()
    assert lines[0] == "HTTP/1.1 503 Service Unavailable"
    assert lines[-1].endswith("reset reason: remote connection failure")
    client = play.connect()
    client.say(ASK)
    assert play.loop.dials.pop()
    play.pass_time(2.5)
    assert client.hears()[-1].endswith("reset reason: connection timeout")
    assert [line.split()[2:4] for line in play.log()] == [["503", "UF"]] * 2
    assert play.upstream("upstream_cx_connect_timeout") == 1


def test_a_host_that_breaks_off(stage: MakeStage) -> None:
    play = stage(routes=terminates())
    client, origin = talk(play)
    origin.reset()
    play.turn()
    assert client.closed
    details = "upstream_reset_after_response_started{connection_termination}"
    assert play.log() == [f"CONNECT - 200 UC {details}"]


def test_a_client_that_goes_before_there_is_a_host(stage: MakeStage) -> None:
    play = stage(routes=terminates())
    client = play.connect()
    client.say(ASK)
    dial = play.dial()
    client.reset()
    play.turn()
    assert dial.answer.cancelled()
    assert play.upstream("upstream_rq_cancelled") == 1


@pytest.mark.parametrize("limit", ["connections", "pending"])
def test_as_many_as_the_cluster_may_have(stage: MakeStage, limit: str) -> None:
    play = stage(routes=terminates())
    cluster = play.server._clusters["backend"]
    setattr(cluster, limit, getattr(cluster.config, f"max_{limit}".replace("pending", "pending_requests")))
    client = play.connect()
    client.say(ASK)
    assert client.hears()[0] == "HTTP/1.1 503 Service Unavailable"
    setattr(cluster, limit, 0)
    assert play.log() == ["CONNECT - 503 UO upstream_reset_before_response_started{overflow}"]
    counter = {"connections": "upstream_cx_overflow", "pending": "upstream_rq_pending_overflow"}[limit]
    assert play.upstream(counter) == 1


@pytest.mark.parametrize(
    ("version", "header"),
    [
        ("V1", b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 8080\r\n"),
        ("V2", b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c\xc0\0\2\7\x7f\0\0\1\x9c\x40\x1f\x90"),
    ],
)
def test_behind_a_proxy_header(stage: MakeStage, version: str, header: bytes) -> None:
    play = stage(routes=terminates({"proxy_protocol_config": {"version": version}}))
    client, origin = talk(play)
    assert origin.heard() == header
    client.say(b"x")
    assert origin.heard() == b"x"
    client.reset()


def test_back_pressure_goes_through(stage: MakeStage) -> None:
    play = stage(routes=terminates(), listener=SMALL, cluster=SMALL)
    client, origin = talk(play)
    client.stall()
    origin.say(*[b"x" * 5000] * 20)
    assert not origin.transport.reading
    client.take()
    assert client.heard() == b"x" * 100_000
    origin.stall()
    client.say(*[b"y" * 5000] * 20)
    assert not client.transport.reading
    origin.take()
    assert origin.heard() == b"y" * 100_000
    client.reset()


def test_what_a_client_left_behind_still_reaches_the_host(stage: MakeStage) -> None:
    play = stage(routes=terminates(), cluster=SMALL)
    client, origin = talk(play)
    origin.stall()
    client.say(b"y" * 5000)
    client.close()
    origin.close()
    assert client.closed
    assert not origin.closed
    origin.take()
    assert origin.heard() == b"y" * 5000
    assert origin.closed


def test_a_connect_of_http_2(stage: MakeStage) -> None:
    play = stage(routes=terminates(), manager={"http2_protocol_options": {"allow_connect": True}})
    client = connect(play)
    stream = client.open(FIELDS, end=False)
    client.send(stream, b"early")
    origin = play.origin()
    assert origin.heard() == b"early"
    origin.say(b"hello")
    _heard(client, stream, b"hello")
    client.end(stream)
    assert origin.ended
    origin.say(b"still")
    origin.close()
    _heard(client, stream, b"hellostill")
    assert client.answers[stream].ended


def _heard(client: Http2Client, stream: int, body: bytes) -> None:
    client.listen()
    assert client.answers[stream].status == "200"
    assert client.answers[stream].body == body


def test_other_routes_pass_a_connect_on(stage: MakeStage) -> None:
    upgrade = [{"upgrade_type": "CONNECT"}]
    routes = [{"match": {"connect_matcher": {}}, "route": {"cluster": "backend", "upgrade_configs": upgrade}}]
    play = stage(routes=routes)
    client = play.connect()
    client.say(ASK)
    origin = play.origin()
    assert origin.request()[0] == "CONNECT x:443 HTTP/1.1"
    client.reset()
