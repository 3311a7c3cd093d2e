"""Combinations in which the two once differed, as `explore.py` found them."""

import pytest

from tests.conformance.case import Case, case, get, post, request
from tests.conformance.conftest import Agree

LISTENERS = {
    "explored": """
append_x_forwarded_port: true
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {prefix: /empty}
      route: {cluster: empty, regex_rewrite: {pattern: {regex: "/e"}, substitution: /n}}
      request_headers_to_add:
      - {header: {key: user-agent, value: changed}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - match: {prefix: /typed}
      direct_response: {status: 500}
      response_headers_to_add:
      - {header: {key: content-type, value: text/x}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - match: {prefix: /typed-body}
      direct_response: {status: 500, body: {inline_string: text}}
      response_headers_to_add: [{header: {key: content-type, value: text/x}}]
    - match: {prefix: /joined}
      route: {cluster: origin}
      request_headers_to_add:
      - {header: {key: via, value: ""}, keep_empty_value: true}
      - {header: {key: via, value: second}}
      - {header: {key: via, value: third}}
    - {match: {prefix: /redirect}, redirect: {path_redirect: /new}}
    - {match: {prefix: /}, route: {cluster: origin}}
log: {agent: "%REQ(USER-AGENT)%", now: "%REQ(:PATH)%"}
""",
    "explored-edge": """
append_x_forwarded_port: true
use_remote_address: true
xff_num_trusted_hops: 1
route_config:
  virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: origin}}]}]
""",
}


def _asked(name: str, text: str, listener: str = "explored") -> Case:
    return case(f"{listener}-{name}", text, listener=listener)


CASES = (
    _asked("no-host", get("/empty/a", "user-agent: mine", "x-envoy-original-path: /claimed")),
    _asked("typed", get("/typed")),
    _asked("typed-head", request("HEAD", "/typed")),
    _asked("typed-grpc", request("POST", "/typed", "content-type: application/grpc", "content-length: 0")),
    _asked("typed-body", get("/typed-body")),
    _asked("joined", get("/joined")),
    _asked("joined-to-one", get("/joined", "via: first")),
    _asked("joined-to-nothing", get("/joined", "via:")),
    _asked("port", get("/a")),
    _asked("port-said", get("/a", "x-forwarded-port: 1")),
    _asked("port-said-empty", get("/a", "x-forwarded-port:")),
    _asked("port-edge", get("/a"), "explored-edge"),
    _asked("port-edge-said", get("/a", "x-forwarded-port: 1"), "explored-edge"),
    _asked("port-edge-said-empty", get("/a", "x-forwarded-port:"), "explored-edge"),
    _asked("no-scheme", get("/a", "x-forwarded-proto:")),
    _asked("no-scheme-redirect", get("/redirect", "x-forwarded-proto:")),
    _asked("no-scheme-post", post("/a", "abc", "x-forwarded-proto:")),
    _asked("no-scheme-edge", get("/a", "x-forwarded-proto:"), "explored-edge"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
