"""What the access log says beside the fields that every case compares: operators, types, formats in text."""

import pytest

from tests.conformance.case import Case, answer, cases_of, get, post, request, response
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /direct}, direct_response: {status: 418, body: {inline_string: teapot}}, name: direct}
    - {match: {prefix: /refused}, route: {cluster: refused}, name: refused}
    - {match: {prefix: /rewrite}, route: {cluster: origin, prefix_rewrite: /new}, name: rewrite}
    - {match: {prefix: /}, route: {cluster: origin}, name: rest}
"""

LISTENERS = {
    "log-fields": _ROUTES
    + """
log:
  plain: text
  mixed: "%PROTOCOL% of %REQ(:METHOD)%"
  both: "%RESPONSE_CODE%%RESPONSE_FLAGS%"
  long_flags: "%RESPONSE_FLAGS_LONG%"
  missing: "%REQ(X-NOT-THERE)%"
  missing_in_text: "<%REQ(X-NOT-THERE)%>"
  first_or_second: "%REQ(X-NOT-THERE?X-THERE)%"
  cut: "%REQ(X-THERE):2%"
  told: "%RESP(X-TOLD)%"
  told_type: "%RESP(CONTENT-TYPE)%"
  reply: "%LOCAL_REPLY_BODY%"
  spaced_details: "%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%"
  ended: "%CONNECTION_TERMINATION_DETAILS%"
  attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
  local: "%DOWNSTREAM_LOCAL_ADDRESS%"
  local_address: "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"
  direct: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
  remote: "%UPSTREAM_REMOTE_ADDRESS%"
  remote_address: "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
  upstream_local: "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"
  path: "%PATH()%"
  path_without_query: "%PATH(NQ)%"
  path_original: "%PATH(WQ:ORIG)%"
  path_now: "%PATH(NQ:PATH)%"
  query: "%QUERY_PARAM(q)%"
  queries: "%QUERY_PARAMS%"
  kind: "%ACCESS_LOG_TYPE%"
  percent: "100%%"
  nested: {code: "%RESPONSE_CODE%", list: ["%PROTOCOL%", fixed]}
  number: 7
  truth: true
  nothing: null
""",
    "log-text": _ROUTES
    + """
log: >-
  "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%
  %BYTES_RECEIVED% %BYTES_SENT% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(:AUTHORITY)%"
  "%UPSTREAM_HOST%" 100%% [%ROUTE_NAME%]
""",
    # Without the field whose length is chance: how many milliseconds the upstream took.
    "log-wire": _ROUTES.replace(
        "  virtual_hosts:", "  response_headers_to_remove: [x-envoy-upstream-service-time]\n  virtual_hosts:"
    )
    + """
log:
  received: "%DOWNSTREAM_WIRE_BYTES_RECEIVED%"
  told: "%DOWNSTREAM_WIRE_BYTES_SENT%"
  asked: "%UPSTREAM_WIRE_BYTES_SENT%"
  answered: "%UPSTREAM_WIRE_BYTES_RECEIVED%"
  as_text: "%DOWNSTREAM_WIRE_BYTES_SENT% of %UPSTREAM_WIRE_BYTES_RECEIVED%"
  version: "%DOWNSTREAM_TLS_VERSION%"
  cipher: "<%DOWNSTREAM_TLS_CIPHER%>"
  peer: "%DOWNSTREAM_PEER_SUBJECT%"
  uri: "%DOWNSTREAM_PEER_URI_SAN%"
  print: "%DOWNSTREAM_PEER_FINGERPRINT_256%"
  name: "%REQUESTED_SERVER_NAME%"
  trace: "%TRACE_ID%"
  virtual: "%VIRTUAL_CLUSTER_NAME%"
  metadata: "%DYNAMIC_METADATA(some.filter:key)%"
  state: "%FILTER_STATE(some.object)%"
  chain: "%FILTER_CHAIN_NAME%"
""",
    "log-omits": _ROUTES + "log: {missing: '%REQ(X-NOT-THERE)%'}\n",
}


def _cases(listener: str) -> tuple[Case, ...]:
    asked = cases_of(listener)
    return (
        asked("get", get("/a?q=1&r=2", "x-there: value", "user-agent: curl/8")),
        asked("post", post("/a", "abc"), upstream=response(201, "x-told: t", "content-type: text/x")),
        asked("direct", get("/direct?q")),
        asked("refused", get("/refused")),
        asked("rewrite", get("/rewrite/a?q=1")),
        asked("malformed", "BLAH\r\n\r\n"),
        asked("head", request("HEAD", "/a")),
        asked("quotes", get("/a?q=%22", 'x-there: a"b\\c\td', 'user-agent: "x"')),
        asked("high-bytes", get("/a", "x-there: \xc3\xa9", "user-agent: \xc3\xa9")),
        asked("chunked", request("POST", "/a", "transfer-encoding: chunked", body="3\r\nabc\r\n0\r\n\r\n")),
        asked(
            "chunked-response",
            get("/a"),
            answer=answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        ),
    )


CASES = (*_cases("log-fields"), *_cases("log-wire"), *_cases("log-text"), *_cases("log-omits"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
