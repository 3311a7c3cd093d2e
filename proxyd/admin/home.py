"""/: a page that shows how the server is and leads to everything else. It works without JavaScript."""

from collections.abc import Sequence
from html import escape
from typing import Final

from proxyd.admin import html
from proxyd.admin.context import AdminContext
from proxyd.admin.endpoint import Endpoint, Parameter
from proxyd.admin.messages import AdminReply
from proxyd.admin.workers import COLUMNS, row

# Keeps the tiles and the table of workers fresh. Everything is set as text, never as HTML.
_SCRIPT: Final = """
"use strict";
const set = (id, value) => { document.getElementById(id).textContent = value; };
async function json(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw reply.status;
  return reply.json();
}
const pattern = encodeURIComponent("^http\\\\..+\\\\.downstream_(rq_(total|active|5xx)|cx_active)$");
let before = null;
function tiles(stats, state) {
  const counted = stats.filter((stat) => stat.name && !stat.name.startsWith("http.admin."));
  const sum = (ending) => counted.filter((stat) => stat.name.endsWith(ending))
    .reduce((total, stat) => total + stat.value, 0);
  const now = { at: performance.now(), total: sum(".downstream_rq_total") };
  if (before) {
    set("rate", Math.max(0, (now.total - before.total) * 1000 / (now.at - before.at)).toFixed(0));
  }
  before = now;
  set("state", state.trim());
  set("requests", now.total);
  set("active", sum(".downstream_rq_active"));
  set("connections", sum(".downstream_cx_active"));
  set("errors", sum(".downstream_rq_5xx"));
}
function line(w) {
  const cells = [w.worker, w.pid, w.generation, w.state, w.connections, w.requests_total,
    w.requests_active, w.cpu_percent.toFixed(1), w.cpu_seconds.toFixed(2),
    (w.memory_bytes / 1048576).toFixed(1), (w.loop_lag_seconds * 1e3).toFixed(2),
    (w.loop_lag_max_seconds * 1e3).toFixed(2), w.heartbeat_age_seconds.toFixed(2),
    w.uptime_seconds.toFixed(0)];
  const row = document.createElement("tr");
  cells.forEach((cell, at) => {
    const data = document.createElement("td");
    data.textContent = cell;
    if (at) data.className = "number";
    row.append(data);
  });
  return row;
}
async function keep() {
  try {
    const [workers, stats, state] = await Promise.all([
      json("/workers?format=json"),
      json("/stats?format=json&filter=" + pattern),
      fetch("/ready").then((reply) => reply.text()),
    ]);
    tiles(stats.stats, state);
    document.querySelector("#workers tbody").replaceChildren(...workers.workers.map(line));
    set("live", "live");
  } catch (error) {
    set("live", "not updated");
  }
  setTimeout(keep, document.hidden ? 10000 : 2000);
}
keep();
"""


def home_page(context: AdminContext, endpoints: Sequence[Endpoint]) -> AdminReply:
    """The page with the present numbers in it, and a line for each endpoint."""
    server = context.server()
    stats = context.stats()

    def sum_of(ending: str) -> str:
        numbers = stats.counters | stats.gauges
        return str(
            sum(
                value
                for name, value in numbers.items()
                if name.startswith("http.") and not name.startswith("http.admin.") and name.endswith(ending)
            )
        )

    tiles = (
        ("state", "state", server.state),
        ("rate", "requests/s", "-"),
        ("requests", "requests", sum_of(".downstream_rq_total")),
        ("active", "active requests", sum_of(".downstream_rq_active")),
        ("connections", "connections", sum_of(".downstream_cx_active")),
        ("errors", "5xx", sum_of(".downstream_rq_5xx")),
        ("generation", "generation", str(server.generation)),
    )
    tile_html = "".join(
        f"<div><dt>{escape(label)}</dt><dd id='{key}'>{escape(value)}</dd></div>"
        for key, label, value in tiles
    )
    worker_table = html.table(COLUMNS, [row(worker) for worker in context.workers()], numbers=True)
    lines = "".join(
        _line(endpoint)
        for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.path)
        if endpoint.path != "/"
    )
    body = (
        f"<h1>proxyd</h1>\n<small>{escape(server.version)} · "
        "<span id='live'>as it was when this page was loaded</span></small>\n"
        f"<dl class='tiles'>{tile_html}</dl>\n"
        f"<h2>Workers</h2>\n<div id='workers'>{worker_table}</div>\n"
        "<h2>Commands</h2>\n<div class='scroll'><table><thead><tr><th>command</th><th>parameters</th>"
        f"<th>what it does</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )
    return html.page("proxyd", body, _SCRIPT)


def _line(endpoint: Endpoint) -> str:
    """What changes something is a button that posts; the rest are links, or forms if there are parameters."""
    path = escape(endpoint.path)
    if not endpoint.changes and not endpoint.parameters:
        return f"<tr><td><a href='{path}'>{path}</a></td><td></td><td>{escape(endpoint.help)}</td></tr>\n"
    method = "post" if endpoint.changes else "get"
    # Parameters are read from the query, and a form that posts cannot put its fields there: flags and choices
    # are further buttons with an address of their own.
    fields = "" if endpoint.changes else "".join(_field(parameter) for parameter in endpoint.parameters)
    variants = "".join(_buttons(path, parameter) for parameter in endpoint.parameters if endpoint.changes)
    name = path if endpoint.changes else f"<a href='{path}'>{path}</a>"
    button = "POST" if endpoint.changes else "Show"
    form = f"<form method='{method}' action='{path}'>{fields}<button>{button}</button>{variants}</form>"
    return f"<tr><td>{name}</td><td>{form}</td><td>{escape(endpoint.help)}</td></tr>\n"


def _buttons(path: str, parameter: Parameter) -> str:
    """For a parameter of something that changes: a button for each value it can have, none for free text."""
    name = escape(parameter.name)
    if parameter.flag:
        return f"<button formaction='{path}?{name}'>{name}</button>"
    return "".join(
        f"<button formaction='{path}?{name}={escape(choice)}'>{escape(choice)}</button>"
        for choice in parameter.choices
    )


def _field(parameter: Parameter) -> str:
    name = escape(parameter.name)
    title = escape(parameter.help)
    if parameter.flag:
        return f"<label title='{title}'><input type='checkbox' name='{name}' value='1'> {name}</label>"
    if parameter.choices:
        options = "<option></option>" + "".join(
            f"<option>{escape(choice)}</option>" for choice in parameter.choices
        )
        return f"<label title='{title}'>{name} <select name='{name}'>{options}</select></label>"
    return f"<input name='{name}' placeholder='{name}' title='{title}' size='14'>"
