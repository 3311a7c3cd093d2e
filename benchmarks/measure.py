"""The measurements. Proxies take turns in every round: what else the machine does meets all alike."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import load
from machine import cpu_seconds, private_bytes
from proxies import Program, Running

GIGABYTE = 1_000_000_000
ROUTES = 1000


class Effort(NamedTuple):
    """How long to look."""

    seconds: float  # of load, each round
    rounds: int
    body: int  # bytes of a large body
    idle: int  # connections
    rate: int  # requests a second where latency is measured
    handshakes: int  # each round, and as many resumed ones


# By quantity and proxy: what each round gave.
Samples = dict[str, dict[str, list[float]]]

KEEP_ALIVE = "CPU µs a request, kept-alive connections"
MANY_ROUTES = f"CPU µs a request, {ROUTES:,} routes"
CLOSE = "CPU µs a request, a connection each"
DOWN = "CPU ms per GB, response bodies"
UP = "CPU ms per GB, request bodies"
LATENCY = "p99 latency, µs, at one rate"
START = "private memory of the worker at start, MB"
IDLE = "memory of an idle connection, KB"
TLS = "CPU µs a request, kept-alive connections with TLS"
HTTP2 = (
    f"CPU µs a request, HTTP/2 with TLS, {load.HTTP2_CONNECTIONS} connections of {load.HTTP2_STREAMS} streams"
)
FULL = "CPU µs a TLS connection with one request, full handshake"
RESUMED = "CPU µs a TLS connection with one request, resumed"
IDLE_TLS = "memory of an idle connection with TLS, KB"


def measure(
    programs: list[Program], origin: int, effort: Effort, folder: Path, say: Callable[[str], None]
) -> Samples:
    """Everything, for all `programs`; `folder` is for their files."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    with _running(programs, 1, origin, folder / "one") as proxies:
        for proxy in proxies:
            samples[START][proxy.name].append(private_bytes(proxy.worker()) / 1e6)
            load.requests(proxy.port, 1.0, True)
            # Before the rounds, which would leave free memory behind that idle connections then take.
            samples[IDLE][proxy.name].append(_idle(proxy, effort.idle))
        for number in range(effort.rounds):
            say(f"round {number + 1} of {effort.rounds}")
            for proxy in proxies:
                _round(proxy, effort, folder, samples)
    _many_routes(programs, origin, effort, folder, samples, say)
    _tls(programs, origin, effort, folder, samples, say)
    return samples


@contextlib.contextmanager
def _running(
    programs: list[Program], routes: int, origin: int, folder: Path, tls: bool = False
) -> Iterator[list[Running]]:
    """All proxies at once."""
    with contextlib.ExitStack() as stack:
        proxies = []
        for number, program in enumerate(programs):
            proxies.append(Running(program, routes, origin, folder / str(number), tls))
            stack.callback(proxies[-1].stop)
        yield proxies


def _round(proxy: Running, effort: Effort, folder: Path, samples: Samples) -> None:
    def add(quantity: str, value: float) -> None:
        samples[quantity][proxy.name].append(value)

    add(KEEP_ALIVE, _cpu_us(proxy, effort.seconds, True))
    add(CLOSE, _cpu_us(proxy, effort.seconds / 2, False))
    add(DOWN, _cpu_ms_per_gigabyte(proxy, load.download, effort.body))
    add(UP, _cpu_ms_per_gigabyte(proxy, load.upload, effort.body))
    times = load.latencies(proxy.port, effort.seconds / 2, effort.rate, folder)
    add(LATENCY, times[int(len(times) * 0.99)])


def _cpu_us(proxy: Running, seconds: float, keep_alive: bool, tls: bool = False) -> float:
    before = cpu_seconds(proxy.pid)
    count = load.requests(proxy.port, seconds, keep_alive, tls)
    return (cpu_seconds(proxy.pid) - before) / count * 1e6


def _cpu_us_of_handshakes(proxy: Running, count: int, resumed: bool) -> float:
    before = cpu_seconds(proxy.pid)
    load.handshakes(proxy.port, count, resumed)
    return (cpu_seconds(proxy.pid) - before) / count * 1e6


def _cpu_ms_per_gigabyte(proxy: Running, run: Callable[[int, int], None], size: int) -> float:
    before = cpu_seconds(proxy.pid)
    run(proxy.port, size)
    return (cpu_seconds(proxy.pid) - before) / size * GIGABYTE * 1e3


def _idle(proxy: Running, count: int, tls: bool = False) -> float:
    worker = proxy.worker()
    before = private_bytes(worker)
    with load.idle_connections(proxy.port, count, tls):
        return (private_bytes(worker) - before) / count / 1e3


def _many_routes(
    programs: list[Program],
    origin: int,
    effort: Effort,
    folder: Path,
    samples: Samples,
    say: Callable[[str], None],
) -> None:
    """As with one route; the route that is asked for is the last of the long table."""
    with _running(programs, ROUTES, origin, folder / "many") as proxies:
        for proxy in proxies:
            load.requests(proxy.port, 1.0, True)
        for number in range(effort.rounds):
            say(f"{ROUTES} routes, round {number + 1} of {effort.rounds}")
            for proxy in proxies:
                samples[MANY_ROUTES][proxy.name].append(_cpu_us(proxy, effort.seconds, True))


def _cpu_us_of_http2(proxy: Running, seconds: float) -> float:
    before = cpu_seconds(proxy.pid)
    count = load.http2_requests(proxy.port, seconds)
    return (cpu_seconds(proxy.pid) - before) / count * 1e6


def _tls(
    programs: list[Program],
    origin: int,
    effort: Effort,
    folder: Path,
    samples: Samples,
    say: Callable[[str], None],
) -> None:
    """As with one route, by way of TLS."""
    with _running(programs, 1, origin, folder / "tls", tls=True) as proxies:
        for proxy in proxies:
            load.requests(proxy.port, 1.0, True, tls=True)
            samples[IDLE_TLS][proxy.name].append(_idle(proxy, effort.idle, tls=True))
        for number in range(effort.rounds):
            say(f"TLS, round {number + 1} of {effort.rounds}")
            for proxy in proxies:
                samples[TLS][proxy.name].append(_cpu_us(proxy, effort.seconds, True, tls=True))
                samples[HTTP2][proxy.name].append(_cpu_us_of_http2(proxy, effort.seconds))
                for quantity, resumed in ((FULL, False), (RESUMED, True)):
                    cost = _cpu_us_of_handshakes(proxy, effort.handshakes, resumed)
                    samples[quantity][proxy.name].append(cost)
