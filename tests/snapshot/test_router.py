from collections import Counter
from typing import Any

import msgspec
import pytest

from proxyd.codec.headers import Headers
from proxyd.config.route import RouteConfiguration
from proxyd.snapshot import route_index
from proxyd.snapshot.route import DIRECT_RESPONSE, REDIRECT, ROUTE, Route
from proxyd.snapshot.router import Router, RouterError, compile_router
from proxyd.snapshot.runtime import Runtime


def router(*routes: dict[str, Any], domains: tuple[str, ...] = ("*",)) -> Router:
    host = {"name": "host", "domains": domains, "routes": routes}
    return compile_router(msgspec.convert({"virtual_hosts": [host]}, RouteConfiguration))


def answer(name: str, **match: Any) -> dict[str, Any]:
    return {"name": name, "match": match, "direct_response": {"status": 200}}


def match(
    table: Router, path: str, headers: dict[str, str] | None = None, authority: str = "x"
) -> Route | None:
    fields = Headers([(name.encode(), value.encode()) for name, value in (headers or {}).items()])
    return table.match(authority.encode(), path.encode(), b"GET", b"http", fields)


def name(table: Router, path: str, headers: dict[str, str] | None = None) -> str | None:
    route = match(table, path, headers)
    return None if route is None else route.name


def test_the_first_matching_route_wins() -> None:
    table = router(
        answer("header", prefix="/", headers=[{"name": "h", "string_match": {"exact": "1"}}]),
        answer("path", path="/a"),
        answer("prefix", prefix="/a"),
        answer("late", prefix="/ab"),
    )
    assert name(table, "/a", {"h": "1"}) == "header"
    assert name(table, "/a") == "path"
    assert name(table, "/abc?x") == "prefix"
    assert name(table, "/b") is None


def test_path_separated_prefix_ends_at_a_slash() -> None:
    table = router(answer("in", path_separated_prefix="/psp"), answer("out", prefix=""))
    assert [name(table, path) for path in ("/psp", "/psp/", "/psp/a", "/psp?x", "/pspa", "/ps")] == [
        "in", "in", "in", "in", "out", "out",
    ]  # fmt: skip


def test_routes_with_and_without_regard_to_case_share_a_table() -> None:
    table = router(
        answer("upper", path="/Case"),
        answer("sep", path_separated_prefix="/Sep"),
        answer("any", prefix="/case", case_sensitive=False),
        answer("any sep", path_separated_prefix="/sep", case_sensitive=False),
        answer("rest", prefix="/"),
    )
    assert name(table, "/Case?Q") == "upper"
    assert name(table, "/CASE") == "any"
    assert name(table, "/Casex") == "any"
    assert name(table, "/Sep/x") == "sep"
    assert name(table, "/SEP/x") == "any sep"
    assert name(table, "/sepx") == "rest"


@pytest.mark.parametrize(
    "header",
    [
        {"name": "h", "string_match": {"contains": "B", "ignore_case": True}},
        {"name": "h", "string_match": {"suffix": "c"}},
        {"name": "h", "exact_match": "abc"},
        {"name": "h", "prefix_match": "a"},
        {"name": "h", "suffix_match": "c"},
        {"name": "h", "contains_match": "b"},
        {"name": "h", "present_match": True},
        {"name": "H"},
        {"name": "h", "range_match": {"start": 1, "end": 2}, "invert_match": True},
        {"name": "g", "string_match": {"exact": ""}, "treat_missing_header_as_empty": True},
        {"name": "g", "present_match": False},
    ],
)
def test_every_form_of_header_matcher_is_compiled(header: dict[str, Any]) -> None:
    table = router(answer("yes", prefix="/", headers=[header]))
    assert name(table, "/", {"h": "abc"}) == "yes"
    assert (
        name(table, "/", {"h": "1", "g": "1"}) is None or header["name"] == "H" or "present_match" in header
    )


def test_query_parameters() -> None:
    table = router(
        answer("one", prefix="/", query_parameters=[{"name": "q", "string_match": {"prefix": "1"}}]),
        answer("absent", prefix="/", query_parameters=[{"name": "q", "present_match": False}]),
        answer("present", prefix="/", query_parameters=[{"name": "q"}]),
    )
    assert [name(table, path) for path in ("/?q=12", "/?a", "/?q")] == ["one", "absent", "present"]


def test_a_route_to_a_cluster() -> None:
    action = {
        "cluster": "c",
        "timeout": 0.5,
        "idle_timeout": 0.0,
        "prefix_rewrite": "/new",
        "host_rewrite_literal": "h",
        "cluster_not_found_response_code": 1,
    }
    route = match(router({"match": {"prefix": "/old"}, "route": action}), "/old/x?q")
    assert route is not None
    assert (route.action, route.cluster, route.timeout, route.idle_timeout) == (ROUTE, "c", 0.5, 0.0)
    assert (route.host_rewrite, route.auto_host_rewrite, route.not_found_status) == (b"h", False, 404)
    assert route.rewrite_path(b"/old/x?q") == b"/new/x?q"


def test_defaults_of_a_route_to_a_cluster() -> None:
    route = match(
        router({"match": {"prefix": "/"}, "route": {"cluster": "c", "auto_host_rewrite": True}}), "/p"
    )
    assert route is not None
    assert (route.timeout, route.idle_timeout, route.not_found_status) == (15.0, -1.0, 503)
    assert (route.host_rewrite, route.auto_host_rewrite) == (b"", True)
    assert route.rewrite_path(b"/p") == b""


@pytest.mark.parametrize(
    ("rule", "path", "rewritten"),
    [
        ({"path": "/a"}, "/a?q", b"/n?q"),
        ({"path_separated_prefix": "/a"}, "/a/b?q", b"/n/b?q"),
        ({"prefix": "/A", "case_sensitive": False}, "/ab", b"/nb"),
    ],
)
def test_rewrites_replace_what_was_matched(rule: dict[str, Any], path: str, rewritten: bytes) -> None:
    route = match(router({"match": rule, "route": {"cluster": "c", "prefix_rewrite": "/n"}}), path)
    assert route is not None
    assert route.rewrite_path(path.encode()) == rewritten


def test_a_redirect() -> None:
    action = {"https_redirect": True, "port_redirect": 8443, "prefix_rewrite": "/n", "response_code": 3}
    route = match(router({"match": {"prefix": "/o"}, "redirect": action}), "/o/x")
    assert route is not None
    assert (route.action, route.status) == (REDIRECT, 307)
    assert route.redirect_location(b"http", b"x:80", b"/o/x") == b"https://x:8443/n/x"


def test_a_redirect_trusts_the_forwarded_protocol_for_the_default_port() -> None:
    route = match(router({"match": {"prefix": "/"}, "redirect": {"scheme_redirect": "ftp"}}), "/")
    assert route is not None
    assert route.redirect_location(b"http", b"x:443", b"/", b"https") == b"ftp://x/"


def test_a_direct_response() -> None:
    route = match(
        router(
            {"match": {"prefix": "/"}, "direct_response": {"status": 418, "body": {"inline_string": "é"}}}
        ),
        "/",
    )
    assert route is not None
    assert (route.action, route.status, route.body) == (DIRECT_RESPONSE, 418, "é".encode())


def test_a_direct_response_is_short() -> None:
    with pytest.raises(RouterError, match=r"virtual host 'host', route 0: .* 4097 bytes; 4096 are allowed"):
        router(
            {
                "match": {"prefix": "/"},
                "direct_response": {"status": 200, "body": {"inline_string": "x" * 4097}},
            }
        )


def test_a_domain_named_twice_is_an_error() -> None:
    with pytest.raises(RouterError, match=r"virtual host 'host': the domain 'A\.com' is there already"):
        router(domains=("a.com", "A.com"))


def test_an_authority_without_virtual_host_has_no_route() -> None:
    table = router(answer("a", prefix="/"), domains=("a.com",))
    assert match(table, "/", authority="b.com") is None
    assert match(table, "/", authority="A.com") is not None


def test_expressions_stand_in_line_with_the_other_routes() -> None:
    table = router(
        answer("exact", path="/re/exact"),
        answer("first", safe_regex={"regex": "/re/.*"}, headers=[{"name": "h"}]),
        answer("prefix", prefix="/re/p"),
        answer("second", safe_regex={"regex": "/re/[a-z]+"}),
        answer("case", safe_regex={"regex": "/RE/.*"}, case_sensitive=False),
        answer("rest", prefix="/"),
    )
    assert name(table, "/re/exact") == "exact"
    assert name(table, "/re/pa", {"h": "1"}) == "first"
    assert name(table, "/re/pa") == "prefix"
    assert name(table, "/re/x?y=1") == "second"
    assert name(table, "/re/X") == "rest"
    assert name(table, "/RE/X") == "case"
    assert name(table, "/") == "rest"


def test_expressions_mind_the_case_where_others_do_not() -> None:
    table = router(
        answer("lower", safe_regex={"regex": "/a"}), answer("any", prefix="/A", case_sensitive=False)
    )
    assert [name(table, path) for path in ("/a", "/A")] == ["lower", "any"]


def test_a_rewrite_of_the_prefix_replaces_all_that_an_expression_matched() -> None:
    table = router(
        {"match": {"safe_regex": {"regex": "/a.*"}}, "route": {"cluster": "c", "prefix_rewrite": "/n"}}
    )
    route = match(table, "/ab/c?q=/a")
    assert route is not None
    assert route.rewrite_path(b"/ab/c?q=/a") == b"/n?q=/a"


@pytest.mark.parametrize(
    "condition",
    [
        {"headers": [{"name": "h", "string_match": {"safe_regex": {"regex": "a.c"}}}]},
        {"headers": [{"name": "h", "safe_regex_match": {"regex": "a.c"}}]},
        {"headers": [{"name": "h", "exact_match": ""}]},
        {"query_parameters": [{"name": "q", "string_match": {"safe_regex": {"regex": "a.c"}}}]},
    ],
)
def test_expressions_and_empty_matches_among_conditions(condition: dict[str, Any]) -> None:
    table = router(answer("yes", prefix="/", **condition))
    assert name(table, "/?q=abc", {"h": "abc"}) == "yes"
    assert name(table, "/?q=xabc", {}) is None


@pytest.mark.parametrize(
    ("content_type", "is_grpc"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpcx", False),
        ("application/grpc;a", False),
        ("application/grpc-web", False),
    ],
)
def test_grpc_is_known_by_its_content_type(content_type: str, is_grpc: bool) -> None:
    table = router(answer("grpc", prefix="/", grpc={}), answer("other", prefix="/"))
    assert name(table, "/", {"content-type": content_type}) == ("grpc" if is_grpc else "other")
    assert name(table, "/") == "other"


def test_a_part_of_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    part = {"default_value": {"numerator": 30, "denominator": 1}}
    table = router(answer("part", prefix="/", runtime_fraction=part), answer("rest", prefix="/"))
    for draw, expected in ((0, "part"), (29, "part"), (30, "rest"), (9_999, "rest"), (10_029, "part")):
        monkeypatch.setattr(route_index, "getrandbits", lambda _, draw=draw: draw)
        assert name(table, "/") == expected


def test_one_lot_decides_about_the_part_and_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    half = {"default_value": {"numerator": 50}}
    clusters = {"clusters": [{"name": "a", "weight": 50}, {"name": "b", "weight": 50}]}
    action = {"weighted_clusters": clusters}
    table = router({"match": {"prefix": "/", "runtime_fraction": half}, "route": action})
    found = []
    for draw in (0, 49, 50, 99):
        monkeypatch.setattr(route_index, "getrandbits", lambda _, draw=draw: draw)
        route = match(table, "/")
        found.append(None if route is None else route.cluster)
    assert found == ["a", "a", None, None]


def test_weights_are_shares() -> None:
    weights = [{"name": "a", "weight": 9}, {"name": "none", "weight": 0}, {"name": "b", "weight": 1}]
    table = router({"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": weights}}})
    found = Counter(route.cluster for _ in range(5_000) if (route := match(table, "/")) is not None)
    assert found.keys() == {"a", "b"}
    assert 300 < found["b"] < 700


def test_the_runtime_has_the_last_word_on_weights() -> None:
    weights = [{"name": "a", "weight": 100}, {"name": "b", "weight": 0}]
    action = {"weighted_clusters": {"clusters": weights, "runtime_key_prefix": "w"}}
    host = {"name": "h", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": action}]}
    config = msgspec.convert({"virtual_hosts": [host]}, RouteConfiguration)
    route = match(compile_router(config, Runtime([{"w": {"a": 0, "b": 1}}])), "/")
    assert route is not None
    assert route.cluster == "b"
    with pytest.raises(RouterError, match="the sum of weights is 0"):
        compile_router(config, Runtime([{"w": {"a": 0}}]))


@pytest.mark.parametrize(("requirement", "internal"), [(1, False), (2, False), (1, True), (2, True)])
def test_tls_may_be_required(requirement: int, internal: bool) -> None:
    host = {"name": "h", "domains": ["*"], "require_tls": requirement, "routes": [answer("yes", prefix="/")]}
    host["response_headers_to_add"] = [{"header": {"key": "x", "value": "y"}}]
    table = compile_router(msgspec.convert({"virtual_hosts": [host]}, RouteConfiguration))
    headers = Headers([(b"x-envoy-internal", b"true")] if internal else [])
    assert getattr(table.match(b"x", b"/p", b"GET", b"https", headers), "name", None) == "yes"
    route = table.match(b"X:80", b"/p?q", b"GET", b"http", headers)
    assert route is not None
    if internal and requirement == 1:
        assert route.name == "yes"
        return
    assert (route.action, route.status, route.response_mutations) == (REDIRECT, 301, ())
    assert route.redirect_location(b"http", b"X:80", b"/p?q") == b"https://X:80/p?q"


@pytest.mark.parametrize(
    "route",
    [
        {"match": {"safe_regex": {"regex": "(a"}}, "direct_response": {"status": 200}},
        {**answer("x", prefix="/"), "response_headers_to_add": [{"header": {"key": "x", "value": "%NO%"}}]},
    ],
)
def test_texts_that_cannot_be_compiled_are_told_with_their_route(route: dict[str, Any]) -> None:
    with pytest.raises(RouterError, match=r"^virtual host 'host', route 1: "):
        router(answer("x", prefix="/"), route)
