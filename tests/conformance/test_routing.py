"""Which virtual host and which route a request takes: domains in rank, paths, headers, query parameters."""

import pytest

from tests.conformance.case import Case, case, get, request
from tests.conformance.conftest import Agree

LISTENERS = {
    "domains": """
route_config:
  virtual_hosts:
  - name: exact
    domains: [a.example, "b.example:8080"]
    routes: [{match: {prefix: /}, route: &o {cluster: origin}, name: exact}]
  - {name: suffix, domains: ["*.example"], routes: [{match: {prefix: /}, route: *o, name: suffix}]}
  - name: longer
    domains: ["*.b.example", "*-b.example"]
    routes: [{match: {prefix: /}, route: *o, name: longer-suffix}]
  - {name: prefix, domains: ["www.*"], routes: [{match: {prefix: /}, route: *o, name: prefix}]}
  - name: longer-prefix
    domains: ["www.x.*"]
    routes: [{match: {prefix: /}, route: *o, name: longer-prefix}]
  - {name: ported, domains: ["*:9090"], routes: [{match: {prefix: /}, route: *o, name: ported}]}
  - {name: ip, domains: ["127.0.0.1", "[::1]"], routes: [{match: {prefix: /}, route: *o, name: ip}]}
  - {name: rest, domains: ["*"], routes: [{match: {prefix: /}, route: *o, name: rest}]}
""",
    "domains-closed": """
route_config:
  ignore_port_in_host_matching: true
  virtual_hosts:
  - {name: one, domains: [a.example], routes: [{match: {prefix: /}, route: &o {cluster: origin}, name: one}]}
  - {name: two, domains: ["*.b.example"], routes: [{match: {prefix: /}, route: *o, name: two}]}
""",
    "paths": """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {path: /exact}, route: &o {cluster: origin}, name: exact}
    - {match: {path: /ExactFold, case_sensitive: false}, route: *o, name: exact-fold}
    - {match: {path_separated_prefix: /sep}, route: *o, name: separated}
    - {match: {path_separated_prefix: /SepFold, case_sensitive: false}, route: *o, name: separated-fold}
    - {match: {prefix: /pre}, route: *o, name: prefix}
    - {match: {prefix: /prefix-longer}, route: *o, name: never-reached}
    - {match: {prefix: /Fold, case_sensitive: false}, route: *o, name: prefix-fold}
    - {match: {prefix: /slash/}, route: *o, name: slash}
    - {match: {path: /}, route: *o, name: root}
""",
    "matchers": """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - name: exact
      route: &o {cluster: origin}
      match: {prefix: /h, headers: [{name: x-exact, string_match: {exact: one}}]}
    - name: exact-fold
      route: *o
      match: {prefix: /h, headers: [{name: x-fold, string_match: {exact: One, ignore_case: true}}]}
    - {match: {prefix: /h, headers: [{name: x-prefix, string_match: {prefix: ab}}]}, route: *o, name: prefix}
    - {match: {prefix: /h, headers: [{name: x-suffix, string_match: {suffix: yz}}]}, route: *o, name: suffix}
    - name: contains
      route: *o
      match: {prefix: /h, headers: [{name: x-contains, string_match: {contains: mid}}]}
    - name: range
      route: *o
      match: {prefix: /h, headers: [{name: x-range, range_match: {start: 10, end: 20}}]}
    - {match: {prefix: /h, headers: [{name: x-present, present_match: true}]}, route: *o, name: present}
    - name: both
      route: *o
      match:
        prefix: /h
        headers: [{name: x-a, present_match: true}, {name: x-b, string_match: {exact: "2"}}]
    - name: not-one
      route: *o
      match: {prefix: /h, headers: [{name: x-not, string_match: {exact: one}, invert_match: true}]}
    - {match: {prefix: /absent, headers: [{name: x-present, present_match: false}]}, route: *o, name: absent}
    - name: present-inverted
      route: *o
      match:
        prefix: /present-inverted
        headers: [{name: x-present, present_match: true, invert_match: true}]
    - name: inverted
      route: *o
      match: {prefix: /not, headers: [{name: x-not, string_match: {exact: one}, invert_match: true}]}
    - name: missing-as-empty
      route: *o
      match:
        prefix: /empty
        headers: [{name: x-empty, string_match: {exact: ""}, treat_missing_header_as_empty: true}]
    - name: missing-as-empty-not
      route: *o
      match:
        prefix: /empty-not
        headers:
        - {name: x-empty, string_match: {exact: one}, treat_missing_header_as_empty: true, invert_match: true}
    - name: method
      route: *o
      match: {prefix: /method, headers: [{name: ":method", string_match: {exact: POST}}]}
    - name: path
      route: *o
      match: {prefix: /pseudo, headers: [{name: ":path", string_match: {contains: "x=1"}}]}
    - name: authority
      route: *o
      match: {prefix: /pseudo, headers: [{name: ":authority", string_match: {exact: v.example}}]}
    - name: scheme
      route: *o
      match: {prefix: /pseudo, headers: [{name: ":scheme", string_match: {exact: http}}]}
    - name: host
      route: *o
      match: {prefix: /host, headers: [{name: host, string_match: {exact: h.example}}]}
    - name: query-exact
      route: *o
      match: {prefix: /q, query_parameters: [{name: exact, string_match: {exact: one}}]}
    - name: query-prefix
      route: *o
      match: {prefix: /q, query_parameters: [{name: prefix, string_match: {prefix: onc}}]}
    - name: query-present
      route: *o
      match: {prefix: /q, query_parameters: [{name: there, present_match: true}]}
    - {match: {prefix: /q, query_parameters: [{name: any}]}, route: *o, name: query-any}
    - name: query-both
      route: *o
      match:
        prefix: /q
        query_parameters: [{name: a, string_match: {exact: "1"}}, {name: b, string_match: {exact: "2"}}]
    - name: query-absent
      route: *o
      match: {prefix: /no-q, query_parameters: [{name: there, present_match: false}]}
""",
}  # fmt: skip


def _host(name: str, host: str) -> Case:
    return case(f"domain-{name}", get("/", host=host), listener="domains")


def _closed(name: str, host: str) -> Case:
    return case(f"domain-closed-{name}", get("/", host=host), listener="domains-closed")


def _path(name: str, path: str) -> Case:
    return case(f"path-{name}", get(path), listener="paths")


def _header(name: str, *lines: str, path: str = "/h") -> Case:
    return case(f"header-{name}", get(path, *lines), listener="matchers")


def _query(name: str, query: str, path: str = "/q") -> Case:
    return case(f"query-{name}", get(f"{path}?{query}"), listener="matchers")


CASES = (
    _host("exact", "a.example"),
    _host("exact-case", "A.EXAMPLE"),
    _host("exact-with-port", "b.example:8080"),
    _host("exact-other-port", "b.example:8081"),
    _host("port-not-in-domain", "a.example:80"),
    _host("suffix", "x.example"),
    _host("suffix-case", "X.Example"),
    _host("suffix-longer", "x.b.example"),
    _host("suffix-dash", "x-b.example"),
    _host("suffix-nothing-before", ".example"),
    _host("suffix-two-labels", "x.y.example"),
    _host("suffix-before-prefix", "www.example"),
    _host("prefix", "www.other.test"),
    _host("prefix-longer", "www.x.test"),
    _host("prefix-nothing-behind", "www."),
    _host("any-port", "q.test:9090"),
    _host("ip", "127.0.0.1"),
    _host("ip-port", "127.0.0.1:80"),
    _host("ipv6", "[::1]"),
    _host("ipv6-port", "[::1]:80"),
    _host("rest", "elsewhere.test"),
    _host("trailing-dot", "a.example."),
    case("domain-absolute", get("http://a.example/", host="elsewhere.test"), listener="domains"),
    _closed("exact", "a.example"),
    _closed("exact-port", "a.example:1234"),
    _closed("suffix-port", "x.b.example:1234"),
    _closed("none", "c.example"),
    _closed("none-port", "c.example:80"),
    _path("exact", "/exact"),
    _path("exact-query", "/exact?x"),
    _path("exact-longer", "/exact/"),
    _path("exact-case", "/EXACT"),
    _path("exact-percent", "/%65xact"),
    _path("exact-fold", "/EXACTFOLD?Q"),
    _path("separated", "/sep"),
    _path("separated-query", "/sep?x"),
    _path("separated-below", "/sep/x"),
    _path("separated-slash", "/sep/"),
    _path("separated-longer-word", "/separate"),
    _path("separated-fold", "/SEPFOLD/x"),
    _path("prefix", "/pre"),
    _path("prefix-longer", "/prefix-longer"),
    _path("prefix-case", "/PRE"),
    _path("prefix-fold", "/fOLDed"),
    _path("prefix-in-query", "/x?/pre"),
    _path("slash", "/slash/"),
    _path("slash-absent", "/slash"),
    _path("root", "/"),
    _path("root-query", "/?x"),
    _path("none", "/none"),
    _path("two-slashes", "//exact"),
    _header("exact", "x-exact: one"),
    _header("exact-case", "x-exact: One"),
    _header("exact-name-case", "X-Exact: one"),
    _header("exact-not", "x-exact: two"),
    _header("exact-fold", "x-fold: oNE"),
    _header("prefix", "x-prefix: abc"),
    _header("prefix-not", "x-prefix: xab"),
    _header("suffix", "x-suffix: xyz"),
    _header("contains", "x-contains: amidst"),
    _header("range-start", "x-range: 10"),
    _header("range-end", "x-range: 20"),
    _header("range-inside", "x-range: 19"),
    _header("range-below", "x-range: 9"),
    _header("range-no-number", "x-range: 15a"),
    _header("range-negative", "x-range: -15"),
    _header("range-plus", "x-range: +15"),
    _header("range-zeros", "x-range: 0015"),
    _header("present", "x-present: 1"),
    _header("present-empty", "x-present:"),
    _header("both", "x-a: 1", "x-b: 2"),
    _header("both-one-missing", "x-a: 1"),
    _header("not", "x-not: two"),
    _header("not-not", "x-not: one"),
    _header("not-missing", path="/not"),
    _header("not-equal", "x-not: one", path="/not"),
    _header("absent", path="/absent"),
    _header("absent-not", "x-present: 1", path="/absent"),
    _header("present-inverted", path="/present-inverted"),
    _header("present-inverted-not", "x-present: 1", path="/present-inverted"),
    _header("missing-as-empty", path="/empty"),
    _header("missing-as-empty-there", "x-empty: 1", path="/empty"),
    _header("missing-as-empty-inverted", path="/empty-not"),
    _header("repeated", "x-exact: one", "x-exact: two"),
    _header("repeated-joined", "x-contains: a", "x-contains: mid"),
    _header("repeated-range", "x-range: 15", "x-range: 15"),
    case("header-method", request("POST", "/method", "content-length: 0"), listener="matchers"),
    _header("method-not", path="/method"),
    _header("path", path="/pseudo?x=1"),
    case("header-authority", get("/pseudo", host="v.example"), listener="matchers"),
    _header("scheme", path="/pseudo"),
    _header("scheme-forwarded", "x-forwarded-proto: https", path="/pseudo"),
    _header("host", path="/host"),
    _query("exact", "exact=one"),
    _query("exact-not", "exact=two"),
    _query("exact-second", "x=1&exact=one"),
    _query("exact-empty", "exact="),
    _query("exact-twice", "exact=two&exact=one"),
    _query("exact-encoded", "exact=%6fne"),
    _query("exact-plus", "exact=one+"),
    _query("exact-name-case", "EXACT=one"),
    _query("prefix", "prefix=once"),
    _query("present", "there=x"),
    _query("present-no-value", "there"),
    _query("present-empty", "there="),
    _query("any", "any=1"),
    _query("any-no-value", "any"),
    _query("both", "a=1&b=2"),
    _query("both-other-order", "b=2&a=1"),
    _query("both-one", "a=1"),
    _query("odd", "&&=&exact=one"),
    _query("equals-in-value", "exact=one=two"),
    _query("semicolon", "x;exact=one"),
    _query("fragmentless", "exact=one%23"),
    _query("absent", "x=1", path="/no-q"),
    _query("absent-not", "there=1", path="/no-q"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
