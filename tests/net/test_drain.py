"""How a process stops: nobody who was admitted is cut off."""

from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, HEARD_OK, OK, ask, request, response

HEARD_LAST = ["HTTP/1.1 200 OK", "content-length: 2", "x-envoy-upstream-service-time: N", "connection: close"]


def test_the_next_response_of_each_connection_is_its_last(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    idle = play.connect()
    play.server.drain(close_idle=False)
    play.turn()
    assert not idle.closed
    origin.say(OK)
    assert client.hears()[3] == "connection: close"
    assert client.closed
    assert play.idle == 0
    idle.say(GET)
    origin.say(OK)
    assert idle.hears()[3] == "connection: close"
    assert idle.closed
    assert play.idle == 1
    assert play.http("downstream_cx_drain_close") == 2


def test_idle_connections_can_be_closed_and_busy_ones_are_not(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    idle = play.connect()
    reading = play.connect()
    reading.say(b"GET /b HTTP/1.1\r\n")
    play.server.drain(close_idle=True)
    play.turn()
    assert idle.closed
    assert not reading.closed
    origin.say(OK)
    assert client.closed
    reading.say(b"host: x\r\n\r\n")
    origin.say(OK)
    assert reading.closed
    assert play.idle == 1


def test_of_a_pipeline_only_the_last_response_says_so(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play, GET * 3)
    play.server.drain(close_idle=True)
    origin.say(OK)
    origin.say(OK)
    assert client.hears() == HEARD_OK * 2
    origin.say(OK)
    assert client.hears()[3] == "connection: close"
    assert client.closed


def test_a_response_under_way_is_completed(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.say(response("content-length: 4", body=b"ab"))
    play.server.drain(close_idle=True)
    origin.say(b"cd")
    assert client.heard().endswith(b"abcd")
    assert not client.closed
    client.say(GET)
    origin.say(OK)
    assert client.hears()[3] == "connection: close"
    assert client.closed


def test_a_process_without_connections_is_idle_at_once_and_says_so_once(stage: MakeStage) -> None:
    play = stage()
    play.server.drain(close_idle=False)
    play.turn()
    assert play.idle == 1
    play.server.drain(close_idle=True)
    play.turn()
    assert play.idle == 1


def test_responses_end_connections_while_health_is_said_to_fail(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    play.server.set_drain_close(True)
    origin.say(OK)
    assert client.hears()[3] == "connection: close"
    assert client.closed
    play.server.set_drain_close(False)
    other = play.connect()
    other.say(GET)
    origin.say(OK)
    assert other.hears() == HEARD_OK
    assert not other.closed


def test_a_client_that_goes_while_draining_counts(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    play.server.drain(close_idle=False)
    client.reset()
    assert origin.closed
    assert play.idle == 1


def test_everything_ends_at_once_when_it_must(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    waiting = play.connect()
    waiting.say(request("POST", "/b", "content-length: 5", body=b"x"))
    dial = play.dial()
    play.server.close()
    play.turn()
    assert client.closed
    assert waiting.closed
    assert origin.closed
    assert dial.answer.cancelled()
    assert play.active() == {}


def test_a_listener_admits_at_most_so_many_connections(stage: MakeStage) -> None:
    play = stage(runtime={"envoy": {"resource_limits": {"listener": {"front": {"connection_limit": 2}}}}})
    one, two, three = play.connect(), play.connect(), play.connect()
    assert (one.closed, two.closed, three.closed) == (False, False, True)
    one.reset()
    assert not play.connect().closed
    assert play.connect().closed
    assert play.counter("listener.127.0.0.1_8080.downstream_cx_overflow") == 2
    assert play.counter("listener.127.0.0.1_8080.downstream_cx_total") == 3
