"""Redirects with several options at once, odd values of them, and headers changed beside the location."""

import pytest

from tests.conformance.case import Case, case, get, request
from tests.conformance.conftest import Agree

LISTENERS = {
    "redirect-options": r"""
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    response_headers_to_add: [{header: {key: x-host, value: "%RESPONSE_CODE%"}}]
    routes:
    - {match: {prefix: /scheme-port}, redirect: {scheme_redirect: https, port_redirect: 8443}}
    - {match: {prefix: /scheme-capitals}, redirect: {scheme_redirect: HTTPS}}
    - {match: {prefix: /https-host}, redirect: {https_redirect: true, host_redirect: n.example}}
    - {match: {prefix: /https-80}, redirect: {https_redirect: true, port_redirect: 80}}
    - {match: {prefix: /port-443}, redirect: {port_redirect: 443}}
    - {match: {prefix: /host-empty}, redirect: {host_redirect: "", path_redirect: /x}}
    - {match: {prefix: /host-ipv6}, redirect: {host_redirect: "[::2]"}}
    - {match: {prefix: /host-and-port}, redirect: {host_redirect: "n.example:81", port_redirect: 82}}
    - {match: {prefix: /path-relative}, redirect: {path_redirect: relative/x}}
    - {match: {prefix: /path-fragment}, redirect: {path_redirect: "/x#fragment"}}
    - {match: {prefix: /path-query}, redirect: {path_redirect: "/new?x=1", strip_query: true}}
    - {match: {prefix: /path-only-query}, redirect: {path_redirect: "?x=1"}}
    - {match: {prefix: /prefix-empty/}, redirect: {prefix_rewrite: ""}}
    - {match: {prefix: /prefix-query}, redirect: {prefix_rewrite: "/n?z=1"}}
    - {match: {path: /exact}, redirect: {prefix_rewrite: /q, strip_query: true}}
    - {match: {path_separated_prefix: /parted}, redirect: {prefix_rewrite: /}}
    - {match: {prefix: /Fold, case_sensitive: false}, redirect: {prefix_rewrite: /f}}
    - {match: {safe_regex: {regex: "/expression/.*"}}, redirect: {prefix_rewrite: /n}}
    - match: {prefix: /regex-strip}
      redirect: {regex_rewrite: {pattern: {regex: a}, substitution: b}, strip_query: true}
    - match: {prefix: /regex-none}
      redirect: {regex_rewrite: {pattern: {regex: zzz}, substitution: b}}
    - match: {prefix: /regex-host}
      redirect:
        host_redirect: r.example
        regex_rewrite: {pattern: {regex: "^/regex-host/(\\d+)/(\\w+)"}, substitution: "/\\2?id=\\1"}
    - match: {prefix: /location-changed}
      redirect: {path_redirect: /n}
      response_headers_to_add:
      - {header: {key: location, value: /other}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - match: {prefix: /location-removed}
      redirect: {path_redirect: /n}
      response_headers_to_remove: [location, x-host]
    - match: {prefix: /location-told}
      redirect: {path_redirect: /n}
      response_headers_to_add:
      - {header: {key: x-location, value: "%RESP(location)%"}}
      - {header: {key: x-path, value: "%REQ(:path)%"}}
    - {match: {prefix: /}, redirect: {host_redirect: rest.example}}
"""
}


def _case(name: str, text: str) -> Case:
    return case(f"redirect-options-{name}", text, listener="redirect-options")


def _get(name: str, target: str, *lines: str, host: str = "h.example") -> Case:
    return _case(name, get(target, *lines, host=host))


CASES = (
    _get("scheme-port", "/scheme-port"),
    _get("scheme-capitals", "/scheme-capitals"),
    _get("scheme-capitals-port-80", "/scheme-capitals", host="h.example:80"),
    _get("https-host-port-80", "/https-host", host="h.example:80"),
    _get("https-80", "/https-80"),
    _get("port-443", "/port-443"),
    _get("port-443-of-https", "/port-443", "x-forwarded-proto: https"),
    _get("host-empty", "/host-empty/a?q"),
    _get("host-ipv6", "/host-ipv6/a"),
    _get("host-ipv6-port", "/host-ipv6/a", host="[::1]:81"),
    _get("host-and-port", "/host-and-port"),
    _get("path-relative", "/path-relative?q"),
    _get("path-fragment", "/path-fragment?q"),
    _get("path-query", "/path-query?q=1"),
    _get("path-only-query", "/path-only-query?q"),
    _get("prefix-empty", "/prefix-empty/a/b?q"),
    _get("prefix-query", "/prefix-query/a?b"),
    _get("exact", "/exact?a"),
    _get("parted", "/parted/a/b?c"),
    _get("parted-alone", "/parted?c"),
    _get("fold", "/fOLd/x?y"),
    _get("expression", "/expression/x?y"),
    _get("regex-strip", "/regex-strip/aa?aa"),
    _get("regex-none", "/regex-none?q"),
    _get("regex-host", "/regex-host/12/ab?c=d"),
    _get("location-changed", "/location-changed"),
    _get("location-removed", "/location-removed"),
    _get("location-told", "/location-told?a"),
    _get("rest", "/a//b/../c?c=d%20e"),
    _get("rest-port", "/a", host="h.example:99"),
    _get("rest-empty-query", "/?"),
    _get("rest-fragment", "/a#x"),
    _case("options", request("OPTIONS", "/parted")),
    _case("absolute", get("http://abs.example:8080/port-443?z")),
    _case("chunked", request("POST", "/x", "transfer-encoding: chunked", body="3\r\nabc\r\n0\r\n\r\n")),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
