"""Odd values and formats in the access log: what is cut, missing, repeated, of gRPC, or no UTF-8."""

import pytest

from tests.conformance.case import Case, case, cases_of, get, request, response
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: mine}}}
    - {match: {prefix: /b}, route: {cluster: origin}}
"""

LISTENERS = {
    "values-json": _ROUTES
    + r"""
log:
  year: "%START_TIME(%Y)%"
  number: "%REQ(X-NUM)%"
  cut-to-nothing: "%REQ(X-NUM):0%"
  cut-behind: "%REQ(X-NUM):100%"
  environment: "%ENVIRONMENT(NOT_SET_ANYWHERE)%"
  grpc: "%GRPC_STATUS%"
  grpc-number: "%GRPC_STATUS_NUMBER%"
  grpc-capitals: "%GRPC_STATUS(SNAKE_STRING)%"
  trailer: "%TRAILER(x-t?grpc-status)%"
  empty-list: []
  empty-object: {}
  negative: -1
  characters: "\u00e9 é \" \\ \t"
  key"quote: x
  in-text: "<%UPSTREAM_REQUEST_ATTEMPT_COUNT%>"
  protocol: "%UPSTREAM_PROTOCOL%"
  stream: "%STREAM_ID%"
  request-bytes: "%REQUEST_HEADERS_BYTES%"
  trailer-bytes: "%RESPONSE_TRAILERS_BYTES%"
  parameter: "%QUERY_PARAM(a):2%"
  decoded: "%QUERY_PARAM(b)%"
  status: "%RESP(:STATUS)%"
  scheme: "%REQ(:SCHEME)%"
  host: "%REQ(HOST)%"
  type: "%RESP(CONTENT-TYPE?X-TOLD)%"
""",
    "values-numbers": _ROUTES + "log: {fraction: 1.5, large: 12345678901234}\n",
    "values-text": _ROUTES
    + "log: 'a=%REQ(X-A)% b=%REQ(X-B?X-C):2% %RESP(X-A)% %GRPC_STATUS% %TRAILER(X)% %%%PROTOCOL%%%'\n",
}

_GRPC = "content-type: application/grpc"
_TRAILED = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"


def _of(listener: str) -> tuple[Case, ...]:
    asked = cases_of(listener)

    def grpc(name: str, told: bytes) -> Case:
        return asked(name, request("POST", "/b", _GRPC, "content-length: 0"), upstream=told)

    return (
        asked("get", get("/b?a=xyz&b=1%202", "x-num: 123", "x-a: 1", "x-c: abc")),
        grpc("grpc", response(200, "grpc-status: 5", _GRPC, body="")),
        grpc("grpc-unknown", response(200, "grpc-status: 99", _GRPC, body="")),
        grpc("grpc-by-http", response(404, _GRPC, body="")),
        grpc("grpc-in-trailer", _TRAILED + b"grpc-status: 7\r\n\r\n"),
        asked("not-routed", get("/nothing")),
        asked("malformed", get("/b", "x y: 1")),
        asked("garbage", "GARBAGE\r\n\r\n"),
        asked("old", "GET /b HTTP/1.0\r\nhost: a\r\n\r\n"),
        asked("direct", get("/direct")),
        asked("empty", get("/b", "x-num:", "x-a:")),
        asked("repeated", get("/b?a&a=2&b=%zz", "x-num: 1", "x-num: 2")),
        asked("high", get("/b?b=%ff%00%0a", "x-num: \xff")),
    )


CASES = (
    *_of("values-json"),
    *_of("values-text"),
    case("values-numbers", get("/b"), listener="values-numbers"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
