"""The same data plane on every event loop, over real sockets: what transports in memory cannot show."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Self

import pytest

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.net.server import Server
from proxyd.snapshot.build import compile_snapshot
from proxyd.snapshot.clusters import HostEntry
from proxyd.stats.metrics import Registry
from proxyd.system import native
from tests.net.playbook import HCM, ROUTER

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
MIB = 1024 * 1024


@pytest.fixture(params=[asyncio.new_event_loop, native.new_event_loop], ids=["asyncio", "native"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            bugs: list[dict[str, Any]] = []
            runner.get_loop().set_exception_handler(lambda _, context: bugs.append(context))
            runner.run(main)
        assert bugs == []

    return run


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    sock.setblocking(False)
    return sock


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class House:
    """An origin, proxyd in front of it, and clients, all on one loop."""

    def __init__(self, handle: Handle, limit: int = 65536) -> None:
        self._handle = handle
        self._limit = limit
        self.registry = Registry()
        self.drained = asyncio.Event()
        self.origin: asyncio.Server
        self.server: Server
        self.port = 0
        self._serving = 0

    async def __aenter__(self) -> Self:
        self.origin = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MIB)
        port = self.origin.sockets[0].getsockname()[1]
        sock = listening()
        self.port = sock.getsockname()[1]
        snapshot = compile_snapshot(load_text(Text("test", self._config(port))), self.registry, 0)
        loop = asyncio.get_running_loop()
        self.server = Server(loop, snapshot, self.registry, self.drained.set)
        await self.server.listen(0, sock)
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving += 1
        try:
            await self._handle(reader, writer)
        finally:
            self._serving -= 1

    def _config(self, origin: int) -> str:
        route = {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}
        hcm = {
            "@type": HCM,
            "stat_prefix": "in",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        }
        filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": hcm}]
        limit = {"per_connection_buffer_limit_bytes": self._limit}
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(origin)}}]}]
        listener = {"address": address(1), "filter_chains": [{"filters": filters}], **limit}
        cluster = {
            "name": "backend",
            "load_assignment": {"cluster_name": "backend", "endpoints": endpoints},
            **limit,
        }
        return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=MIB)

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        self.origin.close()
        await until(lambda: not (self.server.connections or self._active() or self._serving))

    def _active(self) -> list[str]:
        return [
            name for name, gauge in self.registry.gauges.items() if name.endswith("_active") and gauge.value
        ]


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn; the test's timeout ends what never comes true."""
    while not true():  # noqa: ASYNC110 - what is waited for makes no event
        await asyncio.sleep(0)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def answer_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def test_requests_one_after_the_other_and_at_once(run: Callable[..., None]) -> None:
    async def one(house: House) -> None:
        reader, writer = await house.client()
        for count in (1, 3, 1):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * count)
            for _ in range(count):
                assert (await read_head(reader)).startswith(b"HTTP/1.1 200 OK")
                assert await reader.readexactly(2) == b"ok"
        writer.close()

    async def main() -> None:
        async with House(answer_ok) as house:
            await asyncio.gather(*(one(house) for _ in range(20)))
            assert house.registry.counters["http.in.downstream_rq_2xx"].value == 100

    run(main())


def test_a_slow_reader_of_a_last_response_gets_all_of_it(run: Callable[..., None]) -> None:
    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (16 * MIB))
        for _ in range(256):
            writer.write(b"x" * 65536)
            await writer.drain()
        await reader.read()
        writer.close()

    async def main() -> None:
        async with House(large) as house:
            reader, writer = await house.client()
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            await read_head(reader)
            got = 0
            while data := await reader.read(131072):
                got += len(data)
            assert got == 16 * MIB
            writer.close()

    run(main())


def test_a_large_upload_in_chunks_arrives_whole(run: Callable[..., None]) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        got = 0
        while size := int(await reader.readline(), 16):
            got += len((await reader.readexactly(size + 2))[:-2])
        await reader.readline()
        body = b"%d" % got
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read()
        writer.close()

    async def main() -> None:
        async with House(count) as house:
            reader, writer = await house.client()
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(200):
                writer.write(b"9c40\r\n" + b"y" * 40_000 + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await read_head(reader)
            assert await reader.readexactly(7) == b"8000000"
            writer.close()

    run(main())


def test_a_client_and_an_origin_that_reset(run: Callable[..., None]) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.transport.abort()

    async def main() -> None:
        async with House(reset) as house:
            for _ in range(10):
                reader, writer = await house.client()
                writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert b" 503 " in await read_head(reader)
                writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n")
                writer.transport.abort()
        counters = house.registry.counters
        assert counters["cluster.backend.upstream_rq_503"].value >= 10

    run(main())


def test_a_refused_connection_is_told_as_such(run: Callable[..., None]) -> None:
    async def main() -> None:
        async with House(answer_ok) as house:
            house.origin.close()
            reader, writer = await house.client()
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"reset reason: remote connection failure")
            writer.close()

    run(main())


def test_a_bad_request_lingers_so_that_the_answer_arrives(run: Callable[..., None]) -> None:
    async def main() -> None:
        async with House(answer_ok) as house:
            reader, writer = await house.client()
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n" + b"z" * (4 * MIB))
            assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request")
            writer.close()

    run(main())


def test_a_drain_serves_what_was_queued_and_ends(run: Callable[..., None]) -> None:
    async def main() -> None:
        async with House(answer_ok) as house:
            waiting = [socket.create_connection(("127.0.0.1", house.port)) for _ in range(5)]
            idle = await house.client()
            await until(lambda: house.server.connections > 0)
            house.server.drain(close_idle=False)
            for sock in waiting:
                reader, writer = await asyncio.open_connection(sock=sock)
                writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert b"connection: close" in await read_head(reader)
                assert await reader.read() == b"ok"
                writer.close()
            assert not house.drained.is_set()
            idle[1].close()
            await asyncio.wait_for(house.drained.wait(), 10)

    run(main())


def test_an_idle_connection_is_closed_unless_a_request_waits_in_its_socket(run: Callable[..., None]) -> None:
    async def main() -> None:
        async with House(answer_ok) as house:
            idle, idle_writer = await house.client()
            busy, busy_writer = await house.client()
            await until(lambda: house.server.connections == 2)
            # Past the transport, so that it is in the server's socket before the loop turns.
            raw = socket.socket(fileno=busy_writer.get_extra_info("socket").fileno())
            raw.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            raw.detach()
            house.server.drain(close_idle=True)
            assert b"connection: close" in await read_head(busy)
            assert await busy.read() == b"ok"
            assert await idle.read() == b""
            await asyncio.wait_for(house.drained.wait(), 10)
            idle_writer.close()
            busy_writer.close()

    run(main())


async def _answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            await asyncio.sleep(0)  # for hosts to change meanwhile
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def test_hosts_that_come_and_go_under_load_cost_no_request(run: Callable[..., None]) -> None:
    async def main() -> None:
        async with House(_answers) as house:
            port = house.origin.sockets[0].getsockname()[1]
            other = await asyncio.start_server(house._serve, "127.0.0.2", 0)
            other_port = other.sockets[0].getsockname()[1]
            both = [HostEntry("127.0.0.1", port, "x"), HostEntry("127.0.0.2", other_port, "x", 3)]
            done = 0

            async def load() -> None:
                nonlocal done
                reader, writer = await house.client()
                for _ in range(150):
                    writer.write(
                        b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"
                    )  # sent only once
                    head = await reader.readuntil(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 200 "), head
                    assert await reader.readexactly(2) == b"ok"
                    done += 1
                writer.close()

            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(load())
                for turn in range(10_000):
                    house.server.update_hosts("backend", (both[:1], both[1:], both)[turn % 3])
                    await asyncio.sleep(0.001)
                    if done == 8 * 150:
                        break
            assert turn > 3
            assert house.registry.counters["cluster.backend.upstream_rq_200"].value == done
            assert house.registry.counters["cluster.backend.upstream_cx_connect_fail"].value == 0
            other.close()

    run(main())
