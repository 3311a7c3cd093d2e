"""Dialogues: what a client says, what the hosts hear and answer, what the client hears, what is counted."""

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, HEARD_OK, OK, ask, post, request, response, starts
from tests.net.playbook import DIRECT, Client, Origin, Stage

CONNECT_ERROR = "upstream connect error or disconnect/reset before headers. reset reason: "
BEFORE = "upstream_reset_before_response_started"


# -- the plain way


def test_a_request_goes_to_a_host_and_its_response_back(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(GET)
    origin = play.origin()
    assert origin.request() == ["GET /a HTTP/1.1", "host: x", "x-envoy-expected-rq-timeout-ms: 15000", "", ""]
    assert play.active() == {
        "listener.127.0.0.1_8080.downstream_cx_active": 1,
        "listener.127.0.0.1_8080.worker_0.downstream_cx_active": 1,
        "http.in.downstream_cx_active": 1,
        "http.in.downstream_cx_http1_active": 1,
        "http.in.downstream_rq_active": 1,
        "cluster.backend.upstream_cx_active": 1,
        "cluster.backend.upstream_rq_active": 1,
        "host.backend;10.0.0.1:80.cx_active": 1,
        "host.backend;10.0.0.1:80.rq_active": 1,
    }
    origin.say(OK)
    assert client.hears() == HEARD_OK
    assert not [name for name in play.active() if "rq_active" in name]
    assert play.log() == ["GET /a 200 - via_upstream"]
    assert (play.http("downstream_rq_2xx"), play.upstream("upstream_rq_200"), play.host("rq_success")) == (
        1,
        1,
        1,
    )


def test_both_connections_are_used_again(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.say(OK)
    for _ in range(3):
        client.say(GET)
        assert len(origin.request()) == 5
        origin.say(OK)
    assert client.hears() == HEARD_OK * 4
    assert (play.upstream("upstream_cx_total"), play.upstream("upstream_rq_total")) == (1, 4)
    assert play.http("downstream_rq_total") == 4


def test_the_connection_used_last_is_used_next(stage: MakeStage) -> None:
    play = stage()
    (one, first), (two, second) = ask(play), ask(play)
    first.say(OK)
    second.say(OK)
    one.say(GET)
    assert (first.heard(), bool(second.heard())) == (b"", True)
    second.say(OK)
    assert one.heard()
    assert two.heard()


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_stream_both_ways(stage: MakeStage, chunked: bool) -> None:
    play = stage()
    framing = "transfer-encoding: chunked" if chunked else "content-length: 6"
    wrap = (lambda data: b"%x\r\n%b\r\n" % (len(data), data)) if chunked else (lambda data: data)
    client = play.connect()
    client.say(request("POST", "/a", framing, body=wrap(b"ab")))
    origin = play.origin()
    heard = origin.heard()
    assert heard.endswith(b"\r\n\r\n" + wrap(b"ab"))
    assert framing.encode() in heard
    client.say(wrap(b"cd"))
    assert origin.heard() == wrap(b"cd")
    client.say(wrap(b"ef") + (b"0\r\n\r\n" if chunked else b""))
    assert origin.heard() == wrap(b"ef") + (b"0\r\n\r\n" if chunked else b"")
    origin.say(response(framing, body=wrap(b"uv")))
    heard = client.heard()
    assert framing.encode() in heard
    assert heard.endswith(b"\r\n\r\n" + wrap(b"uv"))
    origin.say(wrap(b"wx"), wrap(b"yz") + (b"0\r\n\r\n" if chunked else b""))
    assert client.heard() == wrap(b"wx") + wrap(b"yz") + (b"0\r\n\r\n" if chunked else b"")
    client.say(GET)
    assert origin.heard().startswith(b"GET /a")
    origin.say(OK)


def test_a_body_that_ends_with_the_hosts_connection_is_chunked_for_the_client(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.say(response(), b"ab")
    origin.close()
    assert client.heard().endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
    client.say(GET)
    play.origin().say(OK)
    assert client.hears() == HEARD_OK
    assert play.log() == ["GET /a 200 - via_upstream"] * 2


def test_the_response_to_head_has_no_body_and_keeps_both_connections(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play, request("HEAD", "/a"))
    origin.say(response("content-length: 5"))
    assert client.hears()[:2] == ["HTTP/1.1 200 OK", "content-length: 5"]
    client.say(GET)
    origin.say(OK)
    assert client.hears() == HEARD_OK


def test_interim_responses_are_swallowed_and_100_continue_answered_here(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(request("POST", "/a", "expect: 100-continue", "content-length: 2"))
    assert client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"
    origin = play.origin()
    assert "expect: 100-continue" not in origin.request()
    client.say(b"ab")
    origin.say(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    assert client.hears() == HEARD_OK
    assert (play.http("downstream_rq_1xx"), play.http("downstream_rq_completed")) == (1, 2)


def test_100_continue_is_answered_where_no_body_is_announced(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(request("GET", "/a", "expect: 100-continue"))
    assert client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_an_absolute_target_where_it_is_not_allowed_is_no_path(stage: MakeStage) -> None:
    play = stage(manager={"http_protocol_options": {"allow_absolute_url": False}})
    client = play.connect()
    client.say(request("GET", "http://b/x"))
    assert starts(client) == ["HTTP/1.1 404 Not Found"]
    assert play.log() == ["GET http://b/x 404 - absolute_path_rejected"]


# -- pipelining


def test_pipelined_requests_are_answered_in_order(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(request("GET", "/1") + post("/2", b"body") + request("GET", "/direct") + request("GET", "/3"))
    origin = play.origin()
    assert origin.request()[0] == "GET /1 HTTP/1.1"
    assert play.active()["http.in.downstream_rq_active"] == 1
    origin.say(response("content-length: 1", body=b"1"))
    heard = origin.heard()
    assert heard.startswith(b"POST /2 HTTP/1.1\r\n")
    assert heard.endswith(b"\r\n\r\nbody")
    origin.say(response("content-length: 1", body=b"2"))
    assert origin.request()[0] == "GET /3 HTTP/1.1"
    origin.say(response("content-length: 1", body=b"3"))
    assert starts(client) == [word for body in ("1", "2", "hi", "3") for word in ("HTTP/1.1 200 OK", body)]
    assert [line.split()[1] for line in play.log()] == ["/1", "/2", "/direct", "/3"]


def test_a_pipelined_request_whose_body_is_still_coming(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(GET + request("POST", "/2", "content-length: 4", body=b"bo"))
    origin = play.origin()
    origin.heard()
    client.say(b"dy")
    assert origin.heard() == b""
    origin.say(OK)
    assert origin.heard().endswith(b"\r\n\r\nbody")
    origin.say(OK)
    assert client.hears() == HEARD_OK * 2


def test_nothing_more_is_read_while_a_pipelined_request_waits(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    client.say(GET)
    client.say(*[GET] * 20)
    assert client.transport.unread == 20 * len(GET)
    for _ in range(22):
        origin.say(OK)
    assert client.transport.unread == 0
    assert len(starts(client)) == 44
    assert play.http("downstream_rq_total") == 22


def test_a_failure_is_told_after_the_answers_before_it(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(GET + request("GET", "/direct") + b"BAD\r\n\r\n")
    origin = play.origin()
    assert client.heard() == b""
    origin.say(OK)
    heard = starts(client)
    assert heard == [
        "HTTP/1.1 200 OK",
        "ok",
        "HTTP/1.1 200 OK",
        "hi",
        "HTTP/1.1 400 Bad Request",
        "Bad Request",
    ]
    assert client.ended
    assert [line.split()[2] for line in play.log()] == ["200", "200", "400"]


def test_a_pipelined_request_behind_a_slow_one_has_its_own_time(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    client.say(GET)
    play.pass_time(14)
    origin.say(OK)
    assert origin.heard()
    play.pass_time(5)
    assert starts(client) == ["HTTP/1.1 200 OK", "ok"]
    origin.say(OK)
    assert starts(client) == ["HTTP/1.1 200 OK", "ok"]


def test_a_host_that_answers_twice_does_not_answer_the_next_request(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    client.say(request("GET", "/secret"))
    origin.say(OK + response("content-length: 4", body=b"evil"))
    assert starts(client) == ["HTTP/1.1 200 OK", "ok"]
    assert origin.closed
    other = play.origin()
    assert other.request()[0] == "GET /secret HTTP/1.1"
    other.say(OK)
    assert play.upstream("upstream_cx_protocol_error") == 1


def test_a_host_that_answers_twice_does_not_answer_who_waits_for_a_connection(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    other = play.connect()
    other.say(request("GET", "/secret"))
    dial = play.dial()
    origin.say(OK + response("content-length: 4", body=b"evil"))
    assert starts(client) == ["HTTP/1.1 200 OK", "ok"]
    assert starts(other) == []
    dial.accept().say(OK)
    assert starts(other) == ["HTTP/1.1 200 OK", "ok"]


# -- the host goes wrong


@pytest.mark.parametrize(
    ("answer", "status", "reason", "flags"),
    [
        (b"", "503 Service Unavailable", "connection termination", "UC"),
        (b"HTTP/1.1 200 OK\r\ncont", "502 Bad Gateway", "protocol error", "UPE"),
        (b"garbage\r\n\r\n", "502 Bad Gateway", "protocol error", "UPE"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "502 Bad Gateway", "protocol error", "UPE"),
    ],
)
def test_a_host_that_goes_before_its_head(
    stage: MakeStage, answer: bytes, status: str, reason: str, flags: str
) -> None:
    play = stage()
    client, origin = ask(play)
    if answer:
        origin.say(answer)
    if not origin.closed:
        origin.close()
    assert client.hears() == [
        f"HTTP/1.1 {status}",
        f"content-length: {len(CONNECT_ERROR + reason)}",
        "content-type: text/plain",
        "",
        CONNECT_ERROR + reason,
    ]
    details = f"{BEFORE}{{{reason.replace(' ', '_')}}}"
    assert play.log() == [f"GET /a {status[:3]} {flags} {details}"]
    assert play.host("rq_error") == 1
    assert play.upstream("upstream_cx_destroy_with_active_rq") == 1
    assert play.upstream(f"upstream_rq_{status[:3]}") == 1
    client.say(GET)
    play.origin().say(OK)
    assert client.hears() == HEARD_OK


def test_a_host_that_goes_in_the_middle_of_its_response(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.say(response("content-length: 10", body=b"abc"))
    origin.close()
    assert client.heard().endswith(b"\r\n\r\nabc")
    assert client.closed
    assert play.log() == ["GET /a 200 UPE upstream_reset_after_response_started{protocol_error}"]
    assert (play.host("rq_success"), play.host("rq_error")) == (1, 0)
    assert (play.http("downstream_rq_rx_reset"), play.http("downstream_rq_tx_reset")) == (1, 1)
    assert play.upstream("upstream_cx_protocol_error") == 1
    assert play.upstream("upstream_rq_rx_reset") == 0


def test_a_cut_chunked_response_gets_no_last_chunk(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.say(response("transfer-encoding: chunked", body=b"3\r\nabc\r\n"), b"zz\r\n")
    assert client.heard().endswith(b"\r\n\r\n3\r\nabc\r\n")
    assert client.closed


def test_a_host_that_closes_after_its_answer_is_no_failure(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.say(response("connection: close", "content-length: 2", body=b"ok"))
    assert client.hears() == HEARD_OK
    assert origin.closed
    assert play.upstream("upstream_cx_destroy_local") == 1
    assert play.upstream("upstream_cx_destroy_with_active_rq") == 0
    client.say(GET)
    play.origin().say(OK)
    assert client.hears() == HEARD_OK


def test_a_host_that_refuses(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(GET)
    play.dial().refuse()
    assert client.hears()[-1] == CONNECT_ERROR + "remote connection failure"
    assert play.log() == [
        f"GET /a 503 UF {BEFORE}{{remote_connection_failure|delayed_connect_error:_Connection_refused}}"
    ]
    assert (play.host("cx_connect_fail"), play.host("cx_total"), play.host("rq_error")) == (1, 1, 1)
    assert (play.host("rq_total"), play.upstream("upstream_rq_total")) == (0, 0)
    assert play.upstream("upstream_rq_pending_failure_eject") == 1
    assert play.upstream("upstream_cx_destroy_remote") == 1


def test_a_host_that_does_not_answer_the_connection(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(GET)
    dial = play.dial()
    play.pass_time(1.9)
    assert client.heard() == b""
    play.pass_time(0.2)
    assert dial.answer.cancelled()
    assert client.hears()[-1] == CONNECT_ERROR + "connection timeout"
    assert play.log() == [f"GET /a 503 UF {BEFORE}{{connection_timeout}}"]
    assert (play.upstream("upstream_cx_connect_timeout"), play.upstream("upstream_cx_connect_fail")) == (1, 1)


def test_an_error_of_the_connection_that_nobody_thought_of_fails_the_request(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(GET)
    play.dial().answer.set_exception(UnicodeError("label too long"))
    play.turn()
    assert starts(client)[0] == "HTTP/1.1 503 Service Unavailable"
    assert [type(bug) for bug in play.loop.bugs] == [UnicodeError]
    play.loop.bugs.clear()


def test_no_host_at_all(stage: MakeStage) -> None:
    play = stage(hosts=())
    client = play.connect()
    client.say(GET)
    assert client.hears()[-1] == "no healthy upstream"
    assert play.log() == ["GET /a 503 UH no_healthy_upstream"]
    assert play.upstream("upstream_cx_none_healthy") == 1
    assert play.upstream("upstream_rq_503") == 1


# -- a kept connection that has died


def kept(play: Stage, count: int = 1) -> tuple[Client, list[Origin]]:
    """A client and ``count`` idle connections, the one to be used next at the end."""
    pairs = [ask(play) for _ in range(count)]
    for client, origin in pairs:
        origin.say(OK)
        client.heard()
    return pairs[0][0], [origin for _, origin in pairs]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_safe_request_is_sent_again_when_a_kept_connection_dies(stage: MakeStage, method: str) -> None:
    play = stage()
    client, (old,) = kept(play)
    client.say(request(method, "/b"))
    assert old.heard().startswith(method.encode())
    old.close()
    new = play.origin()
    assert new.request()[0] == f"{method} /b HTTP/1.1"
    new.say(response("content-length: 0"))
    assert starts(client) == ["HTTP/1.1 200 OK"]
    assert play.upstream("upstream_rq_retry") == 1
    assert play.upstream("upstream_rq_retry_success") == 1


@pytest.mark.parametrize("data", [request("POST", "/b"), request("DELETE", "/b"), post("/b", b"x")])
def test_other_requests_are_not_sent_again(stage: MakeStage, data: bytes) -> None:
    play = stage()
    client, (old,) = kept(play)
    client.say(data)
    old.close()
    assert starts(client)[0] == "HTTP/1.1 503 Service Unavailable"
    assert play.upstream("upstream_rq_retry") == 0


def test_a_request_with_a_body_is_not_sent_again(stage: MakeStage) -> None:
    play = stage()
    client, (old,) = kept(play)
    client.say(request("GET", "/b", "content-length: 1", body=b"x"))
    old.close()
    assert starts(client)[0] == "HTTP/1.1 503 Service Unavailable"


def test_a_request_is_sent_again_once_and_on_a_new_connection(stage: MakeStage) -> None:
    play = stage()
    client, (*others, old) = kept(play, 3)
    client.say(request("GET", "/b"))
    old.close()
    assert [other.heard() for other in others] == [b"", b""]
    new = play.origin()
    assert new.request()[0] == "GET /b HTTP/1.1"
    new.close()
    assert starts(client)[0] == "HTTP/1.1 503 Service Unavailable"
    assert play.upstream("upstream_rq_retry") == 1


@pytest.mark.parametrize("answer", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_request_is_not_sent_again_once_a_byte_has_come_back(stage: MakeStage, answer: bytes) -> None:
    play = stage()
    client, (old,) = kept(play)
    client.say(GET)
    old.say(answer)
    old.close()
    assert starts(client)[0] in ("HTTP/1.1 503 Service Unavailable", "HTTP/1.1 502 Bad Gateway")


def test_a_first_use_is_not_tried_again(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.close()
    assert starts(client)[0] == "HTTP/1.1 503 Service Unavailable"
    assert play.upstream("upstream_rq_retry") == 0


def test_a_connection_on_its_way_out_is_not_leased(stage: MakeStage) -> None:
    """Between the loop's telling and the end of a connection, other callbacks run."""
    play = stage()
    client, (old,) = kept(play)
    old.transport.send_eof()
    client.transport.send(post("/b", b"x"))
    play.turn()
    assert old.heard() == b""
    play.origin().say(OK)
    assert client.hears() == HEARD_OK


def test_a_connection_on_which_nobody_asked_is_not_leased(stage: MakeStage) -> None:
    play = stage()
    client, (old,) = kept(play)
    old.transport.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    client.transport.send(post("/b", b"x"))
    play.turn()
    play.origin().say(OK)
    assert client.hears() == HEARD_OK
    assert play.upstream("upstream_cx_protocol_error") == 1


def test_a_connection_past_its_idle_timeout_is_not_leased(stage: MakeStage) -> None:
    options = {
        "common_http_protocol_options": {"idle_timeout": "5s"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    options["@type"] = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    play = stage(
        cluster={
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
            }
        }
    )
    client, (old,) = kept(play)
    play.pass_time(4.9)
    assert not old.closed
    play.clock.now += 0.2
    play.server._wheel._turn()
    client.transport.send(post("/b", b"x"))
    play.turn()
    assert old.closed
    assert old.heard() == b""
    assert play.upstream("upstream_cx_idle_timeout") == 1
    play.origin().say(OK)


# -- early answers


def test_an_answer_before_the_request_is_complete_ends_both_connections(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play, request("POST", "/a", "content-length: 10", body=b"abc"))
    origin.say(OK)
    assert client.hears() == ["HTTP/1.1 200 OK", "content-length: 2", "connection: close", "", "ok"]
    assert client.ended
    assert not client.closed
    assert origin.closed
    client.say(b"defghij" + GET)
    assert client.heard() == b""
    play.pass_time(1.1)
    assert client.closed
    assert play.http("downstream_rq_response_before_rq_complete") == 1
    assert play.http("downstream_cx_delayed_close_timeout") == 1
    assert play.http("downstream_rq_rx_reset") == 1
    assert play.log() == ["POST /a 200 - via_upstream"]


def test_the_head_of_an_early_answer_does_not_end_the_upload(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play, request("POST", "/a", "content-length: 4", body=b"ab"))
    origin.say(response("content-length: 4", body=b"12"))
    assert "connection: close" in client.hears()
    client.say(b"cd")
    assert origin.heard() == b"cd"
    origin.say(b"34")
    assert client.heard() == b"34"
    assert client.closed
    assert not origin.closed


def test_a_local_answer_to_a_request_with_a_body_ends_the_connection(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(post("/direct", b"abc"))
    assert "connection: close" in client.hears()
    assert client.ended
    assert play.http("downstream_rq_response_before_rq_complete") == 1


# -- the client goes wrong


def test_a_body_that_breaks_its_framing_is_refused_and_the_host_dropped(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play, request("POST", "/a", "transfer-encoding: chunked", body=b"1\r\na\r\n"))
    client.say(b"zz\r\n")
    assert starts(client) == ["HTTP/1.1 400 Bad Request", "Bad Request"]
    assert origin.closed
    assert play.log() == ["POST /a 400 DPE http1.codec_error"]
    assert play.http("downstream_cx_protocol_error") == 1
    assert "cluster.backend.upstream_rq_400" not in play.registry.counters
    assert play.host("rq_error") == 0


def test_a_client_that_leaves_while_a_connection_is_made(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(GET)
    client.close()
    assert play.log() == ["GET /a 0 DC downstream_remote_disconnect"]
    assert play.upstream("upstream_rq_cancelled") == 1
    assert "cluster.backend.upstream_rq_pending_active" not in play.active()
    origin = play.origin()
    other = play.connect()
    other.say(GET)
    origin.say(OK)
    assert other.hears() == HEARD_OK


def test_a_client_that_leaves_before_the_response(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    client.close()
    assert origin.closed
    assert play.log() == ["GET /a 0 DC downstream_remote_disconnect"]
    assert (play.host("rq_error"), play.host("rq_success")) == (0, 0)
    assert play.http("downstream_cx_destroy_remote_active_rq") == 1
    assert play.http("downstream_rq_rx_reset") == 1
    assert play.upstream("upstream_rq_tx_reset") == 0


def test_a_client_that_leaves_while_it_sends(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play, request("POST", "/a", "content-length: 10", body=b"abc"))
    client.reset()
    assert origin.closed
    assert play.log() == ["POST /a 0 DC downstream_remote_disconnect"]


def test_a_client_that_leaves_in_a_head(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(GET[:-4])
    client.close()
    assert play.log() == ["- - 0 DC downstream_remote_disconnect"]


def test_a_client_that_leaves_in_the_middle_of_the_response(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.say(response("content-length: 10", body=b"abc"))
    client.close()
    assert origin.closed
    assert play.log() == ["GET /a 200 DC downstream_remote_disconnect"]
    assert (play.host("rq_success"), play.host("rq_error")) == (1, 0)


def test_a_client_that_leaves_with_requests_waiting(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    client.say(GET * 3)
    client.reset()
    assert origin.closed
    assert len(play.log()) == 1


# -- local replies


TOO_LARGE = "Request Header Fields Too Large"


@pytest.mark.parametrize(
    ("data", "status", "body", "log"),
    [
        (request("GET", "/none"), "404 Not Found", "", "GET /none 404 NR route_not_found"),
        (request("OPTIONS", "*"), "404 Not Found", "", "OPTIONS * 404 - absolute_path_rejected"),
        (b"GET /a HTTP/1.1\r\n\r\n", "400 Bad Request", "", "GET /a 400 - missing_host_header"),
        (request("GET", "/a#b"), "400 Bad Request", "", "GET /a#b 400 - path_normalization_failed"),
        (
            request("GET", "/a", "connection: upgrade", "upgrade: websocket"),
            "403 Forbidden",
            "",
            "GET /a 403 - upgrade_failed",
        ),
        (
            b"GET /a HTTP/1.0\r\n\r\n",
            "426 Upgrade Required",
            "Upgrade Required",
            "- - 426 DPE low_version",
        ),
        (b"BAD\r\n\r\n", "400 Bad Request", "Bad Request", "- - 400 DPE http1.codec_error"),
        (
            request("POST", "/a", "content-length: 1", "transfer-encoding: chunked"),
            "400 Bad Request",
            "Bad Request",
            "- - 400 DPE http1.content_length_and_chunked_not_allowed",
        ),
        (
            request("POST", "/a", "transfer-encoding: gzip, chunked"),
            "501 Not Implemented",
            "Not Implemented",
            "- - 501 DPE http1.invalid_transfer_encoding",
        ),
        (
            request("GET", "/a", "x: " + "y" * 70_000),
            f"431 {TOO_LARGE}",
            TOO_LARGE,
            "- - 431 DPE http1.headers_too_large",
        ),
        (
            request("GET", "/a", *["x: y"] * 101),
            f"431 {TOO_LARGE}",
            TOO_LARGE,
            "- - 431 DPE http1.too_many_headers",
        ),
    ],
)
def test_local_replies(stage: MakeStage, data: bytes, status: str, body: str, log: str) -> None:
    play = stage(routes=[{"match": {"prefix": "/a"}, "route": {"cluster": "backend"}}])
    client = play.connect()
    client.say(data)
    heard = client.hears()
    assert (heard[0], heard[-1]) == (f"HTTP/1.1 {status}", body)
    assert f"content-length: {len(body)}" in heard
    assert ("content-type: text/plain" in heard) == bool(body)
    assert ("connection: close" in heard) == client.ended == (status[:3] != "404")
    assert play.log() == [log]
    assert play.http("downstream_rq_completed") == 1
    assert play.http("downstream_rq_non_relative_path") == ("absolute_path" in log)
    assert play.http("downstream_rq_failed_path_normalization") == ("normalization" in log)
    assert play.http("rq_total") == ("route_not_found" in log)
    assert play.http("downstream_cx_protocol_error") == ("DPE" in log)
    if not client.ended:
        client.say(GET)
        play.origin().say(OK)
        assert client.hears() == HEARD_OK


def test_the_local_reply_to_head_announces_what_get_would_get(stage: MakeStage) -> None:
    play = stage(routes=[DIRECT])
    client = play.connect()
    client.say(request("HEAD", "/none"), request("HEAD", "/direct"))
    assert client.hears() == [
        *("HTTP/1.1 404 Not Found", "transfer-encoding: chunked", ""),
        *("HTTP/1.1 200 OK", "content-length: 2", "content-type: text/plain", "", ""),
    ]


def test_a_connection_that_cannot_be_read_any_further_lingers_for_the_client(stage: MakeStage) -> None:
    play = stage()
    client = play.connect()
    client.say(b"BAD\r\n\r\n")
    assert starts(client)[0] == "HTTP/1.1 400 Bad Request"
    assert client.ended
    assert not client.closed
    client.say(b"x" * 100_000)
    assert client.heard() == b""
    client.close()
    assert client.closed
    assert play.http("downstream_cx_delayed_close_timeout") == 0


# -- HTTP/1.0


def test_http_10_where_it_is_accepted(stage: MakeStage) -> None:
    play = stage(manager={"http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "d"}})
    client = play.connect()
    client.say(b"GET /a HTTP/1.0\r\n\r\n")
    origin = play.origin()
    assert origin.request()[:2] == ["GET /a HTTP/1.1", "host: d"]
    origin.say(response("transfer-encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"))
    heard = client.hears()
    assert (heard[0], heard[-1]) == ("HTTP/1.0 200 OK", "ok")
    assert "transfer-encoding: chunked" not in heard
    assert client.closed


# -- unexpected exceptions


def test_a_bug_costs_its_own_connections_and_is_told(stage: MakeStage) -> None:
    play = stage()
    loggers: list[object] = play.listener.factory._manager.access_loggers  # type: ignore[attr-defined]
    client, origin = ask(play)
    direct = play.connect()
    loggers.append("no logger")
    direct.say(request("GET", "/direct"))
    assert direct.closed
    origin.say(OK)
    assert client.closed
    assert len(play.loop.bugs) == 2
    play.loop.bugs.clear()
    loggers.pop()
    other = play.connect()
    other.say(GET)
    (play.origin() if play.loop.dials else origin).say(OK)
    assert other.hears() == HEARD_OK
