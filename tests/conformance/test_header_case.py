"""Names of headers in proper case (header_key_format), on either side."""

import pytest

from tests.conformance.case import Case, answer, cases_of, get, request, response
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  response_headers_to_add: [{header: {key: X-Added-by_proxy, value: "1"}}]
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: text}}}
    - {match: {prefix: /proper}, route: {cluster: case-proper, prefix_rewrite: /new}}
    - {match: {prefix: /}, route: {cluster: origin, upgrade_configs: [{upgrade_type: websocket}]}}
"""

LISTENERS = {
    "case-lower": _ROUTES + "http_protocol_options: {enable_trailers: true}\n",
    "case-upper": _ROUTES
    + "http_protocol_options: {enable_trailers: true, header_key_format: {proper_case_words: {}}}\n",
}

CLUSTERS = """
case-proper:
  load_assignment: $origin
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      common_http_protocol_options: {max_requests_per_connection: 1}
      explicit_http_config:
        http_protocol_options: {enable_trailers: true, header_key_format: {proper_case_words: {}}}
"""

_NAMES = ("x-a: 1", "X-B-c: 2", "te: trailers", "foo$b#$are: 3", "x-1a: 4", "x_under_score: 5", "DNT: 1")
_CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-told: 1\r\n\r\n2\r\nab\r\n0\r\nx-trailer: 1\r\n\r\n"
)


def _cases(listener: str) -> tuple[Case, ...]:
    asked = cases_of(listener)
    body = "2\r\nab\r\n0\r\nx-trailer: 1\r\n\r\n"
    return (
        asked("direct", get("/direct")),
        asked("get", get("/a", *_NAMES), upstream=response(200, "x-told-Once: 1", "ETAG: x", "x$y: z")),
        asked("get-proper", get("/proper", *_NAMES), upstream=response(404, "x-told-Once: 1", "ETAG: x")),
        asked(
            "chunked", request("POST", "/a", "transfer-encoding: chunked", body=body), answer=answer(_CHUNKED)
        ),
        asked(
            "chunked-proper",
            request("POST", "/proper", "transfer-encoding: chunked", body=body),
            answer=answer(_CHUNKED),
        ),
        asked("closing", get("/proper", "connection: close")),
    )


CASES = (*_cases("case-lower"), *_cases("case-upper"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
