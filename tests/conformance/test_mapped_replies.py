"""Local replies that mappers, formats and the route change together: bodies, types, flags at that time."""

import pytest

from tests.conformance.case import Case, answer, case, cases_of, get, post, request, response
from tests.conformance.conftest import Agree

_STATUS = "status_code_filter: {comparison: {op: %s, value: {default_value: %d, runtime_key: none}}}"

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {prefix: /direct/500}
      name: r500
      direct_response: {status: 500, body: {inline_string: mine}}
      response_headers_to_add:
      - {header: {key: x-route, value: r}}
      - {header: {key: content-type, value: text/csv}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - match: {prefix: /direct/typed}
      direct_response: {status: 200, body: {inline_string: mine}}
      response_headers_to_add: [{header: {key: content-type, value: text/csv}}]
    - {match: {prefix: /direct/empty}, direct_response: {status: 200}}
    - {match: {prefix: /direct/204}, direct_response: {status: 204, body: {inline_string: mine}}}
    - {match: {prefix: /direct/304}, direct_response: {status: 304, body: {inline_string: mine}}}
    - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: '{"a": "b\\n"}'}}}
    - {match: {prefix: /redirect}, redirect: {path_redirect: /x}}
    - match: {prefix: /refused}
      route: {cluster: refused}
      response_headers_to_add: [{header: {key: content-type, value: text/r}, append_action: ADD_IF_ABSENT}]
    - {match: {prefix: /empty}, route: {cluster: empty}}
    - match: {prefix: /b}
      route: {cluster: origin}
      response_headers_to_add:
      - {header: {key: x-flags, value: "%RESPONSE_FLAGS% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%"}}
"""

_WANTED = "{header_filter: {header: {name: x-want, string_match: {exact: %s}}}}"
_CSS = "{header: {key: content-type, value: text/css}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}"

LISTENERS = {
    "replies-plain": _ROUTES,
    "replies-mapped": _ROUTES
    + f"""
local_reply_config:
  mappers:
  - filter: {{and_filter: {{filters: [{{{_STATUS % ("GE", 400)}}}, {_WANTED % "json"}]}}}}
    status_code: 422
    body: {{inline_string: "as \\"json\\"\\n"}}
    headers_to_add:
    - {{header: {{key: x-code, value: "%RESPONSE_CODE%"}}}}
    - {{header: {{key: x-route, value: mapper}}, append_action: ADD_IF_ABSENT}}
    - {{header: {{key: server, value: mapped}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}
    body_format_override:
      json_format:
        code: "%RESPONSE_CODE%"
        text: "%LOCAL_REPLY_BODY%"
        mixed: "c=%RESPONSE_CODE%"
        missing: "%REQ(x-missing)%"
        list: [1, "%RESPONSE_CODE%", null, true]
        route: "%ROUTE_NAME%"
        told: "%RESP(x-code)%"
  - {{filter: {_WANTED % "type"}, headers_to_add: [{_CSS}], body: {{inline_string: css}}}}
  - filter: {_WANTED % "typed-format"}
    headers_to_add: [{_CSS}]
    body_format_override:
      text_format_source: {{inline_string: "<%LOCAL_REPLY_BODY%>"}}
      content_type: text/html
  - {{filter: {_WANTED % "nothing"}, body: {{inline_string: ""}}}}
  - filter: {_WANTED % "omit"}
    body_format_override:
      text_format_source: {{inline_string: "%REQ(x-missing)%"}}
      omit_empty_values: true
  - {{filter: {_WANTED % "bytes"}, body: {{inline_bytes: "AAECAwQ="}}}}
  - {{filter: {_WANTED % '"204"'}, status_code: 204}}
  - filter:
      or_filter: {{filters: [{{response_flag_filter: {{flags: [UH, UF]}}}}, {{{_STATUS % ("EQ", 426)}}}]}}
    status_code: 500
    body: {{inline_string: either}}
  - {{filter: {{response_flag_filter: {{}}}}, body: {{inline_string: any flag}}}}
  body_format:
    text_format_source: {{inline_string: "%LOCAL_REPLY_BODY% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%"}}
    content_type: "text/html; charset=UTF-8"
""",
    "replies-new-body": _ROUTES
    + f"""
local_reply_config: {{mappers: [{{filter: {{{_STATUS % ("GE", 404)}}}, body: {{inline_string: new}}}}]}}
""",
    "replies-same-body": _ROUTES
    + """
local_reply_config:
  body_format: {text_format_source: {inline_string: "%LOCAL_REPLY_BODY%"}, content_type: text/f}
""",
    "replies-facts": _ROUTES
    + """
local_reply_config:
  body_format:
    text_format_source:
      inline_string: >-
        %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:method)% %REQ(:scheme)% %PROTOCOL% %LOCAL_REPLY_BODY%
""",
    "replies-json": _ROUTES
    + """
local_reply_config:
  body_format:
    json_format:
      status: "%RESPONSE_CODE%"
      path: "%REQ(:path)%"
      body: "%LOCAL_REPLY_BODY%"
      nested: {alone: "%REQ(x)%", text: "%REQ(x)% "}
    omit_empty_values: true
    content_type: application/problem+json
""",
}  # fmt: skip

_GRPC = "content-type: application/grpc"
_HINTS = b"HTTP/1.1 103 Hints\r\n\r\n"
_WANTS = ("json", "type", "typed-format", "nothing", "omit", "bytes", "no-mapper")


def _of(listener: str) -> tuple[Case, ...]:
    asked = cases_of(listener)
    return (
        asked("not-routed", get("/none")),
        asked("not-routed-head", request("HEAD", "/none")),
        asked("not-routed-close", get("/none", "connection: close")),
        asked("refused", get("/refused")),
        asked("no-host", get("/empty")),
        asked("redirect", get("/redirect")),
        asked("direct", get("/direct")),
        asked("direct-empty", get("/direct/empty")),
        asked("direct-typed", get("/direct/typed")),
        asked("direct-typed-head", request("HEAD", "/direct/typed")),
        asked("direct-500", get("/direct/500")),
        asked("direct-500-grpc", request("POST", "/direct/500", _GRPC, "content-length: 0")),
        asked("old", "GET /b HTTP/1.0\r\nhost: h\r\n\r\n"),
        asked("garbage", "GARBAGE\r\n\r\n"),
        asked("malformed", get("/b", "x y: 1")),
        asked("bad-chunk", request("POST", "/b", "transfer-encoding: chunked", body="zz\r\n")),
        asked("no-authority", "GET /b HTTP/1.1\r\n\r\n"),
        asked("unknown-coding", request("POST", "/b", "transfer-encoding: gzip")),
        asked("too-large", get("/b", "x: " + "a" * 70_000)),
        asked("upgrade", get("/b", "connection: upgrade", "upgrade: foo")),
        asked("from-the-host", get("/b"), upstream=response(500, "x-route: up")),
        asked(
            "from-the-host-late",
            post("/b", "abc"),
            answer=answer(b"HTTP/1.1 103 Hints\r\n\r\n" + response(404)),
        ),
    )


def _wanted(want: str) -> tuple[Case, ...]:
    def asked(name: str, text: str) -> Case:
        return case(f"replies-mapped-{want}-{name}", text, listener="replies-mapped")

    line = f"x-want: {want}"
    return (
        asked("not-routed", get("/none", line)),
        asked("not-routed-head", request("HEAD", "/none", line)),
        asked("direct-500", get("/direct/500", line)),
        asked("direct", get("/direct", line)),
        asked("refused", get("/refused", line)),
        asked("grpc", request("POST", "/none", line, _GRPC, "content-length: 0")),
        asked("redirect", get("/redirect", line)),
    )


def _value(name: str, value: str) -> Case:
    return case(f"replies-json-value-{name}", get("/none", f"x: {value}"), listener="replies-json")


CASES = (
    *(case for listener in LISTENERS for case in _of(listener)),
    *(case for want in _WANTS for case in _wanted(want)),
    case("replies-plain-direct-204", get("/direct/204"), listener="replies-plain"),
    case("replies-plain-direct-304-head", request("HEAD", "/direct/304"), listener="replies-plain"),
    case("replies-mapped-204", get("/direct", "x-want: 204"), listener="replies-mapped"),
    case("replies-mapped-204-head", request("HEAD", "/none", "x-want: 204"), listener="replies-mapped"),
    _value("ascii", "a\tb /<>&'`\"\\ ~ {}"),
    _value("utf-8", "\xc3\xa9 /<>&'`\"\\ ~ {}"),
    _value("latin-1", "\xe9 /<>&'`\"\\ ~ {}"),
    _value("latin-1-tab", "\xe9\tabc!#$%()*+,-.:;=?@[]^_|"),
    _value("surrogate", "\xed\xa0\x80\xf0\x9f\x98\x80"),
    _value("emoji", "\xf0\x9f\x98\x80"),
    _value("separators", "\xe2\x80\xa8\xc2\x80\xc2\xa0\xef\xbb\xbf\xef\xbf\xbd"),
    case("replies-json-path", get('/none/\x80?"\\x'), listener="replies-json"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
