"""Statistics as Envoy's /stats prints them: text and JSON. Prometheus has a module of its own."""

import json
import math
from typing import Final

from proxyd.stats.histogram import lower_bound, width
from proxyd.stats.view import Distribution, HistogramView, StatsView

# Ways to show a histogram (the parameter histogram_buckets).
SUMMARY: Final = "summary"
CUMULATIVE: Final = "cumulative"
DISJOINT: Final = "disjoint"
DETAILED: Final = "detailed"
HISTOGRAM_MODES: Final = (CUMULATIVE, DISJOINT, DETAILED, SUMMARY)

PERCENTILES: Final = (0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0)
QUANTILES: Final = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)
# Upper bounds of Envoy's default buckets, in printed units.
BOUNDS: Final = (
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0, 60000.0,
    300000.0, 600000.0, 1800000.0, 3600000.0,
)  # fmt: skip


def number(value: float) -> str:
    """A float as Envoy prints it: shortest exact form, whole numbers without a fraction."""
    if math.isnan(value):
        return "nan"
    return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(value)


def text(view: StatsView, mode: str = SUMMARY) -> str:
    """``name: value`` lines: text readouts, counters and gauges together, histograms; each sorted by name."""
    lines = [f'{name}: "{value}"' for name, value in sorted(view.texts.items())]
    lines += [f"{name}: {value}" for name, value in sorted((view.counters | view.gauges).items())]
    lines += [_histogram_text(name, histogram, mode) for name, histogram in sorted(view.histograms.items())]
    return "".join(line + "\n" for line in lines)


def to_json(view: StatsView, mode: str = SUMMARY) -> str:
    """The same as one JSON document, in the same order, histograms together at the end."""
    stats: list[dict[str, object]] = [
        {"name": name, "value": value} for name, value in sorted(view.texts.items())
    ]
    stats += [{"name": name, "value": value} for name, value in sorted((view.counters | view.gauges).items())]
    if view.histograms:
        stats.append({"histograms": _histograms_json(view, mode)})
    return json.dumps({"stats": stats}, separators=(",", ":"))


def histogram_summary(histogram: HistogramView) -> list[tuple[float, float]]:
    """For each of PERCENTILES the value in the last interval and since the start; NaN where there is none."""
    interval = histogram.interval.quantiles(QUANTILES)
    cumulative = histogram.cumulative.quantiles(QUANTILES)
    return list(zip(interval, cumulative, strict=True))


def disjoint(counts: list[int]) -> list[int]:
    """Counts of each bucket from those that count everything up to it."""
    return [count - before for count, before in zip(counts, [0, *counts[:-1]], strict=True)]


def _bucket_counts(distribution: Distribution, mode: str) -> list[int]:
    counts = distribution.at_most(BOUNDS)
    return counts if mode == CUMULATIVE else disjoint(counts)


def _histogram_text(name: str, histogram: HistogramView, mode: str) -> str:
    if not histogram.cumulative.count:
        return f"{name}: No recorded values"
    if mode in (CUMULATIVE, DISJOINT):
        interval = _bucket_counts(histogram.interval, mode)
        cumulative = _bucket_counts(histogram.cumulative, mode)
        buckets = zip(BOUNDS, interval, cumulative, strict=True)
        return f"{name}: " + " ".join(f"B{bound:g}({i},{c})" for bound, i, c in buckets)
    if mode == DETAILED:
        return (
            f"{name}:\n  totals={_buckets_text(histogram.cumulative)}\n"
            f"  intervals={_buckets_text(histogram.interval)}\n  summary={_summary_text(histogram)}"
        )
    return f"{name}: {_summary_text(histogram)}"


def _summary_text(histogram: HistogramView) -> str:
    values = zip(PERCENTILES, histogram_summary(histogram), strict=True)
    return " ".join(f"P{percentile:g}({number(i)},{number(c)})" for percentile, (i, c) in values)


def _buckets_text(distribution: Distribution) -> str:
    """Filled buckets as ``lower,width:count``."""
    return ", ".join(
        f"{number(lower)},{number(size)}:{count}" for lower, size, count in _filled_buckets(distribution)
    )


def _filled_buckets(distribution: Distribution) -> list[tuple[float, float, int]]:
    scale = distribution.scale
    return [
        (lower_bound(index) / scale, width(index) / scale, count)
        for index, count in enumerate(distribution.counts)
        if count
    ]


def _histograms_json(view: StatsView, mode: str) -> object:
    histograms = sorted(view.histograms.items())
    if mode in (CUMULATIVE, DISJOINT):
        return [{"name": name, "buckets": _buckets_json(histogram, mode)} for name, histogram in histograms]
    supported = [_json_number(percentile) for percentile in PERCENTILES]
    if mode == DETAILED:
        details = [
            {
                "name": name,
                "totals": _filled_json(histogram.cumulative),
                "intervals": _filled_json(histogram.interval),
                "percentiles": _quantiles_json(histogram),
            }
            for name, histogram in histograms
        ]
        return {"supported_percentiles": supported, "details": details}
    computed = [{"name": name, "values": _quantiles_json(histogram)} for name, histogram in histograms]
    return {"supported_quantiles": supported, "computed_quantiles": computed}


def _buckets_json(histogram: HistogramView, mode: str) -> list[dict[str, object]]:
    interval = _bucket_counts(histogram.interval, mode)
    cumulative = _bucket_counts(histogram.cumulative, mode)
    return [
        {"upper_bound": _json_number(bound), "interval": i, "cumulative": c}
        for bound, i, c in zip(BOUNDS, interval, cumulative, strict=True)
    ]


def _filled_json(distribution: Distribution) -> list[dict[str, object]]:
    return [
        {"lower_bound": _json_number(lower), "width": _json_number(size), "count": count}
        for lower, size, count in _filled_buckets(distribution)
    ]


def _quantiles_json(histogram: HistogramView) -> list[dict[str, object]]:
    return [
        {"cumulative": _json_number(cumulative), "interval": _json_number(interval)}
        for interval, cumulative in histogram_summary(histogram)
    ]


def _json_number(value: float) -> float | int | None:
    if math.isnan(value):
        return None
    return int(value) if value == int(value) else value
