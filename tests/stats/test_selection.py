"""filter, usedonly and type; and expressions that must not keep the process busy."""

import pytest

from proxyd.stats.metrics import Registry
from proxyd.stats.selection import PatternError, Selection, compile_pattern
from proxyd.stats.totals import Totals
from proxyd.stats.view import StatsView


@pytest.fixture
def view() -> StatsView:
    registry = Registry()
    registry.counter("http.in.rq_total").value = 1
    registry.counter("http.out.rq_total")
    registry.gauge("http.in.rq_active").value = 1
    registry.histogram("http.in.rq_time").record(1)
    registry.text("lds.version_text")
    registry.gauge("host.c;1:2.cx_active").value = 1
    return Totals(registry).read()


def names(view: StatsView) -> set[str]:
    return set(view.counters) | set(view.gauges) | set(view.histograms) | set(view.texts)


def test_everything_but_the_hidden(view: StatsView) -> None:
    chosen = Selection().apply(view)
    assert len(names(chosen)) == 5
    assert chosen.hidden == {}


def test_filter_searches_anywhere_in_the_name(view: StatsView) -> None:
    assert names(Selection(compile_pattern(r"in\.rq_t")).apply(view)) == {
        "http.in.rq_total",
        "http.in.rq_time",
    }
    assert names(Selection(compile_pattern("^http"), invert=True).apply(view)) == {"lds.version_text"}


def test_used_only(view: StatsView) -> None:
    chosen = names(Selection(used_only=True).apply(view))
    assert chosen == {"http.in.rq_total", "http.in.rq_active", "http.in.rq_time"}


@pytest.mark.parametrize(
    ("kind", "number"), [("All", 5), ("Counters", 2), ("Gauges", 1), ("Histograms", 1), ("TextReadouts", 1)]
)
def test_type(view: StatsView, kind: str, number: int) -> None:
    assert len(names(Selection(kind=kind).apply(view))) == number


@pytest.mark.parametrize(
    "expression",
    [
        "upstream_rq",
        r"^http\..+\.(rq|cx)_total$",
        "(a|b)",
        "[*+(]+x",
        "[)]",
        r"[]\]a]*",
        "a{2,3}",
        "x{y",
        r"\(a+\)+",
        "(ab)+",
    ],
)
def test_usual_expressions_are_fine(expression: str) -> None:
    compile_pattern(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "(",
        "a" * 501,
        "(a+)+$",
        "(a*)*",
        "((a+)b)*",
        "(a{1,9}){1,9}",
        ".*.*.*.*.*.*.*x",
        r"(a)\1",
        "(?=a)",
        "(?<!a)b",
    ],
)
def test_wrong_and_endless_expressions_are_refused(expression: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(expression)
