"""Envoy's data-plane stat names as typed objects: one class a scope, one attribute a stat.

A scope is built once, when a listener, connection manager or cluster is compiled; the data plane then counts
by attribute. An attribute is called like the last part of Envoy's name, dots as underscores. Names that Envoy
has and nothing here can count yet are declared as zeros: whoever makes one count turns it into an attribute.
"""

from typing import Final

from proxyd.stats.metrics import MICROSECONDS, PLAIN, Counter, Gauge, Histogram, Registry

# Names under these are for proxyd itself: not in /stats, but in /clusters and /workers.
HIDDEN_PREFIXES: Final = ("host.", "process.")


def escape(part: str) -> str:
    """A part of a stat name as Envoy writes it: a colon would end the name in statsd, so it becomes ``_``."""
    return part.replace(":", "_")


class Scope:
    """A registry seen through a prefix, which ends in a dot."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        self._registry: Final = registry
        self._prefix: Final = prefix

    def counter(self, name: str) -> Counter:
        return self._registry.counter(self._prefix + name)

    def gauge(self, name: str, shared: bool = False) -> Gauge:
        return self._registry.gauge(self._prefix + name, shared)

    def histogram(self, name: str, unit: int = MICROSECONDS) -> Histogram:
        return self._registry.histogram(self._prefix + name, unit)

    def counter_twin(self, name: str, counter: Counter) -> None:
        self._registry.counter_twin(self._prefix + name, counter)

    def histogram_twin(self, name: str, histogram: Histogram) -> None:
        self._registry.histogram_twin(self._prefix + name, histogram)

    def zero_counters(self, names: str) -> None:
        self._registry.zero_counters(self._prefix, names)

    def zero_gauges(self, names: str) -> None:
        self._registry.zero_gauges(self._prefix, names)


class ListenerStats:
    """``listener.<stat_prefix, else address>.``: connections, as one worker accepts them.

    ``address`` is ``ip:port`` text. Every worker counts ``downstream_cx_*`` of the listener and, under
    ``worker_<worker>.``, its own share.
    """

    def __init__(self, registry: Registry, address: str, stat_prefix: str, worker: int) -> None:
        scope = Scope(registry, f"listener.{escape(stat_prefix or address)}.")
        self.downstream_cx_active: Final = scope.gauge("downstream_cx_active")
        self.downstream_cx_destroy: Final = scope.counter("downstream_cx_destroy")
        self.downstream_cx_overflow: Final = scope.counter("downstream_cx_overflow")
        self.downstream_cx_overload_reject: Final = scope.counter("downstream_cx_overload_reject")
        self.downstream_cx_total: Final = scope.counter("downstream_cx_total")
        self.downstream_cx_transport_socket_connect_timeout: Final = scope.counter(
            "downstream_cx_transport_socket_connect_timeout"
        )
        self.downstream_global_cx_overflow: Final = scope.counter("downstream_global_cx_overflow")
        self.downstream_listener_filter_error: Final = scope.counter("downstream_listener_filter_error")
        self.downstream_listener_filter_remote_close: Final = scope.counter(
            "downstream_listener_filter_remote_close"
        )
        self.downstream_pre_cx_active: Final = scope.gauge("downstream_pre_cx_active")
        self.downstream_pre_cx_timeout: Final = scope.counter("downstream_pre_cx_timeout")
        self.no_filter_chain_match: Final = scope.counter("no_filter_chain_match")
        self.connections_accepted_per_socket_event: Final = scope.histogram(
            "connections_accepted_per_socket_event", PLAIN
        )
        self.downstream_cx_length_ms: Final = scope.histogram("downstream_cx_length_ms")
        self.worker_downstream_cx_active: Final = scope.gauge(f"worker_{worker}.downstream_cx_active")
        self.worker_downstream_cx_total: Final = scope.counter(f"worker_{worker}.downstream_cx_total")
        scope.zero_counters(_LISTENER_ZERO_COUNTERS)


class TlsInspectorStats:
    """``tls_inspector.``: what the first bytes of connections were, of all listeners together."""

    def __init__(self, registry: Registry) -> None:
        scope = Scope(registry, "tls_inspector.")
        self.alpn_found: Final = scope.counter("alpn_found")
        self.alpn_not_found: Final = scope.counter("alpn_not_found")
        self.client_hello_too_large: Final = scope.counter("client_hello_too_large")
        self.sni_found: Final = scope.counter("sni_found")
        self.sni_not_found: Final = scope.counter("sni_not_found")
        self.tls_found: Final = scope.counter("tls_found")
        self.tls_not_found: Final = scope.counter("tls_not_found")


class ListenerHttpStats:
    """``listener.<address>.http.<stat_prefix>.``: responses of one connection manager on one listener.

    ``listener_address`` is the listener's stat_prefix or ``ip:port``, as given to ListenerStats.
    """

    def __init__(self, registry: Registry, listener_address: str, stat_prefix: str) -> None:
        scope = Scope(registry, f"listener.{escape(listener_address)}.http.{escape(stat_prefix)}.")
        self.downstream_rq_completed: Final = scope.counter("downstream_rq_completed")
        self.downstream_rq_xxx: Final = _status_classes(scope)  # indexed by status // 100, up to 9


class UnderscoreStats:
    """``http1.``: what became of headers with an underscore in their names, of all listeners together."""

    def __init__(self, registry: Registry) -> None:
        scope = Scope(registry, "http1.")
        self.dropped_headers: Final = scope.counter("dropped_headers_with_underscores")
        self.requests_rejected: Final = scope.counter("requests_rejected_with_underscores_in_headers")


class HttpStats:
    """``http.<stat_prefix>.``: downstream connections and requests of one connection manager."""

    def __init__(self, registry: Registry, stat_prefix: str) -> None:
        scope = Scope(registry, f"http.{escape(stat_prefix)}.")
        self.downstream_rq_xxx: Final = _status_classes(scope)  # indexed by status // 100, up to 9
        self.downstream_cx_active: Final = scope.gauge("downstream_cx_active")
        self.downstream_cx_delayed_close_timeout: Final = scope.counter("downstream_cx_delayed_close_timeout")
        self.downstream_cx_destroy: Final = scope.counter("downstream_cx_destroy")
        self.downstream_cx_destroy_active_rq: Final = scope.counter("downstream_cx_destroy_active_rq")
        self.downstream_cx_destroy_local: Final = scope.counter("downstream_cx_destroy_local")
        self.downstream_cx_destroy_local_active_rq: Final = scope.counter(
            "downstream_cx_destroy_local_active_rq"
        )
        self.downstream_cx_destroy_remote: Final = scope.counter("downstream_cx_destroy_remote")
        self.downstream_cx_destroy_remote_active_rq: Final = scope.counter(
            "downstream_cx_destroy_remote_active_rq"
        )
        self.downstream_cx_drain_close: Final = scope.counter("downstream_cx_drain_close")
        self.downstream_cx_http1_active: Final = scope.gauge("downstream_cx_http1_active")
        self.downstream_cx_http1_total: Final = scope.counter("downstream_cx_http1_total")
        self.downstream_cx_http2_active: Final = scope.gauge("downstream_cx_http2_active")
        self.downstream_cx_http2_total: Final = scope.counter("downstream_cx_http2_total")
        self.downstream_cx_idle_timeout: Final = scope.counter("downstream_cx_idle_timeout")
        self.downstream_cx_max_duration_reached: Final = scope.counter("downstream_cx_max_duration_reached")
        self.downstream_cx_max_requests_reached: Final = scope.counter("downstream_cx_max_requests_reached")
        self.downstream_cx_overload_disable_keepalive: Final = scope.counter(
            "downstream_cx_overload_disable_keepalive"
        )
        self.downstream_cx_protocol_error: Final = scope.counter("downstream_cx_protocol_error")
        self.downstream_cx_rx_bytes_buffered: Final = scope.gauge("downstream_cx_rx_bytes_buffered")
        self.downstream_cx_rx_bytes_total: Final = scope.counter("downstream_cx_rx_bytes_total")
        self.downstream_cx_ssl_active: Final = scope.gauge("downstream_cx_ssl_active")
        self.downstream_cx_ssl_total: Final = scope.counter("downstream_cx_ssl_total")
        self.downstream_cx_total: Final = scope.counter("downstream_cx_total")
        self.downstream_cx_tx_bytes_buffered: Final = scope.gauge("downstream_cx_tx_bytes_buffered")
        self.downstream_cx_tx_bytes_total: Final = scope.counter("downstream_cx_tx_bytes_total")
        self.downstream_flow_control_paused_reading_total: Final = scope.counter(
            "downstream_flow_control_paused_reading_total"
        )
        self.downstream_flow_control_resumed_reading_total: Final = scope.counter(
            "downstream_flow_control_resumed_reading_total"
        )
        self.downstream_rq_active: Final = scope.gauge("downstream_rq_active")
        self.downstream_rq_completed: Final = scope.counter("downstream_rq_completed")
        self.downstream_rq_failed_path_normalization: Final = scope.counter(
            "downstream_rq_failed_path_normalization"
        )
        self.downstream_rq_header_timeout: Final = scope.counter("downstream_rq_header_timeout")
        self.downstream_rq_idle_timeout: Final = scope.counter("downstream_rq_idle_timeout")
        self.downstream_rq_max_duration_reached: Final = scope.counter("downstream_rq_max_duration_reached")
        self.downstream_rq_non_relative_path: Final = scope.counter("downstream_rq_non_relative_path")
        self.downstream_rq_redirected_with_normalized_path: Final = scope.counter(
            "downstream_rq_redirected_with_normalized_path"
        )
        self.downstream_rq_response_before_rq_complete: Final = scope.counter(
            "downstream_rq_response_before_rq_complete"
        )
        self.downstream_rq_rx_reset: Final = scope.counter("downstream_rq_rx_reset")
        self.downstream_rq_timeout: Final = scope.counter("downstream_rq_timeout")
        self.downstream_rq_too_large: Final = scope.counter("downstream_rq_too_large")
        self.downstream_rq_total: Final = scope.counter("downstream_rq_total")
        self.downstream_rq_http1_total: Final = scope.counter("downstream_rq_http1_total")
        self.downstream_rq_http2_total: Final = scope.counter("downstream_rq_http2_total")
        self.downstream_rq_too_many_premature_resets: Final = scope.counter(
            "downstream_rq_too_many_premature_resets"
        )
        self.downstream_rq_tx_reset: Final = scope.counter("downstream_rq_tx_reset")
        self.downstream_cx_upgrades_total: Final = scope.counter("downstream_cx_upgrades_total")
        self.downstream_cx_upgrades_active: Final = scope.gauge("downstream_cx_upgrades_active")
        self.downstream_rq_ws_on_non_ws_route: Final = scope.counter("downstream_rq_ws_on_non_ws_route")
        self.no_cluster: Final = scope.counter("no_cluster")
        self.no_route: Final = scope.counter("no_route")
        self.rq_direct_response: Final = scope.counter("rq_direct_response")
        self.rq_redirect: Final = scope.counter("rq_redirect")
        self.rq_reset_after_downstream_response_started: Final = scope.counter(
            "rq_reset_after_downstream_response_started"
        )
        self.rq_total: Final = scope.counter("rq_total")
        self.rs_too_large: Final = scope.counter("rs_too_large")
        self.downstream_cx_length_ms: Final = scope.histogram("downstream_cx_length_ms")
        self.downstream_rq_time: Final = scope.histogram("downstream_rq_time")
        scope.zero_counters(_HTTP_ZERO_COUNTERS)
        scope.zero_gauges(_HTTP_ZERO_GAUGES)


class ClusterStats:
    """``cluster.<name>.``: upstream connections and requests; ``name`` is alt_stat_name where there is one.

    The ``membership_*`` gauges are shared: each worker sets them to what it knows.
    """

    def __init__(self, registry: Registry, name: str) -> None:
        self.prefix: Final = f"cluster.{escape(name)}."
        scope = Scope(registry, self.prefix)
        self.bind_errors: Final = scope.counter("bind_errors")
        # 1 where a limit is reached; limits are each worker's own, so that of any worker is shown.
        self.default_cx_open: Final = scope.gauge("circuit_breakers.default.cx_open", shared=True)
        self.default_rq_open: Final = scope.gauge("circuit_breakers.default.rq_open", shared=True)
        self.default_rq_pending_open: Final = scope.gauge(
            "circuit_breakers.default.rq_pending_open", shared=True
        )
        self.lb_healthy_panic: Final = scope.counter("lb_healthy_panic")
        self.max_host_weight: Final = scope.gauge("max_host_weight", shared=True)
        self.membership_degraded: Final = scope.gauge("membership_degraded", shared=True)
        self.membership_excluded: Final = scope.gauge("membership_excluded", shared=True)
        self.membership_healthy: Final = scope.gauge("membership_healthy", shared=True)
        self.membership_total: Final = scope.gauge("membership_total", shared=True)
        self.retry_or_shadow_abandoned: Final = scope.counter("retry_or_shadow_abandoned")
        self.upstream_cx_active: Final = scope.gauge("upstream_cx_active")
        self.upstream_cx_close_notify: Final = scope.counter("upstream_cx_close_notify")
        self.upstream_cx_connect_attempts_exceeded: Final = scope.counter(
            "upstream_cx_connect_attempts_exceeded"
        )
        self.upstream_cx_connect_fail: Final = scope.counter("upstream_cx_connect_fail")
        self.upstream_cx_connect_timeout: Final = scope.counter("upstream_cx_connect_timeout")
        self.upstream_cx_destroy: Final = scope.counter("upstream_cx_destroy")
        self.upstream_cx_destroy_local: Final = scope.counter("upstream_cx_destroy_local")
        self.upstream_cx_destroy_local_with_active_rq: Final = scope.counter(
            "upstream_cx_destroy_local_with_active_rq"
        )
        self.upstream_cx_destroy_remote: Final = scope.counter("upstream_cx_destroy_remote")
        self.upstream_cx_destroy_remote_with_active_rq: Final = scope.counter(
            "upstream_cx_destroy_remote_with_active_rq"
        )
        self.upstream_cx_destroy_with_active_rq: Final = scope.counter("upstream_cx_destroy_with_active_rq")
        self.upstream_cx_http1_total: Final = scope.counter("upstream_cx_http1_total")
        self.upstream_cx_http2_total: Final = scope.counter("upstream_cx_http2_total")
        self.upstream_cx_idle_timeout: Final = scope.counter("upstream_cx_idle_timeout")
        self.upstream_cx_max_duration_reached: Final = scope.counter("upstream_cx_max_duration_reached")
        self.upstream_cx_max_requests: Final = scope.counter("upstream_cx_max_requests")
        self.upstream_cx_none_healthy: Final = scope.counter("upstream_cx_none_healthy")
        self.upstream_cx_overflow: Final = scope.counter("upstream_cx_overflow")
        self.upstream_cx_protocol_error: Final = scope.counter("upstream_cx_protocol_error")
        self.upstream_cx_rx_bytes_buffered: Final = scope.gauge("upstream_cx_rx_bytes_buffered")
        self.upstream_cx_rx_bytes_total: Final = scope.counter("upstream_cx_rx_bytes_total")
        self.upstream_cx_total: Final = scope.counter("upstream_cx_total")
        self.upstream_cx_tx_bytes_buffered: Final = scope.gauge("upstream_cx_tx_bytes_buffered")
        self.upstream_cx_tx_bytes_total: Final = scope.counter("upstream_cx_tx_bytes_total")
        self.upstream_flow_control_backed_up_total: Final = scope.counter(
            "upstream_flow_control_backed_up_total"
        )
        self.upstream_flow_control_drained_total: Final = scope.counter("upstream_flow_control_drained_total")
        self.upstream_flow_control_paused_reading_total: Final = scope.counter(
            "upstream_flow_control_paused_reading_total"
        )
        self.upstream_flow_control_resumed_reading_total: Final = scope.counter(
            "upstream_flow_control_resumed_reading_total"
        )
        self.upstream_rq_active: Final = scope.gauge("upstream_rq_active")
        self.upstream_rq_cancelled: Final = scope.counter("upstream_rq_cancelled")
        self.upstream_rq_completed: Final = scope.counter("upstream_rq_completed")
        self.upstream_rq_max_duration_reached: Final = scope.counter("upstream_rq_max_duration_reached")
        self.upstream_rq_pending_active: Final = scope.gauge("upstream_rq_pending_active")
        self.upstream_rq_pending_failure_eject: Final = scope.counter("upstream_rq_pending_failure_eject")
        self.upstream_rq_pending_overflow: Final = scope.counter("upstream_rq_pending_overflow")
        self.upstream_rq_pending_total: Final = scope.counter("upstream_rq_pending_total")
        self.upstream_rq_per_try_timeout: Final = scope.counter("upstream_rq_per_try_timeout")
        self.upstream_rq_retry: Final = scope.counter("upstream_rq_retry")
        self.upstream_rq_retry_limit_exceeded: Final = scope.counter("upstream_rq_retry_limit_exceeded")
        self.upstream_rq_retry_overflow: Final = scope.counter("upstream_rq_retry_overflow")
        self.upstream_rq_retry_success: Final = scope.counter("upstream_rq_retry_success")
        self.upstream_rq_rx_reset: Final = scope.counter("upstream_rq_rx_reset")
        self.upstream_rq_rx_reset_no_error: Final = scope.counter("upstream_rq_rx_reset_no_error")
        self.upstream_rq_timeout: Final = scope.counter("upstream_rq_timeout")
        self.upstream_rq_total: Final = scope.counter("upstream_rq_total")
        self.upstream_rq_tx_reset: Final = scope.counter("upstream_rq_tx_reset")
        self.upstream_cx_connect_ms: Final = scope.histogram("upstream_cx_connect_ms")
        self.upstream_cx_length_ms: Final = scope.histogram("upstream_cx_length_ms")
        self.upstream_rq_per_cx: Final = scope.histogram("upstream_rq_per_cx", PLAIN)
        self.upstream_rq_time: Final = scope.histogram("upstream_rq_time")
        scope.histogram_twin("external.upstream_rq_time", self.upstream_rq_time)
        scope.zero_counters(_CLUSTER_ZERO_COUNTERS)
        scope.zero_gauges(_CLUSTER_ZERO_GAUGES)
        self._scope: Final = scope
        self._codes: Final[dict[int, tuple[Counter, Counter, Counter]]] = {}

    def code(self, status: int) -> None:
        """Count a response to an external request: by code, by class and as completed, each in both trees."""
        counters = self._codes.get(status)
        if counters is None:
            counters = self._codes[status] = self._counters_of(status)
        by_code, by_class, completed = counters
        by_code.value += 1
        by_class.value += 1
        completed.value += 1

    def _counters_of(self, status: int) -> tuple[Counter, Counter, Counter]:
        def both(name: str) -> Counter:
            counter = self._scope.counter(name)
            self._scope.counter_twin("external." + name, counter)
            return counter

        return (
            both(f"upstream_rq_{status}"),
            both(f"upstream_rq_{status // 100}xx"),
            both("upstream_rq_completed"),
        )


class OriginalDstStats:
    """``cluster.<name>.``: what workers alone know of an ORIGINAL_DST cluster."""

    def __init__(self, registry: Registry, name: str) -> None:
        scope = Scope(registry, f"cluster.{escape(name)}.")
        self.host_invalid: Final = scope.counter("original_dst_host_invalid")
        self.membership_change: Final = scope.counter("membership_change")


class HostStats:
    """The numbers of one upstream host, as /clusters shows them; hidden from /stats.

    ``host_address`` is ``ip:port``, ``[ip]:port`` in IPv6.
    """

    def __init__(self, registry: Registry, cluster: str, host_address: str) -> None:
        scope = Scope(registry, f"host.{cluster};{host_address}.")
        self.cx_active: Final = scope.gauge("cx_active")
        self.cx_connect_fail: Final = scope.counter("cx_connect_fail")
        self.cx_total: Final = scope.counter("cx_total")
        self.rq_active: Final = scope.gauge("rq_active")
        self.rq_error: Final = scope.counter("rq_error")
        self.rq_pending_active: Final = scope.gauge("rq_pending_active")
        self.rq_success: Final = scope.counter("rq_success")
        self.rq_timeout: Final = scope.counter("rq_timeout")
        self.rq_total: Final = scope.counter("rq_total")


class AccessLogStats:
    """``filesystem.``: the files that access logs go to."""

    def __init__(self, registry: Registry) -> None:
        scope = Scope(registry, "filesystem.")
        self.flushed_by_timer: Final = scope.counter("flushed_by_timer")
        self.reopen_failed: Final = scope.counter("reopen_failed")
        self.write_buffered: Final = scope.counter("write_buffered")  # log lines taken
        self.write_completed: Final = scope.counter("write_completed")  # writes to a file
        self.write_dropped: Final = scope.counter("write_dropped")  # proxyd's own: lines a stalled sink lost
        self.write_failed: Final = scope.counter("write_failed")
        self.write_total_buffered: Final = scope.gauge("write_total_buffered")  # bytes


class ProcessStats:
    """One worker about itself, hidden from /stats, shown by /workers; and its count of its own bugs."""

    def __init__(self, registry: Registry) -> None:
        scope = Scope(registry, "process.")
        self.loop_lag_us: Final = scope.gauge("loop_lag_us")  # how late the last timer ran, microseconds
        self.loop_lag_max_us: Final = scope.gauge("loop_lag_max_us")  # the worst since the process started
        # Envoy's name for a broken promise inside the proxy; part of /stats.
        self.envoy_bug_failures: Final = registry.counter("server.envoy_bug_failures")


def _status_classes(scope: Scope) -> list[Counter]:
    """Counters for 1xx to 5xx at their class; the classes Envoy does not count lead nowhere."""
    return [
        scope.counter(f"downstream_rq_{number}xx") if 1 <= number <= 5 else Counter("", -1)
        for number in range(10)
    ]


_LISTENER_ZERO_COUNTERS: Final = """
    extension_config_missing
    network_extension_config_missing
"""

_HTTP_ZERO_COUNTERS: Final = """
    downstream_cx_http3_total downstream_rq_http3_total
    downstream_rq_overload_close
    downstream_rq_rejected_via_ip_detection
    passthrough_internal_redirect_bad_location passthrough_internal_redirect_no_route
    passthrough_internal_redirect_predicate passthrough_internal_redirect_too_many_redirects
    passthrough_internal_redirect_unsafe_scheme rq_overload_local_reply tracing.client_enabled
    tracing.health_check tracing.not_traceable tracing.random_sampling tracing.service_forced
"""
_HTTP_ZERO_GAUGES: Final = """
    downstream_cx_http1_soft_drain downstream_cx_http3_active
"""

_CLUSTER_ZERO_COUNTERS: Final = """
    assignment_stale assignment_timeout_received assignment_use_cached default.total_match_count
    http1.dropped_headers_with_underscores http1.metadata_not_supported_error
    http1.requests_rejected_with_underscores_in_headers http1.response_flood lb_local_cluster_not_ok
    lb_recalculate_zone_structures lb_subsets_created lb_subsets_fallback lb_subsets_fallback_panic
    lb_subsets_removed lb_subsets_selected lb_zone_cluster_too_small lb_zone_no_capacity_left
    lb_zone_routing_all_directly lb_zone_routing_cross_zone lb_zone_routing_sampled
    original_dst_host_invalid upstream_cx_connect_with_0_rtt
    upstream_cx_http3_total upstream_cx_pool_overflow
    upstream_cx_preconnect_skipped upstream_http3_broken upstream_internal_redirect_failed_total
    upstream_internal_redirect_succeeded_total upstream_rq_0rtt upstream_rq_active_overflow
    upstream_rq_maintenance_mode upstream_rq_per_try_idle_timeout upstream_rq_retry_backoff_exponential
    upstream_rq_retry_backoff_ratelimited
"""
_CLUSTER_ZERO_GAUGES: Final = """
    circuit_breakers.default.cx_pool_open circuit_breakers.default.rq_retry_open circuit_breakers.high.cx_open
    circuit_breakers.high.cx_pool_open circuit_breakers.high.rq_open
    circuit_breakers.high.rq_pending_open circuit_breakers.high.rq_retry_open lb_subsets_active
    upstream_queue_overloaded
"""
