"""A 400 ends its connection, but not with stream_error_on_invalid_http_message."""

import pytest

from tests.conformance.case import Case, cases_of, get, post, request
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /direct/400}, direct_response: {status: 400, body: {inline_string: bad}}}
    - {match: {prefix: /direct/401}, direct_response: {status: 401}}
    - {match: {prefix: /direct/408}, direct_response: {status: 408}}
    - {match: {prefix: /direct/413}, direct_response: {status: 413}}
    - {match: {prefix: /}, route: {cluster: origin}}
"""

LISTENERS = {
    "errors-connection": _ROUTES + "normalize_path: true\n",
    "errors-stream": _ROUTES + "normalize_path: true\nstream_error_on_invalid_http_message: true\n",
    "errors-stream-http1": _ROUTES
    + "normalize_path: true\nhttp_protocol_options: {override_stream_error_on_invalid_http_message: true}\n",
    "errors-overridden": _ROUTES
    + "normalize_path: true\nstream_error_on_invalid_http_message: true\n"
    + "http_protocol_options: {override_stream_error_on_invalid_http_message: false}\n",
}


def _cases(listener: str) -> tuple[Case, ...]:
    asked = cases_of(listener)
    return (
        asked("direct-400", get("/direct/400")),
        asked("direct-400-post", post("/direct/400", "abc")),
        asked("direct-400-head", request("HEAD", "/direct/400")),
        asked("direct-401", get("/direct/401")),
        asked("direct-408", get("/direct/408")),
        asked("direct-413", get("/direct/413")),
        asked("fragment", get("/a#b")),
        asked("escapes-root", get("/../../a%00")),
        asked("no-host", "GET / HTTP/1.1\r\n\r\n"),
        asked("relative", "GET a HTTP/1.1\r\nhost: h.example\r\n\r\n"),
        asked("star", "OPTIONS * HTTP/1.1\r\nhost: h.example\r\n\r\n"),
        asked("malformed", "GET /\r\n\r\n"),
        asked("bad-header", get("/", "a b: c")),
        asked("bad-length", request("POST", "/", "content-length: x")),
        asked("bad-chunk", request("POST", "/", "transfer-encoding: chunked", body="x\r\n")),
        asked("both-lengths", request("POST", "/", "content-length: 1", "transfer-encoding: chunked")),
        asked("bad-host", get("/", host="a b")),
        asked("two", get("/direct/400") + get("/direct/401"), responses=2),
        asked(
            "grpc-400", request("POST", "/direct/400", "content-type: application/grpc", "content-length: 0")
        ),
        asked("origin-400", get("/a"), upstream=b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
    )


CASES = tuple(case for listener in LISTENERS for case in _cases(listener))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
