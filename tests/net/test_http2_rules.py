"""What an HTTP/2 message must not say (RFC 9113 section 8), and what becomes of who says it."""

from collections.abc import Iterator

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import OK
from tests.net.http2_client import Fields, connect, engines, request_fields

FIELDS = request_fields()


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


def without(name: str) -> Fields:
    return [field for field in FIELDS if field[0] != name]


def having(name: str, value: str) -> Fields:
    return [(key, value if key == name else old) for key, old in FIELDS]


MALFORMED: dict[str, Fields] = {
    "a name with a space": [*FIELDS, ("a b", "x")],
    "an empty name": [*FIELDS, ("", "x")],
    "a name with a line end": [*FIELDS, ("a\r\nb", "x")],
    "a value with a line end": [*FIELDS, ("a", "x\r\nhost: y")],
    "a value with a line feed": [*FIELDS, ("a", "x\ny")],
    "a value with NUL": [*FIELDS, ("a", "x\0y")],
    "a value with a control": [*FIELDS, ("a", "x\x01y")],
    "a value that begins with a blank": [*FIELDS, ("a", " x")],
    "connection": [*FIELDS, ("connection", "close")],
    "keep-alive": [*FIELDS, ("keep-alive", "1")],
    "proxy-connection": [*FIELDS, ("proxy-connection", "x")],
    "transfer-encoding": [*FIELDS, ("transfer-encoding", "chunked")],
    "upgrade": [*FIELDS, ("upgrade", "websocket")],
    "te that is not trailers": [*FIELDS, ("te", "gzip")],
    "another host": [*FIELDS, ("host", "y")],
    "two paths": [*FIELDS, (":path", "/b")],
    "a late pseudo-header": [("a", "b"), *FIELDS],
    "an unknown pseudo-header": [*FIELDS[:2], (":foo", "x"), *FIELDS[2:]],
    "a response's pseudo-header": [*FIELDS[:2], (":status", "200"), *FIELDS[2:]],
    "no method": without(":method"),
    "no path": without(":path"),
    "no scheme": without(":scheme"),
    "no authority": without(":authority"),
    "an empty authority": having(":authority", ""),
    "an empty path": having(":path", ""),
    "a path without a slash": having(":path", "a"),
    "a whole URL as path": having(":path", "http://x/a"),
    "a path with a space": having(":path", "/a b"),
    "a path with a line end": having(":path", "/a\r\nx: y"),
    "a star with GET": having(":path", "*"),
    "a method with a space": having(":method", "GET /b"),
    "no method at all": having(":method", ""),
    "a scheme that is none": having(":scheme", "h@ttp"),
    "a length that is no number": [*FIELDS, ("content-length", "+5")],
    "two lengths": [*FIELDS, ("content-length", "0"), ("content-length", "0")],
    "a length without a body": [*FIELDS, ("content-length", "5")],
    "a protocol that was not allowed": [(":method", "CONNECT"), (":protocol", "websocket"), *FIELDS[1:]],
    "a protocol without CONNECT": [*FIELDS, (":protocol", "websocket")],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_ends_its_connection(stage: MakeStage, fields: Fields) -> None:
    play = stage()
    client = connect(play)
    before = client.get("/a")
    play.origin()
    client.open(fields)
    assert [code for _, code in client.goaways] == [1]
    assert client.client.ended
    assert play.loop.dials == []  # it has reached nobody
    play.pass_time(1.5)
    assert client.client.closed
    assert not client.answers[before].fields
    assert play.http("downstream_cx_protocol_error") == 1
    assert play.counter("http2.goaway_sent") == 1
    assert play.counter("http2.rx_messaging_error") == 1
    assert {line.split()[-3:-1][0] for line in play.log()} == {"0"}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_it_ends_its_stream_alone_where_that_is_configured(
    stage: MakeStage, fields: Fields, engine: str
) -> None:
    if engine == "h2" and any(name == "content-length" for name, _ in fields):
        pytest.skip("h2 looks at lengths itself, and gives its connection up")
    play = stage(manager={"http2_protocol_options": {"override_stream_error_on_invalid_http_message": True}})
    client = connect(play)
    before = client.get("/a")
    origin = play.origin()
    stream = client.open(fields)
    assert client.answers[stream].reset == 1
    assert client.goaways == []
    assert play.loop.dials == []
    origin.say(OK)
    client.listen()
    assert client.answers[before].body == b"ok"


FORWARDED: dict[str, tuple[Fields, list[str]]] = {
    "te": ([*FIELDS, ("te", "trailers")], ["te: trailers"]),
    "cookies": ([*FIELDS, ("cookie", "a=1"), ("b", "c"), ("cookie", "d=2")], ["b: c", "cookie: a=1; d=2"]),
    "the same host": ([*FIELDS, ("host", "X")], []),
    "host alone": ([*without(":authority"), ("host", "x")], []),
    "http2-settings": ([*FIELDS, ("http2-settings", "x")], []),
    "underscores": ([*FIELDS, ("a_b", "x")], ["a_b: x"]),
    "letters beyond ASCII": ([*FIELDS, ("a", "\xe9")], ["a: \xc3\xa9"]),
}


@pytest.mark.parametrize(("fields", "expected"), FORWARDED.values(), ids=FORWARDED)
def test_what_is_allowed_is_forwarded(stage: MakeStage, fields: Fields, expected: list[str]) -> None:
    play = stage()
    client = connect(play)
    client.open(fields)
    request = play.origin().request()
    assert request[:2] == ["GET /a HTTP/1.1", "host: x"]
    assert [line for line in request[2:-2] if not line.startswith("x-envoy")] == expected


def test_an_authority_that_is_none_is_answered(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.open(having(":authority", "x<y"))
    answer = client.answers[stream]
    assert answer.status == "400" or client.goaways  # the engine may have refused it before


def test_a_fragment_is_answered(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.open(having(":path", "/a#b"))
    assert client.answers[stream].status == "400"
    assert client.answers[stream].ended


@pytest.mark.parametrize("body", [b"abc", b"abcdefg"])
def test_data_that_is_not_of_the_announced_length_costs_its_stream(stage: MakeStage, body: bytes) -> None:
    play = stage()
    client = connect(play)
    stream = client.open([*having(":method", "POST"), ("content-length", "5")], end=False)
    origin = play.origin()
    client.send(stream, body, end=True)
    assert client.answers[stream].reset == 1 or client.goaways
    assert not origin.heard().endswith(b"fg")
    assert origin.closed


def test_a_length_of_nothing_is_no_chunked_body(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    stream = client.open([*having(":method", "POST"), ("content-length", "0")], end=False)
    origin = play.origin()
    client.end(stream)
    head = origin.heard()
    assert b"content-length: 0\r\n" in head
    assert b"transfer-encoding" not in head
    assert head.endswith(b"\r\n\r\n")


TRAILERS: dict[str, Fields] = {
    "a pseudo-header": [(":path", "/b")],
    "connection": [("connection", "close")],
    "a line end": [("a", "x\r\ny")],
}


@pytest.mark.parametrize("trailers", TRAILERS.values(), ids=TRAILERS)
def test_malformed_trailers(stage: MakeStage, trailers: Fields) -> None:
    play = stage()
    client = connect(play)
    stream = client.get(method="POST", end=False)
    origin = play.origin()
    client.send(stream, b"abc")
    client.end(stream, trailers)
    assert client.answers[stream].reset == 1 or client.goaways
    assert origin.closed


def test_a_head_that_is_too_large_costs_its_stream(stage: MakeStage) -> None:
    play = stage(manager={"max_request_headers_kb": 1})
    client = connect(play)
    large = client.get("/a", ("x", "y" * 1024))
    other = client.get("/direct")
    assert client.answers[large].reset == 2
    assert client.answers[other].body == b"hi"
    assert play.counter("http2.header_list_size_too_large") == 1
    assert play.log() == ["- - 0 DR http2.header_list_size_too_large", "GET /direct 200 - direct_response"]


def test_too_many_fields_cost_their_stream(stage: MakeStage) -> None:
    play = stage()
    client = connect(play)
    most = client.get("/direct", *[(f"x{number}", "y") for number in range(96)])
    more = client.get("/direct", *[(f"x{number}", "y") for number in range(97)])
    assert client.answers[most].body == b"hi"
    assert client.answers[more].reset == 2
    assert play.counter("http2.header_overflow") == 1
    assert play.log()[1] == "- - 0 DR http2.too_many_headers"


def test_names_with_underscores_are_dropped_or_refused(stage: MakeStage) -> None:
    drop = {"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}}
    play = stage(manager=drop)
    connect(play).get("/a", ("a_b", "x"), ("c", "d"))
    assert play.origin().request()[2:3] == ["c: d"]
    assert play.counter("http2.dropped_headers_with_underscores") == 1
    refuse = {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}}
    play = stage(manager=refuse)
    client = connect(play)
    stream = client.get("/a", ("a_b", "x"))
    assert client.answers[stream].reset == 2
    assert play.counter("http2.requests_rejected_with_underscores_in_headers") == 1
