"""HTTP filters in front of the router: what they see, change, hold back and answer."""

from collections.abc import Iterator
from typing import Any

import pytest

from proxyd.filters.http_filter import (
    STOP_ALL_ITERATION_AND_BUFFER,
    STOP_ALL_ITERATION_AND_WATERMARK,
    STOP_ITERATION,
    STOP_ITERATION_AND_BUFFER,
    STOP_ITERATION_AND_WATERMARK,
    STOP_ITERATION_NO_BUFFER,
    Body,
)
from proxyd.filters.stream_info import StreamInfo
from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, OK, post, request, response, starts
from tests.net.filter_stage import Scripted, change_data, filtered
from tests.net.http2_client import connect, engines
from tests.net.http2_origin import origin as http2_origin
from tests.net.playbook import HTTP_OPTIONS
from tests.net.test_http2_upstream import CLUSTER as HTTP2

CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
TRAILING = {
    "typed_extension_protocol_options": {
        HTTP_OPTIONS: {
            "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
    }
}


# -- what they see


def test_they_see_the_request_in_order_and_the_response_in_reverse(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {}, "b": {}})
    client = made.play.connect()
    client.say(post("/a", b"xyz"))
    assert made.noted() == (
        "a.decode_headers b.decode_headers a.decode_data b.decode_data a.decode_data! b.decode_data!"
    )
    host = made.play.origin()
    assert host.heard().endswith(b"\r\n\r\nxyz")
    host.say(OK)
    assert client.hears()[-1] == "ok"
    assert made.noted() == (
        "b.encode_headers a.encode_headers b.encode_data a.encode_data b.encode_data! a.encode_data! "
        "a.complete b.complete"
    )
    assert made.play.log() == ["POST /a 200 - via_upstream"]


def test_messages_that_end_with_their_heads(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {}})
    client = made.play.connect()
    client.say(request("HEAD", "/a"))
    host = made.play.origin()
    host.say(response("content-length: 5"))
    assert client.hears()[1] == "content-length: 5"
    assert made.noted() == "a.decode_headers! a.encode_headers! a.complete"
    client.say(GET)
    host.say(response("content-length: 0"))
    assert client.hears()[1] == "content-length: 0"
    assert made.noted() == "a.decode_headers! a.encode_headers! a.complete"


def test_trailers_come_behind_the_data_and_can_be_changed(stage: MakeStage) -> None:
    def decode(_: Scripted, trailers: list[tuple[bytes, bytes]]) -> None:
        trailers.append((b"x-more", b"1"))

    def encode(_: Scripted, trailers: list[tuple[bytes, bytes]]) -> None:
        trailers[:] = [(b"x-other", b"2")]

    script = {"decode_trailers": decode, "encode_trailers": encode}
    manager = {"http_protocol_options": {"enable_trailers": True}}
    made = filtered(stage, {"a": script}, manager=manager, cluster=TRAILING)
    client = made.play.connect()
    client.say(request("POST", "/a", "transfer-encoding: chunked", body=b"1\r\nx\r\n0\r\nx-t: 0\r\n\r\n"))
    host = made.play.origin()
    assert host.heard().endswith(b"0\r\nx-t: 0\r\nx-more: 1\r\n\r\n")
    host.say(CHUNKS[:-2] + b"x-t: 3\r\n\r\n")
    assert client.heard().endswith(b"0\r\nx-other: 2\r\n\r\n")
    assert made.noted() == (
        "a.decode_headers a.decode_data a.decode_trailers "
        "a.encode_headers a.encode_data a.encode_data a.encode_trailers a.complete"
    )


# -- what they change


def test_heads_are_changed_before_they_go_on(stage: MakeStage) -> None:
    def ask(_: Scripted, info: StreamInfo) -> None:
        info.path = b"/other"
        info.request_headers.set(b"x-asked", b"1")

    def answer(_: Scripted, info: StreamInfo) -> None:
        info.response_code = 201
        info.response_headers.set(b"x-answered", b"2")

    made = filtered(stage, {"a": {"decode_headers": ask, "encode_headers": answer}})
    client = made.play.connect()
    client.say(GET)
    host = made.play.origin()
    asked = host.request()
    assert asked[0] == "GET /other HTTP/1.1"
    assert "x-asked: 1" in asked
    host.say(OK)
    heard = client.hears()
    assert heard[0] == "HTTP/1.1 201 Created"
    assert "x-answered: 2" in heard
    assert made.play.http("downstream_rq_2xx") == 1
    assert made.play.upstream("upstream_rq_200") == 1


def without_length(which: str) -> Any:
    def answer(_: Scripted, info: StreamInfo) -> None:
        getattr(info, which).remove(b"content-length")

    return answer


def test_bodies_are_changed_on_both_ways(stage: MakeStage) -> None:
    script = {
        "decode_headers": without_length("request_headers"),
        "decode_data": change_data(lambda data: data.upper() + b"." if data else b"end"),
        "encode_headers": without_length("response_headers"),
        "encode_data": change_data(lambda data: data * 2),
    }
    made = filtered(stage, {"a": script})
    client = made.play.connect()
    client.say(post("/a", b"xyz"))
    host = made.play.origin()
    head, _, body = host.heard().partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert body == b"4\r\nXYZ.\r\n3\r\nend\r\n0\r\n\r\n"
    host.say(OK)
    head, _, body = client.heard().partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"4\r\nokok\r\n0\r\n\r\n"
    info = made["a"].info
    assert info is not None
    assert (info.bytes_received, info.bytes_sent) == (3, 4)  # from the client and to it, as it is told
    client.say(post("/a", b"q"))  # the connection goes on, and the host's
    assert host.heard().endswith(b"2\r\nQ.\r\n3\r\nend\r\n0\r\n\r\n")
    host.say(OK)
    client.heard()


@pytest.mark.parametrize("change", [lambda data: data + b"x", lambda data: data[:-1]])
def test_a_request_that_is_not_as_long_as_its_head_says_any_more(stage: MakeStage, change: Any) -> None:
    made = filtered(stage, {"a": {"decode_data": change_data(change)}})
    client = made.play.connect()
    client.say(post("/a", b"abc"))
    assert starts(client)[0] == "HTTP/1.1 500 Internal Server Error"
    assert made.play.log() == ["POST /a 500 - internal_error"]
    for dial in made.play.loop.dials:
        dial.answer.cancel()
    made.play.loop.dials.clear()


@pytest.mark.parametrize("change", [lambda data: data + b"x", lambda data: data[:-1]])
def test_a_response_that_is_not_as_long_as_its_head_says_any_more(stage: MakeStage, change: Any) -> None:
    made = filtered(stage, {"a": {"encode_data": change_data(change)}})
    client = made.play.connect()
    client.say(GET)
    made.play.origin().say(OK)
    assert client.heard().count(b"\r\n\r\n") == 1
    assert client.closed
    assert made.play.log() == ["GET /a 200 - internal_error"]


def test_a_request_without_a_body_gets_one(stage: MakeStage) -> None:
    def make(each: Scripted, info: StreamInfo) -> None:
        each.callbacks.add_decoded_data(b"made")

    made = filtered(stage, {"a": {"decode_headers": make}, "b": {}})
    client = made.play.connect()
    client.say(GET)
    assert made.noted() == "a.decode_headers! b.decode_headers b.decode_data!"
    host = made.play.origin()
    head, _, body = host.heard().partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"4\r\nmade\r\n0\r\n\r\n"
    host.say(OK)
    assert client.hears()[-1] == "ok"


def test_trailers_become_a_body(stage: MakeStage) -> None:
    def move(each: Scripted, trailers: list[tuple[bytes, bytes]]) -> None:
        each.callbacks.add_encoded_data(b"|".join(name for name, _ in trailers))
        trailers.clear()

    made = filtered(stage, {"b": {}, "a": {"encode_trailers": move}}, cluster=TRAILING)
    client = made.play.connect()
    client.say(GET)
    made.play.origin().say(CHUNKS[:-2] + b"x-t: 3\r\nx-u: 4\r\n\r\n")
    assert client.heard().endswith(b"\r\nde\r\n7\r\nx-t|x-u\r\n0\r\n\r\n")
    assert made.noted().endswith("a.encode_trailers b.encode_data b.encode_trailers b.complete a.complete")


def test_another_route_is_chosen_on_request(stage: MakeStage) -> None:
    def move(each: Scripted, info: StreamInfo) -> None:
        info.path = b"/direct"
        each.callbacks.clear_route_cache()

    made = filtered(stage, {"a": {"decode_headers": move}})
    client = made.play.connect()
    client.say(GET)
    assert client.hears()[-1] == "hi"
    made["a"].script["decode_headers"] = change_path
    client.say(GET)
    made.play.origin().say(OK)
    assert client.hears()[-1] == "ok"


def change_path(each: Scripted, info: StreamInfo) -> None:
    info.path = b"/direct"


# -- what they hold back


def test_a_head_waits_until_its_filter_continues(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {}, "b": {"decode_headers": STOP_ALL_ITERATION_AND_BUFFER}, "c": {}})
    client = made.play.connect()
    client.say(post("/a", b"abc"))
    assert made.noted() == "a.decode_headers b.decode_headers a.decode_data a.decode_data!"
    assert made.play.loop.dials == []
    made.go_on("b")
    assert made.noted() == "c.decode_headers b.decode_data! c.decode_data!"
    host = made.play.origin()
    assert host.heard().endswith(b"\r\n\r\nabc")
    made.go_on("b")  # there is nothing any more
    host.say(OK)
    assert client.hears()[-1] == "ok"


def test_a_filter_that_continues_inside_its_own_call(stage: MakeStage) -> None:
    def stop(each: Scripted, info: StreamInfo) -> int:
        each.callbacks.continue_decoding()
        return STOP_ITERATION

    made = filtered(stage, {"a": {"decode_headers": stop}})
    client = made.play.connect()
    client.say(GET)
    made.play.origin().say(OK)
    assert client.hears()[-1] == "ok"


def test_data_are_held_until_all_are_there(stage: MakeStage) -> None:
    script: dict[str, Any] = {"decode_headers": STOP_ITERATION, "decode_data": STOP_ITERATION_AND_BUFFER}
    made = filtered(stage, {"a": script})
    client = made.play.connect()
    client.say(request("POST", "/a", "content-length: 6", body=b"ab"))
    client.say(b"cd")
    assert made.play.loop.dials == []
    made["a"].script = {}
    client.say(b"ef")
    assert made.play.origin().heard().endswith(b"\r\n\r\nabcdef")


def test_a_filter_takes_the_data_and_puts_others_there(stage: MakeStage) -> None:
    taken = bytearray()

    def take(each: Scripted, body: Body) -> int | None:
        taken.extend(body.data)
        if len(taken) < 6:
            return STOP_ITERATION_NO_BUFFER
        body.data = bytes(reversed(taken)) if body.data else b""
        return None

    script = {"decode_headers": STOP_ITERATION, "decode_data": take}
    made = filtered(stage, {"a": script})
    client = made.play.connect()
    for piece in (request("POST", "/a", "content-length: 6", body=b"ab"), b"cd", b"ef"):
        client.say(piece)
    assert taken == b"abcdef"
    assert made.play.origin().heard().endswith(b"\r\n\r\nfedcba")


def test_the_end_alone_is_held(stage: MakeStage) -> None:
    def hold_end(each: Scripted, body: Body) -> int | None:
        return None if body.data else STOP_ITERATION_NO_BUFFER

    made = filtered(stage, {"a": {"decode_data": hold_end}})
    client = made.play.connect()
    client.say(request("POST", "/a", "transfer-encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n"))
    host = made.play.origin()
    assert host.heard().endswith(b"1\r\nx\r\n")
    made.go_on("a")
    assert host.heard() == b"0\r\n\r\n"


def test_a_response_is_held_until_its_filter_continues(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {"encode_headers": STOP_ALL_ITERATION_AND_WATERMARK}, "b": {}})
    client = made.play.connect()
    client.say(GET)
    made.play.origin().say(OK)
    assert client.heard() == b""
    assert made.play.log() == []
    made.go_on("a", encoding=True)
    assert client.hears()[-1] == "ok"
    assert made.play.log() == ["GET /a 200 - via_upstream"]


def test_trailers_are_held_with_what_is_before_them(stage: MakeStage) -> None:
    script: dict[str, Any] = {"encode_headers": STOP_ITERATION, "encode_data": STOP_ITERATION_AND_BUFFER}
    script["encode_trailers"] = STOP_ITERATION
    manager = {"http_protocol_options": {"enable_trailers": True}}
    made = filtered(stage, {"a": script}, manager=manager, cluster=TRAILING)
    client = made.play.connect()
    client.say(GET)
    made.play.origin().say(CHUNKS[:-2] + b"x-t: 3\r\n\r\n")
    assert client.heard() == b""
    made.go_on("a", encoding=True)
    assert client.heard().endswith(b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 3\r\n\r\n")


def test_who_sends_waits_while_much_is_held(stage: MakeStage) -> None:
    script = {"decode_headers": STOP_ALL_ITERATION_AND_WATERMARK}
    made = filtered(stage, {"a": script}, listener={"per_connection_buffer_limit_bytes": 1000})
    client = made.play.connect()
    client.say(request("POST", "/a", "content-length: 4000", body=b"x" * 900))
    assert client.transport.reading
    client.say(b"x" * 200)
    assert not client.transport.reading
    client.say(b"x" * 900)
    made.go_on("a")
    host = made.play.origin()
    client.say(b"x" * 2000)
    assert client.transport.reading
    assert len(host.heard().partition(b"\r\n\r\n")[2]) == 4000


def test_who_sends_waits_for_the_host_although_nothing_is_held_any_more(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {}}, listener={"per_connection_buffer_limit_bytes": 1000})
    client = made.play.connect()
    client.say(request("POST", "/a", "content-length: 8000000", body=b"x" * 10))
    host = made.play.origin()
    host.stall()
    client.say(b"x" * 2_000_000)  # more than the cluster's limit
    assert not client.transport.reading
    made["a"].script = {"decode_data": STOP_ITERATION_AND_WATERMARK}
    client.transport.reading = True  # something was on its way
    client.say(b"x" * 2_000)
    client.transport.reading = False
    made["a"].script = {}
    made.go_on("a")
    assert not client.transport.reading
    host.take()
    assert client.transport.reading


def test_a_host_waits_while_much_is_held(stage: MakeStage) -> None:
    script = {"encode_data": STOP_ITERATION_AND_WATERMARK}
    made = filtered(stage, {"a": script}, listener={"per_connection_buffer_limit_bytes": 1000})
    client = made.play.connect()
    client.say(GET)
    host = made.play.origin()
    host.say(response("content-length: 4000", body=b"y" * 1500))
    assert not host.transport.reading
    assert client.heard().endswith(b"\r\n\r\n")
    made["a"].script = {}
    made.go_on("a", encoding=True)
    assert client.heard() == b"y" * 1500
    host.say(b"y" * 2500)
    assert client.heard() == b"y" * 2500


def test_who_sends_waits_while_much_is_held_although_the_host_could_take_more(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {}}, listener={"per_connection_buffer_limit_bytes": 1000})
    client = made.play.connect()
    client.say(request("POST", "/a", "content-length: 8000000", body=b"x" * 10))
    host = made.play.origin()
    host.stall()
    client.say(b"x" * 2_000_000)
    made["a"].script = {"decode_data": STOP_ITERATION_AND_WATERMARK}
    client.transport.reading = True  # something was on its way
    client.say(b"x" * 2_000)
    client.transport.reading = False
    host.take()
    assert not client.transport.reading
    made["a"].script = {}
    made.go_on("a")
    assert client.transport.reading


def test_a_host_waits_for_both_the_client_and_what_is_held(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {}}, listener={"per_connection_buffer_limit_bytes": 1000})
    client = made.play.connect()
    client.say(GET)
    host = made.play.origin()
    client.stall()
    host.say(response("content-length: 8000000", body=b"y" * 2_000))
    assert not host.transport.reading
    made["a"].script = {"encode_data": STOP_ITERATION_AND_WATERMARK}
    host.transport.reading = True  # something was on its way
    host.say(b"y" * 2_000)
    host.transport.reading = False
    client.take()
    assert not host.transport.reading
    client.stall()
    made["a"].script = {}
    made.go_on("a", encoding=True)
    assert not host.transport.reading
    client.take()
    assert host.transport.reading


@pytest.mark.parametrize("call", ["decode_headers", "decode_data"])
def test_more_of_a_request_than_can_be_held(stage: MakeStage, call: str) -> None:
    status = STOP_ALL_ITERATION_AND_BUFFER if call == "decode_headers" else STOP_ITERATION_AND_BUFFER
    script = {"decode_headers": STOP_ITERATION, call: status}
    made = filtered(stage, {"a": script}, listener={"per_connection_buffer_limit_bytes": 1000})
    client = made.play.connect()
    client.say(request("POST", "/a", "content-length: 4000", body=b"x" * 900))
    client.say(b"x" * 200)
    assert starts(client) == ["HTTP/1.1 413 Payload Too Large", "Payload Too Large"]
    assert made.play.log() == ["POST /a 413 - request_payload_too_large"]
    assert made.play.http("downstream_rq_too_large") == 1


@pytest.mark.parametrize("begun", [False, True])
def test_more_of_a_response_than_can_be_held(stage: MakeStage, begun: bool) -> None:
    script: dict[str, Any] = {"encode_data": STOP_ITERATION_AND_BUFFER}
    if not begun:
        script["encode_headers"] = STOP_ITERATION
    made = filtered(stage, {"a": script}, listener={"per_connection_buffer_limit_bytes": 1000})
    client = made.play.connect()
    client.say(GET)
    host = made.play.origin()
    host.say(response("content-length: 4000", body=b"y" * 900))
    host.say(b"y" * 200)
    if begun:
        assert client.heard().endswith(b"\r\n\r\n")
        assert client.closed
    else:
        assert starts(client) == ["HTTP/1.1 500 Internal Server Error", "Internal Server Error"]
        assert made.play.log() == ["GET /a 500 - response_payload_too_large"]
    assert host.closed
    assert made.play.http("rs_too_large") == 1


# -- what they answer


def deny(each: Scripted, _: Any) -> int:
    each.callbacks.send_local_reply(403, b"no", "denied_by_a", headers=[(b"x-why", b"a")])
    return STOP_ITERATION


@pytest.mark.parametrize("call", ["decode_headers", "decode_data"])
def test_a_filter_answers_and_all_see_the_answer(stage: MakeStage, call: str) -> None:
    made = filtered(stage, {"b": {}, "a": {call: deny}, "c": {}})
    client = made.play.connect()
    client.say(post("/a", b"abc"))
    heard = client.hears()
    assert heard[0] == "HTTP/1.1 403 Forbidden"
    assert "x-why: a" in heard
    assert heard[-1] == "no"
    assert made.noted().endswith(
        f"a.{call} c.encode_headers a.encode_headers b.encode_headers "
        "c.encode_data! a.encode_data! b.encode_data! b.complete a.complete c.complete"
    )
    assert made.play.log() == ["POST /a 403 - denied_by_a"]
    client.say(GET)
    made.play.loop.dials.clear()


def test_an_answer_that_is_held(stage: MakeStage) -> None:
    script = {"decode_headers": deny, "encode_headers": STOP_ALL_ITERATION_AND_BUFFER}
    made = filtered(stage, {"a": script})
    client = made.play.connect()
    client.say(GET)
    assert client.heard() == b""
    made.go_on("a", encoding=True)
    assert client.hears()[-1] == "no"
    assert made.play.log() == ["GET /a 403 - denied_by_a"]
    client.say(GET)
    assert client.heard() == b""
    made.play.pass_time(301)  # stream_idle_timeout
    assert starts(client) == ["HTTP/1.1 504 Gateway Timeout", "stream timeout"]


def test_the_router_s_own_answers_go_through_the_filters(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {"encode_headers": without_date}})
    client = made.play.connect()
    client.say(request("GET", "/direct"))
    assert client.hears()[-1] == "hi"
    assert made.noted() == "a.decode_headers! a.encode_headers a.encode_data! a.complete"
    client.say(GET)
    made.play.dial().refuse()
    assert client.hears()[0] == "HTTP/1.1 503 Service Unavailable"
    assert made.noted() == "a.decode_headers! a.encode_headers a.encode_data! a.complete"
    client.say(b"GARBAGE\r\n\r\n")
    assert client.hears()[0] == "HTTP/1.1 400 Bad Request"
    assert made.noted() == "a.encode_headers a.encode_data! a.complete"


def without_date(_: Scripted, info: StreamInfo) -> None:
    assert info.response_headers.get(b"date") is None  # the manager's own headers come later


def test_a_filter_answers_in_place_of_a_response(stage: MakeStage) -> None:
    made = filtered(stage, {"b": {}, "a": {"encode_headers": deny}})
    client = made.play.connect()
    client.say(GET)
    host = made.play.origin()
    host.say(OK)
    assert client.hears()[-1] == "no"
    assert made.noted() == "b.decode_headers! a.decode_headers! a.encode_headers b.complete a.complete"
    assert host.closed


def test_an_answer_that_comes_too_late_breaks_off(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {"encode_data": deny}})
    client = made.play.connect()
    client.say(GET)
    made.play.origin().say(OK)
    assert client.heard().endswith(b"\r\n\r\n")
    assert client.closed
    assert made.play.log() == ["GET /a 200 - denied_by_a"]


def test_a_filter_breaks_a_request_off(stage: MakeStage) -> None:
    def break_off(each: Scripted, _: Any) -> int:
        each.callbacks.reset_stream()
        return STOP_ITERATION

    made = filtered(stage, {"a": {"decode_headers": break_off}})
    client = made.play.connect()
    client.say(GET)
    assert client.heard() == b""
    assert client.closed


# -- what can go wrong meanwhile


def test_a_client_goes_while_its_request_is_held(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {"decode_headers": STOP_ITERATION}})
    client = made.play.connect()
    client.say(GET)
    client.close()
    assert made.noted() == "a.decode_headers! a.complete"
    made.go_on("a")
    assert made.play.loop.dials == []
    assert made.play.log() == ["GET /a 0 DC downstream_remote_disconnect"]


def test_a_host_goes_while_its_response_is_held(stage: MakeStage) -> None:
    script = {"encode_headers": STOP_ITERATION, "encode_data": STOP_ITERATION_AND_BUFFER}
    made = filtered(stage, {"a": script})
    client = made.play.connect()
    client.say(GET)
    host = made.play.origin()
    host.say(OK[:-1])
    host.close()
    heard = client.hears()
    assert heard[0] == "HTTP/1.1 502 Bad Gateway"
    assert heard[-1].endswith("reset reason: protocol error")
    assert made.play.log() == ["GET /a 502 UPE upstream_reset_after_response_started{protocol_error}"]
    made.go_on("a", encoding=True)
    assert client.heard() == b""
    assert made.noted().endswith("a.complete")
    assert made.play.upstream("upstream_rq_200") == 1  # as the host has answered


def test_a_host_takes_too_long_while_its_response_is_held(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {"encode_headers": STOP_ALL_ITERATION_AND_BUFFER}})
    client = made.play.connect()
    client.say(GET)
    made.play.origin().say(OK[:-1])
    made.play.pass_time(15.1)
    assert starts(client) == ["HTTP/1.1 504 Gateway Timeout", "upstream request timeout"]


@pytest.mark.parametrize(
    ("manager", "told"),
    [
        ({"stream_idle_timeout": "2s"}, "stream timeout"),
        ({"common_http_protocol_options": {"max_stream_duration": "2s"}}, "downstream duration timeout"),
    ],
)
@pytest.mark.parametrize("call", ["decode_headers", "encode_headers"])
def test_nobody_is_held_for_ever(stage: MakeStage, call: str, manager: Any, told: str) -> None:
    made = filtered(stage, {"a": {call: STOP_ALL_ITERATION_AND_BUFFER}}, manager=manager)
    client = made.play.connect()
    client.say(GET)
    if call == "encode_headers":
        made.play.origin().say(OK)
    made.play.pass_time(1.9)
    assert client.heard() == b""
    made.play.pass_time(0.3)
    assert starts(client) == ["HTTP/1.1 504 Gateway Timeout", told]


@pytest.mark.parametrize("held", [False, True])
def test_a_call_has_the_time_that_it_asks_for(stage: MakeStage, held: bool) -> None:
    longest = {"max_stream_duration": "30s", "grpc_timeout_header_max": "60s"}
    action = {"cluster": "backend", "max_stream_duration": longest}
    script = {"decode_headers": STOP_ITERATION} if held else {}
    routes = [{"match": {"prefix": "/"}, "route": action}]
    made = filtered(stage, {"a": script}, routes=routes)
    client = made.play.connect()
    client.say(
        request("POST", "/a", "content-type: application/grpc", "grpc-timeout: 5S", "content-length: 0")
    )
    if not held:
        made.play.origin()
    made.play.pass_time(4.9)
    assert client.heard() == b""
    made.play.pass_time(0.2)
    assert "grpc-status: 4" in client.hears()


def test_a_request_that_is_all_there_is_not_waited_for(stage: MakeStage) -> None:
    made = filtered(
        stage, {"a": {"decode_data": STOP_ITERATION_AND_BUFFER}}, manager={"request_timeout": "2s"}
    )
    client = made.play.connect()
    client.say(post("/a", b"abc"))
    host = made.play.origin()
    made.play.pass_time(3)
    assert client.heard() == b""
    made.go_on("a")
    assert host.heard().endswith(b"abc")
    host.say(OK)
    assert client.hears()[-1] == "ok"


@pytest.mark.parametrize("call", ["decode_headers", "decode_data", "encode_headers", "encode_data"])
def test_a_filter_with_a_mistake_costs_its_own_connection(stage: MakeStage, call: str) -> None:
    def fail(_: Scripted, __: Any) -> None:
        raise ZeroDivisionError

    made = filtered(stage, {"a": {call: fail}})
    client = made.play.connect()
    client.say(post("/a", b"abc"))
    if call.startswith("encode"):
        made.play.origin().say(OK)
    assert client.closed
    assert [type(bug) for bug in made.play.loop.bugs] == [ZeroDivisionError]
    made.play.loop.bugs.clear()
    made.play.loop.dials.clear()


# -- whatever is spoken on either side


@pytest.fixture(params=engines())
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


def test_http_2_on_both_sides(stage: MakeStage, engine: str) -> None:
    def move(each: Scripted, trailers: list[tuple[bytes, bytes]]) -> None:
        each.callbacks.add_encoded_data(trailers[0][1])
        trailers.append((b"x-more", b"1"))

    script = {"decode_data": change_data(bytes.upper), "encode_trailers": move}
    made = filtered(stage, {"a": script}, cluster=HTTP2)
    client = connect(made.play)
    stream = client.get("/a", method="POST", end=False)
    client.send(stream, b"abc")
    host = http2_origin(made.play)
    host.listen()
    assert host.requests[1].body == b"ABC"
    client.end(stream, [("x-t", "1")])
    host.listen()
    assert host.requests[1].trailers == [("x-t", "1")]
    host.head(1)
    host.data(1, b"answer ")
    host.trailers(1, ("x-t", "end"))
    client.listen()
    answer = client.answers[stream]
    assert answer.body == b"answer end"
    assert answer.trailers == [("x-t", "end"), ("x-more", "1")]
    assert answer.ended


def test_what_continues_goes_out_at_once(stage: MakeStage, engine: str) -> None:
    hold = {"decode_data": STOP_ITERATION_AND_WATERMARK, "encode_data": STOP_ITERATION_AND_WATERMARK}
    made = filtered(stage, {"a": hold}, cluster=HTTP2)
    client = connect(made.play)
    stream = client.get("/a", method="POST", end=False)
    host = http2_origin(made.play)
    client.send(stream, b"abc")
    host.listen()
    assert host.requests[1].body == b""
    made.go_on("a")
    host.listen()
    assert host.requests[1].body == b"abc"
    host.head(1)
    host.data(1, b"xyz")
    client.listen()
    assert client.answers[stream].body == b""
    made.go_on("a", encoding=True)
    client.listen()
    assert client.answers[stream].body == b"xyz"


def test_a_response_that_ends_with_its_head_over_http_2(stage: MakeStage, engine: str) -> None:
    made = filtered(stage, {"a": {}}, cluster=HTTP2)
    client = connect(made.play)
    stream = client.get("/a")
    host = http2_origin(made.play)
    host.listen()
    host.head(1, ("grpc-status", "3"), end=True)
    client.listen()
    assert client.answers[stream].ended
    assert client.answers[stream].field("grpc-status") == "3"
    assert made.noted() == "a.decode_headers! a.encode_headers! a.complete"


def test_a_tunnel_goes_through_the_filters(stage: MakeStage) -> None:
    script = {"decode_data": change_data(bytes.upper), "encode_data": change_data(bytes.lower)}
    made = filtered(stage, {"a": script}, manager={"upgrade_configs": [{"upgrade_type": "chat"}]})
    client = made.play.connect()
    client.say(request("GET", "/a", "connection: upgrade", "upgrade: chat"))
    host = made.play.origin()
    host.heard()
    host.say(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: chat\r\n\r\nHELLO")
    assert client.heard().endswith(b"\r\n\r\nhello")
    client.say(b"there")
    assert host.heard() == b"THERE"
    host.close()
    client.close()
    assert host.closed
    assert made.noted().count("a.complete") == 1


def test_a_refused_upgrade_is_a_response_without_a_body(stage: MakeStage) -> None:
    made = filtered(stage, {"a": {}}, manager={"upgrade_configs": [{"upgrade_type": "websocket"}]})
    client = made.play.connect()
    client.say(request("GET", "/a", "connection: upgrade", "upgrade: websocket"))
    made.play.origin().say(OK)
    assert client.hears()[0] == "HTTP/1.1 200 OK"
    assert made.noted() == "a.decode_headers a.encode_headers! a.complete"
    assert made.play.log() == ["GET /a 200 - websocket_handshake_unsuccessful"]


# -- which of them are at work


FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
OFF = {"@type": FILTER_CONFIG, "disabled": True}
ON = {"@type": FILTER_CONFIG, "config": {}}


def at_work(stage: MakeStage, disabled: bool, table: Any, host: Any, route: Any, weight: Any = None) -> bool:
    """Whether the only filter of a chain counts a call, by what each level says of it."""

    def said(what: Any) -> dict[str, Any]:
        return {} if what is None else {"typed_per_filter_config": {"first": what}}

    stats = "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
    chain = [
        {"name": "first", "disabled": disabled, "typed_config": {"@type": stats}},
        {"name": "envoy.filters.http.router"},
    ]
    action: dict[str, Any] = {"cluster": "backend"}
    if weight is not None:
        action = {"weighted_clusters": {"clusters": [{"name": "backend", "weight": 1, **said(weight)}]}}
    routes = [{"match": {"prefix": "/"}, "route": action, **said(route)}]
    virtual_host = {"name": "all", "domains": ["*"], "routes": routes, **said(host)}
    manager = {"http_filters": chain, "route_config": {"virtual_hosts": [virtual_host], **said(table)}}
    play = stage(manager=manager)
    client = play.connect()
    client.say(request("POST", "/a/b", "content-type: application/grpc", "content-length: 5", body=b"\0" * 5))
    play.origin().say(OK)
    assert client.hears()[-1] == "ok"
    return "cluster.backend.grpc.request_message_count" in play.registry.counters


@pytest.mark.parametrize(
    ("disabled", "table", "host", "route", "weight", "expected"),
    [
        (False, None, None, None, None, True),
        (True, None, None, None, None, False),
        (True, None, None, ON, None, True),
        (False, None, None, OFF, None, False),
        (False, OFF, None, None, None, False),
        (False, OFF, ON, None, None, True),
        (True, ON, OFF, ON, None, True),
        (True, ON, None, OFF, ON, True),
        (False, None, None, None, OFF, False),
    ],
)
def test_the_nearest_word_counts(
    stage: MakeStage, disabled: bool, table: Any, host: Any, route: Any, weight: Any, expected: bool
) -> None:
    assert at_work(stage, disabled, table, host, route, weight) is expected
