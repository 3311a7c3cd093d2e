"""The measurements. Proxies take turns in every round: what else the machine does meets all alike."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import load
import pingpong
from configurations import Task
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
GRPC = f"CPU µs a gRPC call, {load.HTTP2_CONNECTIONS} connections of {load.HTTP2_STREAMS} streams"
WEBSOCKET = f"CPU µs a WebSocket message and its echo, {pingpong.CONNECTIONS} connections"
TCP_SMALL = f"CPU µs a small message and its echo, TCP, {pingpong.CONNECTIONS} connections"
TCP_DOWN = "CPU ms per GB, TCP, to the client"
TCP_UP = "CPU ms per GB, TCP, to the host"


class Bench:
    """Where the figures of a run are made and come together; `folder` is for the proxies' files."""

    def __init__(
        self, programs: list[Program], origin: int, effort: Effort, folder: Path, say: Callable[[str], None]
    ) -> None:
        self.effort = effort
        self.folder = folder
        self.samples: Samples = defaultdict(lambda: defaultdict(list))
        self._programs = programs
        self._origin = origin
        self._say = say

    def add(self, quantity: str, proxy: Running, value: float) -> None:
        self.samples[quantity][proxy.name].append(value)

    @contextlib.contextmanager
    def running(self, name: str, task: Task) -> Iterator[list[Running]]:
        """All proxies at once that can do it."""
        with contextlib.ExitStack() as stack:
            proxies = []
            for number, program in enumerate(self._programs):
                if task.kind not in program.lacks:
                    folder = self.folder / name / str(number)
                    proxies.append(Running(program, task, self._origin, folder))
                    stack.callback(proxies[-1].stop)
            yield proxies

    def turns(self, name: str, proxies: list[Running]) -> Iterator[Running]:
        """Every proxy, once in each round."""
        for number in range(self.effort.rounds):
            self._say(f"{name}, round {number + 1} of {self.effort.rounds}")
            yield from proxies


def measure(
    programs: list[Program],
    origin: int,
    effort: Effort,
    folder: Path,
    say: Callable[[str], None],
    wanted: Collection[str] = (),
) -> Samples:
    """All of MEASUREMENTS, or those that are wanted, for all `programs`."""
    bench = Bench(programs, origin, effort, folder, say)
    for name, take in MEASUREMENTS.items():
        if not wanted or name in wanted:
            take(bench)
    return bench.samples


def _cpu_us(proxy: Running, run: Callable[[], int]) -> float:
    """Of each of as many as `run` says it has done."""
    before = cpu_seconds(proxy.pid)
    count = run()
    return (cpu_seconds(proxy.pid) - before) / count * 1e6


def _cpu_us_of_requests(proxy: Running, seconds: float, keep_alive: bool, tls: bool = False) -> float:
    return _cpu_us(proxy, lambda: load.requests(proxy.port, seconds, keep_alive, tls))


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


def _http(bench: Bench) -> None:
    """One route, HTTP/1.1."""
    effort = bench.effort
    with bench.running("http", Task()) as proxies:
        for proxy in proxies:
            bench.add(START, proxy, private_bytes(proxy.worker()) / 1e6)
            load.requests(proxy.port, 1.0, True)
            # Before the rounds, which would leave free memory behind that idle connections then take.
            bench.add(IDLE, proxy, _idle(proxy, effort.idle))
        for proxy in bench.turns("HTTP/1.1", proxies):
            bench.add(KEEP_ALIVE, proxy, _cpu_us_of_requests(proxy, effort.seconds, True))
            bench.add(CLOSE, proxy, _cpu_us_of_requests(proxy, effort.seconds / 2, False))
            bench.add(DOWN, proxy, _cpu_ms_per_gigabyte(proxy, load.download, effort.body))
            bench.add(UP, proxy, _cpu_ms_per_gigabyte(proxy, load.upload, effort.body))
            times = load.latencies(proxy.port, effort.seconds / 2, effort.rate, bench.folder)
            bench.add(LATENCY, proxy, times[int(len(times) * 0.99)])


def _many_routes(bench: Bench) -> None:
    """As with one route; the route that is asked for is the last of the long table."""
    with bench.running("routes", Task(routes=ROUTES)) as proxies:
        for proxy in proxies:
            load.requests(proxy.port, 1.0, True)
        for proxy in bench.turns(f"{ROUTES} routes", proxies):
            bench.add(MANY_ROUTES, proxy, _cpu_us_of_requests(proxy, bench.effort.seconds, True))


def _tls(bench: Bench) -> None:
    """As with one route, by way of TLS; HTTP/2 too."""
    effort = bench.effort
    with bench.running("tls", Task(tls=True)) as proxies:
        for proxy in proxies:
            load.requests(proxy.port, 1.0, True, tls=True)
            bench.add(IDLE_TLS, proxy, _idle(proxy, effort.idle, tls=True))
        for proxy in bench.turns("TLS", proxies):
            bench.add(TLS, proxy, _cpu_us_of_requests(proxy, effort.seconds, True, tls=True))
            bench.add(HTTP2, proxy, _cpu_us(proxy, partial(load.http2_requests, proxy.port, effort.seconds)))
            for quantity, resumed in ((FULL, False), (RESUMED, True)):
                bench.add(quantity, proxy, _cpu_us_of_handshakes(proxy, effort.handshakes, resumed))


def _grpc(bench: Bench) -> None:
    """Unary calls, HTTP/2 without TLS on both sides."""
    with bench.running("grpc", Task("grpc")) as proxies:
        for proxy in proxies:
            load.check_grpc(proxy.port, bench.folder)
            load.grpc_calls(proxy.port, 1.0, bench.folder)
        for proxy in bench.turns("gRPC", proxies):
            run = partial(load.grpc_calls, proxy.port, bench.effort.seconds, bench.folder)
            bench.add(GRPC, proxy, _cpu_us(proxy, run))


def _websocket(bench: Bench) -> None:
    """Through an upgraded HTTP/1.1 connection."""
    with bench.running("websocket", Task("websocket")) as proxies:
        for proxy in proxies:
            pingpong.ping_pong(proxy.port, 1.0)
        for proxy in bench.turns("WebSocket", proxies):
            run = partial(pingpong.ping_pong, proxy.port, bench.effort.seconds)
            bench.add(WEBSOCKET, proxy, _cpu_us(proxy, run))


def _tcp(bench: Bench) -> None:
    """The same bodies and the same messages as through the proxies of HTTP."""
    effort = bench.effort
    with bench.running("tcp", Task("tcp")) as proxies:
        for proxy in proxies:
            pingpong.ping_pong(proxy.port, 1.0)
        for proxy in bench.turns("TCP", proxies):
            bench.add(
                TCP_SMALL, proxy, _cpu_us(proxy, partial(pingpong.ping_pong, proxy.port, effort.seconds))
            )
            bench.add(TCP_DOWN, proxy, _cpu_ms_per_gigabyte(proxy, load.download, effort.body))
            bench.add(TCP_UP, proxy, _cpu_ms_per_gigabyte(proxy, load.upload, effort.body))


MEASUREMENTS: dict[str, Callable[[Bench], None]] = {
    "http": _http,
    "routes": _many_routes,
    "tls": _tls,
    "grpc": _grpc,
    "websocket": _websocket,
    "tcp": _tcp,
}
