"""Clients that speak HTTP/2, the hosts still speaking HTTP/1."""

from collections.abc import Iterator

import pytest
from hyperframe.frame import GoAwayFrame

from tests.net.conftest import MakeStage
from tests.net.dialogue import OK, response
from tests.net.http2_client import Http2Client, connect, engines
from tests.net.playbook import HTTP_OPTIONS

TRAILERS = {
    "typed_extension_protocol_options": {
        HTTP_OPTIONS: {
            "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
    }
}


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


def test_a_request_reaches_a_host_as_http_1(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get("/a?b=c", ("accept", "*/*"))
    origin = play.origin()
    assert origin.request() == [
        "GET /a?b=c HTTP/1.1",
        "host: x",
        "accept: */*",
        "x-envoy-expected-rq-timeout-ms: 15000",
        "",
        "",
    ]
    origin.say(OK)
    client.listen()
    answer = client.answers[stream]
    assert answer.status == "200"
    assert answer.body == b"ok"
    assert answer.ended
    assert answer.reset is None
    assert play.http("downstream_rq_http2_total") == 1
    assert play.http("downstream_rq_http1_total") == 0
    assert play.http("downstream_cx_http2_total") == 1
    assert play.http("downstream_cx_http1_total") == 0


def test_http_1_is_still_understood(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(b"GET /direct HTTP/1.1\r\nhost: x\r\n\r\n")
    assert client.hears()[0] == "HTTP/1.1 200 OK"
    assert play.http("downstream_cx_http1_total") == 1
    assert play.http("downstream_cx_http2_total") == 0


def test_requests_of_one_connection_do_not_wait_for_each_other(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    first = client.get("/1")
    slow = play.origin()
    second = client.get("/2")
    fast = play.origin()
    fast.say(response("content-length: 1", body=b"2"))
    client.listen()
    assert client.answers[second].body == b"2"
    assert not client.answers[first].fields
    slow.say(response("content-length: 1", body=b"1"))
    client.listen()
    assert client.answers[first].body == b"1"


def test_a_body_goes_up_and_comes_down_in_pieces(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get("/a", method="POST", end=False)
    origin = play.origin()
    assert "transfer-encoding: chunked" in origin.request()
    client.send(stream, b"abc")
    assert origin.heard() == b"3\r\nabc\r\n"
    client.send(stream, b"defg", end=True)
    assert origin.heard() == b"4\r\ndefg\r\n0\r\n\r\n"
    origin.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n")
    client.listen()
    answer = client.answers[stream]
    assert (answer.status, answer.body, answer.ended) == ("200", b"he", False)
    origin.say(b"3\r\nllo\r\n0\r\n\r\n")
    client.listen()
    assert (answer.body, answer.ended) == (b"hello", True)
    assert answer.field("transfer-encoding") is None


def test_trailers_go_both_ways(stage: MakeStage) -> None:
    play = stage(cluster=TRAILERS)
    client = connect(play)
    stream = client.get("/a", ("te", "trailers"), method="POST", end=False)
    origin = play.origin()
    origin.heard()
    client.send(stream, b"abc")
    client.end(stream, [("x-up", "1")])
    assert origin.heard() == b"3\r\nabc\r\n0\r\nx-up: 1\r\n\r\n"
    origin.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-down: 2\r\n\r\n")
    client.listen()
    answer = client.answers[stream]
    assert (answer.body, answer.trailers, answer.ended) == (b"hi", [("x-down", "2")], True)
    assert play.counter("http2.trailers") == 2


def test_the_answer_to_head_has_no_body(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get(method="HEAD")
    play.origin().say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    client.listen()
    answer = client.answers[stream]
    assert (answer.field("content-length"), answer.body, answer.ended) == ("5", b"", True)


def test_expectations_are_met(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get("/a", ("expect", "100-continue"), method="POST", end=False)
    assert client.answers[stream].interim == [[(":status", "100")]]
    assert not any(line.startswith("expect") for line in play.origin().request())


def test_interim_responses_are_passed_on(stage: MakeStage) -> None:
    play = stage(manager={"proxy_100_continue": True})
    client = connect(play)
    stream = client.get()
    origin = play.origin()
    origin.say(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    client.listen()
    assert client.answers[stream].interim == [[(":status", "103"), ("link", "</x>")]]
    origin.say(OK)
    client.listen()
    assert client.answers[stream].body == b"ok"


def test_a_response_without_a_length_ends_with_the_host_s_connection(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get()
    origin = play.origin()
    origin.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
    origin.close()
    client.listen()
    assert (client.answers[stream].body, client.answers[stream].ended) == (b"abc", True)


def test_a_response_that_breaks_off_is_reset(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get()
    origin = play.origin()
    origin.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
    origin.close()
    client.listen()
    answer = client.answers[stream]
    assert (answer.body, answer.ended, answer.reset) == (b"abc", False, 2)
    assert client.goaways == []
    assert play.log() == ["GET /a 200 UPE upstream_reset_after_response_started{protocol_error}"]


def test_an_answer_that_comes_before_the_request_has_ended_stops_it(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get("/direct", method="POST", end=False)
    answer = client.answers[stream]
    assert (answer.body, answer.ended, answer.reset) == (b"hi", True, 0)
    other = client.get("/direct")
    assert client.answers[other].body == b"hi"
    assert play.http("downstream_rq_response_before_rq_complete") == 1


def test_a_client_that_resets_is_let_go(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get()
    origin = play.origin()
    client.reset(stream)
    assert origin.closed
    other = client.get("/direct")
    assert client.answers[other].body == b"hi"
    assert play.log() == ["GET /a 0 DR http2.remote_reset", "GET /direct 200 - direct_response"]
    assert play.counter("http2.rx_reset") == 1
    stream = client.get()
    origin = play.origin()
    client.reset(stream, 0)
    assert play.log() == ["GET /a 0 - -"]


def test_a_client_that_goes_takes_all_its_requests_along(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    client.get("/1")
    first = play.origin()
    client.get("/2")
    second = play.origin()
    client.client.close()
    assert first.closed
    assert second.closed
    assert client.client.closed
    gone = "0 DC downstream_remote_disconnect"
    assert play.log() == [f"GET /1 {gone}", f"GET /2 {gone}"]
    assert play.http("downstream_cx_destroy_remote_active_rq") == 1


def test_the_first_settings_are_envoy_s(stage: MakeStage, engine: str) -> None:
    client = connect(stage())
    assert {key: client.settings[key] for key in (1, 3, 4, 8) if key in client.settings} == {
        3: 1024,
        4: 16777216,
        **({1: 4096, 8: 0} if engine == "ngh2" else {}),  # h2 tells of what is not its default
    } or client.settings[3] == 1024
    assert client.connection.outbound_flow_control_window == 24 * 1024 * 1024


def test_settings_are_what_is_configured(stage: MakeStage) -> None:
    options = {
        "max_concurrent_streams": 2,
        "initial_stream_window_size": 70000,
        "initial_connection_window_size": 80000,
        "allow_connect": True,
        "custom_settings_parameters": [{"identifier": 0x55, "value": 7}],
    }
    client = connect(stage(manager={"http2_protocol_options": options}))
    assert client.settings[3] == 2
    assert client.settings[4] == 70000
    assert client.settings[8] == 1
    assert client.settings[0x55] == 7
    assert client.connection.outbound_flow_control_window == 80000


# -- flow control


def test_a_client_that_takes_nothing_stops_the_host_and_nobody_else(stage: MakeStage) -> None:
    play = stage(listener={"per_connection_buffer_limit_bytes": 100_000})
    client = connect(play)
    client.reads_on = False
    slow = client.get("/slow")
    origin = play.origin()
    piece = b"x" * 50_000
    origin.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(6):
        origin.say(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.listen()
    assert len(client.answers[slow].body) == 65535  # the window
    assert not origin.transport.reading
    assert origin.transport.unread > 0
    # The window of the connection is used up as well: heads alone still pass.
    client.connection.increment_flow_control_window(100_000)
    client.flush()
    fast = client.get("/direct")
    assert client.answers[fast].body == b"hi"
    client.connection.increment_flow_control_window(200_000, slow)
    client.connection.increment_flow_control_window(400_000)
    client.flush()
    assert origin.transport.reading
    origin.say(b"0\r\n\r\n")
    client.listen()
    client.connection.increment_flow_control_window(200_000, slow)
    client.flush()
    client.listen()
    assert len(client.answers[slow].body) == 300_000
    assert client.answers[slow].ended


def test_a_host_that_takes_nothing_stops_its_client_s_stream_and_nobody_else(stage: MakeStage) -> None:
    options = {"initial_stream_window_size": 65535, "initial_connection_window_size": 200_000}
    play = stage(
        manager={"http2_protocol_options": options},
        cluster={"per_connection_buffer_limit_bytes": 20_000},
    )
    client = connect(play)
    stream = client.get("/a", method="POST", end=False)
    origin = play.origin()
    origin.stall()
    sent = 0
    while (room := client.connection.local_flow_control_window(stream)) > 0 and sent < 500_000:
        piece = b"Y" * min(room, 10_000)
        client.send(stream, piece)
        sent += len(piece)
    assert sent < 200_000
    other = client.get("/direct")
    assert client.answers[other].body == b"hi"
    origin.take()
    client.listen()
    assert client.connection.local_flow_control_window(stream) > 0
    client.send(stream, b"z", end=True)
    heard = origin.heard()
    assert heard.count(b"Y") == sent
    assert heard.endswith(b"1\r\nz\r\n0\r\n\r\n")


def test_data_of_a_stream_that_is_over_gives_the_connection_its_window_back(stage: MakeStage) -> None:
    options = {"initial_stream_window_size": 65535, "initial_connection_window_size": 65535}
    play = stage(
        manager={"http2_protocol_options": options}, cluster={"per_connection_buffer_limit_bytes": 1000}
    )
    client = connect(play)
    for _ in range(8):
        stream = client.get("/a", method="POST", end=False)
        origin = play.origin()
        origin.stall()
        client.send(stream, b"y" * 16000)
        client.send(stream, b"y" * 16000)
        client.reset(stream)
    assert client.connection.outbound_flow_control_window > 16000


# -- the life of a connection


def test_an_idle_connection_is_drained(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"idle_timeout": "30s"}, "drain_timeout": "2s"})
    client = connect(play)
    client.get("/direct")
    play.pass_time(29)
    client.listen()
    assert client.goaways == []
    play.pass_time(2)
    client.listen()
    assert client.goaways == [(2**31 - 1, 0)]
    late = client.get("/direct")  # it was on its way
    assert client.answers[late].body == b"hi"
    play.pass_time(2)
    client.listen()
    assert client.goaways == [(2**31 - 1, 0), (late, 0)]
    assert client.client.ended
    assert play.http("downstream_cx_idle_timeout") == 1
    assert play.counter("http2.goaway_sent") == 2


def test_a_connection_that_was_never_used_is_closed_at_once(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"idle_timeout": "30s"}})
    client = connect(play)
    play.pass_time(31)
    client.listen()
    assert client.goaways == [(0, 0)]
    assert client.client.ended


def test_a_connection_with_a_request_is_not_idle(stage: MakeStage) -> None:
    play = stage(
        manager={"common_http_protocol_options": {"idle_timeout": "3s"}},
        routes=[{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}],
    )
    client = connect(play)
    stream = client.get()
    origin = play.origin()
    play.pass_time(10)
    origin.say(OK)
    client.listen()
    assert client.answers[stream].body == b"ok"
    assert client.goaways == []
    play.pass_time(4)
    client.listen()
    assert len(client.goaways) == 1


def test_a_connection_lives_no_longer_than_it_may(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"max_connection_duration": "10s"}})
    client = connect(play)
    stream = client.get()
    origin = play.origin()
    play.pass_time(11)
    client.listen()
    assert client.goaways == [(2**31 - 1, 0)]
    play.pass_time(3.5)
    origin.say(OK)
    client.listen()
    assert client.answers[stream].body == b"ok"
    play.pass_time(2)
    client.listen()
    assert client.goaways[1:] == [(stream, 0)]
    assert client.client.ended
    assert play.http("downstream_cx_max_duration_reached") == 1


def test_a_connection_takes_no_more_requests_than_it_may(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"max_requests_per_connection": 2}})
    client = connect(play)
    client.get("/direct")
    assert client.goaways == []
    client.get("/direct")
    assert client.goaways == [(2**31 - 1, 0)]
    assert play.http("downstream_cx_max_requests_reached") == 1


def test_a_drain_is_told_at_once(stage: MakeStage) -> None:
    play = stage(manager={"drain_timeout": "3s"})
    client = connect(play)
    stream = client.get()
    origin = play.origin()
    play.server.drain(False)
    play.turn()
    client.listen()
    assert client.goaways == [(2**31 - 1, 0)]
    play.pass_time(3.1)
    client.listen()
    assert client.goaways[1:] == [(stream, 0)]
    assert not client.client.ended
    origin.say(OK)
    client.listen()
    assert client.answers[stream].body == b"ok"
    assert client.client.ended
    client.client.close()
    assert play.idle == 1


def test_requests_of_a_chain_that_is_gone_end_as_they_began(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get()
    origin = play.origin()
    play.change(manager={"server_name": "other"})
    play.turn()
    client.listen()
    assert client.goaways == [(2**31 - 1, 0)]
    origin.say(OK)
    client.listen()
    assert client.answers[stream].field("server") == "envoy"


def test_a_stream_s_timeouts_are_its_own(stage: MakeStage) -> None:
    play = stage(manager={"stream_idle_timeout": "4s"})
    client = connect(play)
    first = client.get("/1")
    play.dial()
    play.pass_time(2)
    second = client.get("/2")
    play.pass_time(2.5)
    client.listen()
    assert client.answers[first].status == "503"  # no connection in two seconds
    play.pass_time(2.5)
    client.listen()
    assert client.answers[second].status == "503"
    assert client.goaways == []


def test_a_silent_stream_is_ended(stage: MakeStage) -> None:
    play = stage(manager={"stream_idle_timeout": "4s"})
    client = connect(play)
    stream = client.get(method="POST", end=False)
    play.origin()
    play.pass_time(4.5)
    client.listen()
    assert client.answers[stream].status == "408"
    assert play.http("downstream_rq_idle_timeout") == 1
    other = client.get("/direct")
    assert client.answers[other].body == b"hi"


def test_a_host_that_is_late_is_answered_for(stage: MakeStage) -> None:
    play = stage(routes=[{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "3s"}}])
    client = connect(play)
    stream = client.get()
    play.origin()
    play.pass_time(3.1)
    client.listen()
    answer = client.answers[stream]
    assert (answer.status, answer.body) == ("504", b"upstream request timeout")


def test_a_head_must_come_in_time(stage: MakeStage) -> None:
    play = stage(manager={"request_headers_timeout": "3s"})
    client = connect(play)
    client.get("/direct")
    client.client.say(b"\0\0\x20\x01\x04\0\0\0\x03" + b"\x82")
    play.pass_time(3.5)
    client.listen()
    assert [code for _, code in client.goaways] == [0]
    assert client.client.ended
    assert play.http("downstream_rq_header_timeout") == 1


def test_pings_find_out_who_is_there(stage: MakeStage) -> None:
    keepalive = {"interval": "10s", "timeout": "2s", "interval_jitter": {"value": 0}}
    play = stage(manager={"http2_protocol_options": {"connection_keepalive": keepalive}})
    client = connect(play)
    client.get("/direct")
    play.pass_time(10.5)
    client.listen()  # and answer
    play.pass_time(9)
    assert not client.client.closed
    play.pass_time(3)
    assert client.client.closed
    assert play.counter("http2.keepalive_timeout") == 1


def test_a_client_that_half_closes_has_gone(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    client.get()
    origin = play.origin()
    client.client.close()
    assert origin.closed
    assert client.client.closed


def test_a_goaway_of_the_client_changes_nothing(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.get()
    origin = play.origin()
    client.throw([GoAwayFrame(0, last_stream_id=0, error_code=0)])
    origin.say(OK)
    client.listen()
    assert client.answers[stream].body == b"ok"


# -- how a connection begins


def test_the_preface_may_come_in_crumbs(stage: MakeStage) -> None:
    play = stage()
    client = Http2Client(play.connect())
    client.connection.initiate_connection()
    for byte in client.connection.data_to_send():
        client.client.say(bytes([byte]))
    client.listen()
    stream = client.get("/direct")
    assert client.answers[stream].body == b"hi"
    assert play.http("downstream_cx_http2_total") == 1


@pytest.mark.parametrize(
    "beginning", [b"PRI /x HTTP/1.1\r\nhost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
)
def test_what_only_begins_like_it_is_http_1(stage: MakeStage, beginning: bytes) -> None:
    play = stage()
    client = play.connect()
    client.say(*[bytes([byte]) for byte in beginning])
    assert client.hears()[0].startswith("HTTP/1.1 ")
    assert play.http("downstream_cx_http1_total") == 1
    assert play.http("downstream_cx_http2_total") == 0


def test_a_listener_may_speak_one_version_alone(stage: MakeStage) -> None:
    play = stage(manager={"codec_type": "HTTP1"})
    client = Http2Client(play.connect())
    client.connection.initiate_connection()
    client.client.say(client.connection.data_to_send())
    assert client.client.hears()[0].startswith("HTTP/1.1 ")
    play = stage(manager={"codec_type": "HTTP2"})
    client = connect(play)
    stream = client.get("/direct")
    assert client.answers[stream].body == b"hi"
    other = play.connect()
    other.say(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert other.ended
    assert b"HTTP/1.1" not in other.heard()


def test_bytes_are_counted_once(stage: MakeStage) -> None:
    play = stage()
    client = Http2Client(play.connect())
    client.connection.initiate_connection()
    data = client.connection.data_to_send()
    client.client.say(data[:10])
    client.client.say(data[10:])
    sent = len(data)
    assert play.http("downstream_cx_rx_bytes_total") == sent
    assert play.http("downstream_cx_tx_bytes_total") == len(client.client.heard())


def test_responses_of_one_turn_go_out_in_one_write(stage: MakeStage, engine: str) -> None:
    play = stage()
    client = connect(play)
    for path in ("/1", "/2"):
        client.get(path)
    first, second = (dial.accept() for dial in list(play.loop.dials))
    play.loop.dials.clear()
    writes: list[int] = []
    transport = client.client.transport
    written = transport.write
    transport.write = lambda data: (writes.append(len(data)), written(data))[1]  # type: ignore[method-assign]
    first.transport.send(OK)
    second.transport.send(OK)
    play.turn()
    client.listen()
    assert [client.answers[number].body for number in (1, 3)] == [b"ok", b"ok"]
    assert len(writes) == 1
