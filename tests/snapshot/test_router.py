from typing import Any

import msgspec
import pytest

from proxyd.codec.headers import Headers
from proxyd.config.route import RouteConfiguration
from proxyd.snapshot.route import DIRECT_RESPONSE, REDIRECT, ROUTE, Route
from proxyd.snapshot.router import Router, RouterError, compile_router


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
    assert route.rewrite_path(b"/p") == b"/p"


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
