"""Expressions (RE2) in matchers, rewrites and redirects; hosts and clusters taken from the request."""

import pytest

from tests.conformance.case import Case, case, get, request
from tests.conformance.conftest import Agree

LISTENERS = {
    "expressions": r"""
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {safe_regex: {regex: "/item/[0-9]+"}}, route: &o {cluster: origin}, name: item}
    - {match: {safe_regex: {regex: "/FOLD/.*"}, case_sensitive: false}, route: *o, name: fold}
    - {match: {safe_regex: {regex: "/(?i)inline"}}, route: *o, name: inline}
    - {match: {safe_regex: {regex: "/a|/b.*"}}, route: *o, name: alternatives}
    - {match: {safe_regex: {regex: "/slow/(a+)+$"}}, route: *o, name: slow}
    - match: {prefix: /h, headers: [{name: x-re, string_match: {safe_regex: {regex: "v[0-9]"}}}]}
      route: *o
      name: header
    - match: {prefix: /q, query_parameters: [{name: num, string_match: {safe_regex: {regex: "[0-9]+"}}}]}
      route: *o
      name: query
    - match: {prefix: /rewrite/}
      route:
        cluster: origin
        regex_rewrite: {pattern: {regex: "^/rewrite/([^/]+)/(.*)$"}, substitution: "/\\2/\\1"}
    - match: {prefix: /every}
      route: {cluster: origin, regex_rewrite: {pattern: {regex: "e"}, substitution: "E"}}
    - match: {prefix: /whole}
      route: {cluster: origin, regex_rewrite: {pattern: {regex: "/whole"}, substitution: "/<\\0>"}}
    - match: {prefix: /redirect/}
      redirect: {regex_rewrite: {pattern: {regex: "^/redirect/(.*)$"}, substitution: "/new/\\1"}}
    - match: {prefix: /host-of-header}
      route: {cluster: origin, host_rewrite_header: x-want-host}
    - match: {prefix: /host-of-path/}
      route:
        cluster: origin
        host_rewrite_path_regex: {pattern: {regex: "^/host-of-path/([^/]+).*$"}, substitution: "\\1"}
    - match: {prefix: /forwarded-host}
      route: {cluster: origin, host_rewrite_literal: up.example, append_x_forwarded_host: true}
    - {match: {prefix: /cluster}, route: {cluster_header: x-cluster}, name: by-header}
    - match: {prefix: /never, runtime_fraction: {default_value: {numerator: 0}}}
      route: *o
    - match: {prefix: /ever, runtime_fraction: {default_value: {numerator: 100}}}
      route: *o
    - {match: {prefix: /grpc, grpc: {}}, route: *o, name: grpc}
  - name: tls
    domains: [tls.example]
    require_tls: ALL
    routes: [{match: {prefix: /}, route: {cluster: origin}}]
  - name: external-tls
    domains: [external.example]
    require_tls: EXTERNAL_ONLY
    routes: [{match: {prefix: /}, route: {cluster: origin}}]
""",
}  # fmt: skip


def _case(name: str, text: str) -> Case:
    return case(f"expression-{name}", text, listener="expressions")


CASES = (
    _case("path", get("/item/12")),
    _case("path-query", get("/item/12?x")),
    _case("path-not-whole", get("/item/12/x")),
    _case("path-not-from-start", get("/x/item/12")),
    _case("path-fold", get("/fold/x")),
    _case("path-inline-flag", get("/INLINE")),
    _case("path-alternative-first", get("/a")),
    _case("path-alternative-second", get("/bcd")),
    _case("path-alternative-not-whole", get("/ab")),
    _case("path-slow", get("/slow/" + "a" * 60 + "b")),
    _case("path-high-byte", get("/item/1%e9")),
    _case("header", get("/h", "x-re: v1")),
    _case("header-not-whole", get("/h", "x-re: v12")),
    _case("header-several", get("/h", "x-re: a", "x-re: v2")),
    _case("query", get("/q?num=12")),
    _case("query-not", get("/q?num=1a")),
    _case("rewrite", get("/rewrite/one/two?three=/rewrite/4/5")),
    _case("rewrite-no-match", get("/rewrite/one")),
    _case("rewrite-every", get("/every/where?e=e")),
    _case("rewrite-whole", get("/whole/thing?x")),
    _case("redirect", get("/redirect/a/b?c=d")),
    _case("host-of-header", get("/host-of-header", "x-want-host: w.example")),
    _case("host-of-header-missing", get("/host-of-header")),
    _case("host-of-header-empty", get("/host-of-header", "x-want-host:")),
    _case("host-of-header-odd", get("/host-of-header", "x-want-host: a/b c")),
    _case("host-of-path", get("/host-of-path/p.example/x?y")),
    _case("host-of-path-short", get("/host-of-path/")),
    _case("forwarded-host", get("/forwarded-host")),
    _case("forwarded-host-given", get("/forwarded-host", "x-forwarded-host: first")),
    _case("cluster-header", get("/cluster", "x-cluster: origin")),
    _case("cluster-header-unknown", get("/cluster", "x-cluster: nowhere")),
    _case("cluster-header-missing", get("/cluster")),
    _case("never", get("/never")),
    _case("ever", get("/ever")),
    _case("grpc", get("/grpc", "content-type: application/grpc")),
    _case("grpc-suffix", get("/grpc", "content-type: application/grpc+proto")),
    _case("grpc-not", get("/grpc", "content-type: application/json")),
    _case("tls-required", get("/a?b", host="tls.example")),
    _case("tls-required-forwarded", request("GET", "/a", "x-forwarded-proto: https", host="tls.example")),
    _case("tls-required-post", request("POST", "/a", "content-length: 0", host="tls.example")),
    _case("tls-required-external", get("/a", host="external.example")),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
