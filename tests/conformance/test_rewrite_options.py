"""Rewrites of every kind beside each other, clusters by header and weight, what internal clients command."""

import pytest

from tests.conformance.case import OK, Case, answer, case, get, request
from tests.conformance.conftest import Agree

_ROUTES = r"""
route_config:
  virtual_hosts:
  - name: external
    domains: [external.example, "external.example:81"]
    require_tls: EXTERNAL_ONLY
    routes: [{match: {prefix: /}, route: {cluster: origin}}]
  - name: all
    domains: ["*"]
    request_headers_to_add:
    - {header: {key: x-original, value: "%REQ(x-envoy-original-path)%"}}
    - {header: {key: x-path, value: "%REQ(:path)%"}}
    - {header: {key: x-authority, value: "%REQ(:authority)%"}}
    routes:
    - match: {prefix: /literal}
      route:
        cluster: origin
        host_rewrite_literal: new.example
        append_x_forwarded_host: true
        prefix_rewrite: /n
    - match: {prefix: /of-header}
      route: {cluster: origin, host_rewrite_header: x-h, append_x_forwarded_host: true}
    - match: {prefix: /of-path}
      route:
        cluster: origin
        host_rewrite_path_regex: {pattern: {regex: "^/of-path/(.+)/.*$"}, substitution: "\\1.example"}
        append_x_forwarded_host: true
        prefix_rewrite: /zz
    - match: {prefix: /to-query}
      route:
        cluster: origin
        regex_rewrite: {pattern: {regex: "^/to-query(/.*)?$"}, substitution: "/n?add=\\1"}
    - match: {prefix: /gone/}
      route: {cluster: origin, regex_rewrite: {pattern: {regex: /gone/}, substitution: ""}}
    - match: {prefix: /all-gone}
      route: {cluster: origin, regex_rewrite: {pattern: {regex: "^.*$"}, substitution: ""}}
    - match: {prefix: /between}
      route: {cluster: origin, regex_rewrite: {pattern: {regex: "x*"}, substitution: "-"}}
    - match: {prefix: /backslash}
      route: {cluster: origin, regex_rewrite: {pattern: {regex: b}, substitution: "\\\\"}}
    - match: {prefix: /utf-8}
      route: {cluster: origin, regex_rewrite: {pattern: {regex: é}, substitution: e}}
    - {match: {safe_regex: {regex: "/whole/[a-z]+/x"}}, route: {cluster: origin, prefix_rewrite: /new}}
    - {match: {prefix: /queried}, route: {cluster: origin, prefix_rewrite: "/n?z=1"}}
    - {match: {prefix: /slashes}, route: {cluster: origin, prefix_rewrite: /a//b/}}
    - {match: {path_separated_prefix: /parted}, route: {cluster: origin, prefix_rewrite: /}}
    - {match: {path: /exact, case_sensitive: false}, route: {cluster: origin, prefix_rewrite: /new}}
    - match: {prefix: /by-number}
      route:
        weighted_clusters:
          {header_name: x-w, clusters: [{name: origin, weight: 3}, {name: kept, weight: 7}]}
    - match: {prefix: /no-weight}
      route: {weighted_clusters: {clusters: [{name: origin, weight: 0}, {name: kept, weight: 1}]}}
    - match: {prefix: /weight-host}
      route:
        weighted_clusters: {clusters: [{name: origin, weight: 1, host_rewrite_literal: w.example}]}
        prefix_rewrite: /x
        host_rewrite_literal: outer.example
    - match: {prefix: /cluster}
      route: {cluster_header: x-c, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}
    - match: {prefix: /authority}
      route: {cluster_header: ":authority", cluster_not_found_response_code: NOT_FOUND}
    - {match: {prefix: /brief}, route: {cluster: origin, timeout: 0.2s}}
    - {match: {prefix: /}, route: {cluster: origin}}
"""

LISTENERS = {
    "rewrites": _ROUTES,
    "rewrites-internal": _ROUTES
    + "use_remote_address: true\n"
    + "internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}\n",
    "rewrites-normalized": _ROUTES
    + "normalize_path: true\nmerge_slashes: true\nstrip_any_host_port: true\n"
    + "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT\n",
}
_LATE = answer(0.3, OK)


def _of(listener: str) -> tuple[Case, ...]:
    def asked(name: str, target: str, *lines: str, host: str = "h.example", **more: object) -> Case:
        return case(f"{listener}-{name}", get(target, *lines, host=host), listener=listener, **more)

    return (
        asked("literal", "/literal/a?b"),
        asked("literal-list", "/literal/a?b", "x-forwarded-host: one, two"),
        asked("literal-empty", "/literal", "x-forwarded-host:"),
        asked("of-header", "/of-header", "x-h: new.example", "x-forwarded-host: a"),
        asked("of-header-missing", "/of-header"),
        asked("of-header-twice", "/of-header", "x-h: a", "x-h: b"),
        asked("of-path", "/of-path/foo/bar?q"),
        asked("of-path-not", "/of-path/foo?q"),
        asked("to-query", "/to-query/a?b=c"),
        asked("to-query-alone", "/to-query?b=c"),
        asked("gone", "/gone/a/gone/b?/gone/"),
        asked("all-gone", "/all-gone?q"),
        asked("between", "/between/x?q"),
        asked("backslash", "/backslash?b"),
        asked("utf-8", "/utf-8/\xc3\xa9\xe9?q"),
        asked("whole", "/whole/abc/x?y"),
        asked("queried", "/queried/a?b"),
        asked("slashes", "/slashes//c?d"),
        asked("parted", "/parted/a?x"),
        asked("parted-alone", "/parted?x"),
        asked("exact", "/EXACT?q=1"),
        asked("exact-claimed", "/exact", "x-envoy-original-path: /mine"),
        *(asked(f"number-{n}", "/by-number", f"x-w: {n}") for n in ("0", "2", "3", "9", "10", "25", "007")),
        asked("no-weight", "/no-weight"),
        asked("weight-host", "/weight-host/a"),
        asked("cluster", "/cluster", "x-c: origin", "x-c: kept"),
        asked("cluster-unknown", "/cluster", "x-c: nope"),
        asked("cluster-empty", "/cluster", "x-c:"),
        asked("authority", "/authority", host="origin"),
        asked("authority-port", "/authority", host="origin:80"),
        asked("external", "/a?b", host="external.example"),
        asked("external-port", "/a", host="external.example:81"),
        asked("external-https", "/a", "x-forwarded-proto: https", host="external.example"),
        asked("external-claimed", "/a", "x-envoy-internal: true", host="external.example"),
        asked("external-forwarded", "/a", "x-forwarded-for: 127.0.0.9", host="external.example"),
        asked("dots", "/a/..//literal/%2e%2e/literal"),
        asked("escaped", "/a%2Fb?c=%2F"),
        asked("escaped-backslash", "/a%5cb"),
        asked("only-slashes", "//"),
        asked("bad-escape", "/a//%zz/../b", host="h.example:90"),
        case(
            f"{listener}-escaped-grpc",
            request("POST", "/a%2fb", "content-type: application/grpc", "content-length: 0"),
            listener=listener,
        ),
    )


def _command(name: str, *lines: str, **more: object) -> Case:
    return case(f"command-{name}", get("/brief", *lines), listener="rewrites-internal", **more)


_ALL = "x-envoy-upstream-rq-timeout-ms"
_TRY = "x-envoy-upstream-rq-per-try-timeout-ms"

CASES = (
    *(case for listener in LISTENERS for case in _of(listener)),
    _command("all-shorter", f"{_ALL}: 50", answer=_LATE),
    _command("all-longer", f"{_ALL}: 900", answer=_LATE),
    _command("all-none", f"{_ALL}: 0", answer=_LATE),
    *(_command(f"all-{text}", f"{_ALL}: {text}") for text in ("-1", "5x", "5.5", " 500 ", "9" * 20)),
    _command("all-twice", f"{_ALL}: 500", f"{_ALL}: 600"),
    _command("try-shorter", f"{_TRY}: 50", answer=_LATE),
    _command("try-longer", f"{_TRY}: 5000"),
    _command("try-none", f"{_TRY}: 0"),
    _command("both", f"{_ALL}: 300", f"{_TRY}: 100"),
    _command("all-none-and-try", f"{_ALL}: 0", f"{_TRY}: 100"),
    _command("expected", "x-envoy-expected-rq-timeout-ms: 77"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
