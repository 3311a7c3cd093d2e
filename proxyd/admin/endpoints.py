"""THE table of the admin API: paths, methods, parameters, words and handlers.

Dispatch, /help, the reply to an unknown path, and the home page are made from it.
"""

from typing import Final

from proxyd.admin import clusters, config_dump, server, stats_pages, workers
from proxyd.admin.context import AdminContext
from proxyd.admin.endpoint import Endpoint, Parameter, help_text
from proxyd.admin.home import home_page
from proxyd.admin.messages import AdminReply, AdminRequest, text
from proxyd.stats import prometheus, render
from proxyd.stats.selection import TYPES


async def _home(context: AdminContext, _request: AdminRequest) -> AdminReply:
    return home_page(context, ENDPOINTS)


async def _help(_context: AdminContext, _request: AdminRequest) -> AdminReply:
    return text(help_text(ENDPOINTS))


_FORMAT: Final = Parameter("format", "how to write it", ("text", "json"))
_FILTER: Final = (
    Parameter("usedonly", "only stats that have been written since the start", flag=True),
    Parameter("filter", "regular expression to find in the name"),
    Parameter("invert_filter", "only names in which the filter is not found", flag=True),
)

ENDPOINTS: Final = (
    Endpoint("/", "this server at a glance", _home),
    Endpoint("/certs", "certificates in use", server.certs),
    Endpoint(
        "/clusters",
        "clusters, their hosts and what was sent to them",
        clusters.clusters,
        (Parameter("filter", "regular expression to find in the cluster's name"), _FORMAT),
    ),
    Endpoint(
        "/config_dump",
        "the running configuration, secrets left out",
        config_dump.config_dump,
        (
            Parameter("resource", "one repeated field of the dump, for instance static_clusters"),
            Parameter("mask", "fields to show, separated by commas; with resource: of each of its elements"),
            Parameter("name_regex", "only what has a name that this matches from end to end"),
        ),
    ),
    Endpoint(
        "/drain_listeners",
        "stop accepting connections",
        server.drain_listeners,
        (
            Parameter("graceful", "ask clients to leave first, stop after the drain time", flag=True),
            Parameter("skip_exit", "ask clients to leave, but never stop accepting", flag=True),
            Parameter("inboundonly", "only listeners whose traffic_direction is INBOUND", flag=True),
        ),
        changes=True,
    ),
    Endpoint(
        "/healthcheck/fail", "let health checks of this server fail", server.healthcheck_fail, changes=True
    ),
    Endpoint("/healthcheck/ok", "let them pass again", server.healthcheck_ok, changes=True),
    Endpoint("/help", "this list", _help),
    Endpoint("/hot_restart_version", "whether another process can take over", server.hot_restart_version),
    Endpoint("/init_dump", "what start-up still waits for", server.init_dump),
    Endpoint("/listeners", "listeners and their addresses", clusters.listeners, (_FORMAT,)),
    Endpoint(
        "/logging",
        "show and change levels of logging",
        server.logging,
        (
            Parameter("level", "level for all loggers", server.LEVELS),
            Parameter("paths", "<name>:<level> for several loggers, separated by commas"),
            Parameter("<name>", "level for one logger"),
        ),
        changes=True,
    ),
    Endpoint("/memory", "memory of all processes together", server.memory),
    Endpoint("/quitquitquit", "stop the server", server.quitquitquit, changes=True),
    Endpoint("/ready", "state of the server; status 200 if it is LIVE, else 503", server.ready),
    Endpoint("/reopen_logs", "reopen access logs", server.reopen_logs, changes=True),
    Endpoint("/reset_counters", "let all counters start at zero", server.reset_counters, changes=True),
    Endpoint("/runtime", "values of the runtime", server.runtime),
    Endpoint(
        "/runtime_modify",
        "set values of the runtime's admin layer: ?key=value&..., an empty value removes one",
        server.runtime_modify,
        changes=True,
    ),
    Endpoint("/server_info", "version, state, uptime and options", server.server_info),
    Endpoint(
        "/stats",
        "statistics",
        stats_pages.stats,
        (
            *_FILTER,
            Parameter("format", "how to write them", stats_pages.FORMATS),
            Parameter("type", "kind of stats", TYPES),
            Parameter("histogram_buckets", "how to show histograms", render.HISTOGRAM_MODES),
        ),
    ),
    Endpoint(
        "/stats/prometheus",
        "statistics for Prometheus",
        stats_pages.prometheus_stats,
        (
            *_FILTER,
            Parameter("text_readouts", "texts too, as gauges of value 0", flag=True),
            Parameter("histogram_buckets", "how to show histograms", prometheus.MODES),
        ),
    ),
    Endpoint("/workers", "worker processes: load, memory, health", workers.workers, (_FORMAT,)),
)
