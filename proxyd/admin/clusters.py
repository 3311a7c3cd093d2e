"""/clusters and /listeners: what is configured, how it is at present."""

import re

from proxyd.admin.context import AdminContext, ClusterView, HostView, Thresholds
from proxyd.admin.endpoint import BadParameterError
from proxyd.admin.messages import AdminReply, AdminRequest, json_document, text
from proxyd.config.core import PIPE
from proxyd.stats.selection import PatternError, compile_pattern
from proxyd.stats.view import StatsView

_COUNTERS = ("cx_connect_fail", "cx_total", "rq_error", "rq_success", "rq_timeout", "rq_total")
_GAUGES = ("cx_active", "rq_active", "rq_pending_active")
# Outlier analysis is off: Envoy's way to say that there is no rate.
_NO_RATE = -1


async def clusters(context: AdminContext, request: AdminRequest) -> AdminReply:
    """Every cluster with its hosts and their numbers."""
    parameters = request.parameters()
    pattern = _pattern(parameters.get("filter", ""))
    chosen = [c for c in context.clusters() if pattern is None or pattern.search(c.name)]
    stats = context.stats()
    if parameters.get("format") == "json":
        statuses = [_cluster_json(cluster, stats) for cluster in chosen]
        return json_document({"cluster_statuses": statuses} if statuses else {})
    return text("".join(_cluster_text(cluster, stats) for cluster in chosen))


async def listeners(context: AdminContext, request: AdminRequest) -> AdminReply:
    """Every listener with the addresses it is bound to."""
    present = context.listeners()
    if request.parameters().get("format") == "json":
        statuses: list[dict[str, object]] = []
        for listener in present:
            status: dict[str, object] = {"name": listener.name}
            addresses = [_address_json(ip, port) for ip, port in listener.addresses]
            if addresses:
                status["local_address"] = addresses[0]
            if len(addresses) > 1:
                status["additional_local_addresses"] = addresses[1:]
            statuses.append(status)
        return json_document({"listener_statuses": statuses} if statuses else {})
    lines = [
        f"{listener.name}::{address_text(ip, port)}\n"
        for listener in present
        for ip, port in listener.addresses
    ]
    return text("".join(lines))


def address_text(ip: str, port: int) -> str:
    """``ip:port``, brackets around IPv6; the path of a Unix domain socket."""
    if port == PIPE:
        return ip
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _pattern(expression: str) -> re.Pattern[str] | None:
    try:
        return compile_pattern(expression) if expression else None
    except PatternError as error:
        raise BadParameterError(f"Invalid regex: {error}") from None


def _number(stats: StatsView, cluster: ClusterView, host: HostView, name: str) -> int:
    counted_as = host.counted_as or address_text(host.ip, host.port)
    return stats.hidden.get(f"host.{cluster.name};{counted_as}.{name}", 0)


def _cluster_text(cluster: ClusterView, stats: StatsView) -> str:
    facts: list[tuple[str, object]] = [("observability_name", cluster.observability_name or cluster.name)]
    for priority, thresholds in (
        ("default_priority", cluster.default_priority),
        ("high_priority", cluster.high_priority),
    ):
        if thresholds is not None:
            facts += [(f"{priority}::{name}", value) for name, value in _thresholds_json(thresholds).items()]
    facts.append(("added_via_api", str(cluster.added_via_api).lower()))
    for host in cluster.hosts:
        address = address_text(host.ip, host.port)
        facts += [
            (f"{address}::{name}", _number(stats, cluster, host, name))
            for name in sorted(_COUNTERS + _GAUGES)
        ]
        facts += [
            (f"{address}::hostname", host.hostname),
            (f"{address}::health_flags", "healthy" if host.healthy else "/failed_active_hc"),
            (f"{address}::weight", host.weight),
            (f"{address}::region", ""),
            (f"{address}::zone", ""),
            (f"{address}::sub_zone", ""),
            (f"{address}::canary", "false"),
            (f"{address}::priority", 0),
            (f"{address}::success_rate", _NO_RATE),
            (f"{address}::local_origin_success_rate", _NO_RATE),
        ]
    return "".join(f"{cluster.name}::{key}::{value}\n" for key, value in facts)


def _cluster_json(cluster: ClusterView, stats: StatsView) -> dict[str, object]:
    """A ClusterStatus. Proto JSON leaves out what is zero, false or empty."""
    status: dict[str, object] = {"name": cluster.name}
    if cluster.added_via_api:
        status["added_via_api"] = True
    if cluster.hosts:
        status["host_statuses"] = [_host_json(cluster, host, stats) for host in cluster.hosts]
    thresholds: list[dict[str, object]] = []
    if cluster.default_priority is not None:
        thresholds.append(dict(_thresholds_json(cluster.default_priority)))
    if cluster.high_priority is not None:
        thresholds.append({"priority": "HIGH", **_thresholds_json(cluster.high_priority)})
    if thresholds:
        status["circuit_breakers"] = {"thresholds": thresholds}
    status["observability_name"] = cluster.observability_name or cluster.name
    return status


def _host_json(cluster: ClusterView, host: HostView, stats: StatsView) -> dict[str, object]:
    numbers: list[dict[str, str]] = []
    for names, kind in ((_COUNTERS, ""), (_GAUGES, "GAUGE")):
        for name in names:
            value = _number(stats, cluster, host, name)
            entry = {"type": kind} if kind else {}
            if value:
                entry["value"] = str(value)  # 64-bit numbers are strings in proto JSON
            numbers.append({**entry, "name": name})
    health = {"eds_health_status": "HEALTHY"}
    return {
        "address": _address_json(host.ip, host.port),
        "stats": numbers,
        "health_status": health if host.healthy else {"failed_active_health_check": True, **health},
        "weight": host.weight,
        "hostname": host.hostname,
        "locality": {},
    }


def _thresholds_json(thresholds: Thresholds) -> dict[str, int]:
    return {
        "max_connections": thresholds.max_connections,
        "max_pending_requests": thresholds.max_pending_requests,
        "max_requests": thresholds.max_requests,
        "max_retries": thresholds.max_retries,
    }


def _address_json(ip: str, port: int) -> dict[str, object]:
    if port == PIPE:
        return {"pipe": {"path": ip}}
    return {"socket_address": {"address": ip, "port_value": port}}
