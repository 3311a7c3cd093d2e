"""Prometheus' format: names and labels of Envoy's capture, and a strict reading of the whole output."""

import math
import re

import pytest

from proxyd.stats import prometheus
from proxyd.stats.metrics import PLAIN, Registry
from proxyd.stats.render import SUMMARY
from proxyd.stats.scopes import ClusterStats, HttpStats, ListenerHttpStats, ListenerStats
from proxyd.stats.server_scopes import ServerStats, WatchdogStats
from proxyd.stats.totals import Totals
from proxyd.stats.view import StatsView

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\} (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parse(document: str) -> dict[str, tuple[str, list[tuple[str, dict[str, str], float]]]]:
    """Families by name: (type, samples). Refuses what the format refuses."""
    families: dict[str, tuple[str, list[tuple[str, dict[str, str], float]]]] = {}
    family = kind = ""
    seen: set[tuple[str, str]] = set()
    assert not document or document.endswith("\n")
    for line in document.splitlines():
        if line.startswith("# TYPE "):
            family, kind = line.removeprefix("# TYPE ").split(" ")
            assert family not in families, "one TYPE line for each family"
            assert kind in ("counter", "gauge", "histogram", "summary")
            families[family] = (kind, [])
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, inner, value = match.groups()
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("", "_sum", "_count")
        assert name in ([family] if kind in ("counter", "gauge") else [family + s for s in suffixes]), line
        labels = dict(LABEL.findall(inner))
        assert LABEL.sub("", inner) == ""
        assert (name, inner) not in seen, "a sample twice"
        seen.add((name, inner))
        families[family][1].append((name, labels, float(value)))
    return families


@pytest.fixture
def registry() -> Registry:
    return Registry()


def view_of(registry: Registry) -> StatsView:
    return Totals(registry).read()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("server.live", "server.live"),
        ("cluster.backend.upstream_rq_200", "cluster.upstream_rq 200 backend"),
        ("cluster.backend.external.upstream_rq_2xx", "cluster.external.upstream_rq_xx 2 backend"),
        ("cluster.backend.upstream_rq_0rtt", "cluster.upstream_rq_0rtt backend"),
        ("cluster.two.grpc.success", "cluster.grpc.success two"),
        ("cluster.one.grpc.s.m.0", "cluster.grpc.0 m s one"),
        ("cluster.one.grpc.a.B.M.total", "cluster.grpc.M.total B a one"),
        ("cluster_manager.cluster_added", "cluster_manager.cluster_added"),
        ("http.in.downstream_rq_5xx", "http.downstream_rq_xx 5 in"),
        ("http.in.tracing.health_check", "http.tracing.health_check in"),
        ("listener.127.0.0.1_80.downstream_cx_total", "listener.downstream_cx_total 127.0.0.1_80"),
        ("listener.[__1]_80.downstream_cx_total", "listener.downstream_cx_total [__1]_80"),
        ("listener.admin.downstream_cx_total", "listener.admin.downstream_cx_total"),
        ("listener.admin.http.admin.downstream_rq_1xx", "listener.admin.http.downstream_rq_xx 1 admin"),
        ("listener.1.2.3.4_80.http.in.downstream_rq_1xx", "listener.http.downstream_rq_xx 1 in 1.2.3.4_80"),
        (
            "listener.1.2.3.4_80.worker_12.downstream_cx_total",
            "listener.worker.downstream_cx_total 12 1.2.3.4_80",
        ),
        ("server.worker_0.watchdog_miss", "server.worker.watchdog_miss 0"),
        ("listener_manager.workers_started", "listener_manager.workers_started"),
    ],
)
def test_what_becomes_a_label(name: str, shown: str) -> None:
    family, labels = prometheus.split_tags(name)
    assert " ".join([family, *(value for _, value in labels)]) == shown


def test_labels_have_envoys_names_and_order(registry: Registry) -> None:
    registry.counter("cluster.backend.upstream_rq_200").value = 7
    registry.counter("listener.[__1]_80.worker_1.downstream_cx_total").value = 3
    registry.counter("server.static_unknown_fields")
    assert prometheus.render(view_of(registry)).splitlines() == [
        "# TYPE envoy_cluster_upstream_rq counter",
        'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="backend"} 7',
        "# TYPE envoy_listener_worker_downstream_cx_total counter",
        'envoy_listener_worker_downstream_cx_total{envoy_worker_id="1",envoy_listener_address="[__1]_80"} 3',
        "# TYPE envoy_server_static_unknown_fields counter",
        "envoy_server_static_unknown_fields{} 0",
    ]


def test_everything_together_is_valid(registry: Registry) -> None:
    for prefix in ("in", "admin", 'odd"\\\n'):
        HttpStats(registry, prefix).downstream_rq_time.record(1500)
    for cluster in ("a", "b"):
        ClusterStats(registry, cluster).code(503)
    for worker in range(2):
        ListenerStats(registry, "127.0.0.1:80", "", worker)
        WatchdogStats(registry, worker)
    ListenerHttpStats(registry, "127.0.0.1:80", "in")
    ServerStats(registry)
    families = parse(prometheus.render(view_of(registry)))
    assert [
        len(families[f"envoy_{name}"][1]) for name in ("http_downstream_rq_xx", "cluster_upstream_rq")
    ] == [15, 2]
    kinds = [kind for kind, _ in families.values()]
    assert kinds == sorted(kinds)  # counters, gauges, histograms


def test_buckets_are_cumulative_in_milliseconds(registry: Registry) -> None:
    histogram = registry.histogram("http.in.downstream_rq_time")
    for microseconds in (100, 400, 3000, 40_000_000_000):
        histogram.record(microseconds)
    kind, samples = parse(prometheus.render(view_of(registry)))["envoy_http_downstream_rq_time"]
    assert kind == "histogram"
    buckets = {labels["le"]: value for name, labels, value in samples if name.endswith("_bucket")}
    assert list(buckets)[:2] == ["0.5", "1"]
    assert list(buckets)[-3:] == ["1800000", "3600000", "+Inf"]
    assert list(buckets.values()) == sorted(buckets.values())
    assert (buckets["0.5"], buckets["5"], buckets["3600000"], buckets["+Inf"]) == (2, 3, 3, 4)
    assert [value for name, _, value in samples if name.endswith("_sum")] == [40_000_003.5]
    assert [value for name, _, value in samples if name.endswith("_count")] == [4]


def test_summary(registry: Registry) -> None:
    totals = Totals(registry)
    registry.histogram("h", PLAIN).record(4)
    kind, samples = parse(prometheus.render(totals.read(), SUMMARY))["envoy_h"]
    assert kind == "summary"
    assert math.isnan(samples[0][2])
    totals.tick()
    _, samples = parse(prometheus.render(totals.read(), SUMMARY))["envoy_h"]
    assert [labels.get("quantile") for _, labels, _ in samples[:-2]] == [
        "0", "0.25", "0.5", "0.75", "0.9", "0.95", "0.99", "0.995", "0.999", "1",
    ]  # fmt: skip
    assert {value for _, _, value in samples[:-2]} == {4}


def test_text_readouts_only_if_asked_for(registry: Registry) -> None:
    registry.text("a.version_text").value = 'say "hi"'
    view = view_of(registry)
    assert prometheus.render(view) == ""
    assert prometheus.render(view, text_readouts=True).splitlines() == [
        "# TYPE envoy_a_version_text gauge",
        r'envoy_a_version_text{text_value="say \"hi\""} 0',
    ]
