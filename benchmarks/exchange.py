"""One request and its response through the data plane in memory: the price of the code without the kernel.

`python benchmarks/exchange.py` prints microseconds, least of several looks, for the proxyd that the
interpreter finds; `--profile ROWS` prints where they go, function by function (plain Python only).
"""

import argparse
import asyncio
import cProfile
import io
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from configurations import Task, envoy
from load import HEADERS, PATH

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.net import exchange
from proxyd.net.downstream import Http1Downstream
from proxyd.net.listener import HttpListener
from proxyd.net.server import Server
from proxyd.snapshot.build import compile_snapshot
from proxyd.stats.metrics import Registry

REQUEST = "\r\n".join([f"GET {PATH} HTTP/1.1", "Host: 127.0.0.1:8080", *HEADERS, "", ""]).encode()
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
_TURNS = 2_000


class Transport:
    """As much of a transport as the data plane asks for; what is written is counted and forgotten."""

    def __init__(self, names: dict[str, tuple[str, int]]) -> None:
        self._names = names
        self.writes = 0
        self.last = b""

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.last = data

    def get_extra_info(self, name: str, default: object = None) -> Any:
        return self._names.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass

    close = abort


class Loop(asyncio.SelectorEventLoop):
    """A loop whose connections end in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Any, Transport]] = []

    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], Any], host: str, port: int, **options: object
    ) -> tuple[Any, Any]:
        protocol = factory()
        transport = Transport({"peername": (host, port), "sockname": ("127.0.0.1", 50000)})
        self.made.append((protocol, transport))
        protocol.connection_made(transport)
        return transport, protocol

    def turn(self) -> None:
        """Run what is ready."""
        for _ in range(5):
            self.call_soon(self.stop)
            self.run_forever()


class Stage:
    """A listener, a client and an origin, both connections kept alive."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        registry = Registry()
        snapshot = compile_snapshot(
            load_text(Text("benchmark", envoy(8080, 8081, Task(), folder))), registry, 0
        )
        self.server = Server(self.loop, snapshot, registry, lambda: None)
        self._client = Transport({"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8080)})
        chain = self.server._listeners[0].chains[0]
        assert isinstance(chain, HttpListener)
        self._downstream = Http1Downstream(chain)
        self._downstream.connection_made(self._client)  # type: ignore[arg-type]
        self._downstream.data_received(REQUEST)
        self.loop.turn()
        ((self._upstream, self._origin),) = self.loop.made
        self._upstream.data_received(RESPONSE)
        self.run(1)

    def run(self, count: int) -> None:
        """`count` exchanges; AssertionError where they were not answered."""
        before = self._client.writes
        request, response = self._downstream.data_received, self._upstream.data_received
        for _ in range(count):
            request(REQUEST)
            response(RESPONSE)
        assert self._client.writes == before + count
        assert self._client.last.startswith(b"HTTP/1.1 200 OK\r\n")

    def close(self) -> None:
        self.server.close()
        self.loop.turn()
        self.loop.close()


def measure(stage: Stage, looks: int) -> float:
    """Microseconds of CPU an exchange, least of `looks`."""
    best = float("inf")
    for _ in range(looks):
        began = time.process_time()
        stage.run(_TURNS)
        best = min(best, time.process_time() - began)
        stage.server._logs.flush_all()
    return best / _TURNS * 1e6


def profile(stage: Stage, rows: int) -> str:
    """The functions that take the most time themselves."""
    profiler = cProfile.Profile()
    profiler.enable()
    stage.run(_TURNS)
    profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(rows)
    table = text.getvalue().partition("   ncalls")
    return table[1] + table[2].rstrip()


def main(arguments: list[str]) -> None:
    """Print the figure or the profile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--looks", type=int, default=15)
    parser.add_argument("--profile", type=int, metavar="ROWS", default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        if options.profile:
            print(profile(stage, options.profile))
        else:
            compiled = not str(exchange.__file__).endswith(".py")
            print(f"{measure(stage, options.looks):.2f} us {'compiled' if compiled else 'plain'}")
        stage.close()


if __name__ == "__main__":
    main(sys.argv[1:])
