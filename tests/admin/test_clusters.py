"""/clusters and /listeners in the shape of Envoy's captures."""

import dataclasses
import json

from proxyd.stats.scopes import HostStats
from tests.admin.conftest import ENVOYS_LIMITS, Ask, FakeContext


def test_cluster_text(ask: Ask, context: FakeContext) -> None:
    host = HostStats(context.registry, "backend", "127.0.0.1:9001")
    host.cx_active.value = 2
    host.rq_success.value = 3
    HostStats(context.registry, "backend", "[::1]:9002").rq_total.value = 9
    reply = ask("/clusters")
    assert reply.content_type == "text/plain; charset=UTF-8"
    lines = reply.body.decode().splitlines()
    assert lines[:2] == ["backend::observability_name::backend", "backend::added_via_api::false"]
    assert [line.split("::", 2)[2] for line in lines[2:21]] == [
        "cx_active::2", "cx_connect_fail::0", "cx_total::0", "rq_active::0", "rq_error::0",
        "rq_pending_active::0", "rq_success::3", "rq_timeout::0", "rq_total::0", "hostname::localhost",
        "health_flags::healthy", "weight::1", "region::", "zone::", "sub_zone::", "canary::false",
        "priority::0",
        "success_rate::-1", "local_origin_success_rate::-1",
    ]  # fmt: skip
    assert "backend::[::1]:9002::rq_total::9" in lines


def test_limits_are_shown_where_there_are_any(ask: Ask, context: FakeContext) -> None:
    [cluster] = context.cluster_views
    context.cluster_views = [
        dataclasses.replace(cluster, default_priority=ENVOYS_LIMITS, high_priority=ENVOYS_LIMITS, hosts=[])
    ]
    lines = ask("/clusters").body.decode().splitlines()
    assert lines[1] == "backend::default_priority::max_connections::1024"
    assert lines[8] == "backend::high_priority::max_retries::3"
    [status] = json.loads(ask("/clusters?format=json").body)["cluster_statuses"]
    limits = {"max_connections": 1024, "max_pending_requests": 1024, "max_requests": 1024, "max_retries": 3}
    assert status == {
        "name": "backend",
        "circuit_breakers": {"thresholds": [limits, {"priority": "HIGH", **limits}]},
        "observability_name": "backend",
    }


def test_cluster_json(ask: Ask, context: FakeContext) -> None:
    HostStats(context.registry, "backend", "127.0.0.1:9001").cx_total.value = 2
    HostStats(context.registry, "backend", "127.0.0.1:9001").cx_active.value = 1
    [status] = json.loads(ask("/clusters?format=json").body)["cluster_statuses"]
    first = status["host_statuses"][0]
    assert first["address"] == {"socket_address": {"address": "127.0.0.1", "port_value": 9001}}
    # Zero is left out, 64-bit numbers are strings, counters come before gauges.
    assert first["stats"] == [
        {"name": "cx_connect_fail"},
        {"value": "2", "name": "cx_total"},
        {"name": "rq_error"},
        {"name": "rq_success"},
        {"name": "rq_timeout"},
        {"name": "rq_total"},
        {"type": "GAUGE", "value": "1", "name": "cx_active"},
        {"type": "GAUGE", "name": "rq_active"},
        {"type": "GAUGE", "name": "rq_pending_active"},
    ]
    assert first["health_status"] == {"eds_health_status": "HEALTHY"}
    assert (first["weight"], first["hostname"], first["locality"]) == (1, "localhost", {})


def test_cluster_filter(ask: Ask) -> None:
    assert ask("/clusters?filter=back").body
    assert ask("/clusters?filter=nothing").body == b""
    assert ask("/clusters?filter=nothing&format=json").body == b"{}\n"
    assert ask("/clusters?filter=(").status == 400


def test_listeners(ask: Ask) -> None:
    assert ask("/listeners").body == b"front::127.0.0.1:8080\nfront::[::1]:8081\n"
    assert json.loads(ask("/listeners?format=json").body) == {
        "listener_statuses": [
            {
                "name": "front",
                "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 8080}},
                "additional_local_addresses": [{"socket_address": {"address": "::1", "port_value": 8081}}],
            }
        ]
    }
