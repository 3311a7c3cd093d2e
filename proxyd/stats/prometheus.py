"""Statistics in Prometheus' text format, with the metric names and labels that Envoy's dashboards expect.

A part of a dotted name that says *which* (a cluster, a listener, a status) becomes a label; what is left is
the name of the family, behind ``envoy_``. As in Envoy, a cluster's label ends at the first dot of its name.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from proxyd.stats.render import BOUNDS, CUMULATIVE, QUANTILES, SUMMARY, number
from proxyd.stats.view import HistogramView, StatsView

MODES: Final = (CUMULATIVE, SUMMARY)

# Label, and the pattern whose group "value" becomes the label while group "cut" is cut out of the name; in
# the order of Envoy's labels.
_TAGS: Final = tuple(
    (label, re.compile(pattern, re.DOTALL))
    for label, pattern in (
        ("envoy_response_code", r"_rq(?P<cut>_(?P<value>\d{3}))$"),
        ("envoy_response_code_class", r"_rq_(?P<cut>(?P<value>\d))xx$"),
        ("envoy_http_conn_manager_prefix", r"^http\.(?P<cut>(?P<value>.*?)\.)"),
        ("envoy_http_conn_manager_prefix", r"^listener\..*?\.http\.(?P<cut>(?P<value>.*?)\.)"),
        ("envoy_worker_id", r"\.worker(?P<cut>_(?P<value>\d+))\."),
        # ip_port of either family; a stat_prefix stays part of the name
        ("envoy_listener_address", r"^listener\.(?P<cut>(?P<value>(?:[\d.]+|\[[\da-fA-F_.]+\])_\d+)\.)"),
        ("envoy_grpc_bridge_method", r"^cluster\.[^.]*\.grpc\.[^.]+\.(?P<cut>(?P<value>[^.]+)\.)"),
        ("envoy_grpc_bridge_service", r"^cluster\.[^.]*\.grpc\.(?P<cut>(?P<value>[^.]+)\.)[^.]+\."),
        ("envoy_cluster_name", r"^cluster\.(?P<cut>(?P<value>.*?)\.)"),
    )
)

_Value = TypeVar("_Value")


def render(view: StatsView, mode: str = CUMULATIVE, *, text_readouts: bool = False) -> str:
    """The whole view: counters, gauges, text readouts where asked for, histograms; families sorted by name.

    Text readouts are gauges of value 0 with the label ``text_value``. ``mode`` is CUMULATIVE or SUMMARY.
    """
    lines: list[str] = []
    _simple(lines, view.counters, "counter")
    _simple(lines, view.gauges, "gauge")
    if text_readouts:
        for family, members in _families(view.texts):
            lines.append(f"# TYPE {family} gauge")
            lines += [f"{family}{_braces(labels, text_value=value)} 0" for labels, value in members]
    for family, histograms in _families(view.histograms):
        lines.append(f"# TYPE {family} {'summary' if mode == SUMMARY else 'histogram'}")
        for labels, histogram in histograms:
            lines += _histogram(family, labels, histogram, mode)
    return "".join(line + "\n" for line in lines)


def split_tags(name: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The dotted name without what became labels, and the labels in Envoy's order."""
    labels: list[tuple[str, str]] = []
    cuts: list[tuple[int, int]] = []
    for label, pattern in _TAGS:
        match = pattern.search(name)
        if match is not None:
            labels.append((label, match["value"]))
            cuts.append(match.span("cut"))
    for start, end in sorted(cuts, reverse=True):
        name = name[:start] + name[end:]
    return name, tuple(labels)


_Labels = tuple[tuple[str, str], ...]


def _families(stats: Mapping[str, _Value]) -> Iterable[tuple[str, list[tuple[_Labels, _Value]]]]:
    """Stats grouped by metric name: (metric name, [(labels, value)]), sorted as Envoy sorts."""
    families: dict[str, list[tuple[_Labels, _Value]]] = {}
    for name in sorted(stats):
        family, labels = split_tags(name)
        families.setdefault(family, []).append((labels, stats[name]))
    for family in sorted(families):
        yield "envoy_" + re.sub(r"[^a-zA-Z0-9_]", "_", family), families[family]


def _simple(lines: list[str], stats: Mapping[str, int], kind: str) -> None:
    for family, members in _families(stats):
        lines.append(f"# TYPE {family} {kind}")
        lines += [f"{family}{_braces(labels)} {value}" for labels, value in members]


def _histogram(family: str, labels: _Labels, histogram: HistogramView, mode: str) -> Iterable[str]:
    distribution = histogram.cumulative
    if mode == SUMMARY:
        # Of the last interval, as in Envoy. Its sum and count are too; here they go on growing, for rate().
        quantiles = histogram.interval.quantiles(QUANTILES)
        for quantile, value in zip(QUANTILES, quantiles, strict=True):
            yield f"{family}{_braces(labels, quantile=number(quantile))} {number(value)}"
    else:
        for bound, count in zip(BOUNDS, distribution.at_most(BOUNDS), strict=True):
            yield f"{family}_bucket{_braces(labels, le=number(bound))} {count}"
        yield f"{family}_bucket{_braces(labels, le='+Inf')} {distribution.count}"
    yield f"{family}_sum{_braces(labels)} {number(distribution.sum)}"
    yield f"{family}_count{_braces(labels)} {distribution.count}"


def _braces(labels: _Labels, **more: str) -> str:
    pairs = [*labels, *more.items()]
    return "{" + ",".join(f'{label}="{_escape(value)}"' for label, value in pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
