"""Domains with ports in all their forms, and matchers of fields and parameters that are seldom written."""

import pytest

from tests.conformance.case import Case, case, get, post, request
from tests.conformance.conftest import Agree

LISTENERS = {
    "odd-domains": """
route_config:
  virtual_hosts:
  - name: a
    domains: [a.example, "A2.example:80", "*.a.example:81"]
    routes: [{match: {prefix: /}, route: &o {cluster: origin}, name: a}]
  - {name: b, domains: ["*.a.example"], routes: [{match: {prefix: /}, route: *o, name: b}]}
  - {name: c, domains: ["*a.example"], routes: [{match: {prefix: /}, route: *o, name: c}]}
  - {name: d, domains: ["a.*", "a.exam*"], routes: [{match: {prefix: /}, route: *o, name: d}]}
  - name: e
    domains: ["[2001:db8::1]:8080", "[2001:db8::*", "*:8443"]
    routes: [{match: {prefix: /only}, route: *o, name: e}]
  - {name: f, domains: ["*.example:8443"], routes: [{match: {prefix: /}, route: *o, name: f}]}
""",
    "odd-matchers": """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - name: space
      route: &o {cluster: origin}
      match: {prefix: /w, query_parameters: [{name: "a b", present_match: true}]}
    - {match: {prefix: /w, query_parameters: [{name: é, present_match: true}]}, route: *o, name: utf-8}
    - {match: {prefix: /w, query_parameters: [{name: s, string_match: {suffix: z}}]}, route: *o, name: suffix}
    - name: contains
      route: *o
      match: {prefix: /w, query_parameters: [{name: c, string_match: {contains: MID, ignore_case: true}}]}
    - {match: {prefix: /w, query_parameters: [{name: e, string_match: {exact: ""}}]}, route: *o, name: empty}
    - name: absent-and-present
      route: *o
      match:
        prefix: /w
        query_parameters: [{name: x, present_match: false}]
        headers: [{name: x-h, present_match: true}]
    - {match: {prefix: /w, headers: [{name: x-r, range_match: {start: -10, end: 0}}]}, route: *o, name: below}
    - name: prefix-fold
      route: *o
      match: {prefix: /w, headers: [{name: x-p, string_match: {prefix: Ab, ignore_case: true}}]}
    - name: suffix-fold
      route: *o
      match: {prefix: /w, headers: [{name: x-s, string_match: {suffix: Yz, ignore_case: true}}]}
    - name: contains-fold
      route: *o
      match: {prefix: /w, headers: [{name: x-c, string_match: {contains: MID, ignore_case: true}}]}
    - name: regex-not
      route: *o
      match:
        prefix: /w
        headers:
        - {name: x-e, string_match: {safe_regex: {regex: a.c}}, invert_match: true}
        - {name: x-e, present_match: true}
    - name: range-not
      route: *o
      match:
        prefix: /w
        headers:
        - {name: x-n, range_match: {start: 1, end: 3}, invert_match: true}
        - {name: x-go, present_match: true}
    - {match: {prefix: /w, headers: [{name: x-old, exact_match: v}]}, route: *o, name: old-exact}
    - {match: {prefix: /w, headers: [{name: x-older, prefix_match: v}]}, route: *o, name: old-prefix}
    - {match: {prefix: /w, headers: [{name: cookie, string_match: {contains: a=1}}]}, route: *o, name: cookie}
    - name: length
      route: *o
      match: {prefix: /w, headers: [{name: content-length, range_match: {start: 1, end: 10}}]}
    - {match: {prefix: /w, headers: [{name: connection, present_match: true}]}, route: *o, name: connection}
    - {match: {prefix: /w, headers: [{name: transfer-encoding, present_match: true}]}, route: *o, name: code}
    - {match: {prefix: /w, headers: [{name: x-request-id, string_match: {exact: mine}}]}, route: *o, name: id}
    - name: proto
      route: *o
      match: {prefix: /w, headers: [{name: x-forwarded-proto, string_match: {exact: https}}]}
    - {match: {prefix: /w, headers: [{name: ":path", string_match: {suffix: /end}}]}, route: *o, name: path}
    - {match: {prefix: /w, headers: [{name: expect, present_match: true}]}, route: *o, name: expect}
    - {match: {prefix: /w, headers: [{name: te, present_match: true}]}, route: *o, name: te}
    - name: not-absent
      route: *o
      match: {prefix: /w, headers: [{name: x-i, present_match: false, invert_match: true}]}
    - name: missing-as-empty
      route: *o
      match:
        prefix: /w
        headers:
        - {name: x-m, string_match: {exact: ""}, treat_missing_header_as_empty: true}
        - {name: x-go2, present_match: true}
    - {match: {path: /e%20x}, route: *o, name: escape}
    - {match: {prefix: "/p?"}, route: *o, name: prefix-with-query}
    - {match: {path: "/q?x"}, route: *o, name: path-with-query}
    - {match: {prefix: relative}, route: *o, name: relative}
    - {match: {prefix: ""}, direct_response: {status: 299}, name: rest}
""",
}  # fmt: skip


def _host(host: str, path: str = "/") -> Case:
    return case(f"odd-domains-{host}{path}", get(path, host=host), listener="odd-domains")


def _match(name: str, target: str, *lines: str) -> Case:
    return case(f"odd-matchers-{name}", get(target, *lines), listener="odd-matchers")


def _other(name: str, text: str) -> Case:
    return case(f"odd-matchers-{name}", text, listener="odd-matchers")


CASES = (
    *(_host(host) for host in (
        "a.example", "A2.example:80", "a2.example", "x.a.example:81", "x.a.example:82", "x.a.example",
        "xa.example", "a.exampl", "a.exam", "a.org", "a.", "[2001:db8::1]", "z.example:8443", "z.org:8443",
        "none.org", "a.example:81", "a.example:8443", "a.example.",
    )),
    *(_host(host, "/only") for host in ("[2001:db8::1]:8080", "[2001:DB8::2]", "z.org:8443")),
    _match("space", "/w?a%20b=1"),
    _match("space-plus", "/w?a+b=1"),
    _match("utf-8", "/w?%C3%A9"),
    _match("utf-8-raw", "/w?\xc3\xa9"),
    _match("suffix", "/w?s=xz"),
    _match("suffix-escaped", "/w?s=x%7A"),
    _match("contains", "/w?c=amidst"),
    _match("empty", "/w?e="),
    _match("empty-no-value", "/w?e"),
    _match("absent-and-present", "/w?y", "x-h: 1"),
    _match("absent-and-present-not", "/w?x", "x-h: 1"),
    _match("below-0", "/w", "x-r: -1"),
    _match("below-0-start", "/w", "x-r:  -10 "),
    _match("below-0-end", "/w", "x-r: 0"),
    _match("below-0-far", "/w", "x-r: -99999999999999999999"),
    _match("prefix-fold", "/w", "x-p: aBc"),
    _match("suffix-fold", "/w", "x-s: xyZ"),
    _match("contains-fold", "/w", "x-c: amidst"),
    _match("regex-not", "/w", "x-e: abd"),
    _match("regex-not-not", "/w", "x-e: abc"),
    _match("range-not-missing", "/w", "x-go: 1"),
    _match("range-not-inside", "/w", "x-go: 1", "x-n: 2"),
    _match("range-not-outside", "/w", "x-go: 1", "x-n: 5"),
    _match("range-not-no-number", "/w", "x-go: 1", "x-n: x"),
    _match("old-exact", "/w", "x-old: v"),
    _match("old-prefix", "/w", "x-older: vv"),
    _match("cookie-second", "/w", "cookie: b=2", "cookie: a=1"),
    _match("connection", "/w", "connection: keep-alive"),
    _match("id", "/w", "x-request-id: mine"),
    _match("proto", "/w", "x-forwarded-proto: https"),
    _match("path", "/w/end"),
    _match("path-query", "/w?a=/end"),
    _match("te", "/w", "te: trailers"),
    _match("te-other", "/w", "te: gzip"),
    _match("not-absent", "/w", "x-i: 1"),
    _match("missing-as-empty", "/w", "x-go2: 1"),
    _match("missing-as-empty-is", "/w", "x-go2: 1", "x-m:"),
    _match("escape", "/e%20x"),
    _match("escape-other-case", "/e%20X"),
    _match("prefix-with-query", "/p?x"),
    _match("path-with-query", "/q?x"),
    _match("relative", "/relative"),
    _other("length", post("/w", "abc")),
    _other("length-zero", request("POST", "/w", "content-length: 0")),
    _other("coding", request("POST", "/w", "transfer-encoding: chunked", body="0\r\n\r\n")),
    _other("expect", request("POST", "/w", "expect: 100-continue", "content-length: 0")),
    _other("absolute-https", get("https://h.example/w")),
    _other("absolute-no-path", get("http://h.example")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
