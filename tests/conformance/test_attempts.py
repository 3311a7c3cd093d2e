"""`x-envoy-attempt-count`, told to the host and to the client where a virtual host says so."""

import pytest

from tests.conformance.case import Case, Do, answer, case, get, request, response
from tests.conformance.conftest import Agree

LISTENERS = {
    "attempts": """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    include_request_attempt_count: true
    include_attempt_count_in_response: true
    request_headers_to_add: [{header: {key: x-seen, value: "<%REQ(X-ENVOY-ATTEMPT-COUNT)%>"}}]
    response_headers_to_add: [{header: {key: x-seen, value: "<%RESP(X-ENVOY-ATTEMPT-COUNT)%>"}}]
    routes:
    - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: x}}}
    - {match: {prefix: /redirect}, redirect: {path_redirect: /x}}
    - {match: {prefix: /refused}, route: {cluster: refused}}
    - {match: {prefix: /empty}, route: {cluster: empty}}
    - {match: {prefix: /unknown}, route: {cluster_header: x-unknown}}
    - match: {prefix: /weighted}
      route: {weighted_clusters: {clusters: [{name: origin, weight: 1}]}}
    - match: {prefix: /changed}
      route: {cluster: origin}
      request_headers_to_add: [{header: {key: x-envoy-attempt-count, value: "7"}}]
      response_headers_to_remove: [x-envoy-attempt-count]
    - {match: {prefix: /}, route: {cluster: origin}}
""",
}


def _asked(name: str, text: str, **more: object) -> Case:
    return case(f"attempts-{name}", text, listener="attempts", **more)


CASES = (
    _asked("get", get("/")),
    _asked(
        "claimed", get("/", "x-envoy-attempt-count: 9"), upstream=response(200, "x-envoy-attempt-count: 5")
    ),
    _asked("weighted", get("/weighted")),
    _asked("changed", get("/changed")),
    _asked("direct", get("/direct")),
    _asked("redirect", get("/redirect")),
    _asked("refused", get("/refused")),
    _asked("empty", get("/empty")),
    _asked("unknown", get("/unknown")),
    _asked("closed", request("POST", "/", "content-length: 0"), answer=answer(Do.CLOSE)),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
