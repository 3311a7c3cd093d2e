"""The proxy's own answers as ``local_reply_config`` wants them, and in gRPC's form."""

from typing import Any

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import request
from tests.net.playbook import Stage

ROUTES: list[dict[str, Any]] = [
    {
        "match": {"prefix": f"/{status}"},
        "direct_response": {"status": status, "body": {"inline_string": f"body {status}"}},
    }
    for status in (200, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504)
]


def status_is(status: int, op: str = "EQ") -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": "unused"}
    return {"status_code_filter": {"comparison": {"op": op, "value": value}}}


def text(line: str, **more: str) -> dict[str, Any]:
    return {"text_format_source": {"inline_string": line}, **more}


def answer(play: Stage, *fields: str, path: str, method: str = "GET") -> list[str]:
    client = play.connect()
    client.say(request(method, path, *fields))
    return client.hears()


def configured(stage: MakeStage, *mappers: dict[str, Any], **more: Any) -> Stage:
    return stage(routes=ROUTES, manager={"local_reply_config": {"mappers": list(mappers), **more}})


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("mapped", [False, True])
def test_what_has_no_content_gets_no_body(stage: MakeStage, status: int, mapped: bool) -> None:
    direct = {"status": 200 if mapped else status, "body": {"inline_string": "text"}}
    mapper = {"filter": status_is(200), "status_code": status, "body": {"inline_string": "other"}}
    play = stage(
        routes=[{"match": {"prefix": "/"}, "direct_response": direct}],
        manager={"local_reply_config": {"mappers": [mapper]}} if mapped else {},
    )
    client = play.connect()
    client.say(request("GET", "/") * 2)
    heads = [line for line in client.hears() if line]
    assert [line.partition(" ")[2][:3] for line in heads if line.startswith("HTTP")] == [str(status)] * 2
    assert all(line.startswith(("HTTP", "location")) for line in heads)


def test_the_first_mapper_that_matches_changes_the_answer(stage: MakeStage) -> None:
    play = configured(
        stage,
        {
            "filter": status_is(418),
            "status_code": 419,
            "body": {"inline_string": "%PROTOCOL%"},
            "body_format_override": text(
                "<%LOCAL_REPLY_BODY% %RESPONSE_CODE% %RESP(x-a)%>", content_type="a/b"
            ),
            "headers_to_add": [{"header": {"key": "x-a", "value": "was %RESPONSE_CODE%"}}],
        },
        {"filter": status_is(400, "GE"), "body": {"inline_string": ""}},
    )
    assert answer(play, path="/418") == [
        "HTTP/1.1 419 Unknown",
        "x-a: was 418",
        "content-type: a/b",
        "content-length: 24",
        "",
        "<%PROTOCOL% 419 was 418>",
    ]
    assert answer(play, path="/500") == ["HTTP/1.1 500 Internal Server Error", "content-length: 0", "", ""]
    assert answer(play, path="/200")[-1] == "body 200"
    assert [line.split()[2] for line in play.log()] == ["419", "500", "200"]


def test_a_format_for_every_answer(stage: MakeStage) -> None:
    play = configured(stage, body_format={"json_format": {"b": "%LOCAL_REPLY_BODY%", "s": "%RESPONSE_CODE%"}})
    lines = answer(play, path="/404")
    assert "content-type: application/json" in lines
    assert lines[-1] == '{"b":"body 404","s":404}\n'
    lines = answer(play, path="/404", method="HEAD")
    assert "content-length: 25" in lines
    assert lines[-1] == ""
    client = play.connect()
    client.say(b"GET / HTTP/1.1\r\nx y: 1\r\n\r\n")
    assert client.hears()[-1] == '{"b":"Bad Request","s":400}\n'


def test_a_mapper_can_set_the_content_type(stage: MakeStage) -> None:
    play = configured(
        stage,
        {"filter": status_is(500), "headers_to_add": [{"header": {"key": "content-type", "value": "x/y"}}]},
        body_format=text("%LOCAL_REPLY_BODY%!"),
    )
    assert "content-type: x/y" in answer(play, path="/500")
    assert "content-type: text/plain" in answer(play, path="/502")


def test_a_host_is_left_alone(stage: MakeStage) -> None:
    play = stage(
        manager={"local_reply_config": {"mappers": [{"filter": status_is(500), "status_code": 200}]}}
    )
    client = play.connect()
    client.say(request("GET", "/"))
    play.origin().say(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n")
    assert client.hears()[0] == "HTTP/1.1 500 Internal Server Error"


GRPC = "content-type: application/grpc"


@pytest.mark.parametrize(
    ("status", "grpc"),
    [
        (400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (500, 2),
        (200, 2),
    ],
)  # fmt: skip
def test_grpc_clients_hear_of_it_in_their_way(stage: MakeStage, status: int, grpc: int) -> None:
    play = stage(routes=ROUTES)
    lines = answer(play, GRPC, path=f"/{status}")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert {GRPC, f"grpc-status: {grpc}", f"grpc-message: body {status}", "content-length: 0"} <= set(lines)
    assert lines[-1] == ""
    assert play.log() == [f"GET /{status} 200 - direct_response"]


def test_a_grpc_message_is_percent_encoded(stage: MakeStage) -> None:
    body = {"inline_string": 'a % é\n~"'}
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 500, "body": body}}]
    lines = answer(stage(routes=routes), "content-type: application/grpc+proto", path="/")
    assert 'grpc-message: a %25 %C3%A9%0A%7E"' in lines


@pytest.mark.parametrize("content_type", ["application/grpc-web", "application/grpc;x=1", "Application/Grpc"])
def test_what_is_not_grpc(stage: MakeStage, content_type: str) -> None:
    assert answer(stage(routes=ROUTES), f"content-type: {content_type}", path="/500")[-1] == "body 500"


def test_grpc_gets_what_was_mapped(stage: MakeStage) -> None:
    play = configured(
        stage, {"filter": status_is(500), "status_code": 404}, body_format=text("!%RESPONSE_CODE%")
    )
    lines = answer(play, GRPC, path="/500")
    assert {"HTTP/1.1 200 OK", "grpc-status: 12", "grpc-message: !404"} <= set(lines)


def test_a_grpc_message_in_json_does_not_end_the_line(stage: MakeStage) -> None:
    play = configured(stage, body_format={"json_format": {"code": "%RESPONSE_CODE%"}})
    assert 'grpc-message: {"code":500}' in answer(play, GRPC, path="/500")


def test_grpc_and_head(stage: MakeStage) -> None:
    lines = answer(stage(routes=ROUTES), GRPC, path="/500", method="HEAD")
    assert "grpc-status: 2" in lines
    assert not [line for line in lines if line.startswith("grpc-message")]
