"""Paths and hosts as the upstream sees them."""

import pytest

from tests.conformance.case import Case, case, get, request
from tests.conformance.conftest import Agree

LISTENERS = {
    "rewriting": """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /prefix/}, route: {cluster: origin, prefix_rewrite: /}}
    - {match: {prefix: /longer}, route: {cluster: origin, prefix_rewrite: /much/longer}}
    - {match: {path: /exact}, route: {cluster: origin, prefix_rewrite: /whole}}
    - {match: {path_separated_prefix: /sep}, route: {cluster: origin, prefix_rewrite: /parted}}
    - {match: {prefix: /Fold, case_sensitive: false}, route: {cluster: origin, prefix_rewrite: /f}}
    - {match: {prefix: /same}, route: {cluster: origin, prefix_rewrite: /same}}
    - {match: {prefix: /host}, route: {cluster: origin, host_rewrite_literal: up.example}}
    - {match: {prefix: /same-host}, route: {cluster: origin, host_rewrite_literal: h.example}}
    - match: {prefix: /both}
      route: {cluster: origin, prefix_rewrite: /two, host_rewrite_literal: "up.example:81"}
    - {match: {prefix: /auto-ip}, route: {cluster: origin, auto_host_rewrite: true}}
    - {match: {prefix: /auto}, route: {cluster: named, auto_host_rewrite: true}}
    - {match: {prefix: /missing}, route: {cluster: origin, cluster_not_found_response_code: NOT_FOUND}}
"""
}  # fmt: skip

CLUSTERS = """
named:
  type: STRICT_DNS
  dns_lookup_family: V4_ONLY
  load_assignment: $localhost
"""


def _rewrite(name: str, target: str, *lines: str, host: str = "h.example") -> Case:
    return case(f"rewrite-{name}", get(target, *lines, host=host), listener="rewriting")


CASES = (
    _rewrite("prefix", "/prefix/a?b=c"),
    _rewrite("prefix-alone", "/prefix/"),
    _rewrite("prefix-query", "/prefix/?b"),
    _rewrite("longer", "/longer/a"),
    _rewrite("longer-word", "/longerword?x"),
    _rewrite("exact", "/exact?a"),
    _rewrite("separated", "/sep/a?b"),
    _rewrite("separated-alone", "/sep?b"),
    _rewrite("fold", "/FOLD/a"),
    _rewrite("same", "/same/a"),
    _rewrite("percent", "/prefix/%2fa%20"),
    _rewrite("two-slashes", "/prefix//a"),
    _rewrite("host", "/host/a"),
    _rewrite("host-port", "/host/a", host="h.example:8080"),
    _rewrite("host-same", "/same-host"),
    _rewrite("host-forwarded-kept", "/host", "x-forwarded-host: q"),
    _rewrite("both", "/both/a?b"),
    _rewrite("auto-ip", "/auto-ip"),
    _rewrite("auto", "/auto"),
    _rewrite("original-path-given", "/prefix/a", "x-envoy-original-path: /forged"),
    _rewrite("original-host-given", "/host/a", "x-envoy-original-host: forged"),
    _rewrite("absolute", "http://abs.example/both/a"),
    case("rewrite-post", request("POST", "/prefix/a", "content-length: 1", body="a"), listener="rewriting"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
