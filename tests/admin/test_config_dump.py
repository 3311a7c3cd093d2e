"""/config_dump: the dumps, resource, mask, name_regex, and secrets."""

import json
from typing import Any

import pytest

from proxyd.admin.config_dump import redact
from proxyd.admin.context import DynamicView, ErrorView
from tests.admin.conftest import Ask, FakeContext

ADMIN = "type.googleapis.com/envoy.admin.v3."
UPDATED = "2026-11-22T19:02:40.255Z"


def configs(ask: Ask, query: str = "") -> list[dict[str, Any]]:
    reply = ask(f"/config_dump?{query}")
    assert reply.status == 200, reply.body
    assert reply.content_type == "application/json"
    found: list[dict[str, Any]] = json.loads(reply.body).get("configs", [])
    return found


def test_all_dumps_in_envoys_order(ask: Ask) -> None:
    dumps = configs(ask)
    assert [dump["@type"].removeprefix(ADMIN) for dump in dumps] == [
        "BootstrapConfigDump",
        "ClustersConfigDump",
        "ListenersConfigDump",
        "ScopedRoutesConfigDump",
        "RoutesConfigDump",
        "SecretsConfigDump",
    ]
    assert dumps[0]["bootstrap"]["node"] == {"id": "edge-1"}
    assert dumps[0]["last_updated"] == UPDATED
    assert dumps[1]["static_clusters"][0] == {
        "cluster": {
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "backend",
            "type": "STATIC",
        },
        "last_updated": UPDATED,
    }
    assert dumps[2]["static_listeners"][0]["listener"]["name"] == "front"
    assert dumps[4]["static_route_configs"][0]["route_config"]["name"] == "local"
    assert set(dumps[5]) == {"@type"}


def test_one_resource(ask: Ask) -> None:
    found = configs(ask, "resource=static_clusters")
    assert [entry["cluster"]["name"] for entry in found] == ["backend", "other"]
    assert found[0]["@type"] == ADMIN + "ClustersConfigDump.StaticCluster"
    assert ask("/config_dump?resource=dynamic_listeners").body == b"{}\n"


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("resource=foo", 404, "foo not found in config dump"),
        (
            "resource=bootstrap",
            400,
            "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field",
        ),
        ("mask=foo", 400, "FieldMask foo could not be successfully applied to any configs."),
        (
            "mask=dynamic_listeners.name",
            400,
            "FieldMask dynamic_listeners.name could not be successfully applied to any configs.",
        ),
        (
            "mask=static_clusters,bootstrap.admin",
            400,
            "FieldMask static_clusters,bootstrap.admin could not be successfully applied to any configs.",
        ),
        ("resource=static_clusters&mask=foo", 400, "FieldMask foo could not be successfully used."),
    ],
)
def test_what_cannot_be_found(ask: Ask, query: str, status: int, text: str) -> None:
    reply = ask(f"/config_dump?{query}")
    assert (reply.status, reply.body.decode()) == (status, text)


def test_mask(ask: Ask) -> None:
    assert configs(ask, "mask=bootstrap.node.id,bootstrap.node.cluster") == [
        {"@type": ADMIN + "BootstrapConfigDump", "bootstrap": {"node": {"id": "edge-1"}}}
    ]
    [dump] = configs(ask, "mask=static_listeners")
    assert [entry["listener"]["name"] for entry in dump["static_listeners"]] == ["front"]


def test_mask_of_a_resource_keeps_types(ask: Ask) -> None:
    assert configs(ask, "resource=static_clusters&mask=cluster.name")[0] == {
        "@type": ADMIN + "ClustersConfigDump.StaticCluster",
        "cluster": {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "backend"},
    }


def test_name_regex_matches_from_end_to_end(ask: Ask) -> None:
    assert [e["cluster"]["name"] for e in configs(ask, "resource=static_clusters&name_regex=oth.%2B")] == [
        "other"
    ]
    assert ask("/config_dump?resource=static_clusters&name_regex=oth").body == b"{}\n"
    dumps = configs(ask, "name_regex=front")
    assert "static_clusters" not in dumps[1]
    assert "static_listeners" in dumps[2]
    assert ask("/config_dump?name_regex=(").status == 400


def test_secrets_are_not_shown(ask: Ask, context: FakeContext) -> None:
    secret = {"private_key": {"inline_string": "hidden-1", "filename": "hidden-2"}, "password": "hidden-3"}
    context.config["static_resources"] = {"clusters": [{"name": "c", "transport_socket": [secret]}]}
    assert b"hidden" not in ask("/config_dump").body
    assert b"[redacted]" in ask("/config_dump").body


def test_redaction_leaves_the_rest_alone() -> None:
    config = {"certificate_chain": {"filename": "a"}, "private_key": {"inline_bytes": "c2VjcmV0", "size": 3}}
    assert redact(config) == {
        "certificate_chain": {"filename": "a"},
        "private_key": {"inline_bytes": "W3JlZGFjdGVkXQ==", "size": 3},
    }


def test_dynamic_resources_with_their_versions_and_errors(ask: Ask, context: FakeContext) -> None:
    route = {"virtual_hosts": [], "name": "inline"}
    listener = {"name": "one", "filter_chains": [{"filters": [{"typed_config": {"route_config": route}}]}]}
    bad = {
        "name": "two",
        "filter_chains": [{"transport_socket": {"private_key": {"inline_string": "s3cret"}}}],
    }
    when = 1795374160.255
    context.dynamic_views = [
        DynamicView("lds", "one", "7", listener, when),
        DynamicView("lds", "two", error=ErrorView("lds.yaml:1:1: wrong", when, "8", bad)),
        DynamicView("cds", "c", "8", {"name": "c"}, when, ErrorView("cds.yaml: later", when)),
        DynamicView("rds", "r", "", {"name": "r"}, when),
        DynamicView("eds", "e", "", {"cluster_name": "e"}, when),
    ]
    _, clusters, listeners, _, routes, _ = configs(ask)
    one, two = listeners["dynamic_listeners"]
    assert (listeners["version_info"], clusters["version_info"]) == ("7", "8")
    assert (one["name"], set(one)) == ("one", {"name", "active_state"})
    assert one["active_state"]["version_info"] == "7"
    assert one["active_state"]["listener"]["name"] == "one"
    assert one["active_state"]["last_updated"] == UPDATED
    assert (two["name"], set(two)) == ("two", {"name", "error_state"})
    assert two["error_state"]["details"] == "lds.yaml:1:1: wrong"
    assert two["error_state"]["last_update_attempt"] == UPDATED
    assert "s3cret" not in json.dumps(two)
    (cluster,) = clusters["dynamic_active_clusters"]
    assert cluster["cluster"]["name"] == "c"
    assert cluster["error_state"]["details"] == "cds.yaml: later"
    assert [each["route_config"]["name"] for each in routes["dynamic_route_configs"]] == ["r"]
    assert "inline" in [each["route_config"]["name"] for each in routes["static_route_configs"]]
    (found,) = configs(ask, "resource=dynamic_listeners&name_regex=two")
    assert found["name"] == "two"
