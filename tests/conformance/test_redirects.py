"""Redirects and direct responses: status, location in all its parts, bodies."""

import pytest

from tests.conformance.case import Case, case, get, post, request
from tests.conformance.conftest import Agree

LISTENERS = {
    "redirects": """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /https}, redirect: {https_redirect: true}}
    - {match: {prefix: /scheme}, redirect: {scheme_redirect: ftp}}
    - {match: {prefix: /same-scheme}, redirect: {scheme_redirect: http, host_redirect: x.example}}
    - {match: {prefix: /host}, redirect: {host_redirect: new.example}}
    - {match: {prefix: /hostport}, redirect: {host_redirect: "new.example:81"}}
    - {match: {prefix: /port}, redirect: {port_redirect: 8443}}
    - {match: {prefix: /default-port}, redirect: {https_redirect: true, port_redirect: 443}}
    - {match: {prefix: /plain-default-port}, redirect: {port_redirect: 80}}
    - {match: {prefix: /path/query}, redirect: {path_redirect: "/new?x=1"}}
    - {match: {prefix: /path}, redirect: {path_redirect: /new}}
    - {match: {prefix: /prefix}, redirect: {prefix_rewrite: /new}}
    - {match: {prefix: /shorter/}, redirect: {prefix_rewrite: /}}
    - {match: {path: /exact}, redirect: {prefix_rewrite: /whole}}
    - {match: {path_separated_prefix: /sep}, redirect: {prefix_rewrite: /parted}}
    - {match: {prefix: /strip}, redirect: {path_redirect: /new, strip_query: true}}
    - {match: {prefix: /strip-prefix}, redirect: {prefix_rewrite: /new, strip_query: true}}
    - {match: {prefix: /301}, redirect: {path_redirect: /new, response_code: MOVED_PERMANENTLY}}
    - {match: {prefix: /302}, redirect: {path_redirect: /new, response_code: FOUND}}
    - {match: {prefix: /303}, redirect: {path_redirect: /new, response_code: SEE_OTHER}}
    - {match: {prefix: /307}, redirect: {path_redirect: /new, response_code: TEMPORARY_REDIRECT}}
    - {match: {prefix: /308}, redirect: {path_redirect: /new, response_code: PERMANENT_REDIRECT}}
    - match: {prefix: /everything}
      redirect:
        https_redirect: true
        host_redirect: n.example
        port_redirect: 44
        prefix_rewrite: /n
        response_code: FOUND
        strip_query: true
    - {match: {prefix: /nothing}, redirect: {}}
    - name: text
      match: {prefix: /direct/text}
      direct_response: {status: 200, body: {inline_string: "hello\\n"}}
    - {match: {prefix: /direct/bytes}, direct_response: {status: 404, body: {inline_bytes: AAEC}}}
    - {match: {prefix: /direct/none}, direct_response: {status: 503}}
    - {match: {prefix: /direct/204}, direct_response: {status: 204}}
    - {match: {prefix: /direct/304}, direct_response: {status: 304}}
    - {match: {prefix: /direct/205}, direct_response: {status: 205}}
    - {match: {prefix: /direct/302}, direct_response: {status: 302, body: {inline_string: x}}}
    - {match: {prefix: /direct/418}, direct_response: {status: 418}}
    - {match: {prefix: /direct/599}, direct_response: {status: 599}}
    - {match: {prefix: /direct/204-body}, direct_response: {status: 204, body: {inline_string: body}}}
"""
}  # fmt: skip


def _redirect(name: str, target: str, *lines: str, host: str = "h.example") -> Case:
    return case(f"redirect-{name}", get(target, *lines, host=host), listener="redirects")


def _direct(name: str, text: str) -> Case:
    return case(f"direct-{name}", text, listener="redirects")


CASES = (
    _redirect("https", "/https/a?b=c"),
    _redirect("https-port-80", "/https", host="h.example:80"),
    _redirect("https-port-443", "/https", host="h.example:443"),
    _redirect("https-port-8080", "/https", host="h.example:8080"),
    _redirect("https-ipv6", "/https", host="[::1]"),
    _redirect("https-ipv6-port-80", "/https", host="[::1]:80"),
    _redirect("https-ipv6-port", "/https", host="[::1]:81"),
    _redirect("https-upper-case-host", "/https", host="H.Example"),
    _redirect("https-forwarded", "/https", "x-forwarded-proto: https"),
    _redirect("https-forwarded-port-443", "/https", "x-forwarded-proto: https", host="h.example:443"),
    _redirect("https-bad-port", "/https", host="h.example:x"),
    _redirect("https-absolute", "http://abs.example/https"),
    _redirect("https-absolute-https", "https://abs.example/https"),
    _redirect("scheme", "/scheme/a"),
    _redirect("scheme-port-80", "/scheme/a", host="h.example:80"),
    _redirect("scheme-same", "/same-scheme?x"),
    _redirect("host", "/host/a?b"),
    _redirect("host-port", "/host/a?b", host="h.example:8080"),
    _redirect("host-with-port", "/hostport"),
    _redirect("port", "/port"),
    _redirect("port-replaced", "/port", host="h.example:80"),
    _redirect("port-ipv6", "/port", host="[::1]:80"),
    _redirect("port-ipv6-none", "/port", host="[::1]"),
    _redirect("port-default", "/default-port"),
    _redirect("port-plain-default", "/plain-default-port"),
    _redirect("path", "/path/a?b=c"),
    _redirect("path-with-query", "/path/query?b=c"),
    _redirect("path-with-query-none", "/path/query"),
    _redirect("prefix", "/prefix/a?b=c"),
    _redirect("prefix-longer-word", "/prefixed?b"),
    _redirect("prefix-shorter", "/shorter/a/b?c"),
    _redirect("prefix-of-exact", "/exact?a"),
    _redirect("prefix-of-separated", "/sep/a?b"),
    _redirect("strip", "/strip/a?b"),
    _redirect("strip-prefix", "/strip-prefix/a?b"),
    _redirect("301", "/301"),
    _redirect("302", "/302"),
    _redirect("303", "/303"),
    _redirect("307", "/307"),
    _redirect("308", "/308"),
    _redirect("everything", "/everything/a?b", host="h.example:8080"),
    _redirect("nothing", "/nothing/a?b"),
    _redirect("odd-path", "/path/%0d%0aset-cookie:x"),
    _redirect("odd-prefix", "/prefix/%0d%0a'();?%22"),
    case("redirect-head", request("HEAD", "/path"), listener="redirects"),
    case("redirect-post", post("/307", "abc"), listener="redirects"),
    _direct("text", get("/direct/text?x")),
    _direct("bytes", get("/direct/bytes")),
    _direct("none", get("/direct/none")),
    _direct("204", get("/direct/204")),
    _direct("304", get("/direct/304")),
    _direct("205", get("/direct/205")),
    _direct("302", get("/direct/302")),
    _direct("418", get("/direct/418")),
    _direct("599", get("/direct/599")),
    _direct("post-to-text", post("/direct/text", "abc")),
    _direct("options", request("OPTIONS", "/direct/text")),
    _direct("close", get("/direct/text", "connection: close")),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
