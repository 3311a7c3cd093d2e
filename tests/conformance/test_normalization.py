"""Options that change paths, authorities and fields before anything is routed."""

import pytest

from tests.conformance.case import Case, case, get, request
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: named
    domains: [h.example]
    routes: [{match: {prefix: /}, route: &o {cluster: origin}, name: named}]
  - {name: rest, domains: ["*"], routes: [{match: {prefix: /}, route: *o, name: rest}]}
"""

_PATHS = (
    "/a/../b",
    "/a/./b/",
    "/a/b/..",
    "/..",
    "/../../a",
    "/a//b",
    "//a",
    "/a///b//",
    "/%61%2e%2E/b",
    "/a%2Fb",
    "/a%2fb?c%2fd",
    "/a%5Cb",
    "/a\\b",
    "/a/%2e%2e/b",
    "/a?b=/../c//d",
    "/%7Ea/%7eb",
    "/%zz",
    "/%",
    "/a%00b",
    "/a;b=1/../c",
    "/.../a",
    "/a/..b",
    "/a%20b",
    "/%C3%A9",
)

_HOSTS = (
    "h.example",
    "h.example:80",
    "h.example:443",
    "h.example:8080",
    "h.example.",
    "h.example.:80",
    "[::1]:80",
    "[::1]",
    "h.example:",
    "h.example:x",
)

LISTENERS = {
    "normalized": _ROUTES + "normalize_path: true\n",
    "merged": _ROUTES + "merge_slashes: true\n",
    "normalized-merged": _ROUTES + "normalize_path: true\nmerge_slashes: true\n",
    "slashes-rejected": _ROUTES + "path_with_escaped_slashes_action: REJECT_REQUEST\n",
    "slashes-redirected": _ROUTES + "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT\n",
    "slashes-forwarded": _ROUTES
    + "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD\nnormalize_path: true\nmerge_slashes: true\n",
    "own-port-stripped": _ROUTES + "strip_matching_host_port: true\n",
    "any-port-stripped": _ROUTES + "strip_any_host_port: true\n",
    "dot-stripped": _ROUTES + "strip_trailing_host_dot: true\n",
    "dot-and-port-stripped": _ROUTES + "strip_trailing_host_dot: true\nstrip_any_host_port: true\n",
    "underscores-rejected": _ROUTES
    + "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}\n",
    "underscores-dropped": _ROUTES
    + "common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}\n",
}


def _paths(listener: str) -> tuple[Case, ...]:
    return tuple(case(f"{listener}-{path}", get(path), listener=listener) for path in _PATHS)


def _hosts(listener: str) -> tuple[Case, ...]:
    return tuple(case(f"{listener}-{host}", get("/", host=host), listener=listener) for host in _HOSTS)


def _underscores(listener: str) -> tuple[Case, ...]:
    return (
        case(f"{listener}-one", get("/", "x_y: 1", "x-y: 2"), listener=listener),
        case(f"{listener}-none", get("/", "x-y: 2"), listener=listener),
        case(f"{listener}-first", get("/", "_x: 1"), listener=listener),
        case(f"{listener}-value", get("/", "x-y: a_b"), listener=listener),
        case(
            f"{listener}-length",
            request("POST", "/", "content_length: 1", "content-length: 2", body="ab"),
            listener=listener,
        ),
    )


CASES = (
    *_paths("normalized"),
    *_paths("merged"),
    *_paths("normalized-merged"),
    *_paths("slashes-rejected"),
    *_paths("slashes-redirected"),
    *_paths("slashes-forwarded"),
    *_hosts("own-port-stripped"),
    *_hosts("any-port-stripped"),
    *_hosts("dot-stripped"),
    *_hosts("dot-and-port-stripped"),
    *_underscores("underscores-rejected"),
    *_underscores("underscores-dropped"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
