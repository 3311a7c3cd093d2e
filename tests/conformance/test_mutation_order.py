"""Every append action at every level at once: what the levels do to each other, in both orders."""

import pytest

from tests.conformance.case import Case, cases_of, get, response
from tests.conformance.conftest import Agree


def _actions(level: str) -> str:
    return f"""
      - {{header: {{key: x-absent, value: {level}}}, append_action: ADD_IF_ABSENT}}
      - {{header: {{key: x-overwrite, value: {level}}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}
      - {{header: {{key: x-exists, value: {level}}}, append_action: OVERWRITE_IF_EXISTS}}
      - {{header: {{key: x-append, value: {level}}}}}
      - {{header: {{key: x-seen, value: "{level} %REQ(X-APPEND)% %RESP(X-APPEND)%"}}}}
      - {{header: {{key: x-crossed, value: {level}}}}}"""


def _level(level: str, *removed: str) -> str:
    return f"""
      request_headers_to_add: {_actions(level)}
      response_headers_to_add: {_actions(level)}
      request_headers_to_remove: [{", ".join(removed)}]
      response_headers_to_remove: [{", ".join(removed)}]"""


_LEVELS = f"""
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {{prefix: /weighted}}
      route:
        weighted_clusters:
          clusters:
          - name: origin
            weight: 1
            host_rewrite_literal: weight.example{_level("weight").replace(chr(10), chr(10) + "      ")}
          - {{name: empty, weight: 0}}{_level("route", "x-of-route")}
    - match: {{prefix: /by-header}}
      route: {{weighted_clusters: {{clusters: [{{cluster_header: x-cluster, weight: 1}}]}}}}
    - match: {{prefix: /direct}}
      direct_response: {{status: 200, body: {{inline_string: x}}}}{_level("route")}
    - match: {{prefix: /known}}
      route: {{cluster: origin}}
      request_headers_to_add:
      - {{header: {{key: x-forwarded-for, value: 9.9.9.9}}}}
      - {{header: {{key: x-request-id, value: mine}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}
      - {{header: {{key: x-forwarded-proto, value: gopher}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}
      - {{header: {{key: user-agent, value: agent}}, append_action: ADD_IF_ABSENT}}
      - {{header: {{key: cookie, value: b}}}}
      - {{header: {{key: te, value: trailers}}}}
      response_headers_to_add:
      - {{header: {{key: content-type, value: text/x}}, append_action: ADD_IF_ABSENT}}
      - {{header: {{key: set-cookie, value: b}}}}
      - {{header: {{key: date, value: D}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}
      - {{header: {{key: server, value: S}}}}{_level("host", "x-of-host", "x-crossed")}
"""
_TABLE = "".join(line[4:] + "\n" for line in _level("table", "x-of-table").splitlines())

LISTENERS = {
    "order": f"route_config:\n{_TABLE}{_LEVELS}",
    "order-specific": f"route_config:\n  most_specific_header_mutations_wins: true\n{_TABLE}{_LEVELS}",
}

_GIVEN = (
    "x-absent: 1",
    "x-overwrite: 1",
    "x-exists: 1",
    "x-append: 1",
    "x-crossed: 1",
    "x-of-route: 1",
    "x-of-host: 1",
    "x-of-table: 1",
)


def _of(listener: str) -> tuple[Case, ...]:
    asked = cases_of(listener)
    told = response(200, *_GIVEN)
    twice = response(200, *_GIVEN, *_GIVEN)
    return (
        asked("weighted", get("/weighted")),
        asked("weighted-given", get("/weighted", *_GIVEN), upstream=told),
        asked("weighted-given-twice", get("/weighted", *_GIVEN, *_GIVEN), upstream=twice),
        asked("by-header", get("/by-header", "x-cluster: origin")),
        asked("by-header-given", get("/by-header", "x-cluster: origin", *_GIVEN), upstream=told),
        asked("by-header-missing", get("/by-header")),
        asked("direct", get("/direct", *_GIVEN)),
        asked("not-routed", get("/none", *_GIVEN)),
        asked("known", get("/known")),
        asked("known-given", get("/known", "cookie: a", "te: gzip"), upstream=response(200, "set-cookie: a")),
    )


CASES = (*_of("order"), *_of("order-specific"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
