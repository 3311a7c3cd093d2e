"""/stats by its parameters."""

import json

import pytest

from tests.admin.conftest import Ask, FakeContext


@pytest.fixture(autouse=True)
def numbers(context: FakeContext) -> None:
    context.registry.counter("http.in.downstream_rq_total").value = 5
    context.registry.counter("http.in.no_route")
    context.registry.gauge("server.live").value = 1
    context.registry.histogram("http.in.downstream_rq_time").record(2000)
    context.registry.text("version_text").value = "<v1>"


def test_formats(ask: Ask) -> None:
    text = ask("/stats")
    assert text.content_type == "text/plain; charset=UTF-8"
    assert (
        "http.in.downstream_rq_total: 5\nhttp.in.no_route: 0\nserver.concurrency: 2\n" in text.body.decode()
    )
    as_json = ask("/stats?format=json&filter=live")
    assert as_json.content_type == "application/json"
    assert json.loads(as_json.body) == {"stats": [{"name": "server.live", "value": 1}]}
    prometheus = ask("/stats/prometheus?filter=live")
    assert prometheus.body == b"# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n"
    assert prometheus.content_type == "text/plain; charset=UTF-8"
    assert ask("/stats?format=prometheus&filter=live") == prometheus


def test_selection(ask: Ask) -> None:
    assert ask("/stats?filter=rq_total").body == b"http.in.downstream_rq_total: 5\n"
    assert b"live" not in ask("/stats?filter=live&invert_filter").body
    assert b"no_route" not in ask("/stats?usedonly").body
    assert ask("/stats?type=Gauges&format=").body == b"server.concurrency: 2\nserver.live: 1\n"
    assert ask("/stats?filter=nothing").body == b""


@pytest.mark.parametrize(
    ("target", "start"),
    [
        ("/stats?format=foo", "usage: /stats?format=(html|json|prometheus|text)\n"),
        ("/stats?format=active-html", "usage: /stats?format="),
        ("/stats?type=foo", "invalid &type= param"),
        (
            "/stats?histogram_buckets=foo",
            "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)",
        ),
        ("/stats?filter=(", "Invalid regex: "),
        ("/stats?filter=(a%2B)%2B", "Invalid regex: repeat inside a repeat"),
        ("/stats/prometheus?histogram_buckets=foo", "usage: /stats?histogram_buckets="),
        ("/stats/prometheus?histogram_buckets=detailed", "unsupported prometheus histogram bucket mode"),
        ("/stats/prometheus?filter=(", "Invalid regex: "),
    ],
)
def test_wrong_parameters(ask: Ask, target: str, start: str) -> None:
    reply = ask(target)
    assert reply.status == 400
    assert reply.body.decode().startswith(start)


def test_histogram_modes(ask: Ask) -> None:
    assert b"rq_time: B0.5(0,0) B1(0,0) B5(0,1)" in ask("/stats?histogram_buckets=cumulative").body
    assert b"  totals=" in ask("/stats?histogram_buckets=detailed").body
    assert b'quantile="0.5"' in ask("/stats/prometheus?histogram_buckets=summary").body


def test_text_readouts(ask: Ask) -> None:
    assert b"version_text" not in ask("/stats/prometheus").body
    assert b'envoy_version_text{text_value="<v1>"} 0\n' in ask("/stats/prometheus?text_readouts").body


def test_html_is_escaped_and_remembers_what_was_asked(ask: Ask) -> None:
    reply = ask("/stats?format=html&filter=%22%3E%3Cscript%3Ex%7Cversion%7Crq_time%7Clive&usedonly")
    page = reply.body.decode()
    assert reply.content_type == "text/html; charset=UTF-8"
    assert "<script" not in page
    assert "&lt;v1&gt;" not in page  # an unused text
    assert "value='&quot;&gt;&lt;script&gt;x|version|rq_time|live'" in page
    assert "server.live" in page
    assert "Histograms" in page
    assert "&lt;v1&gt;" in ask("/stats?format=html").body.decode()
    assert "Nothing is selected" in ask("/stats?format=html&filter=zzz").body.decode()
