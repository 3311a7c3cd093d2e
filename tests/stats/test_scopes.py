"""Envoy's names: spot checks of every scope, and what must not be twice."""

from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import (
    AccessLogStats,
    ClusterStats,
    HostStats,
    HttpStats,
    ListenerHttpStats,
    ListenerStats,
)
from proxyd.stats.server_scopes import (
    ClusterManagerStats,
    ClusterUpdateStats,
    ListenerManagerStats,
    RuntimeStats,
    ServerStats,
    WatchdogStats,
)


def names(registry: Registry) -> set[str]:
    return set(registry.counters) | set(registry.gauges) | set(registry.histograms) | set(registry.zeros)


def test_numbers_of_names_are_envoys() -> None:
    for build, prefix, count in (
        # Envoy 1.40: 78 names of a connection manager, all of them here.
        (lambda r: HttpStats(r, "p"), "http.p.", 78),
        # 118, of which the five for a status appear with the first response, and ten are the supervisor's.
        (lambda r: (ClusterStats(r, "c"), ClusterUpdateStats(r, "c")), "cluster.c.", 118 - 5),
        (lambda r: ListenerStats(r, "1.2.3.4:5", "", 0), "listener.1.2.3.4_5.", 26 - 6 - 2),
    ):
        registry = Registry()
        build(registry)
        assert len(names(registry)) == count, prefix
        assert all(name.startswith(prefix) for name in names(registry))


def test_listener_names() -> None:
    registry = Registry()
    ListenerStats(registry, "[::1]:80", "", 3)
    ListenerHttpStats(registry, "[::1]:80", "in")
    ListenerStats(registry, "1.2.3.4:5", "front", 0)
    assert {
        "listener.[__1]_80.downstream_cx_total",
        "listener.[__1]_80.worker_3.downstream_cx_active",
        "listener.[__1]_80.http.in.downstream_rq_2xx",
        "listener.[__1]_80.http.in.downstream_rq_completed",
        "listener.front.no_filter_chain_match",
    } <= names(registry)


def test_status_classes_count_where_envoy_has_a_counter() -> None:
    registry = Registry()
    http = HttpStats(registry, "in")
    for status in (100, 200, 302, 404, 503, 999):
        http.downstream_rq_xxx[status // 100].value += 1
    assert [registry.counters[f"http.in.downstream_rq_{number}xx"].value for number in range(1, 6)] == [1] * 5
    assert "http.in.downstream_rq_9xx" not in registry.counters


def test_server_names() -> None:
    registry = Registry()
    ServerStats(registry)
    WatchdogStats(registry, 1)
    ListenerManagerStats(registry)
    ClusterManagerStats(registry)
    RuntimeStats(registry)
    AccessLogStats(registry)
    HostStats(registry, "c", "1.2.3.4:5")
    assert {
        "server.live",
        "server.initialization_time_ms",
        "server.worker_1.watchdog_mega_miss",
        "main_thread.watchdog_miss",
        "listener_manager.listener_create_success",
        "cluster_manager.active_clusters",
        "runtime.num_layers",
        "filesystem.write_total_buffered",
        "http1.response_flood",
        "host.c;1.2.3.4:5.rq_timeout",
    } <= names(registry)
    # These exist only where configuration is dynamic.
    assert not any(".cds." in name or ".lds." in name for name in names(registry))
