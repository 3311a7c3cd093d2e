"""The frame of the admin pages: one style sheet, no resource from elsewhere, everything escaped."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import Final

from proxyd.admin.messages import HTML, AdminReply

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --link: #2563eb; }
@media (prefers-color-scheme: dark) { :root { --link: #7aa2f7; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; padding: 0; }
.tiles div { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; min-width: 7rem; }
.tiles dt { font-size: .8rem; opacity: .7; } .tiles dd { margin: 0; font-size: 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } tbody tr:hover { background: var(--soft); }
td.number, th.number { text-align: right; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
form { display: inline-flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin: 0; }
input, select, button { font: inherit; font-size: .85rem; padding: .1rem .4rem; }
button { cursor: pointer; } label { font-size: .85rem; opacity: .85; } small { opacity: .7; }
"""


def _hash(source: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() + "'"


def page(title: str, body: str, script: str = "") -> AdminReply:
    """A whole page. ``title`` is text, ``body`` is HTML. Only our own script and style may run in it."""
    allowed_script = _hash(script) if script else "'none'"
    policy = (
        f"default-src 'none'; style-src {_hash(STYLE)}; script-src {allowed_script}; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    document = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )
    reply = AdminReply(200, HTML, document.encode("utf-8", "replace"))
    reply.headers.append(("content-security-policy", policy))
    reply.headers.append(("referrer-policy", "same-origin"))
    return reply


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], numbers: bool = False) -> str:
    """A table of texts; with ``numbers`` all columns but the first stand to the right."""
    right = ' class="number"' if numbers else ""
    head = "".join(f"<th{right if at else ''}>{escape(name)}</th>" for at, name in enumerate(columns))
    lines = [
        "<tr>"
        + "".join(f"<td{right if at else ''}>{escape(cell)}</td>" for at, cell in enumerate(cells))
        + "</tr>"
        for cells in rows
    ]
    body = "".join(lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
