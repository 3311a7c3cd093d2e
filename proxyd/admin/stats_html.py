"""/stats?format=html: the statistics to read and to search in a browser."""

from collections.abc import Mapping
from html import escape

from proxyd.admin import html
from proxyd.admin.messages import AdminReply
from proxyd.stats import render
from proxyd.stats.selection import TYPES
from proxyd.stats.view import StatsView


def stats_page(view: StatsView, parameters: Mapping[str, str]) -> AdminReply:
    """A form with the present ``parameters`` in it, and what they select."""
    values = [(name, value) for name, value in sorted(view.texts.items())]
    values += [(name, str(value)) for name, value in sorted((view.counters | view.gauges).items())]
    histograms = [
        (name, *_quantiles(render.histogram_summary(histogram)))
        for name, histogram in sorted(view.histograms.items())
    ]
    body = f"<h1><a href='/'>proxyd</a> statistics</h1>\n<p>{_form(parameters)}</p>\n"
    if values:
        body += html.table(("name", "value"), values, numbers=True)
    if histograms:
        names = tuple(f"P{percentile:g}" for percentile in render.PERCENTILES)
        body += "<h2>Histograms</h2>\n<p><small>last interval / since start</small></p>\n"
        body += html.table(("name", *names), histograms, numbers=True)
    if not values and not histograms:
        body += "<p>Nothing is selected.</p>"
    return html.page("proxyd: statistics", body)


def _quantiles(pairs: list[tuple[float, float]]) -> tuple[str, ...]:
    return tuple(f"{_short(interval)} / {_short(cumulative)}" for interval, cumulative in pairs)


def _short(value: float) -> str:
    return "-" if value != value else f"{value:.4g}"


def _form(parameters: Mapping[str, str]) -> str:
    expression = escape(parameters.get("filter", ""))
    used_only = " checked" if "usedonly" in parameters else ""
    inverted = " checked" if "invert_filter" in parameters else ""
    kinds = "".join(
        f"<option{' selected' if kind == parameters.get('type') else ''}>{kind}</option>" for kind in TYPES
    )
    return (
        "<form method='get' action='/stats'><input type='hidden' name='format' value='html'>"
        f"<input name='filter' placeholder='regular expression' value='{expression}'>"
        f"<select name='type'>{kinds}</select>"
        f"<label><input type='checkbox' name='usedonly' value='1'{used_only}> used only</label>"
        f"<label><input type='checkbox' name='invert_filter' value='1'{inverted}> invert</label>"
        "<button>Show</button></form>"
    )
