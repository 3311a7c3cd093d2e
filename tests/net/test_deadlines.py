"""Everything that may not take for ever."""

from typing import Any

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, HEARD_OK, OK, ask, request, response, starts
from tests.net.playbook import Client

TIMEOUT = ["HTTP/1.1 504 Gateway Timeout", "upstream request timeout"]


def test_a_host_has_the_routes_time_to_answer(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    play.pass_time(14.9)
    assert client.heard() == b""
    play.pass_time(0.2)
    assert starts(client) == TIMEOUT
    assert origin.closed
    assert play.log() == ["GET /a 504 UT response_timeout"]
    assert (play.upstream("upstream_rq_timeout"), play.host("rq_timeout"), play.host("rq_error")) == (1, 1, 1)
    assert play.upstream("upstream_rq_504") == 1
    client.say(GET)
    play.origin().say(OK)
    assert client.hears() == HEARD_OK


def test_the_routes_time_begins_with_the_end_of_the_request(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play, request("POST", "/a", "content-length: 2", body=b"a"))
    play.pass_time(20)
    client.say(b"b")
    play.pass_time(14.9)
    assert client.heard() == b""
    play.pass_time(0.2)
    assert starts(client) == TIMEOUT
    assert origin.closed


def test_the_routes_time_is_for_the_whole_response(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    play.pass_time(10)
    origin.say(response("content-length: 10", body=b"abc"))
    play.pass_time(5.1)
    assert client.closed
    assert origin.closed
    assert client.heard().endswith(b"abc")
    assert play.log() == ["GET /a 200 UT response_timeout"]
    assert (play.upstream("upstream_rq_timeout"), play.host("rq_success"), play.host("rq_error")) == (1, 1, 0)


def test_a_route_may_take_its_time(stage: MakeStage) -> None:
    play = stage(routes=[{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}])
    client = play.connect()
    client.say(GET)
    origin = play.origin()
    assert "x-envoy-expected-rq-timeout-ms: 15000" not in origin.request()
    play.pass_time(250)
    origin.say(OK)
    assert client.hears() == HEARD_OK


@pytest.mark.parametrize(("sent", "status"), [(b"", "408 Request Timeout"), (b"ab", "504 Gateway Timeout")])
def test_a_stream_on_which_nothing_moves_is_ended(stage: MakeStage, sent: bytes, status: str) -> None:
    route = {"cluster": "backend", "timeout": "0s", "idle_timeout": "10s"}
    play = stage(routes=[{"match": {"prefix": "/"}, "route": route}])
    client, origin = ask(play, request("POST", "/a", "content-length: 2", body=sent))
    play.pass_time(9.9)
    assert client.heard() == b""
    play.pass_time(0.2)
    assert starts(client) == [f"HTTP/1.1 {status}", "stream timeout"]
    assert origin.closed
    assert play.log() == [f"POST /a {status[:3]} SI stream_idle_timeout"]
    assert play.http("downstream_rq_idle_timeout") == 1
    assert f"cluster.backend.upstream_rq_{status[:3]}" not in play.registry.counters


def test_a_stream_on_which_something_moves_goes_on(stage: MakeStage) -> None:
    play = stage(
        routes=[{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}],
        manager={"stream_idle_timeout": "10s"},
    )
    client, origin = ask(play)
    origin.say(response("content-length: 5"))
    for _ in range(4):
        play.pass_time(9)
        origin.say(b"x")
    assert client.heard().endswith(b"xxxx")
    play.pass_time(10.1)
    assert client.closed
    assert play.log() == ["GET /a 200 SI stream_idle_timeout"]


def test_a_stream_lasts_at_most_so_long(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"max_stream_duration": "5s"}})
    client, origin = ask(play)
    play.pass_time(5.1)
    assert starts(client) == ["HTTP/1.1 504 Gateway Timeout", "downstream duration timeout"]
    assert origin.closed
    assert play.http("downstream_rq_max_duration_reached") == 1
    assert play.log() == ["GET /a 504 - max_duration_timeout"]


def test_a_request_must_be_complete_in_time(stage: MakeStage) -> None:
    play = stage(manager={"request_timeout": "5s"})
    client, origin = ask(play, request("POST", "/a", "content-length: 100", body=b"x"))
    for _ in range(4):
        play.pass_time(1)
        client.say(b"x")
    assert client.heard() == b""
    play.pass_time(1.1)
    assert starts(client) == ["HTTP/1.1 408 Request Timeout", "request timeout"]
    assert client.ended
    assert origin.closed
    assert play.log() == ["POST /a 408 - request_overall_timeout"]
    assert play.http("downstream_rq_timeout") == 1


def test_a_complete_request_is_past_its_request_timeout(stage: MakeStage) -> None:
    play = stage(manager={"request_timeout": "5s"})
    client, origin = ask(play)
    play.pass_time(10)
    origin.say(OK)
    assert client.hears() == HEARD_OK


def test_a_head_must_be_complete_in_time(stage: MakeStage) -> None:
    play = stage(manager={"request_headers_timeout": "5s"})
    client = play.connect()
    play.pass_time(20)
    client.say(b"GET /a HTTP/1.1\r\n")
    play.pass_time(4.9)
    client.say(b"host: x\r\n")
    assert client.heard() == b""
    play.pass_time(0.2)
    assert starts(client) == ["HTTP/1.1 408 Request Timeout", "request header timeout"]
    assert client.ended
    assert play.http("downstream_rq_header_timeout") == 1
    assert play.http("downstream_cx_protocol_error") == 0
    assert play.log() == ["- - 408 - request_header_timeout"]


@pytest.mark.parametrize(
    ("options", "body", "counter"),
    [
        ({"request_timeout": "5s"}, "request timeout", "downstream_rq_timeout"),
        ({"stream_idle_timeout": "5s"}, "stream timeout", "downstream_rq_idle_timeout"),
    ],
)
def test_other_times_begin_with_the_first_byte_too(
    stage: MakeStage, options: dict[str, str], body: str, counter: str
) -> None:
    play = stage(manager={"request_headers_timeout": "60s", **options})
    client = play.connect()
    client.say(b"GET /a HTTP/1.1\r\n")
    play.pass_time(5.1)
    assert starts(client) == ["HTTP/1.1 408 Request Timeout", body]
    assert play.http(counter) == 1
    assert play.http("downstream_rq_header_timeout") == 0


def test_a_request_that_comes_too_long_for_a_stream_is_timed_out(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"max_stream_duration": "5s"}})
    client, _ = ask(play, request("POST", "/a", "content-length: 10", body=b"abc"))
    play.pass_time(5.1)
    assert starts(client) == ["HTTP/1.1 408 Request Timeout", "downstream duration timeout"]


def test_a_head_behind_a_slow_response_has_its_time_too(stage: MakeStage) -> None:
    play = stage(manager={"request_headers_timeout": "5s"})
    client, origin = ask(play)
    client.say(b"GET /a HT")
    play.pass_time(8)
    origin.say(OK)
    assert starts(client) == ["HTTP/1.1 200 OK", "ok"]
    play.pass_time(5.1)
    assert starts(client) == ["HTTP/1.1 408 Request Timeout", "request header timeout"]


def test_an_idle_connection_is_closed(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"idle_timeout": "10s"}})
    client = play.connect()
    play.pass_time(9.9)
    assert not client.closed
    play.pass_time(0.2)
    assert client.closed
    assert play.http("downstream_cx_idle_timeout") == 1
    assert play.http("downstream_cx_destroy_local") == 1
    assert play.log() == []


def test_a_connection_is_idle_from_the_end_of_its_last_response(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"idle_timeout": "10s"}})
    client, origin = ask(play)
    play.pass_time(12)
    origin.say(OK)
    assert client.hears() == HEARD_OK
    play.pass_time(9.9)
    assert not client.closed
    client.say(GET)
    origin.say(OK)
    play.pass_time(14.9)
    assert not client.closed
    play.pass_time(0.2)
    assert client.closed
    assert play.http("downstream_cx_idle_timeout") == 1


def test_a_request_that_meets_the_idle_timeout_is_served_as_the_last(stage: MakeStage) -> None:
    common = {"common_http_protocol_options": {"idle_timeout": "10s"}}
    play = stage(manager={**common, "drain_timeout": "2s"})
    client, origin = ask(play)
    origin.say(OK)
    play.pass_time(11)
    client.hears()
    client.say(GET)
    origin.say(OK)
    assert "connection: close" in client.hears()
    assert client.closed
    assert play.http("downstream_cx_drain_close") == 0


def test_a_head_that_has_begun_is_not_idle(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"idle_timeout": "10s"}})
    client, origin = ask(play)
    origin.say(OK)
    client.say(GET[:10])
    play.pass_time(30)
    assert not client.closed
    client.say(GET[10:])
    origin.say(OK)
    assert client.hears() == HEARD_OK * 2


@pytest.mark.parametrize("further", [{}, {"idle_timeout": "0s"}])
def test_a_connection_lasts_at_most_so_long(stage: MakeStage, further: dict[str, str]) -> None:
    options = {"max_connection_duration": "10s", **further}
    play = stage(manager={"common_http_protocol_options": options})
    idle = play.connect()
    client, origin = ask(play)
    play.pass_time(10.1)
    assert idle.closed
    assert not client.closed
    play.pass_time(7)
    origin.say(OK)
    assert "connection: close" in client.hears()
    assert client.closed
    assert play.http("downstream_cx_max_duration_reached") == 2


def test_a_connection_takes_at_most_so_many_requests(stage: MakeStage) -> None:
    play = stage(manager={"common_http_protocol_options": {"max_requests_per_connection": 3}})
    client = play.connect()
    client.say(GET * 5)
    origin = play.origin()
    for number in range(3):
        assert not client.closed
        origin.say(OK)
        assert ("connection: close" in client.hears()) == (number == 2)
    assert client.ended
    assert play.http("downstream_cx_max_requests_reached") == 1
    assert play.http("downstream_rq_total") == 3


def test_a_kept_connection_to_a_host_lasts_at_most_so_long(stage: MakeStage) -> None:
    play = stage(
        cluster={
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "common_http_protocol_options": {
                        "max_connection_duration": "30s",
                        "max_requests_per_connection": 2,
                    },
                    "explicit_http_config": {"http_protocol_options": {}},
                }
            }
        }
    )
    client, origin = ask(play)
    origin.say(OK)
    client.say(GET)
    origin.say(OK)
    assert origin.closed
    assert play.upstream("upstream_cx_max_requests") == 1
    client.say(GET)
    second = play.origin()
    second.say(OK)
    play.pass_time(29)
    assert not second.closed
    client.say(GET)
    play.pass_time(2)
    assert not second.closed
    second.say(OK)
    assert second.closed
    assert client.hears() == HEARD_OK * 4
    assert play.upstream("upstream_cx_idle_timeout") == 0


GRPC = ("content-type: application/grpc", "te: trailers", "content-length: 0")


def _told(client: Client) -> list[str]:
    return [line for line in client.hears() if line.startswith(("HTTP/", "grpc-"))]


def _route(**action: Any) -> list[dict[str, Any]]:
    return [{"match": {"prefix": "/"}, "route": {"cluster": "backend", **action}}]


def test_a_call_has_the_time_that_it_asks_for(stage: MakeStage) -> None:
    play = stage(routes=_route(max_stream_duration={"grpc_timeout_header_max": "60s"}))
    client, _ = ask(play, request("POST", "/a", *GRPC, "grpc-timeout: 30S"))
    play.pass_time(29.9)
    assert client.heard() == b""
    play.pass_time(0.2)
    assert _told(client) == ["HTTP/1.1 200 OK", "grpc-status: 4", "grpc-message: downstream duration timeout"]
    assert play.http("downstream_rq_max_duration_reached") == 1


def test_a_call_that_asks_for_no_time_gets_none(stage: MakeStage) -> None:
    options = {"grpc_timeout_header_max": "0s", "grpc_timeout_header_offset": "1s"}
    play = stage(routes=_route(max_stream_duration=options))
    client, _ = ask(play, request("POST", "/a", *GRPC, "grpc-timeout: 1S"))
    play.pass_time(0.1)
    assert _told(client)[1] == "grpc-status: 4"


def test_a_call_may_be_given_less_than_it_asks_for_by_the_older_options(stage: MakeStage) -> None:
    play = stage(routes=_route(max_grpc_timeout="20s", grpc_timeout_offset="1s"))
    client, _ = ask(play, request("POST", "/a", *GRPC, "grpc-timeout: 10S"))
    play.pass_time(8.9)
    assert client.heard() == b""
    play.pass_time(0.2)
    assert _told(client) == ["HTTP/1.1 200 OK", "grpc-status: 14", "grpc-message: upstream request timeout"]
    assert play.upstream("upstream_rq_timeout") == 1
    other, _ = ask(play, request("POST", "/a", *GRPC))
    play.pass_time(19.9)
    assert other.heard() == b""
    play.pass_time(0.2)
    assert _told(other)[1] == "grpc-status: 14"
