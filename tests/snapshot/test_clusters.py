from typing import Any

import msgspec
import pytest

from proxyd.config.cluster import Cluster
from proxyd.snapshot.clusters import ClusterSnapshot
from proxyd.snapshot.runtime import Runtime
from proxyd.stats.metrics import Registry

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def compiled(**fields: Any) -> ClusterSnapshot:
    return ClusterSnapshot(msgspec.convert({"name": "c", **fields}, Cluster), Registry(), Runtime([]))


def endpoint(ip: str, port: int, hostname: str = "") -> dict[str, Any]:
    address = {"socket_address": {"address": ip, "port_value": port}}
    return {"endpoint": {"address": address, "hostname": hostname}}


def test_what_is_not_said_has_envoys_defaults() -> None:
    cluster = compiled()
    assert (cluster.name, cluster.stat_name, cluster.resolved, cluster.hosts) == ("c", "c", False, [])
    assert (cluster.connect_timeout, cluster.idle_timeout) == (5.0, 3600.0)
    assert (cluster.max_connections, cluster.max_pending_requests) == (1024, 1024)
    assert (cluster.max_requests_per_connection, cluster.max_connection_duration) == (0, 0.0)
    assert cluster.buffer_limit == 1024 * 1024


def test_what_is_said_is_kept() -> None:
    options = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "common_http_protocol_options": {
            "idle_timeout": 7.0,
            "max_requests_per_connection": 9,
            "max_connection_duration": 8.0,
        },
        "explicit_http_config": {"http_protocol_options": {}},
    }
    cluster = compiled(
        alt_stat_name="s",
        connect_timeout=0.25,
        per_connection_buffer_limit_bytes=10,
        typed_extension_protocol_options={OPTIONS: options},
    )
    assert (cluster.stat_name, cluster.connect_timeout, cluster.buffer_limit) == ("s", 0.25, 10)
    assert (cluster.idle_timeout, cluster.max_requests_per_connection) == (7.0, 9)
    assert cluster.max_connection_duration == 8.0


@pytest.mark.parametrize("zero", ["idle_timeout", "max_connection_duration"])
def test_a_time_of_zero_is_no_limit(zero: str) -> None:
    options = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "common_http_protocol_options": {zero: 0.0},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    assert getattr(compiled(typed_extension_protocol_options={OPTIONS: options}), zero) == 0.0


def test_hosts_in_the_order_of_the_file() -> None:
    localities = [
        {"lb_endpoints": [endpoint("10.0.0.2", 80), endpoint("10.0.0.1", 81, "one")]},
        {"lb_endpoints": [endpoint("::1", 82)]},
    ]
    assignment = {"cluster_name": "c", "endpoints": localities}
    hosts = [("10.0.0.2", 80, "", 1), ("10.0.0.1", 81, "one", 1), ("::1", 82, "", 1)]
    assert compiled(load_assignment=assignment).hosts == hosts
    resolved = compiled(load_assignment=assignment, type=1)
    assert (resolved.resolved, resolved.hosts) == (True, [])


def test_its_stats_are_declared_at_once() -> None:
    registry = Registry()
    ClusterSnapshot(msgspec.convert({"name": "a:b"}, Cluster), registry, Runtime([]))
    assert "cluster.a_b.upstream_rq_total" in registry.counters


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        ({}, (0, 0, 0)),
        ({"keepalive_probes": 3, "keepalive_time": 60, "keepalive_interval": 5}, (3, 60, 5)),
        ({"keepalive_probes": 3, "keepalive_time": 0}, None),
    ],
)
def test_probes_of_idle_connections(probes: dict[str, int], expected: tuple[int, int, int] | None) -> None:
    assert compiled(upstream_connection_options={"tcp_keepalive": probes}).keep_alive == expected
    assert compiled().keep_alive is None


def test_the_old_place_of_the_limit_of_requests_still_works() -> None:
    assert compiled(max_requests_per_connection=5).max_requests_per_connection == 5


def test_weights_and_the_name_of_a_logical_host() -> None:
    host = {**endpoint("backend.test", 80), "load_balancing_weight": 4}
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [host]}]}
    cluster = compiled(type=2, load_assignment=assignment)
    assert (cluster.resolved, cluster.logical_host, cluster.hosts) == (True, "backend.test:80", [])
    host = {**endpoint("10.0.0.1", 80), "load_balancing_weight": 4}
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [host]}]}
    assert compiled(load_assignment=assignment).hosts == [("10.0.0.1", 80, "", 4)]
    assert compiled().logical_host == ""
