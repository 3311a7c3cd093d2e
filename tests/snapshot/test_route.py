"""What a route changes about requests and answers, with the results that Envoy 1.40 gave."""

from typing import Any

import msgspec
import pytest

from proxyd.codec.headers import Headers
from proxyd.config.route import RouteConfiguration
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.route import Route
from proxyd.snapshot.router import compile_router

APPEND, OVERWRITE = 0, 2


def regex(pattern: str, substitution: str) -> dict[str, Any]:
    return {"pattern": {"regex": pattern}, "substitution": substitution}


def add(name: str, value: str, action: int = APPEND) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


def level(name: str) -> dict[str, Any]:
    to_add = [add("all", name), add("last", name, OVERWRITE)]
    return {"request_headers_to_add": to_add, "response_headers_to_add": to_add}


def request(path: str, headers: dict[str, str] | None = None, authority: str = "h.example:80") -> StreamInfo:
    info = StreamInfo()
    info.method, info.path, info.authority = b"GET", path.encode(), authority.encode()
    info.request_headers = Headers([(k.encode(), v.encode()) for k, v in (headers or {}).items()])
    return info


def route_of(info: StreamInfo, route: dict[str, Any], host: dict[str, Any], table: dict[str, Any]) -> Route:
    routes = [{"match": {"prefix": "/p"}, **route}]
    config = {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes, **host}], **table}
    router = compile_router(msgspec.convert(config, RouteConfiguration))
    found = router.match(info.authority, info.path, b"GET", b"http", info.request_headers)
    assert found is not None
    return found


def sent(info: StreamInfo, action: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The request as it leaves: its path, its host and its headers."""
    route = {"route": {"cluster": "c", **action}, **more.pop("route", {})}
    found = route_of(info, route, more.pop("host", {}), more)
    assert found.changes_request
    found.finalize_request(info)
    fields: dict[str, Any] = {}
    for name, value in info.request_headers.items:
        fields.setdefault(name.decode(), []).append(value.decode())
    return {"path": info.path.decode(), "host": info.authority.decode(), **fields}


def test_levels_from_the_most_specific_to_the_least() -> None:
    weight = {"clusters": [{"name": "a", "weight": 1, **level("weight")}]}
    info = request("/p")
    found = route_of(
        info, {"route": {"weighted_clusters": weight}, **level("route")}, level("host"), level("table")
    )
    found.finalize_request(info)
    found.finalize_response(info)
    levels = [b"weight", b"route", b"host", b"table"]
    for headers in (info.request_headers, info.response_headers):
        assert headers.get_all(b"all") == levels
        assert headers.get_all(b"last") == [b"table"]


def test_levels_from_the_least_specific_to_the_most() -> None:
    weight = {"clusters": [{"name": "a", "weight": 1, **level("weight")}]}
    info = request("/p")
    table = {"most_specific_header_mutations_wins": True, **level("table")}
    found = route_of(info, {"route": {"weighted_clusters": weight}, **level("route")}, level("host"), table)
    found.finalize_request(info)
    found.finalize_response(info)
    levels = [b"weight", b"table", b"host", b"route"]
    for headers in (info.request_headers, info.response_headers):
        assert headers.get_all(b"all") == levels
        assert headers.get_all(b"last") == [b"route"]


def test_a_route_without_changes_costs_nothing() -> None:
    found = route_of(request("/p"), {"route": {"cluster": "c"}}, {}, {})
    assert not found.changes_request
    assert found.response_mutations == ()


@pytest.mark.parametrize(
    ("action", "path", "rewritten"),
    [
        ({"prefix_rewrite": "/n"}, "/p/a?q", "/n/a?q"),
        ({"regex_rewrite": regex("^/p/(.*)/(.*)$", r"/\2/\1")}, "/p/a/b?q=/p", "/b/a?q=/p"),
        ({"regex_rewrite": regex("p", "x")}, "/p/pp?p", "/x/xx?p"),
        ({"regex_rewrite": regex("nothing", "x")}, "/p?q", "/p?q"),
    ],
)
def test_a_rewritten_path_tells_the_original_one(action: dict[str, Any], path: str, rewritten: str) -> None:
    info = request(path, {"x-envoy-original-path": "forged"})
    if rewritten == path:
        assert "x-envoy-original-path" in sent(info, action)
        assert info.original_path in (b"", path.encode())
        return
    assert sent(info, action) == {"path": rewritten, "host": "h.example:80", "x-envoy-original-path": [path]}
    assert info.original_path == path.encode()


def test_nothing_is_rewritten_to_an_empty_path() -> None:
    assert sent(request("/p?q"), {"regex_rewrite": regex(".*", "")}) == {
        "path": "/p?q",
        "host": "h.example:80",
    }


@pytest.mark.parametrize(
    ("action", "headers", "host"),
    [
        ({"host_rewrite_literal": "new"}, {}, "new"),
        ({"host_rewrite_literal": "h.example:80"}, {}, "h.example:80"),
        ({"host_rewrite_header": "X-Host"}, {"x-host": "new"}, "new"),
        ({"host_rewrite_header": ":path"}, {}, "/p/foo/b?c"),
        ({"host_rewrite_path_regex": regex("^/p/(.+)/.*$", r"\1.x")}, {}, "foo.x"),
        ({"host_rewrite_path_regex": regex("nothing", "x")}, {}, "/p/foo/b"),
    ],
)
def test_a_rewritten_host_tells_the_original_one(
    action: dict[str, Any], headers: dict[str, str], host: str
) -> None:
    found = sent(request("/p/foo/b?c", headers), {**action, "append_x_forwarded_host": True})
    assert found["host"] == host
    assert found["x-envoy-original-host"] == ["h.example:80"]
    assert found["x-forwarded-host"] == ["h.example:80"]


@pytest.mark.parametrize("headers", [{}, {"x-host": ""}])
def test_a_header_that_is_missing_rewrites_no_host(headers: dict[str, str]) -> None:
    found = sent(request("/p", headers), {"host_rewrite_header": "x-host", "append_x_forwarded_host": True})
    assert found["host"] == "h.example:80"
    assert "x-envoy-original-host" not in found
    assert "x-forwarded-host" not in found


@pytest.mark.parametrize(
    ("so_far", "then"),
    [
        ("q", "q,h.example:80"),
        ("z,h.example:80", "z,h.example:80"),
        ("h.example:80,z", "h.example:80,z,h.example:80"),
    ],
)
def test_x_forwarded_host_names_the_same_host_once(so_far: str, then: str) -> None:
    action = {"host_rewrite_literal": "new", "append_x_forwarded_host": True}
    assert sent(request("/p", {"x-forwarded-host": so_far}), action)["x-forwarded-host"] == [then]


def test_the_host_of_a_cluster_weight_leaves_no_trace() -> None:
    cluster = {"name": "a", "weight": 1, "host_rewrite_literal": "weight"}
    action = {"weighted_clusters": {"clusters": [cluster]}, "append_x_forwarded_host": True}
    info = request("/p")
    route_of(info, {"route": action}, {}, {}).finalize_request(info)
    assert (info.authority, info.request_headers.items) == (b"weight", [])
    info = request("/p")
    route_of(info, {"route": {**action, "host_rewrite_literal": "route"}}, {}, {}).finalize_request(info)
    assert info.authority == b"route"
    assert info.request_headers.get(b"x-envoy-original-host") == b"weight"
    assert info.request_headers.get(b"x-forwarded-host") == b"weight"


def test_headers_are_changed_before_host_and_path() -> None:
    changes = {
        "request_headers_to_add": [
            add("seen", "%REQ(:AUTHORITY)% %REQ(:PATH)%"),
            add("x-host", "made.example", OVERWRITE),
        ]
    }
    action = {"prefix_rewrite": "/n", "host_rewrite_header": "x-host"}
    assert sent(request("/p", {"x-host": "old"}), action, route=changes) == {
        "path": "/n",
        "host": "made.example",
        "x-host": ["made.example"],
        "seen": ["h.example:80 /p"],
        "x-envoy-original-host": ["h.example:80"],
        "x-envoy-original-path": ["/p"],
    }


def test_a_header_names_the_cluster() -> None:
    route = {"route": {"cluster_header": "X-C"}}
    for headers, cluster in (({"x-c": "b"}, "b"), ({}, "")):
        info = request("/p", headers)
        assert route_of(info, route, {}, {}).cluster_name(info) == cluster
    info = request("/p")
    assert (
        route_of(info, {"route": {"cluster_header": ":authority"}}, {}, {}).cluster_name(info)
        == "h.example:80"
    )
    assert route_of(info, {"route": {"cluster_header": "host"}}, {}, {}).cluster_name(info) == ""


@pytest.mark.parametrize(
    ("value", "cluster"),
    [("0", "a"), ("9", "a"), ("10", "b"), ("19", "b"), ("20", "a"), (" 10 ", "b"), (str((1 << 64) - 1), "b")],
)
def test_a_header_decides_among_clusters(value: str, cluster: str) -> None:
    clusters = [{"name": "a", "weight": 10}, {"name": "b", "weight": 10}]
    action = {"weighted_clusters": {"clusters": clusters, "header_name": "X-R"}}
    assert route_of(request("/p", {"x-r": value}), {"route": action}, {}, {}).cluster == cluster


@pytest.mark.parametrize("value", ["", "x", "-1", "1.0", "1_0", str(1 << 64)])
def test_what_is_no_number_decides_nothing(value: str) -> None:
    clusters = [{"name": "a", "weight": 1}, {"name": "b", "weight": 0}]
    action = {"weighted_clusters": {"clusters": clusters, "header_name": "x-r"}}
    assert route_of(request("/p", {"x-r": value}), {"route": action}, {}, {}).cluster == "a"


def test_max_stream_duration_takes_the_place_of_the_timeout() -> None:
    action = {"cluster": "c", "timeout": 3.0, "max_stream_duration": {"max_stream_duration": 2.0}}
    found = route_of(request("/p"), {"route": action}, {}, {})
    assert (found.timeout, found.max_stream_duration) == (0.0, 2.0)
    found = route_of(request("/p"), {"route": {"cluster": "c", "max_stream_duration": {}}}, {}, {})
    assert (found.timeout, found.max_stream_duration) == (0.0, -1.0)


@pytest.mark.parametrize(
    ("redirect", "location", "path"),
    [
        ({"regex_rewrite": regex("^/p/(.*)$", r"/to/\1"), "strip_query": True}, "/to/a/b", "/to/a/b?q"),
        ({"regex_rewrite": regex("/p", "/to")}, "/to/a/b?q", "/to/a/b?q"),
        ({"regex_rewrite": regex(".*", "")}, "/p/a/b?q", "/p/a/b?q"),
        ({"prefix_rewrite": "new"}, "/new/a/b?q", "new/a/b?q"),
        ({"path_redirect": "/n"}, "/n?q", "/p/a/b?q"),
        ({}, "/p/a/b?q", "/p/a/b?q"),
    ],
)
def test_redirects_and_the_path_that_is_logged(redirect: dict[str, Any], location: str, path: str) -> None:
    info = request("/p/a/b?q", authority="h")
    found = route_of(info, {"redirect": redirect}, {}, {})
    assert found.take_location(info) == b"http://h" + location.encode()
    assert info.path == path.encode()
    assert info.original_path == (b"" if path == "/p/a/b?q" else b"/p/a/b?q")


@pytest.mark.parametrize(
    ("status", "location"),
    [(200, b""), (201, b"http://h/p?q"), (302, b"http://h/p?q"), (304, b"http://h/p?q"), (404, b"")],
)
def test_some_direct_responses_have_a_location(status: int, location: bytes) -> None:
    info = request("/p?q", authority="h")
    assert route_of(info, {"direct_response": {"status": status}}, {}, {}).take_location(info) == location
