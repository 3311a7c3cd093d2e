"""Answers in the host's place: gRPC's form of them, mapped and formatted ones."""

import pytest

from tests.conformance.case import Case, Do, answer, cases_of, get, post, request, response
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /direct/500}, direct_response: {status: 500, body: {inline_string: mine}}}
    - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: mine}}}
    - {match: {prefix: /redirect}, redirect: {path_redirect: /x}}
    - {match: {prefix: /refused}, route: {cluster: refused}}
    - {match: {prefix: /empty}, route: {cluster: empty}}
    - {match: {prefix: /brief}, route: {cluster: origin, timeout: 0.1s}}
    - {match: {prefix: /b}, route: {cluster: origin}}
"""

_STATUS = "{status_code_filter: {comparison: {op: EQ, value: {default_value: %d, runtime_key: none}}}}"

LISTENERS = {
    "plain-replies": _ROUTES,
    "mapped": _ROUTES
    + f"""
local_reply_config:
  mappers:
  - filter: {_STATUS % 404}
    status_code: 410
    body: {{inline_string: gone away}}
  - filter: {_STATUS % 503}
    headers_to_add: [{{header: {{key: x-why, value: "%RESPONSE_FLAGS%"}}}}]
    body_format_override:
      text_format_source: {{inline_string: "%RESPONSE_CODE%: %LOCAL_REPLY_BODY%"}}
      content_type: text/html
  - filter: {{response_flag_filter: {{flags: [UT]}}}}
    status_code: 599
  - filter: {_STATUS % 500}
    body_format_override:
      json_format: {{code: "%RESPONSE_CODE%", body: "%LOCAL_REPLY_BODY%", path: "%REQ(:PATH)%"}}
""",
    "formatted": _ROUTES
    + """
local_reply_config:
  body_format:
    json_format: {code: "%RESPONSE_CODE%", details: "%RESPONSE_CODE_DETAILS%", body: "%LOCAL_REPLY_BODY%"}
""",
}  # fmt: skip


def _of(listener: str) -> tuple[Case, ...]:
    asked = cases_of(listener)
    grpc = "content-type: application/grpc"
    return (
        asked("not-routed", get("/none")),
        asked("not-routed-head", request("HEAD", "/none")),
        asked("not-routed-post", post("/none", "abc")),
        asked("not-routed-grpc", request("POST", "/none", grpc, "content-length: 0")),
        asked("not-routed-grpc-plus", request("POST", "/none", f"{grpc}+proto", "content-length: 0")),
        asked("not-routed-grpc-web", request("POST", "/none", f"{grpc}-web", "content-length: 0")),
        asked("refused", get("/refused")),
        asked("refused-grpc", request("POST", "/refused", grpc, "content-length: 0")),
        asked("refused-grpc-head", request("HEAD", "/refused", grpc)),
        asked("empty", get("/empty")),
        asked("empty-grpc", request("POST", "/empty", grpc, "content-length: 0")),
        asked("late", get("/brief"), answer=answer(0.5)),
        asked("late-grpc", request("POST", "/brief", grpc, "content-length: 0"), answer=answer(0.5)),
        asked("closed", get("/b"), answer=answer(Do.CLOSE)),
        asked("garbage", get("/b"), answer=answer(b"garbage\r\n\r\n", Do.CLOSE)),
        asked("direct", get("/direct")),
        asked("direct-grpc", request("POST", "/direct", grpc, "content-length: 0")),
        asked("direct-500", get("/direct/500")),
        asked("direct-500-grpc", request("POST", "/direct/500", grpc, "content-length: 0")),
        asked("redirect", get("/redirect")),
        asked("redirect-grpc", request("POST", "/redirect", grpc, "content-length: 0")),
        asked("malformed", get("/b", "x y: 1")),
        asked("no-host", "GET /b HTTP/1.1\r\n\r\n"),
        asked("old", "GET /b HTTP/1.0\r\nhost: h\r\n\r\n"),
        asked("too-many-fields", get("/b", *(f"x{number}: a" for number in range(120)))),
        asked("upgrade", get("/b", "connection: upgrade", "upgrade: x")),
        asked("from-the-host", get("/b"), upstream=response(404, body="theirs")),
        asked("from-the-host-503", get("/b"), upstream=response(503, body="theirs")),
    )


CASES = (*_of("plain-replies"), *_of("mapped"), *_of("formatted"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
