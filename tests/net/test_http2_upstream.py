"""Hosts that speak HTTP/2: many requests over one connection, whatever the clients speak."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, post, request
from tests.net.http2_client import connect, engines
from tests.net.http2_origin import Http2Origin, origin
from tests.net.playbook import HTTP_OPTIONS, Stage


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


def http2(options: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A cluster whose hosts speak HTTP/2."""
    made = {
        "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": options or {}},
        **more,
    }
    return {"typed_extension_protocol_options": {HTTP_OPTIONS: made}}


CLUSTER = http2()
RESPONSE = b"\0\0\1\x01\x05\0\0\0\1\x89"  # of the first stream: 204, by its number in HPACK's table


def several(play: Stage, count: int) -> tuple[list[Any], Http2Origin]:
    """So many clients of HTTP/1.1, each with a request under way to one host."""
    clients = []
    for number in range(count):
        client = play.connect()
        client.say(request("GET", f"/{number}"))
        clients.append(client)
    host = origin(play)
    host.listen()
    return clients, host


def test_a_request_of_http_1_reaches_a_host_of_http_2(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = play.connect()
    client.say(
        request("GET", "/a?b", "accept: */*", "connection: keep-alive, x-hop", "x-hop: 1", "te: trailers")
    )
    host = origin(play)
    host.listen()
    fields = dict(host.requests[1].fields)
    del fields["x-request-id"]
    assert fields == {
        ":method": "GET",
        ":scheme": "http",
        ":authority": "x",
        ":path": "/a?b",
        "accept": "*/*",
        "te": "trailers",
        "x-forwarded-proto": "http",
        "x-envoy-expected-rq-timeout-ms": "15000",
    }
    assert host.requests[1].ended
    host.answer(1, b"hello", ("x-a", "b"))
    assert client.hears() == [
        "HTTP/1.1 200 OK",
        "content-length: 5",
        "x-a: b",
        "x-envoy-upstream-service-time: N",
        "",
        "hello",
    ]
    assert play.upstream("upstream_cx_http2_total") == 1
    assert play.upstream("upstream_cx_http1_total") == 0
    assert play.upstream("upstream_rq_200") == 1


def test_a_request_of_http_2_stays_what_it_is(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = connect(play)
    stream = client.get("/a", ("te", "trailers"), method="POST", end=False)
    host = origin(play)
    host.listen()
    assert host.requests[1].field(":method") == "POST"
    assert host.requests[1].field("transfer-encoding") is None
    client.send(stream, b"abc")
    client.end(stream, [("x-up", "1")])
    host.listen()
    assert host.requests[1].body == b"abc"
    assert host.requests[1].trailers == [("x-up", "1")]
    host.head(1, ("content-type", "text/plain"))
    host.data(1, b"hi")
    client.listen()
    assert client.answers[stream].body == b"hi"
    host.trailers(1, ("x-down", "2"))
    client.listen()
    assert client.answers[stream].trailers == [("x-down", "2")]
    assert client.answers[stream].ended


def test_the_older_word_for_it(stage: MakeStage) -> None:
    play = stage(cluster={"http2_protocol_options": {"max_concurrent_streams": 7}})
    client = play.connect()
    client.say(GET)
    host = origin(play)
    host.answer(host.last)
    assert client.hears()[0] == "HTTP/1.1 200 OK"
    assert host.settings[3] == 7


def test_the_first_settings_are_envoy_s(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    play.connect().say(GET)
    host = origin(play)
    assert host.settings[2] == 0  # nothing is to be pushed
    assert host.settings[4] == 16 * 1024 * 1024
    assert host.connection.outbound_flow_control_window == 24 * 1024 * 1024


def test_a_body_without_a_length_is_chunked_for_http_1(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = play.connect()
    client.say(GET)
    host = origin(play)
    stream = host.last
    host.head(stream)
    host.data(stream, b"abc")
    host.data(stream, b"de", end=True)
    assert client.heard().endswith(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")


def test_a_body_of_http_1_is_no_longer_chunked(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = play.connect()
    client.say(request("POST", "/a", "transfer-encoding: chunked", body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
    host = origin(play)
    host.listen()
    assert host.requests[1].body == b"abcde"
    assert host.requests[1].field("transfer-encoding") is None
    assert host.requests[1].ended
    client = play.connect()
    client.say(post("/b", b"xyz"))
    host.listen()
    assert host.requests[3].body == b"xyz"
    assert host.requests[3].field("content-length") == "3"


def test_a_post_without_a_body_has_no_length(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    connect(play).get(method="POST")
    host = origin(play)
    host.listen()
    assert host.requests[1].field("content-length") is None


def test_an_empty_response(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = play.connect()
    client.say(GET)
    host = origin(play)
    host.head(host.last, end=True)
    assert client.hears() == [
        "HTTP/1.1 200 OK",
        "x-envoy-upstream-service-time: N",
        "content-length: 0",
        "",
        "",
    ]


def test_the_answer_to_head(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = play.connect()
    client.say(request("HEAD", "/a"))
    host = origin(play)
    host.head(host.last, ("content-length", "7"), end=True)
    assert client.hears()[:2] == ["HTTP/1.1 200 OK", "content-length: 7"]
    client.say(request("GET", "/direct"))
    assert client.hears()[0] == "HTTP/1.1 200 OK"


def test_interim_responses(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER, manager={"proxy_100_continue": True})
    client = connect(play)
    stream = client.get()
    host = origin(play)
    host.head(host.last, ("link", "x"), status="103")
    client.listen()
    assert client.answers[stream].interim == [[(":status", "103"), ("link", "x")]]
    host.answer(1)
    client.listen()
    assert client.answers[stream].body == b"ok"


def test_many_requests_share_a_connection(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 5)
    assert len(host.requests) == 5
    for stream in (9, 1, 5, 3, 7):
        host.answer(stream, host.requests[stream].field(":path").encode())  # type: ignore[union-attr]
    for number, client in enumerate(clients):
        assert client.hears()[-1] == f"/{number}"
    assert play.upstream("upstream_cx_total") == 1
    assert play.upstream("upstream_rq_total") == 5
    assert play.loop.dials == []


def test_no_more_streams_than_the_host_takes(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients = [play.connect() for _ in range(3)]
    clients[0].say(GET)
    host = origin(play, streams=2)
    for client in clients[1:]:
        client.say(GET)
    host.listen()
    assert len(host.requests) == 2
    other = origin(play, streams=2)  # one more connection for the third
    other.listen()
    assert len(other.requests) == 1
    other.answer(1)
    assert clients[2].hears()[0] == "HTTP/1.1 200 OK"
    assert play.upstream("upstream_cx_total") == 2


def test_settings_that_come_before_the_connection_is_known_to_be_there(stage: MakeStage) -> None:
    play = stage(cluster=http2(common_http_protocol_options={"max_requests_per_connection": 1}))
    clients = [play.connect() for _ in range(2)]
    for client in clients:
        client.say(GET)
    first, second = play.loop.dials
    play.loop.dials.clear()
    play.loop.greeting = b"\0\0\0\x04\0\0\0\0\0"
    for dial, client in ((first, clients[0]), (second, clients[1])):
        host = dial.accept()
        host.heard()
        host.say(RESPONSE)
        assert client.hears()[0] == "HTTP/1.1 204 No Content"
    assert play.upstream("upstream_cx_connect_fail") == 0
    assert "cluster.backend.upstream_cx_active" not in play.active()


def test_a_place_that_becomes_free_is_given_to_who_waits(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients = [play.connect() for _ in range(2)]
    clients[0].say(GET)
    host = origin(play, streams=1)
    clients[1].say(GET)
    host.listen()
    dial = play.dial()
    host.answer(1, b"1")
    host.listen()
    assert host.requests[3].ended
    host.answer(3, b"2")
    assert [client.hears()[-1] for client in clients] == ["1", "2"]
    dial.refuse()


def test_one_connection_is_made_for_all_that_wait(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    for _ in range(10):
        play.connect().say(GET)
    assert len(play.loop.dials) == 1
    host = origin(play)
    host.listen()
    assert len(host.requests) == 10


def test_as_many_connections_are_made_as_those_that_wait_need(stage: MakeStage) -> None:
    play = stage(cluster=http2(common_http_protocol_options={"max_requests_per_connection": 1}))
    clients = [play.connect() for _ in range(3)]
    for client in clients:
        client.say(GET)
    hosts = [Http2Origin(dial.accept()) for dial in list(play.loop.dials)]
    play.loop.dials.clear()
    assert len(hosts) == 3
    for host in hosts:
        host.answer(host.last)
    assert [client.hears()[0] for client in clients] == ["HTTP/1.1 200 OK"] * 3


def test_a_connection_that_cannot_be_had_fails_all_that_wait(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients = [play.connect() for _ in range(3)]
    for client in clients:
        client.say(GET)
    play.dial().refuse()
    assert [client.hears()[0] for client in clients] == ["HTTP/1.1 503 Service Unavailable"] * 3


# -- what can go wrong


def test_a_stream_that_the_host_resets_is_answered_for(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 2)
    host.reset(1)
    lines = clients[0].hears()
    assert lines[0] == "HTTP/1.1 503 Service Unavailable"
    assert lines[-1].endswith("reset reason: remote reset")
    host.answer(3)
    assert clients[1].hears()[0] == "HTTP/1.1 200 OK"
    assert play.log()[0] == "GET /0 503 UR upstream_reset_before_response_started{remote_reset}"
    assert play.upstream("upstream_rq_rx_reset") == 1
    assert play.upstream("upstream_cx_total") == 1


def test_a_response_that_is_reset_breaks_off(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = connect(play)
    stream = client.get()
    host = origin(play)
    host.head(host.last)
    host.data(1, b"abc")
    host.reset(1)
    client.listen()
    answer = client.answers[stream]
    assert (answer.body, answer.ended, answer.reset) == (b"abc", False, 2)
    assert play.log() == ["GET /a 200 UR upstream_reset_after_response_started{remote_reset}"]


def test_a_stream_that_was_refused_is_tried_again(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 1)
    host.reset(1, 7)
    host.listen()
    assert host.requests[3].field(":path") == "/0"
    host.answer(3)
    assert clients[0].hears()[0] == "HTTP/1.1 200 OK"
    assert play.upstream("upstream_rq_retry") == 1


def test_a_refused_stream_is_tried_again_once(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 1)
    host.reset(1, 7)
    host.reset(host.last, 7)
    assert clients[0].hears()[-1].endswith("reset reason: remote refused stream reset")


def test_a_refused_stream_with_a_body_is_not_tried_again(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = play.connect()
    client.say(post("/a", b"abc"))
    host = origin(play)
    host.reset(host.last, 7)
    assert client.hears()[0] == "HTTP/1.1 503 Service Unavailable"


def test_a_host_that_goes_away_ends_what_it_has(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 2)
    host.say_goaway(2**31 - 1)
    late = play.connect()
    late.say(GET)
    other = origin(play)
    host.answer(1)
    host.answer(3)
    assert [client.hears()[0] for client in clients] == ["HTTP/1.1 200 OK"] * 2
    assert host.origin.closed
    other.answer(other.last)
    assert late.hears()[0] == "HTTP/1.1 200 OK"
    assert play.upstream("upstream_cx_close_notify") == 1


def test_what_a_host_will_not_answer_is_asked_of_another_connection(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 2)
    host.say_goaway(1)
    other = origin(play)
    other.answer(other.last, b"again")
    host.answer(1)
    assert clients[0].hears()[0] == "HTTP/1.1 200 OK"
    assert clients[1].hears()[-1] == "again"
    assert host.origin.closed


def test_a_connection_that_dies_takes_its_requests_along(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 3)
    host.head(1)
    clients[2].say(b"")
    host.origin.close()
    # The first has begun to be answered; the others are on the first use of their connection.
    assert clients[0].hears()[0] == "HTTP/1.1 200 OK"
    assert clients[0].closed
    log = play.log()
    assert log[0] == "GET /0 200 UC upstream_reset_after_response_started{connection_termination}"
    for client in clients[1:]:
        assert client.hears()[0] == "HTTP/1.1 503 Service Unavailable"
    assert play.upstream("upstream_cx_destroy_remote_with_active_rq") == 1
    assert play.loop.dials == []


def test_a_connection_that_dies_as_it_is_used_again_says_nothing(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 3)
    for stream in (1, 3, 5):
        host.answer(stream)
    play.pass_time(1)
    for client in clients:
        client.hears()
        client.say(GET)
    host.origin.close()
    other = origin(play)
    other.listen()
    for stream in (1, 3, 5):
        other.answer(stream, b"again")
    assert [client.hears()[-1] for client in clients] == ["again"] * 3


def test_a_host_that_has_said_something_since_has_had_the_request(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    (client, another), host = several(play, 2)
    host.answer(1)
    host.answer(3)
    client.hears()
    another.hears()
    play.pass_time(1)
    client.say(GET)
    another.say(GET)
    host.listen()
    play.pass_time(1)
    host.answer(7)
    assert another.hears()[0] == "HTTP/1.1 200 OK"
    host.origin.close()
    assert client.hears()[0] == "HTTP/1.1 503 Service Unavailable"
    assert play.loop.dials == []


MALFORMED = {
    "no status": [("x", "y")],
    "a status that is none": [(":status", "abc")],
    "switching protocols": [(":status", "101")],
    "a request's pseudo-header": [(":status", "200"), (":path", "/")],
    "connection": [(":status", "200"), ("connection", "close")],
    "transfer-encoding": [(":status", "200"), ("transfer-encoding", "chunked")],
    "a line end": [(":status", "200"), ("x", "a\r\nset-cookie: b")],
    "two lengths": [(":status", "200"), ("content-length", "1"), ("content-length", "1")],
    "a length of a response without a body": [(":status", "204"), ("content-length", "4")],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_response_is_answered_for(stage: MakeStage, fields: list[tuple[str, str]]) -> None:
    play = stage(cluster=CLUSTER)
    client = play.connect()
    client.say(GET)
    host = origin(play)
    block = host.connection.encoder.encode(fields)
    host.listen()
    host.origin.say(len(block).to_bytes(3, "big") + b"\1\4\0\0\0\1" + block)
    lines = client.hears()
    assert lines[0] == "HTTP/1.1 502 Bad Gateway"
    assert play.log()[0].startswith("GET /a 502 UPE upstream_reset_before_response_started{protocol_error")
    assert play.upstream("upstream_cx_protocol_error") >= 1
    assert not any("set-cookie" in line for line in lines)


def test_more_data_than_was_announced(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = play.connect()
    client.say(GET)
    host = origin(play)
    host.listen()
    host.head(1, ("content-length", "2"))
    host.data(1, b"abc")
    assert b"abc" not in client.heard()
    assert client.closed


def test_less_data_than_was_announced(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = connect(play)
    stream = client.get()
    host = origin(play)
    host.listen()
    host.head(1, ("content-length", "5"))
    host.data(1, b"abc", end=True)
    client.listen()
    assert not client.answers[stream].ended
    assert client.answers[stream].reset == 2


def test_a_host_that_speaks_http_1(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = play.connect()
    client.say(GET)
    host = play.origin()
    host.say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    assert client.hears()[0] == "HTTP/1.1 502 Bad Gateway"
    assert host.closed


def test_a_client_that_goes_resets_its_stream_alone(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 2)
    clients[0].close()
    host.listen()
    assert host.requests[1].reset == 8
    host.answer(3)
    assert clients[1].hears()[0] == "HTTP/1.1 200 OK"
    assert not host.origin.closed


def test_a_response_that_comes_before_the_request_has_ended(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    client = connect(play)
    stream = client.get("/a", method="POST", end=False)
    host = origin(play)
    host.answer(host.last)
    client.listen()
    assert client.answers[stream].body == b"ok"
    host.listen()
    assert host.requests[1].reset == 0
    second = client.get("/b")
    host.answer(host.last)
    client.listen()
    assert client.answers[second].body == b"ok"


# -- flow control


def test_a_client_that_takes_nothing_stops_its_stream_alone(stage: MakeStage) -> None:
    options = {"initial_stream_window_size": 65535, "initial_connection_window_size": 200_000}
    play = stage(cluster=http2(options), listener={"per_connection_buffer_limit_bytes": 20_000})
    client = play.connect()
    client.say(GET)
    host = origin(play)
    stream = host.last
    client.stall()
    host.head(stream)
    sent = 0
    while (room := host.connection.local_flow_control_window(stream)) > 0 and sent < 500_000:
        piece = b"Y" * min(room, 10_000)
        host.data(stream, piece)
        host.listen()
        sent += len(piece)
    assert sent < 150_000
    other = play.connect()
    other.say(GET)
    host.answer(host.last)
    assert other.hears()[0] == "HTTP/1.1 200 OK"
    client.take()
    host.listen()
    assert host.connection.local_flow_control_window(stream) > 0
    host.data(stream, b"z", end=True)
    client.take()
    heard = client.heard()
    assert heard.count(b"Y") == sent
    assert heard.endswith(b"1\r\nz\r\n0\r\n\r\n")


def test_who_takes_nothing_holds_up_no_new_requests(stage: MakeStage) -> None:
    windows = {"initial_stream_window_size": 200_000, "initial_connection_window_size": 200_000}
    play = stage(
        cluster=http2(windows | {"max_concurrent_streams": 100}),
        listener={"per_connection_buffer_limit_bytes": 10_000},
    )
    stalled, other, third = (play.connect() for _ in range(3))
    stalled.say(GET)
    stalled.stall()
    host = origin(play)
    host.listen()
    host.head(1)
    sent = 0
    while sent < 180_000:
        host.data(1, b"Y" * 10_000)
        sent += 10_000
    # There is little left of what the host may send, so the next one gets another connection.
    other.say(GET)
    host.listen()
    assert list(host.requests) == [1]
    dial = play.dial()
    # Until the first client reads: who waits goes on then.
    stalled.take()
    play.turn()
    host.listen()
    host.answer(3, b"first")
    assert other.hears()[-1] == "first"
    third.say(GET)
    host.listen()
    host.answer(5, b"again")
    assert third.hears()[-1] == "again"
    dial.refuse()


def test_a_host_that_takes_nothing_stops_its_client(stage: MakeStage) -> None:
    play = stage(cluster=http2() | {"per_connection_buffer_limit_bytes": 50_000})
    client = play.connect()
    client.say(request("POST", "/a", "content-length: 400000"))
    host = origin(play)
    host.listen()
    host.reads_on = False
    for _ in range(40):
        client.say(b"y" * 10_000)
    host.listen()
    assert len(host.requests[1].body) == 65535
    assert not client.transport.reading
    assert client.transport.unread > 100_000
    other = play.connect()
    other.say(GET)
    host.answer(host.last)
    assert other.hears()[0] == "HTTP/1.1 200 OK"
    host.reads_on = True
    host.connection.increment_flow_control_window(500_000)
    host.connection.increment_flow_control_window(500_000, 1)
    host.flush()
    host.listen()
    assert len(host.requests[1].body) == 400_000
    assert host.requests[1].ended


# -- the life of a connection


def test_an_idle_connection_is_closed(stage: MakeStage) -> None:
    play = stage(cluster=http2(common_http_protocol_options={"idle_timeout": "10s"}))
    client = play.connect()
    client.say(GET)
    host = origin(play)
    play.pass_time(11)  # it is not idle
    host.answer(host.last)
    play.pass_time(9)
    assert not host.origin.closed
    play.pass_time(2)
    host.listen()
    assert host.goaway == 0
    assert host.origin.closed
    assert play.upstream("upstream_cx_idle_timeout") == 1
    client.hears()


def test_a_connection_lives_no_longer_than_it_may(stage: MakeStage) -> None:
    play = stage(cluster=http2(common_http_protocol_options={"max_connection_duration": "5s"}))
    clients, host = several(play, 1)
    play.pass_time(6)
    late = play.connect()
    late.say(GET)
    other = origin(play)
    host.answer(1)
    assert clients[0].hears()[0] == "HTTP/1.1 200 OK"
    assert host.origin.closed
    other.answer(other.last)
    assert play.upstream("upstream_cx_max_duration_reached") == 1


def test_a_connection_takes_no_more_requests_than_it_may(stage: MakeStage) -> None:
    play = stage(cluster=http2(common_http_protocol_options={"max_requests_per_connection": 2}))
    clients = [play.connect() for _ in range(3)]
    clients[0].say(GET)
    host = origin(play)
    clients[1].say(GET)
    clients[2].say(GET)
    other = origin(play)
    host.listen()
    other.listen()
    assert len(host.requests) == 2
    assert len(other.requests) == 1
    host.answer(1)
    host.answer(3)
    assert host.origin.closed
    other.answer(1)
    assert play.upstream("upstream_cx_max_requests") == 1


def test_pings_find_out_who_is_there(stage: MakeStage) -> None:
    keepalive = {"interval": "10s", "timeout": "2s", "interval_jitter": {"value": 0}}
    play = stage(
        cluster=http2({"connection_keepalive": keepalive}),
        routes=[{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}],
    )
    clients, host = several(play, 1)
    play.pass_time(10.5)
    host.listen()
    assert host.pings == 1
    host.answers_pings = False
    play.pass_time(12.5)
    host.origin.heard()
    assert host.origin.closed
    assert clients[0].hears()[0] == "HTTP/1.1 503 Service Unavailable"
    assert play.counter("cluster.backend.http2.keepalive_timeout") == 1


def test_a_ping_goes_before_a_request_after_silence(stage: MakeStage) -> None:
    keepalive = {"connection_idle_interval": "5s", "timeout": "2s"}
    play = stage(cluster=http2({"connection_keepalive": keepalive}))
    clients, host = several(play, 1)
    host.answer(1)
    play.pass_time(6)
    client = play.connect()
    client.say(GET)
    host.listen()
    assert host.pings == 1
    host.answer(3)
    assert client.hears()[0] == "HTTP/1.1 200 OK"
    assert clients[0].hears()[0] == "HTTP/1.1 200 OK"


def test_a_cluster_that_goes_finishes_what_it_has(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    clients, host = several(play, 1)
    play.change(cluster={**CLUSTER, "connect_timeout": "3s"})
    host.answer(1)
    assert clients[0].hears()[0] == "HTTP/1.1 200 OK"
    assert host.origin.closed


def test_requests_over_the_limit_are_refused(stage: MakeStage) -> None:
    play = stage(cluster=CLUSTER)
    cluster = play.server._clusters["backend"]
    cluster.requests += cluster.max_requests - 2  # as if so many were under way
    clients, host = several(play, 2)
    late = play.connect()
    late.say(GET)
    assert late.hears()[-1].endswith("reset reason: overflow")
    host.answer(1)
    host.answer(3)
    assert clients[0].hears()[0] == "HTTP/1.1 200 OK"


def test_each_client_s_version_goes_on(stage: MakeStage) -> None:
    made = {
        "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
        "use_downstream_protocol_config": {"http2_protocol_options": {}},
    }
    play = stage(cluster={"typed_extension_protocol_options": {HTTP_OPTIONS: made}})
    newer = connect(play)
    stream = newer.get("/new")
    host = origin(play)
    older = play.connect()
    older.say(request("GET", "/old"))
    other = play.origin()
    assert other.request()[0] == "GET /old HTTP/1.1"
    other.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1")
    host.answer(host.last, b"2")
    newer.listen()
    assert newer.answers[stream].body == b"2"
    assert older.hears()[-1] == "1"
    assert play.upstream("upstream_cx_http1_total") == 1
    assert play.upstream("upstream_cx_http2_total") == 1
