"""Clients that speak HTTP/2, the hosts still speaking HTTP/1."""

from collections.abc import Iterator

import pytest

from proxyd.codec.http2_engine import H2, NGH2, choose_engine, ngh2_is_installed
from tests.net.conftest import MakeStage
from tests.net.dialogue import OK, response
from tests.net.http2_client import connect


@pytest.fixture(params=[NGH2, H2], autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each dialogue with both engines."""
    if request.param == NGH2 and not ngh2_is_installed():
        pytest.skip("ngh2 is not installed")
    before = choose_engine(request.param)
    yield request.param
    choose_engine(before)


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
