"""Headers added and removed at all levels: order of the levels, append actions, operators."""

import pytest

from tests.conformance.case import Case, case, get, post, request, response
from tests.conformance.conftest import Agree

_LEVELS = """
  request_headers_to_add:
  - {header: {key: x-order, value: config}}
  - {header: {key: x-config, value: config}}
  request_headers_to_remove: [x-drop-config]
  response_headers_to_add:
  - {header: {key: x-order, value: config}}
  response_headers_to_remove: [x-drop-config]
  virtual_hosts:
  - name: all
    domains: ["*"]
    request_headers_to_add:
    - {header: {key: x-order, value: host}}
    - {header: {key: x-owner, value: host}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    request_headers_to_remove: [x-drop-host, x-config]
    response_headers_to_add:
    - {header: {key: x-order, value: host}}
    response_headers_to_remove: [x-drop-host]
    routes:
    - match: {prefix: /weighted}
      route:
        weighted_clusters:
          clusters:
          - name: origin
            weight: 1
            request_headers_to_add: [{header: {key: x-order, value: weight}}]
            request_headers_to_remove: [x-drop-weight]
            response_headers_to_add: [{header: {key: x-order, value: weight}}]
            response_headers_to_remove: [x-drop-weight]
      request_headers_to_add: [{header: {key: x-order, value: route}}]
      response_headers_to_add: [{header: {key: x-order, value: route}}]
    - match: {prefix: /direct}
      direct_response: {status: 200, body: {inline_string: x}}
      response_headers_to_add: [{header: {key: x-order, value: route}}]
    - match: {prefix: /redirect}
      redirect: {path_redirect: /x}
      response_headers_to_add: [{header: {key: x-order, value: route}}]
    - match: {prefix: /refused}
      route: {cluster: refused}
      response_headers_to_add: [{header: {key: x-order, value: route}}]
    - match: {prefix: /}
      route: {cluster: origin}
      request_headers_to_add:
      - {header: {key: x-order, value: route}}
      - {header: {key: x-owner, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
      request_headers_to_remove: [x-drop-route]
      response_headers_to_add: [{header: {key: x-order, value: route}}]
      response_headers_to_remove: [x-drop-route]
"""

LISTENERS = {
    "levels": f"route_config:{_LEVELS}",
    "levels-specific": f"route_config:\n  most_specific_header_mutations_wins: true{_LEVELS}",
    "actions": """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {prefix: /direct}
      direct_response: {status: 200, body: {inline_string: body}}
      response_headers_to_add:
      - {header: {key: content-type, value: text/html}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
      - {header: {key: server, value: mine}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
      - {header: {key: x-code, value: "%RESPONSE_CODE%"}}
      response_headers_to_remove: [date]
    - match: {prefix: /}
      route: {cluster: origin}
      request_headers_to_add: &fields
      - {header: {key: x-append, value: new}}
      - {header: {key: x-absent, value: new}, append_action: ADD_IF_ABSENT}
      - {header: {key: x-overwrite, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
      - {header: {key: x-exists, value: new}, append_action: OVERWRITE_IF_EXISTS}
      - {header: {key: x-deprecated, value: new}, append: false}
      - {header: {key: X-Upper, value: Value}}
      - {header: {key: x-empty, value: ""}}
      - {header: {key: x-empty-kept, value: ""}, keep_empty_value: true}
      - {header: {key: x-twice, value: one}}
      - {header: {key: x-twice, value: two}}
      request_headers_to_remove: [x-gone, X-Gone-Too, x-absent-anyway, user-agent]
      response_headers_to_add: *fields
      response_headers_to_remove: [x-gone, server, x-envoy-upstream-service-time, date]
""",
    "operators": """
route_config:
  virtual_hosts:
  - name: vh
    domains: ["*"]
    routes:
    - name: the-route
      match: {prefix: /}
      route: {cluster: origin, prefix_rewrite: /rewritten}
      request_headers_to_add:
      - {header: {key: x-method, value: "%REQ(:METHOD)%"}}
      - {header: {key: x-path, value: "%REQ(:PATH)%"}}
      - {header: {key: x-original, value: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"}}
      - {header: {key: x-authority, value: "%REQ(:AUTHORITY)%"}}
      - {header: {key: x-cut, value: "%REQ(X-LONG):3%"}}
      - {header: {key: x-missing, value: "%REQ(X-NOT-THERE)%"}}
      - {header: {key: x-missing-in-text, value: "<%REQ(X-NOT-THERE)%>"}}
      - {header: {key: x-protocol, value: "%PROTOCOL%"}}
      - {header: {key: x-percent, value: "100%%"}}
      - {header: {key: x-route, value: "%ROUTE_NAME%"}}
      - {header: {key: x-client, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}
      - {header: {key: x-client-port, value: "%DOWNSTREAM_REMOTE_ADDRESS%"}}
      - {header: {key: x-local, value: "%DOWNSTREAM_LOCAL_ADDRESS%"}}
      - {header: {key: x-cluster, value: "%UPSTREAM_CLUSTER%"}}
      - {header: {key: x-host, value: "%UPSTREAM_HOST%"}}
      - {header: {key: x-code, value: "%RESPONSE_CODE%"}}
      - {header: {key: x-query, value: "%QUERY_PARAM(q)%"}}
      response_headers_to_add:
      - {header: {key: x-code, value: "%RESPONSE_CODE%"}}
      - {header: {key: x-flags, value: "%RESPONSE_FLAGS%"}}
      - {header: {key: x-details, value: "%RESPONSE_CODE_DETAILS%"}}
      - {header: {key: x-asked, value: "%REQ(X-ASKED)%"}}
      - {header: {key: x-told, value: "%RESP(X-TOLD)%"}}
      - {header: {key: x-told-or, value: "%RESP(X-NONE?X-TOLD)%"}}
      - {header: {key: x-received, value: "%BYTES_RECEIVED%"}}
      - {header: {key: x-host, value: "%UPSTREAM_HOST%"}}
      - {header: {key: x-cluster, value: "%UPSTREAM_CLUSTER%"}}
      - {header: {key: x-route, value: "%ROUTE_NAME%"}}
      - {header: {key: x-path, value: "%REQ(:PATH)%"}}
""",
}

_DROPPED = ("x-drop-config: 1", "x-drop-host: 1", "x-drop-route: 1", "x-drop-weight: 1")


def _levels(listener: str) -> tuple[Case, ...]:
    told = response(200, *_DROPPED, "x-order: origin")
    return (
        case(f"{listener}-route", get("/", *_DROPPED), listener=listener, upstream=told),
        case(f"{listener}-weighted", get("/weighted", *_DROPPED), listener=listener, upstream=told),
        case(
            f"{listener}-given",
            get("/", "x-order: client", "x-owner: client", "x-config: c"),
            listener=listener,
        ),
        case(f"{listener}-direct", get("/direct"), listener=listener),
        case(f"{listener}-redirect", get("/redirect"), listener=listener),
        case(f"{listener}-refused", get("/refused"), listener=listener),
        case(f"{listener}-malformed", "BLAH\r\n\r\n", listener=listener),
    )


_GIVEN = (
    "x-append: old",
    "x-absent: old",
    "x-overwrite: old",
    "x-exists: old",
    "x-deprecated: old",
    "x-gone: 1",
    "x-gone-too: 1",
)

CASES = (
    *_levels("levels"),
    *_levels("levels-specific"),
    case("actions-nothing-given", get("/"), listener="actions"),
    case(
        "actions-given", get("/", *_GIVEN), listener="actions", upstream=response(200, *_GIVEN, "server: s")
    ),
    case(
        "actions-given-twice",
        get("/", *_GIVEN, *_GIVEN),
        listener="actions",
        upstream=response(200, *_GIVEN, *_GIVEN),
    ),
    case("actions-given-empty", get("/", "x-append:", "x-absent:", "x-exists:"), listener="actions"),
    case("actions-user-agent", get("/", "user-agent: curl"), listener="actions"),
    case("actions-direct", get("/direct"), listener="actions"),
    case("actions-head-direct", request("HEAD", "/direct"), listener="actions"),
    case(
        "operators-get",
        get("/a?q=1", "x-long: abcdef", "x-asked: a"),
        listener="operators",
        upstream=response(201, "x-told: t"),
    ),
    case("operators-missing", get("/a"), listener="operators"),
    case("operators-post", post("/a", "abc"), listener="operators"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
