"""Requests that ask for another protocol, and the tunnels that come of them."""

from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, HEARD_OK, OK, request
from tests.net.playbook import Client, Origin, Stage

LIMIT = 10_000
SMALL = {"per_connection_buffer_limit_bytes": LIMIT}
WEBSOCKET = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
ASK = request("GET", "/chat", "Connection: Upgrade", "Upgrade: WebSocket")
ACCEPT = b"HTTP/1.1 101 Hello\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def talk(play: Stage, ask: bytes = ASK) -> tuple[Client, Origin]:
    """A tunnel, both heads read."""
    client = play.connect()
    client.say(ask)
    origin = play.origin()
    origin.say(ACCEPT)
    assert b"upgrade: WebSocket" in origin.heard()
    assert client.heard().startswith(b"HTTP/1.1 101 ")
    return client, origin


def test_an_accepted_upgrade_is_a_tunnel(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)
    client = play.connect()
    client.say(ASK)
    origin = play.origin()
    assert origin.request() == [
        "GET /chat HTTP/1.1",
        "host: x",
        "connection: Upgrade",
        "upgrade: WebSocket",
        "x-envoy-expected-rq-timeout-ms: 15000",
        "",
        "",
    ]
    origin.say(ACCEPT)
    assert client.hears() == [
        "HTTP/1.1 101 Switching Protocols",
        "connection: Upgrade",
        "upgrade: websocket",
        "",
        "",
    ]
    client.say(b"\0\xff", GET)
    assert origin.heard() == b"\0\xff" + GET
    origin.say(b"HTTP/1.1 200 OK\r\n\r\n")
    assert client.heard() == b"HTTP/1.1 200 OK\r\n\r\n"
    assert play.http("downstream_cx_upgrades_total") == 1
    assert play.active()["http.in.downstream_cx_upgrades_active"] == 1
    client.reset()
    assert origin.closed
    assert play.log() == ["GET /chat 101 DC downstream_remote_disconnect"]


def test_halves_close_one_after_the_other(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)
    client, origin = talk(play)
    client.close()
    assert origin.transport.eof_written
    assert not origin.closed
    origin.say(b"last words")
    assert client.heard() == b"last words"
    origin.close()
    assert client.closed
    assert origin.closed
    assert play.log() == ["GET /chat 101 DC downstream_remote_disconnect"]


def test_a_host_closes_its_half_first(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)
    client, origin = talk(play)
    origin.say(b"bye")
    origin.close()
    assert client.heard() == b"bye"
    assert client.transport.eof_written
    client.say(b"bye too")
    assert origin.heard() == b"bye too"
    client.close()
    assert client.closed
    assert origin.closed
    ended = "upstream_reset_after_response_started{connection_termination}"
    assert play.log() == [f"GET /chat 101 UC {ended}"]


def test_a_host_dies(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)
    client, origin = talk(play)
    origin.reset()
    assert client.closed
    assert play.log()[0].startswith("GET /chat 101 UC ")


def test_what_comes_before_the_answer_waits_for_it(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET, listener=SMALL, cluster=SMALL)
    client = play.connect()
    client.say(ASK + b"one,")
    origin = play.origin()
    client.say(b"two,", *[b"x" * 5000] * 10)
    assert origin.heard().endswith(b"\r\n\r\n")
    assert not client.transport.reading
    assert client.transport.unread > 30_000
    origin.say(ACCEPT)
    assert origin.heard() == b"one,two," + b"x" * 50_000
    client.reset()


def test_a_host_that_does_not_switch_gets_none_of_it(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)
    client = play.connect()
    client.say(ASK + GET)
    origin = play.origin()
    origin.say(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno")
    assert b"GET / " not in origin.heard()
    assert client.hears() == ["HTTP/1.1 404 Not Found", "content-length: 2", "connection: close", "", "no"]
    assert client.ended
    assert origin.closed
    assert play.log() == ["GET /chat 404 - via_upstream"]


def test_a_handshake_that_fails_without_an_error_has_no_body(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)
    client = play.connect()
    client.say(ASK)
    origin = play.origin()
    origin.say(b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nno")
    assert client.hears() == ["HTTP/1.1 200 OK", "x-a: 1", "content-length: 0", "connection: close", "", ""]
    assert play.log() == ["GET /chat 200 - websocket_handshake_unsuccessful"]


def test_a_body_goes_to_the_host_at_once_and_the_rest_waits(stage: MakeStage) -> None:
    play = stage(manager={"upgrade_configs": [{"upgrade_type": "tcp"}]})
    client = play.connect()
    client.say(request("POST", "/", "connection: upgrade", "upgrade: tcp", "content-length: 3") + b"abcdef")
    origin = play.origin()
    assert origin.heard().endswith(b"\r\n\r\nabc")
    origin.say(ACCEPT)
    assert origin.heard() == b"def"
    client.reset()


def test_a_chunked_body_and_an_upgrade_are_refused(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)
    client = play.connect()
    client.say(
        request("POST", "/", "connection: upgrade", "upgrade: websocket", "transfer-encoding: chunked")
        + b"0\r\n\r\n"
        + GET
    )
    assert client.hears() == ["HTTP/1.1 403 Forbidden", "content-length: 0", "connection: close", "", ""]
    assert client.ended


def test_an_upgrade_behind_another_request_waits_for_its_turn(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)
    client = play.connect()
    client.say(GET + ASK + b"\0early")
    origin = play.origin()
    origin.say(OK)
    assert client.hears() == HEARD_OK
    assert b"early" not in origin.heard()
    origin.say(ACCEPT)
    assert origin.heard() == b"\0early"
    client.reset()


def test_a_refused_upgrade_behind_another_request(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(GET + ASK + GET)
    play.origin().say(OK)
    assert client.hears() == [
        *HEARD_OK,
        "HTTP/1.1 403 Forbidden",
        "content-length: 0",
        "connection: close",
        "",
        "",
    ]
    assert client.ended
    assert play.log()[1] == "GET /chat 403 - upgrade_failed"


def test_a_switch_that_is_none(stage: MakeStage) -> None:
    for answer in (
        b"HTTP/1.1 101 X\r\n\r\n",
        b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 3\r\n\r\n",
        b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\ntransfer-encoding: chunked\r\n\r\n",
    ):
        play = stage(manager=WEBSOCKET)
        client = play.connect()
        client.say(ASK)
        play.origin().say(answer)
        assert client.heard().startswith(b"HTTP/1.1 502 ")


def test_an_idle_tunnel_ends(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET | {"stream_idle_timeout": "5s", "request_timeout": "1s"})
    client, origin = talk(play)
    play.pass_time(4.0)
    client.say(b"still here")
    play.pass_time(4.0)
    assert not client.closed
    play.pass_time(2.0)
    assert client.closed
    assert origin.closed
    assert play.log() == ["GET /chat 101 SI stream_idle_timeout"]


def test_back_pressure_goes_through(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET, listener=SMALL, cluster=SMALL)
    client, origin = talk(play)
    client.stall()
    origin.say(*[b"x" * 5000] * 20)
    assert not origin.transport.reading
    assert client.transport.get_write_buffer_size() < LIMIT + 6000
    client.take()
    assert client.heard() == b"x" * 100_000
    origin.stall()
    client.say(*[b"y" * 5000] * 20)
    assert not client.transport.reading
    assert origin.transport.get_write_buffer_size() < LIMIT + 6000
    origin.take()
    assert origin.heard() == b"y" * 100_000
    client.reset()


def test_a_tunnel_ends_with_its_process(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)
    client, origin = talk(play)
    play.server.drain(False)
    play.turn()
    client.say(b"still here")
    assert origin.heard() == b"still here"
    play.server.close()
    play.turn()
    assert client.closed
    assert origin.closed


def test_a_protocol_can_be_turned_off(stage: MakeStage) -> None:
    play = stage(manager={"upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}]})
    client = play.connect()
    client.say(ASK)
    assert client.hears() == ["HTTP/1.1 403 Forbidden", "content-length: 0", "connection: close", "", ""]


def test_a_route_decides_for_itself(stage: MakeStage) -> None:
    routes = [
        {
            "match": {"prefix": "/chat"},
            "route": {
                "cluster": "backend",
                "upgrade_configs": [
                    {"upgrade_type": "websocket", "enabled": False},
                    {"upgrade_type": "Other"},
                ],
            },
        },
        {"match": {"prefix": "/"}, "route": {"cluster": "backend"}},
    ]
    play = stage(routes=routes, manager=WEBSOCKET)
    client = play.connect()
    client.say(ASK)
    assert client.heard().startswith(b"HTTP/1.1 403 ")
    client = play.connect()
    client.say(ASK.replace(b"/chat", b"/"))
    play.origin()
    client.reset()
    client = play.connect()
    client.say(ASK.replace(b"WebSocket", b"OTHER"))
    assert b"upgrade: OTHER" in play.origin().heard()
    client.reset()


CONNECT = b"CONNECT b.example:443 HTTP/1.1\r\nhost: other\r\n\r\n"
CONNECT_ROUTES = [
    {
        "match": {"connect_matcher": {}},
        "route": {"cluster": "backend", "upgrade_configs": [{"upgrade_type": "CONNECT"}]},
    },
    {"match": {"safe_regex": {"regex": ".*"}}, "route": {"cluster": "backend"}},
]


def test_connect_goes_on_as_connect(stage: MakeStage) -> None:
    play = stage(routes=CONNECT_ROUTES)
    client = play.connect()
    client.say(CONNECT + b"early")
    origin = play.origin()
    assert origin.request()[:2] == ["CONNECT b.example:443 HTTP/1.1", "host: b.example:443"]
    origin.say(b"HTTP/1.1 200 Fine\r\ncontent-length: 3\r\n\r\nhello")
    assert client.hears() == ["HTTP/1.1 200 OK", "", "hello"]
    assert origin.heard() == b"early"
    client.reset()
    assert play.log() == ["CONNECT - 200 DC downstream_remote_disconnect"]


def test_connect_is_refused_unless_it_is_configured(stage: MakeStage) -> None:
    for routes in (CONNECT_ROUTES[1:], None):
        play = stage(routes=routes, manager=WEBSOCKET)
        client = play.connect()
        client.say(CONNECT)
        assert client.heard().startswith(b"HTTP/1.1 404 ")
        assert client.ended


def test_a_host_refuses_to_connect(stage: MakeStage) -> None:
    play = stage(routes=CONNECT_ROUTES)
    client = play.connect()
    client.say(CONNECT + b"early")
    origin = play.origin()
    origin.say(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
    assert client.heard().endswith(b"connection: close\r\n\r\nno")
    assert not origin.heard().endswith(b"early")


def test_connect_has_neither_body_nor_coding(stage: MakeStage) -> None:
    for field, status in ((b"content-length: 3", b"400"), (b"transfer-encoding: chunked", b"501")):
        play = stage(routes=CONNECT_ROUTES)
        client = play.connect()
        client.say(CONNECT[:-2] + field + b"\r\n\r\n")
        assert client.heard().startswith(b"HTTP/1.1 " + status)
