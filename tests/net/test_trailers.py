"""What stands around the bodies: trailers, chunk extensions, interim responses."""

from pathlib import Path

from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, HEARD_OK, OK, ask, request, response
from tests.net.playbook import FILE_LOG, HTTP_OPTIONS

ENABLED = {"http_protocol_options": {"enable_trailers": True}}
UPSTREAM = {
    "typed_extension_protocol_options": {
        HTTP_OPTIONS: {
            "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
    }
}
CHUNKED = request("POST", "/a", "transfer-encoding: chunked")
BODY = b'3;a=1;b="x"\r\nabc\r\n0;c\r\nX-T: v \r\nHost: evil\r\nkeep-alive: 7\r\nx-u:\r\n\r\n'


def test_trailers_are_dropped_unless_enabled(stage: MakeStage) -> None:
    for manager, cluster in (({}, {}), (ENABLED, {}), ({}, UPSTREAM)):
        play = stage(manager=manager, cluster=cluster)
        client = play.connect()
        client.say(CHUNKED + BODY)
        origin = play.origin()
        assert origin.heard().endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        origin.say(response("transfer-encoding: chunked", body=BODY))
        assert client.heard().endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


def test_trailers_go_through_where_both_sides_have_them(stage: MakeStage) -> None:
    play = stage(manager=ENABLED, cluster=UPSTREAM)
    client = play.connect()
    client.say(CHUNKED + BODY)
    origin = play.origin()
    # What frames or routes a message is no trailer.
    assert origin.heard().endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nx-t: v\r\nx-u: \r\n\r\n")
    origin.say(response("transfer-encoding: chunked", body=BODY))
    assert client.heard().endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nx-t: v\r\nx-u: \r\n\r\n")
    client.say(GET)
    origin.say(OK)
    assert client.hears() == HEARD_OK


def test_too_many_trailers(stage: MakeStage) -> None:
    play = stage(manager=ENABLED, cluster=UPSTREAM)
    client = play.connect()
    client.say(CHUNKED + b"0\r\n" + b"x-t: v\r\n" * 101 + b"\r\n")
    assert client.heard().startswith(b"HTTP/1.1 431 ")
    assert play.log() == ["POST /a 431 DPE http1.too_many_headers"]


def test_a_trailer_that_says_where_the_body_ends(stage: MakeStage) -> None:
    for field in (b"content-length: 3", b"transfer-encoding: chunked"):
        play = stage(manager=ENABLED)
        client = play.connect()
        client.say(CHUNKED + b"3\r\nabc\r\n0\r\n" + field + b"\r\n\r\n")
        play.origin() if play.loop.dials else None
        assert client.heard().startswith(b"HTTP/1.1 400 ")


def test_interim_responses_stop_here(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK)
    assert client.hears() == HEARD_OK


def test_the_first_interim_response_goes_on_where_the_host_decides(stage: MakeStage) -> None:
    play = stage(manager={"proxy_100_continue": True})
    client, origin = ask(play)
    origin.say(b"HTTP/1.1 199 No\r\n\r\n")
    origin.say(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\nconnection: y\r\ny: 1\r\n\r\n")
    origin.say(b"HTTP/1.1 103 Early Hints\r\nlink: z\r\n\r\n" + OK)
    assert client.hears() == ["HTTP/1.1 103 Unknown", "link: x", "", *HEARD_OK]


def test_an_interim_response_with_a_body_is_none(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    origin.say(b"HTTP/1.1 100 Continue\r\ncontent-length: 3\r\n\r\n" + OK)
    assert client.heard().startswith(b"HTTP/1.1 502 ")


def test_who_answers_an_expectation(stage: MakeStage) -> None:
    asked = request("POST", "/a", "Expect: 100-Continue", "content-length: 3")
    play = stage()
    client = play.connect()
    client.say(asked)
    assert client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"
    origin = play.origin()
    assert b"\r\nexpect:" not in origin.heard()
    play = stage(manager={"proxy_100_continue": True})
    client = play.connect()
    client.say(asked)
    assert client.heard() == b""
    origin = play.origin()
    assert b"expect: 100-Continue\r\n" in origin.heard()
    origin.say(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.say(b"abc")
    assert origin.heard() == b"abc"


def test_other_expectations_go_on(stage: MakeStage) -> None:
    for fields in (["expect: tea"], ["expect: 100-continue", "expect: tea"]):
        play = stage()
        client = play.connect()
        client.say(request("POST", "/a", *fields, "content-length: 0"))
        assert client.heard() == b""
        expected = ",".join(field.partition(": ")[2] for field in fields)
        assert f"expect: {expected}\r\n".encode() in play.origin().heard()


def test_the_log_tells_of_trailers_and_of_the_way_to_the_host(stage: MakeStage, tmp_path: Path) -> None:
    line = "%TRAILER(x-t)% %UPSTREAM_PROTOCOL% %UPSTREAM_LOCAL_ADDRESS%\n"
    log = {
        "@type": FILE_LOG,
        "path": str(tmp_path / "access.log"),
        "log_format": {"text_format_source": {"inline_string": line}},
    }
    play = stage(manager=ENABLED | {"access_log": [{"typed_config": log}]}, cluster=UPSTREAM)
    client, origin = ask(play)
    origin.say(response("transfer-encoding: chunked", body=BODY))
    assert play.log() == ["v HTTP/1.1 10.9.9.9:50000"]
    assert client.heard().endswith(b"x-t: v\r\nx-u: \r\n\r\n")
