"""A slow reader slows its writer down, on both sides, and what waits is bounded."""

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, HEARD_OK, OK, ask, post, request, response
from tests.net.playbook import Stage

LIMIT = 10_000
SMALL = {"per_connection_buffer_limit_bytes": LIMIT}


def small(stage: MakeStage) -> Stage:
    return stage(listener=SMALL, cluster=SMALL)


def test_a_slow_client_slows_its_host_down(stage: MakeStage) -> None:
    play = small(stage)
    client, origin = ask(play)
    client.stall()
    origin.say(response("content-length: 100000"), *[b"x" * 5000] * 20)
    assert not origin.transport.reading
    assert client.transport.get_write_buffer_size() < LIMIT + 6000
    assert origin.transport.unread > 80_000
    client.take()
    assert client.heard().endswith(b"x" * 5000)
    assert origin.transport.unread == 0
    client.say(GET)
    origin.say(OK)
    assert client.hears() == HEARD_OK
    assert play.upstream("upstream_flow_control_paused_reading_total") > 0
    assert play.upstream("upstream_flow_control_resumed_reading_total") == play.upstream(
        "upstream_flow_control_paused_reading_total"
    )


def test_a_slow_client_does_not_slow_others_down(stage: MakeStage) -> None:
    play = small(stage)
    (slow, first), (quick, second) = ask(play), ask(play)
    slow.stall()
    first.say(response("content-length: 100000"), *[b"x" * 5000] * 4)
    second.say(OK)
    assert quick.hears() == HEARD_OK
    slow.reset()
    assert first.closed


def test_a_slow_host_slows_its_client_down(stage: MakeStage) -> None:
    play = small(stage)
    client, origin = ask(play, request("POST", "/a", "content-length: 100000"))
    origin.stall()
    client.say(*[b"x" * 5000] * 20)
    assert not client.transport.reading
    assert origin.transport.get_write_buffer_size() < LIMIT + 6000
    assert client.transport.unread > 80_000
    origin.take()
    assert origin.heard() == b"x" * 100_000
    assert client.transport.unread == 0
    origin.say(OK)
    assert client.hears() == HEARD_OK
    assert play.upstream("upstream_flow_control_backed_up_total") == 1
    assert play.upstream("upstream_flow_control_drained_total") == 1


def test_a_body_that_waits_for_a_connection_is_bounded(stage: MakeStage) -> None:
    play = small(stage)
    client = play.connect()
    client.say(request("POST", "/a", "content-length: 100000"), *[b"x" * 5000] * 20)
    assert not client.transport.reading
    assert client.transport.unread > 80_000
    origin = play.origin()
    assert origin.heard().endswith(b"x" * 5000)
    assert client.transport.unread == 0
    origin.say(OK)
    assert client.hears() == HEARD_OK


def test_a_body_that_waited_blocks_a_slow_host_all_the_same(stage: MakeStage) -> None:
    play = small(stage)
    client = play.connect()
    client.say(request("POST", "/a", "content-length: 100000"), *[b"x" * 5000] * 20)
    play.loop.stall_next = True
    origin = play.origin()
    assert origin.transport.get_write_buffer_size() > LIMIT
    assert not client.transport.reading
    assert client.transport.unread > 70_000
    origin.take()
    assert client.transport.unread == 0
    origin.say(OK)


def test_a_connection_with_unsent_bytes_is_not_used_again(stage: MakeStage) -> None:
    play = small(stage)
    client, origin = ask(play, request("POST", "/a", "content-length: 15000"))
    origin.stall()
    client.say(b"x" * 15_000)
    origin.say(OK)
    assert client.hears() == HEARD_OK
    client.say(post("/b", b"y"))
    other = play.origin()
    assert other.heard().endswith(b"y")
    other.say(OK)
    assert origin.closed


def test_a_client_blocked_by_one_response_is_still_blocked_at_the_next(stage: MakeStage) -> None:
    play = small(stage)
    client, origin = ask(play)
    client.stall()
    origin.say(response("content-length: 20000", body=b"x" * 20_000))
    client.say(GET)
    assert origin.heard().startswith(b"GET")
    origin.say(response("content-length: 50000"), *[b"y" * 5000] * 10)
    assert not origin.transport.reading
    assert origin.transport.unread > 30_000
    client.take()
    assert origin.transport.unread == 0
    assert client.heard().endswith(b"y" * 5000)


def test_a_client_that_sends_much_behind_its_request_is_not_read(stage: MakeStage) -> None:
    play = small(stage)
    client, origin = ask(play)
    client.say(GET, *[post("/b", b"z" * 5000)] * 20)
    assert client.transport.unread > 19 * 5000
    for _ in range(22):
        origin.say(OK)
    assert client.transport.unread == 0


@pytest.mark.parametrize("framing", ["content-length: 200000", "transfer-encoding: chunked"])
def test_a_slow_reader_of_a_last_response_gets_all_of_it(stage: MakeStage, framing: str) -> None:
    patient = {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}
    play = stage(listener=SMALL, cluster=SMALL, routes=[patient])
    client, origin = ask(play, request("GET", "/a", "connection: close"))
    client.stall()
    chunked = "chunked" in framing
    wrap = b"1388\r\n" + b"q" * 5000 + b"\r\n" if chunked else b"q" * 5000
    origin.say(response(framing), *[wrap] * 40, *([b"0\r\n\r\n"] if chunked else []))
    got = b""
    for _ in range(200):
        play.pass_time(0.9)
        client.take(2000)
        got += client.heard()
        if client.closed:
            break
    assert got.partition(b"\r\n\r\n")[2].count(b"q") == 200_000
    assert got.endswith(b"0\r\n\r\n" if chunked else b"q")
    assert client.closed
    assert play.http("downstream_cx_delayed_close_timeout") == 0


def test_a_client_that_reads_nothing_is_not_waited_for(stage: MakeStage) -> None:
    play = small(stage)
    client, origin = ask(play, request("GET", "/a", "connection: close"))
    client.stall()
    origin.say(response("content-length: 5000", body=b"x" * 5000))
    assert not client.closed
    play.pass_time(1.1)
    assert client.closed
    assert play.http("downstream_cx_delayed_close_timeout") == 1
