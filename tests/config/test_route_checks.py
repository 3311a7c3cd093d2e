"""Mistakes of a route table as a whole."""

from typing import Any

import msgspec
import pytest

from proxyd.config.route import RouteConfiguration
from proxyd.config.route_checks import check_routes


def findings(table: dict[str, Any]) -> list[str]:
    config = msgspec.convert(table, RouteConfiguration)
    return [f"{each.path}: {each.message}" for each in check_routes("rc", config, {"a": None, "b": None})]


def of_route(**route: Any) -> list[str]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "a"}, **route}
    if "direct_response" in route:
        del route["route"]
    return findings({"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]})


def of_weights(*clusters: dict[str, Any], **more: Any) -> list[str]:
    found = of_route(route={"weighted_clusters": {"clusters": clusters, **more}})
    return [each.removeprefix("rc.virtual_hosts[0].routes[0].route.weighted_clusters.") for each in found]


def add(name: str, value: str = "v", **more: Any) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, **more}


def test_a_table_without_mistakes() -> None:
    assert of_route(request_headers_to_add=[add("x-a", append=False)]) == []
    assert of_weights({"name": "a", "weight": 1}, {"cluster_header": "x", "weight": 2}, total_weight=3) == []


@pytest.mark.parametrize("level", ["route", "host", "table"])
def test_headers_that_no_level_can_change(level: str) -> None:
    changes = {
        "request_headers_to_add": [
            add("Host"),
            add("Content-Length"),
            add("x", append=True, append_action=1),
        ],
        "response_headers_to_remove": ["x", ":status", "HOST", "content-length"],
    }
    host: dict[str, Any] = {"name": "v", "domains": ["*"]}
    table: dict[str, Any] = {"virtual_hosts": [host]}
    place = {"route": "rc.virtual_hosts[0].routes[0]", "host": "rc.virtual_hosts[0]", "table": "rc"}[level]
    if level == "route":
        host["routes"] = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}, **changes}]
    else:
        (host if level == "host" else table).update(changes)
    assert findings(table) == [
        (
            f"{place}.request_headers_to_add[0].header.key: "
            "host cannot be changed here: see host_rewrite_literal"
        ),
        f"{place}.request_headers_to_add[1].header.key: adding Content-Length is not supported by proxyd",
        f"{place}.request_headers_to_add[2].append: only one of append and append_action can be set",
        f"{place}.response_headers_to_remove[1]: pseudo headers and host cannot be removed",
        f"{place}.response_headers_to_remove[2]: pseudo headers and host cannot be removed",
        f"{place}.response_headers_to_remove[3]: removing content-length is not supported by proxyd",
    ]


def test_weights() -> None:
    assert of_weights({"name": "a", "weight": 0}) == [
        "clusters: the weights must sum up to 1 to 4294967295, not 0"
    ]
    assert of_weights({"name": "a", "weight": 4294967295}, {"name": "b", "weight": 1}) == [
        "clusters: the weights must sum up to 1 to 4294967295, not 4294967296"
    ]
    assert of_weights({"name": "a", "weight": 1}, total_weight=100) == [
        "total_weight: the weights sum up to 1"
    ]
    either = "exactly one of name and cluster_header must be set"
    assert of_weights({"name": "a", "cluster_header": "x", "weight": 1}, {"weight": 1}) == [
        f"clusters[0]: {either}",
        f"clusters[1]: {either}",
    ]


def test_headers_of_a_cluster_weight() -> None:
    cluster = {"name": "a", "weight": 1, "request_headers_to_remove": ["host"]}
    assert of_weights(cluster) == [
        "clusters[0].request_headers_to_remove[0]: pseudo headers and host cannot be removed"
    ]


def test_clusters_have_to_exist_unless_the_table_says_otherwise() -> None:
    assert of_weights({"name": "c", "weight": 1}) == ['clusters[0].name: unknown cluster "c"']
    host = {
        "name": "v",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "c"}}],
    }
    assert findings({"virtual_hosts": [host], "validate_clusters": False}) == []


def test_one_rewrite_of_the_path() -> None:
    action = {
        "cluster": "a",
        "prefix_rewrite": "/x",
        "regex_rewrite": {"pattern": {"regex": "a"}, "substitution": "b"},
    }
    assert of_route(route=action) == [
        (
            "rc.virtual_hosts[0].routes[0].route.regex_rewrite: "
            "only one of prefix_rewrite and regex_rewrite can be set"
        )
    ]


def test_only_connect_can_be_ended() -> None:
    upgrades = [{"upgrade_type": kind, "connect_config": {}} for kind in ("connect", "CONNECT", "websocket")]
    assert of_route(route={"cluster": "a", "upgrade_configs": upgrades}) == [
        (
            "rc.virtual_hosts[0].routes[0].route.upgrade_configs[2].connect_config: "
            "is for the upgrade_type CONNECT"
        )
    ]


@pytest.mark.parametrize(("limit", "length", "mistakes"), [(None, 4097, 1), (5000, 4097, 0), (0, 1, 1)])
def test_bodies_are_as_long_as_the_table_allows(limit: int | None, length: int, mistakes: int) -> None:
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "x" * length}},
    }
    table = {
        "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}],
        "max_direct_response_body_size_bytes": limit,
    }
    assert len(findings(table)) == mistakes


@pytest.mark.parametrize("key", ["a b", "a\n", ":path", "", "a:"])
def test_a_header_to_add_has_a_headers_name(key: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        of_route(request_headers_to_add=[add(key)])


@pytest.mark.parametrize("text", [" ", "/a b", "/\n", "/\x7f"])
def test_rewrites_cannot_break_the_first_line(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        of_route(route={"cluster": "a", "prefix_rewrite": text})
    with pytest.raises(msgspec.ValidationError):
        of_route(route={"cluster": "a", "regex_rewrite": {"pattern": {"regex": "a"}, "substitution": text}})
