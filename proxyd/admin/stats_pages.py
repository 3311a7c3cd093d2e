"""/stats in all its formats, and /stats/prometheus."""

from collections.abc import Mapping

from proxyd.admin.context import AdminContext
from proxyd.admin.endpoint import BadParameterError
from proxyd.admin.messages import JSON, AdminReply, AdminRequest, text
from proxyd.admin.stats_html import stats_page
from proxyd.stats import prometheus, render
from proxyd.stats.selection import ALL, TYPES, PatternError, Selection, compile_pattern

FORMATS = ("html", "json", "prometheus", "text")


async def stats(context: AdminContext, request: AdminRequest) -> AdminReply:
    """All statistics, or those that are asked for."""
    parameters = request.parameters()
    form = parameters.get("format") or "text"
    if form not in FORMATS:
        raise BadParameterError(f"usage: /stats?format=({'|'.join(FORMATS)})\n\n")
    if form == "prometheus":
        return await prometheus_stats(context, request)
    kind = parameters.get("type") or ALL
    if kind not in TYPES:
        raise BadParameterError("invalid &type= param")
    mode = _histogram_mode(parameters, render.SUMMARY)
    view = _selection(parameters, kind).apply(context.stats())
    if form == "json":
        return AdminReply(200, JSON, render.to_json(view, mode).encode("utf-8", "replace"))
    if form == "html":
        return stats_page(view, parameters)
    return text(render.text(view, mode))


async def prometheus_stats(context: AdminContext, request: AdminRequest) -> AdminReply:
    """The same for Prometheus, which always wants all types."""
    parameters = request.parameters()
    mode = _histogram_mode(parameters, render.CUMULATIVE)
    if mode not in prometheus.MODES:
        raise BadParameterError("unsupported prometheus histogram bucket mode")
    view = _selection(parameters, ALL).apply(context.stats())
    return text(prometheus.render(view, mode, text_readouts="text_readouts" in parameters))


def _histogram_mode(parameters: Mapping[str, str], default: str) -> str:
    mode = parameters.get("histogram_buckets") or default
    if mode not in render.HISTOGRAM_MODES:
        raise BadParameterError(f"usage: /stats?histogram_buckets=({'|'.join(render.HISTOGRAM_MODES)})\n")
    return mode


def _selection(parameters: Mapping[str, str], kind: str) -> Selection:
    expression = parameters.get("filter", "")
    try:
        pattern = compile_pattern(expression) if expression else None
    except PatternError as error:
        raise BadParameterError(f"Invalid regex: {error}") from None
    return Selection(
        pattern, invert="invert_filter" in parameters, used_only="usedonly" in parameters, kind=kind
    )
