"""The measurements. Proxies take turns in every round: what else the machine does meets all alike."""

from collections import defaultdict
from collections.abc import Callable
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
FULL = "CPU µs a TLS connection with one request, full handshake"
RESUMED = "CPU µs a TLS connection with one request, resumed"
IDLE_TLS = "memory of an idle connection with TLS, KB"


def measure(
    programs: list[Program], origin: int, effort: Effort, folder: Path, say: Callable[[str], None]
) -> Samples:
    """Everything, for all `programs`; `folder` is for their files."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    for number, program in enumerate(programs):
        samples[IDLE_TLS][program.name].append(
            _idle_tls(program, origin, effort.idle, folder / f"tls-{number}")
        )
    proxies: list[Running] = []
    try:
        for program in programs:
            proxies.append(Running(program, 1, origin, folder / f"one-{len(proxies)}"))
        for proxy in proxies:
            samples[START][proxy.name].append(private_bytes(proxy.worker()) / 1e6)
            load.requests(proxy.port, 1.0, True)
            # Before the rounds, which would leave free memory behind that idle connections then take.
            samples[IDLE][proxy.name].append(_idle(proxy, proxy.port, effort.idle))
        for number in range(effort.rounds):
            say(f"round {number + 1} of {effort.rounds}")
            for proxy in proxies:
                _round(proxy, effort, folder, samples)
    finally:
        for proxy in proxies:
            proxy.stop()
    _many_routes(programs, origin, effort, folder, samples, say)
    return samples


def _round(proxy: Running, effort: Effort, folder: Path, samples: Samples) -> None:
    def add(quantity: str, value: float) -> None:
        samples[quantity][proxy.name].append(value)

    add(KEEP_ALIVE, _cpu_us(proxy, effort.seconds, True))
    add(CLOSE, _cpu_us(proxy, effort.seconds / 2, False))
    add(DOWN, _cpu_ms_per_gigabyte(proxy, load.download, effort.body))
    add(UP, _cpu_ms_per_gigabyte(proxy, load.upload, effort.body))
    times = load.latencies(proxy.port, effort.seconds / 2, effort.rate, folder)
    add(LATENCY, times[int(len(times) * 0.99)])
    add(TLS, _cpu_us(proxy, effort.seconds, True, "https"))
    add(FULL, _cpu_us_of_handshakes(proxy, effort.handshakes, resumed=False))
    add(RESUMED, _cpu_us_of_handshakes(proxy, effort.handshakes, resumed=True))


def _cpu_us(proxy: Running, seconds: float, keep_alive: bool, scheme: str = "http") -> float:
    before = cpu_seconds(proxy.pid)
    port = proxy.secure_port if scheme == "https" else proxy.port
    count = load.requests(port, seconds, keep_alive, scheme)
    return (cpu_seconds(proxy.pid) - before) / count * 1e6


def _cpu_us_of_handshakes(proxy: Running, count: int, resumed: bool) -> float:
    before = cpu_seconds(proxy.pid)
    load.handshakes(proxy.secure_port, count, resumed)
    return (cpu_seconds(proxy.pid) - before) / count * 1e6


def _cpu_ms_per_gigabyte(proxy: Running, run: Callable[[int, int], None], size: int) -> float:
    before = cpu_seconds(proxy.pid)
    run(proxy.port, size)
    return (cpu_seconds(proxy.pid) - before) / size * GIGABYTE * 1e3


def _idle(proxy: Running, port: int, count: int, tls: bool = False) -> float:
    worker = proxy.worker()
    before = private_bytes(worker)
    with load.idle_connections(port, count, tls):
        return (private_bytes(worker) - before) / count / 1e3


def _idle_tls(program: Program, origin: int, count: int, folder: Path) -> float:
    """Of a process that has served nothing else, whose memory nobody has left free."""
    proxy = Running(program, 1, origin, folder)
    try:
        load.requests(proxy.secure_port, 1.0, True, "https")
        return _idle(proxy, proxy.secure_port, count, tls=True)
    finally:
        proxy.stop()


def _many_routes(
    programs: list[Program],
    origin: int,
    effort: Effort,
    folder: Path,
    samples: Samples,
    say: Callable[[str], None],
) -> None:
    """As with one route; the route that is asked for is the last of the long table."""
    proxies: list[Running] = []
    try:
        for program in programs:
            proxies.append(Running(program, ROUTES, origin, folder / f"many-{len(proxies)}"))
        for proxy in proxies:
            load.requests(proxy.port, 1.0, True)
        for number in range(effort.rounds):
            say(f"{ROUTES} routes, round {number + 1} of {effort.rounds}")
            for proxy in proxies:
                samples[MANY_ROUTES][proxy.name].append(_cpu_us(proxy, effort.seconds, True))
    finally:
        for proxy in proxies:
            proxy.stop()
