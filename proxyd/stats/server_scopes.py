"""The stats of the supervisor: the server as a whole, and what becomes of listeners and clusters."""

from typing import Final

from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import Scope, escape


class ServerStats:
    """``server.``: how the server is. State: 0 live, 1 draining, 2 pre-initializing, 3 initializing.

    ``stats_overflow`` is proxyd's own: metrics of living workers that found no room and are not shown.
    """

    def __init__(self, registry: Registry) -> None:
        scope = Scope(registry, "server.")
        self.concurrency: Final = scope.gauge("concurrency")
        self.days_until_first_cert_expiring: Final = scope.gauge("days_until_first_cert_expiring")
        self.envoy_bug_failures: Final = scope.counter("envoy_bug_failures")
        self.hot_restart_epoch: Final = scope.gauge("hot_restart_epoch")
        self.hot_restart_generation: Final = scope.gauge("hot_restart_generation")
        self.live: Final = scope.gauge("live")
        self.memory_allocated: Final = scope.gauge("memory_allocated")
        self.memory_heap_size: Final = scope.gauge("memory_heap_size")
        self.memory_physical_size: Final = scope.gauge("memory_physical_size")
        self.state: Final = scope.gauge("state")
        self.static_unknown_fields: Final = scope.counter("static_unknown_fields")
        self.stats_overflow: Final = scope.gauge("stats_overflow")
        self.total_connections: Final = scope.gauge("total_connections")
        self.uptime: Final = scope.gauge("uptime")
        self.version: Final = scope.gauge("version")
        self.initialization_time_ms: Final = scope.histogram("initialization_time_ms")
        scope.zero_counters(_SERVER_ZERO_COUNTERS)
        scope.zero_gauges(_SERVER_ZERO_GAUGES)
        for other in ("main_thread.", "workers."):
            registry.zero_counters(other, "watchdog_mega_miss watchdog_miss")
        registry.zero_counters("http1.", _HTTP1_ZERO_COUNTERS)


class WatchdogStats:
    """``server.worker_<n>.``: heartbeats that came late (miss), and workers replaced for it (mega miss)."""

    def __init__(self, registry: Registry, worker: int) -> None:
        scope = Scope(registry, f"server.worker_{worker}.")
        self.watchdog_miss: Final = scope.counter("watchdog_miss")
        self.watchdog_mega_miss: Final = scope.counter("watchdog_mega_miss")


class ListenerManagerStats:
    """``listener_manager.``: listeners over reloads. ``listener_create_success`` counts each worker's."""

    def __init__(self, registry: Registry) -> None:
        scope = Scope(registry, "listener_manager.")
        self.listener_added: Final = scope.counter("listener_added")
        self.listener_create_failure: Final = scope.counter("listener_create_failure")
        self.listener_create_success: Final = scope.counter("listener_create_success")
        self.listener_in_place_updated: Final = scope.counter("listener_in_place_updated")
        self.listener_modified: Final = scope.counter("listener_modified")
        self.listener_removed: Final = scope.counter("listener_removed")
        self.listener_stopped: Final = scope.counter("listener_stopped")
        self.total_filter_chains_draining: Final = scope.gauge("total_filter_chains_draining")
        self.total_listeners_active: Final = scope.gauge("total_listeners_active")
        self.total_listeners_draining: Final = scope.gauge("total_listeners_draining")
        self.total_listeners_warming: Final = scope.gauge("total_listeners_warming")
        self.workers_started: Final = scope.gauge("workers_started")
        scope.zero_gauges("workers_pinned")


class ClusterManagerStats:
    """``cluster_manager.``: clusters over reloads."""

    def __init__(self, registry: Registry) -> None:
        scope = Scope(registry, "cluster_manager.")
        self.active_clusters: Final = scope.gauge("active_clusters")
        self.cluster_added: Final = scope.counter("cluster_added")
        self.cluster_modified: Final = scope.counter("cluster_modified")
        self.cluster_removed: Final = scope.counter("cluster_removed")
        self.cluster_updated: Final = scope.counter("cluster_updated")
        self.warming_clusters: Final = scope.gauge("warming_clusters")
        scope.zero_counters(_CLUSTER_MANAGER_ZERO_COUNTERS)


_CLUSTER_UPDATE_NAMES: Final = (
    "membership_change",
    "update_attempt",
    "update_empty",
    "update_failure",
    "update_no_rebuild",
    "update_success",
    "membership_total",
    "membership_healthy",
    "max_host_weight",
    "version",
    "warming_state",
)


class ClusterUpdateStats:
    """``cluster.<name>.``: what the supervisor, which resolves names for all workers, knows of a cluster."""

    def __init__(self, registry: Registry, name: str) -> None:
        scope = Scope(registry, f"cluster.{escape(name)}.")
        self.membership_change: Final = scope.counter("membership_change")
        self.update_attempt: Final = scope.counter("update_attempt")
        self.update_empty: Final = scope.counter("update_empty")
        self.update_failure: Final = scope.counter("update_failure")
        self.update_no_rebuild: Final = scope.counter("update_no_rebuild")
        self.update_success: Final = scope.counter("update_success")
        self.membership_total: Final = scope.gauge("membership_total", shared=True)
        self.membership_healthy: Final = scope.gauge("membership_healthy", shared=True)
        self.max_host_weight: Final = scope.gauge("max_host_weight", shared=True)
        scope.zero_gauges("version warming_state")
        self._registry: Final = registry
        self._names: Final = [f"cluster.{escape(name)}.{each}" for each in _CLUSTER_UPDATE_NAMES]

    def forget(self) -> None:
        """The cluster is no more: neither are its numbers."""
        self._registry.forget(self._names)


class SubscriptionStats:
    """``<scope>``: what becomes of a file of resources. ``kind``: lds, cds, rds, eds, sds.

    ``update_error`` is proxyd's own: why the last attempt failed, in part or as a whole.
    """

    def __init__(self, registry: Registry, prefix: str, kind: str) -> None:
        scope = Scope(registry, prefix)
        self.update_attempt: Final = scope.counter("update_attempt")
        self.update_failure: Final = scope.counter("update_failure")
        self.update_rejected: Final = scope.counter("update_rejected")
        self.update_success: Final = scope.counter("update_success")
        self.update_time: Final = scope.gauge("update_time")
        self.version: Final = scope.gauge("version")
        self.version_text: Final = registry.text(prefix + "version_text")
        self.update_error: Final = registry.text(prefix + "update_error")
        self.update_duration: Final = scope.histogram("update_duration")
        single = kind in ("rds", "eds", "sds")
        self.key_rotation_failed: Final = scope.counter("key_rotation_failed") if kind == "sds" else None
        reloads = kind in ("cds", "rds")
        self.update_empty: Final = scope.counter("update_empty") if single else None
        self._config_reload: Final = scope.counter("config_reload") if reloads else None
        self._config_reload_time_ms: Final = scope.gauge("config_reload_time_ms") if reloads else None
        scope.zero_counters("init_fetch_timeout")
        self._registry: Final = registry
        # Those of an EDS cluster that clusters with names have as well go with the cluster.
        names = ["update_rejected", "update_time", "version_text", "update_error", "update_duration"]
        names += ["init_fetch_timeout"]
        if kind != "eds":
            names += ["update_attempt", "update_failure", "update_success", "update_empty", "version"]
            names += ["config_reload", "config_reload_time_ms", "key_rotation_failed"]
        self._names: Final = [prefix + name for name in names]

    def reloaded(self, now_ms: int) -> None:
        """What was read is another configuration."""
        if self._config_reload is not None and self._config_reload_time_ms is not None:
            self._config_reload.value += 1
            self._config_reload_time_ms.value = now_ms

    def forget(self) -> None:
        """Nobody asks for the file any more."""
        self._registry.forget(self._names)


class RuntimeStats:
    """``runtime.``: the layers of the runtime."""

    def __init__(self, registry: Registry) -> None:
        scope = Scope(registry, "runtime.")
        self.admin_overrides_active: Final = scope.gauge("admin_overrides_active")
        self.deprecated_feature_seen_since_process_start: Final = scope.gauge(
            "deprecated_feature_seen_since_process_start"
        )
        self.deprecated_feature_use: Final = scope.counter("deprecated_feature_use")
        self.load_error: Final = scope.counter("load_error")
        self.load_success: Final = scope.counter("load_success")
        self.num_keys: Final = scope.gauge("num_keys")
        self.num_layers: Final = scope.gauge("num_layers")
        self.override_dir_exists: Final = scope.counter("override_dir_exists")
        self.override_dir_not_exists: Final = scope.counter("override_dir_not_exists")


_HTTP1_ZERO_COUNTERS: Final = """
    dropped_headers_with_underscores
    metadata_not_supported_error
    requests_rejected_with_underscores_in_headers
    response_flood
"""

_SERVER_ZERO_COUNTERS: Final = """
    debug_assertion_failures dropped_stat_flushes dynamic_unknown_fields envoy_notifications
    main_thread.watchdog_mega_miss main_thread.watchdog_miss wip_protos
"""
_SERVER_ZERO_GAUGES: Final = """
    compilation_settings.fips_mode parent_connections seconds_until_first_ocsp_response_expiring
    stats_recent_lookups
"""

_CLUSTER_MANAGER_ZERO_COUNTERS: Final = """
    cluster_updated_via_merge update_merge_cancelled
    update_out_of_merge_window
"""
