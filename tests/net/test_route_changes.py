"""What a route changes on a request's way and on its answer's, wherever the answer comes from."""

from typing import Any

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import ask, request, response
from tests.net.playbook import HOST

OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"


def add(name: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


def route(prefix: str, **action: Any) -> dict[str, Any]:
    more = {"route": {"cluster": "backend"}, **action}
    for other in ("redirect", "direct_response"):
        if other in more:
            del more["route"]
    return {"match": {"prefix": prefix}, **more}


def test_a_request_is_changed_before_it_leaves(stage: MakeStage) -> None:
    action = {"cluster": "backend", "prefix_rewrite": "/n", "host_rewrite_literal": "new"}
    to_add = [add("x-was", "%REQ(:AUTHORITY)%%REQ(:PATH)% %REQ(x-envoy-expected-rq-timeout-ms)%")]
    play = stage(routes=[route("/a", route=action, request_headers_to_add=to_add)])
    client = play.connect()
    client.say(request("GET", "/a/b?q"))
    origin = play.origin()
    lines = origin.heard().split(b"\r\n")
    assert lines[0] == b"GET /n/b?q HTTP/1.1"
    for line in (
        b"host: new",
        b"x-was: x/a/b?q 15000",
        b"x-envoy-original-host: x",
        b"x-envoy-original-path: /a/b?q",
    ):
        assert line in lines
    origin.say(response("content-length: 0"))
    client.heard()


def test_a_response_is_changed_before_the_managers_own_headers(stage: MakeStage) -> None:
    changes = {
        "response_headers_to_add": [
            add("x-seen", "%RESPONSE_CODE% %RESP(server)% %RESP(x-envoy-upstream-service-time)%"),
            add("server", "mine", OVERWRITE),
        ],
        "response_headers_to_remove": ["x-secret", "date"],
    }
    play = stage(routes=[route("/", **changes)])
    client, origin = ask(play)
    origin.say(
        response(
            "server: up", "x-envoy-upstream-service-time: 99", "x-secret: 1", "date: D", "content-length: 0"
        )
    )
    heard = client.heard().decode()
    assert "x-seen: 200 up 0\r\n" in heard
    assert "server: envoy\r\n" in heard
    assert "secret" not in heard
    assert "date: D" not in heard
    assert heard.count("x-envoy-upstream-service-time: ") == 1


def test_the_time_of_service_can_be_removed(stage: MakeStage) -> None:
    play = stage(routes=[route("/", response_headers_to_remove=["x-envoy-upstream-service-time"])])
    client, origin = ask(play)
    origin.say(response("x-envoy-upstream-service-time: 99", "content-length: 0"))
    assert b"service-time" not in client.heard()


def test_answers_of_this_proxy_are_changed_too(stage: MakeStage) -> None:
    changes = {
        "response_headers_to_add": [
            add("x-seen", "%RESPONSE_CODE% %RESPONSE_FLAGS%"),
            add("content-type", "application/json", OVERWRITE),
        ]
    }
    play = stage(routes=[route("/", **changes)])
    client = play.connect()
    client.say(request("GET", "/a"))
    play.dial().refuse()
    heard = client.heard().decode()
    assert "x-seen: 0 UF\r\n" in heard
    assert "content-type: application/json\r\n" in heard
    assert "text/plain" not in heard
    assert play.log()[0].startswith("GET /a 503 UF ")


@pytest.mark.parametrize(
    ("action", "lines", "logged"),
    [
        (
            {"redirect": {"regex_rewrite": {"pattern": {"regex": "^/a"}, "substitution": "/b"}}},
            ["HTTP/1.1 301 Moved Permanently", "location: http://x/b?q", "x-seen: http://x/b?q"],
            "/b?q",
        ),
        (
            {"direct_response": {"status": 201, "body": {"inline_string": "made"}}},
            ["HTTP/1.1 201 Created", "content-length: 4", "location: http://x/a?q", "x-seen: http://x/a?q"],
            "/a?q",
        ),
    ],
)
def test_redirects_and_direct_responses_are_changed(
    stage: MakeStage, action: dict[str, Any], lines: list[str], logged: str
) -> None:
    play = stage(routes=[route("/", **action, response_headers_to_add=[add("x-seen", "%RESP(location)%")])])
    client = play.connect()
    client.say(request("GET", "/a?q"))
    heard = client.hears()
    assert [line for line in lines if line not in heard] == []
    assert play.log()[0].split()[1] == logged


def test_the_chosen_hosts_name_becomes_the_host(stage: MakeStage) -> None:
    action = {"cluster": "backend", "auto_host_rewrite": True, "append_x_forwarded_host": True}
    named = {
        "endpoint": {
            "address": {"socket_address": {"address": HOST[0], "port_value": HOST[1]}},
            "hostname": "up.example",
        }
    }
    assignment = {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [named]}]}
    play = stage(routes=[route("/", route=action)], cluster={"load_assignment": assignment})
    client = play.connect()
    client.say(request("GET", "/a"))
    origin = play.origin()
    lines = origin.heard().split(b"\r\n")
    assert b"host: up.example" in lines
    assert b"x-envoy-original-host: x" in lines
    assert b"x-forwarded-host: x" in lines
    origin.say(response("content-length: 0"))
    client.heard()


def test_a_host_without_a_name_changes_nothing(stage: MakeStage) -> None:
    play = stage(routes=[route("/", route={"cluster": "backend", "auto_host_rewrite": True})])
    play.connect().say(request("GET", "/a"))
    lines = play.origin().heard().split(b"\r\n")
    assert b"host: x" in lines
    assert b"x-envoy-original-host: x" not in lines


def test_no_header_names_the_cluster(stage: MakeStage) -> None:
    play = stage(routes=[route("/", route={"cluster_header": "x-c", "cluster_not_found_response_code": 1})])
    client = play.connect()
    client.say(request("GET", "/a"))
    assert client.hears()[0] == "HTTP/1.1 404 Not Found"
    assert play.log() == ["GET /a 404 NC cluster_not_found"]
    client.say(request("GET", "/a", "x-c: backend"))
    play.origin().say(response("content-length: 0"))
    assert client.hears()[0] == "HTTP/1.1 200 OK"


def test_a_route_has_its_own_longest_duration(stage: MakeStage) -> None:
    action = {"cluster": "backend", "max_stream_duration": {"max_stream_duration": "2s"}}
    limit = {"common_http_protocol_options": {"max_stream_duration": "1s"}}
    play = stage(routes=[route("/", route=action)], manager=limit)
    client, _ = ask(play)
    play.pass_time(1.9)
    assert client.heard() == b""
    play.pass_time(0.5)
    assert client.hears()[0] == "HTTP/1.1 504 Gateway Timeout"
    assert play.log() == ["GET /a 504 - max_duration_timeout"]
