"""Text and JSON in the shape of Envoy's captures."""

import json

import pytest

from proxyd.stats import render
from proxyd.stats.metrics import PLAIN, Registry
from proxyd.stats.totals import Totals
from proxyd.stats.view import StatsView


@pytest.fixture
def view() -> StatsView:
    registry = Registry()
    totals = Totals(registry)
    registry.text("listener_manager.lds.version_text").value = "v1"
    registry.counter("cluster.backend.upstream_rq_total").value = 7
    registry.gauge("cluster.backend.upstream_cx_active").value = 2
    registry.counter("server.static_unknown_fields")
    registry.histogram("cluster.backend.upstream_cx_length_ms")
    per_cx = registry.histogram("cluster.backend.upstream_rq_per_cx", PLAIN)
    per_cx.record(1)
    totals.tick()
    per_cx.record(2)
    return totals.read()


def test_text_is_texts_then_numbers_then_histograms_sorted(view: StatsView) -> None:
    lines = render.text(view).splitlines()
    assert lines[:5] == [
        'listener_manager.lds.version_text: "v1"',
        "cluster.backend.upstream_cx_active: 2",
        "cluster.backend.upstream_rq_total: 7",
        "server.static_unknown_fields: 0",
        "cluster.backend.upstream_cx_length_ms: No recorded values",
    ]
    # interval before cumulative; the numbers as short as Envoy writes them
    assert lines[5] == (
        "cluster.backend.upstream_rq_per_cx: P0(1,1) P25(1,1) P50(1,1) P75(1,2) P90(1,2) P95(1,2) P99(1,2) "
        "P99.5(1,2) P99.9(1,2) P100(1,2)"
    )


def test_an_empty_interval_is_nan() -> None:
    registry = Registry()
    registry.histogram("h", PLAIN).record(3)
    assert render.text(Totals(registry).read()).startswith("h: P0(nan,3) P25(nan,3)")


def test_cumulative_and_disjoint_buckets(view: StatsView) -> None:
    cumulative = render.text(view, render.CUMULATIVE).splitlines()[-1]
    assert cumulative.startswith("cluster.backend.upstream_rq_per_cx: B0.5(0,0) B1(1,1) B5(1,2) B10(1,2) ")
    assert cumulative.endswith(" B300000(1,2) B600000(1,2) B1.8e+06(1,2) B3.6e+06(1,2)")
    disjoint = render.text(view, render.DISJOINT).splitlines()[-1]
    assert disjoint.startswith("cluster.backend.upstream_rq_per_cx: B0.5(0,0) B1(1,1) B5(0,1) B10(0,0) ")


def test_detailed_buckets(view: StatsView) -> None:
    assert render.text(view, render.DETAILED).splitlines()[-4:-1] == [
        "cluster.backend.upstream_rq_per_cx:",
        "  totals=1,1:1, 2,1:1",
        "  intervals=1,1:1",
    ]
    assert render.text(view, render.DETAILED).splitlines()[-1].startswith("  summary=P0(1,1)")


def test_json_summary(view: StatsView) -> None:
    document = render.to_json(view)
    assert document.startswith('{"stats":[{"name":"listener_manager.lds.version_text","value":"v1"},')
    stats = json.loads(document)["stats"]
    assert stats[1] == {"name": "cluster.backend.upstream_cx_active", "value": 2}
    histograms = stats[-1]["histograms"]
    assert histograms["supported_quantiles"] == [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]
    assert [entry["name"] for entry in histograms["computed_quantiles"]] == [
        "cluster.backend.upstream_cx_length_ms",
        "cluster.backend.upstream_rq_per_cx",
    ]
    assert histograms["computed_quantiles"][0]["values"] == [{"cumulative": None, "interval": None}] * 10
    assert histograms["computed_quantiles"][1]["values"][-1] == {"cumulative": 2, "interval": 1}


def test_json_of_buckets(view: StatsView) -> None:
    [*_, last] = json.loads(render.to_json(view, render.CUMULATIVE))["stats"]
    buckets = last["histograms"][1]["buckets"]
    assert buckets[1] == {"upper_bound": 1, "interval": 1, "cumulative": 1}
    assert buckets[2] == {"upper_bound": 5, "interval": 1, "cumulative": 2}
    assert [entry["upper_bound"] for entry in buckets] == list(render.BOUNDS)
    [*_, last] = json.loads(render.to_json(view, render.DETAILED))["stats"]
    details = last["histograms"]["details"]
    assert details[0]["totals"] == details[0]["intervals"] == []
    assert details[1]["totals"] == [
        {"lower_bound": 1, "width": 1, "count": 1},
        {"lower_bound": 2, "width": 1, "count": 1},
    ]
    assert set(last["histograms"]) == {"supported_percentiles", "details"}


def test_json_without_histograms_has_no_entry_for_them() -> None:
    assert render.to_json(StatsView()) == '{"stats":[]}'


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (1.0333333333333334, "1.0333333333333334"), (300000.0, "300000"), (float("nan"), "nan")],
)
def test_numbers_are_as_short_as_envoys(value: float, shown: str) -> None:
    assert render.number(value) == shown
