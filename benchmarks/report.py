"""The table of a run, as Markdown."""

import statistics
from collections.abc import Callable
from typing import NamedTuple

from gates import findings
from measure import (
    CLOSE,
    DOWN,
    FULL,
    GRPC,
    HTTP2,
    IDLE,
    IDLE_TLS,
    KEEP_ALIVE,
    LATENCY,
    MANY_ROUTES,
    RESUMED,
    START,
    TCP_DOWN,
    TCP_SMALL,
    TCP_UP,
    TLS,
    UP,
    WEBSOCKET,
    Effort,
    Samples,
)

_ORDER = (
    *(KEEP_ALIVE, MANY_ROUTES, CLOSE, DOWN, UP, LATENCY, START, IDLE),
    *(TLS, HTTP2, FULL, RESUMED, IDLE_TLS),
    *(GRPC, WEBSOCKET, TCP_SMALL, TCP_DOWN, TCP_UP),
)
_YARDSTICKS = ("Envoy", "nginx")


class Run(NamedTuple):
    """What a reader has to know to trust the figures."""

    date: str
    machine: str
    load_before: float  # load average; near 0 on a quiet machine
    versions: dict[str, str]
    effort: Effort
    command: str
    commit: str
    router: dict[str, tuple[float, float]]  # µs of one match, with one route and with many


def render(run: Run, samples: Samples) -> str:
    """The whole page."""
    names = list(run.versions)
    return (
        "\n".join(
            [*_preamble(run), *_tables(names, samples), *_gates(samples), *_router(run), *_conditions(run)]
        )
        + "\n"
    )


def _preamble(run: Run) -> list[str]:
    lines = [
        "# Results",
        "",
        f"Written by `{run.command}` on {run.date}, of {run.commit}. Not to be edited by hand.",
        "",
        f"Machine: {run.machine}. Load average before the run: {run.load_before:.2f}.",
        "",
    ]
    if run.load_before > 0.5:
        lines += [
            "**The machine was not quiet: other work inflates the figures. Only ratios mean something.**",
            "",
        ]
    if run.effort.rounds < 5 or run.effort.seconds < 3:
        lines += ["**A short run, to try things out: the figures scatter.**", ""]
    return lines


def _tables(names: list[str], samples: Samples) -> list[str]:
    lines = ["## Least of all rounds", "", *_table(names, samples, min), ""]
    lines += ["## Median of all rounds", "", *_table(names, samples, statistics.median), ""]
    for yardstick in _YARDSTICKS:
        if yardstick in names:
            lines += [f"## Least, as a ratio to {yardstick}", ""]
            lines += [*_table(names, samples, min, yardstick), ""]
    return lines


def _table(
    names: list[str], samples: Samples, pick: Callable[[list[float]], float], yardstick: str = ""
) -> list[str]:
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for quantity in _ORDER:
        row = samples.get(quantity, {})
        if not row or (yardstick and not (row.get(yardstick) and pick(row[yardstick]))):
            continue
        if yardstick:
            unit = pick(row[yardstick])
            cells = [f"{pick(row[name]) / unit:.2f}" if row.get(name) else "" for name in names]
        else:
            cells = [f"{pick(row[name]):.1f}" if row.get(name) else "" for name in names]
        lines.append(f"| {quantity} | " + " | ".join(cells) + " |")
    return lines


def _gates(samples: Samples) -> list[str]:
    lines = ["## Gates", "", "| | of | ratio | at most | |", "|---|---|---:|---:|---|"]
    found = findings(samples)
    for finding in found:
        (quantity, yardstick, most, proxy), ratio = finding
        verdict = "holds" if finding.holds else "**missed**"
        lines.append(f"| {quantity} | {proxy}, to {yardstick} | {ratio:.2f} | {most:.2f} | {verdict} |")
    return [*lines, ""] if found else []


def _router(run: Run) -> list[str]:
    lines = ["## Finding the route", "", "| µs of one match | one route | 1,000 routes |", "|---|---:|---:|"]
    for name, (one, many) in run.router.items():
        lines.append(f"| {name} | {one:.2f} | {many:.2f} |")
    return [*lines, ""] if run.router else []


def _conditions(run: Run) -> list[str]:
    effort = run.effort
    return [
        "## How it was measured",
        "",
        "- One worker of each proxy on core 0; load and origin on core 1. The same origin, load and request",
        "  for all: 64 connections, eleven request headers, access log on.",
        "- CPU is user and system time of all processes of a proxy, from /proc.",
        f"- {effort.rounds} rounds of {effort.seconds:g} s; the proxies take turns in each round.",
        f"- Large bodies: {effort.body / 1e6:g} MB in one piece. Idle memory: {effort.idle:,} connections",
        f"  after one request each. Latency: {effort.rate:,} requests a second for all.",
        f"- TLS 1.3 with a P-256 key. Handshakes: over P-256, {effort.handshakes:,} in a round, one",
        "  after the other, each followed by a request that closes the connection. Requests and idle",
        "  connections: over the curve that a client of OpenSSL asks for first, X25519.",
        "- gRPC: unary calls without TLS; the host answers with a message and trailers. Small messages: 64",
        "  bytes in a WebSocket's frame, each sent when the one before has come back; through TCP the same.",
        "",
        "| proxy | version |",
        "|---|---|",
        *(f"| {name} | {version} |" for name, version in run.versions.items()),
    ]
