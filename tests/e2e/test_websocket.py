"""WebSocket through proxyd, by the package ``websockets`` on both sides.

PROXYD_SOAK_MESSAGES says how many messages there are; `nox -s soak` sends a hundred thousand.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import pytest

from tests.e2e.conftest import StartProxyd, config

websockets = pytest.importorskip("websockets", reason="websockets is not installed")

from websockets.asyncio.client import ClientConnection, connect  # noqa: E402
from websockets.asyncio.server import ServerConnection, serve  # noqa: E402

MESSAGES = int(os.environ.get("PROXYD_SOAK_MESSAGES", "4000"))
LARGE = bytes(range(256)) * 40_960  # 10 MiB
SOME = 64  # that may be under way at the same time


class Echo:
    """Sends back each message in as many fragments as it came in; on a thread and a loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._run(),), daemon=True
        )
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self.codes: list[int | None] = []  # with which connections were closed
        self.address = ""

    async def _run(self) -> None:
        async with serve(self._serve, "127.0.0.1", 0, max_size=None, compression=None) as server:
            self.address = f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            self._started.set()
            await self._stop.wait()

    async def _serve(self, connection: ServerConnection) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                pieces: list[Any] = [piece async for piece in connection.recv_streaming()]
                await connection.send(pieces[0] if len(pieces) == 1 else pieces)
        self.codes.append(connection.close_code)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as made:
        yield made


def bootstrap(echo: Echo) -> dict[str, Any]:
    made = config(echo.address, upgrade_configs=[{"upgrade_type": "websocket"}])
    manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["routes"][-1]["route"]["timeout"] = "0s"
    return made


@contextlib.asynccontextmanager
async def opened(port: int) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{port}/chat", max_size=None, compression=None) as connection:
        yield connection


@pytest.mark.timeout(max(60, MESSAGES // 200))
def test_many_messages_go_both_ways(start: StartProxyd, echo: Echo) -> None:
    proxyd = start(bootstrap(echo), "--workers", "1")

    async def play(port: int) -> tuple[str, str]:
        said, heard = hashlib.sha256(), hashlib.sha256()
        under_way = asyncio.Semaphore(SOME)

        async def say(connection: ClientConnection) -> None:
            for number in range(MESSAGES):
                message = f"message {number} " + "x" * (number % 500)
                await under_way.acquire()
                said.update(message.encode())
                await connection.send(message)

        async with opened(port) as connection:
            saying = asyncio.create_task(say(connection))
            for _ in range(MESSAGES):
                message = await connection.recv()
                assert isinstance(message, str)
                heard.update(message.encode())
                under_way.release()
            await saying
        return said.hexdigest(), heard.hexdigest()

    said, heard = asyncio.run(play(proxyd.port()))
    assert said == heard
    proxyd.until(lambda: proxyd.counter("http.ingress.downstream_cx_upgrades_total") == 1, "counted")
    proxyd.until(lambda: proxyd.counter("http.ingress.downstream_cx_upgrades_active") == 0, "no longer there")
    assert echo.codes == [1000]


def test_fragments_large_messages_and_pings(start: StartProxyd, echo: Echo) -> None:
    proxyd = start(bootstrap(echo), "--workers", "1")

    async def play(port: int) -> None:
        async with opened(port) as connection:
            pieces = [b"piece %d" % number for number in range(1000)]
            await connection.send(pieces)
            heard = [piece async for piece in connection.recv_streaming()]
            assert [piece for piece in heard if piece] == pieces
            await connection.send(LARGE)
            assert await connection.recv() == LARGE
            await (await connection.ping())
            await connection.close(4321, "enough")

    asyncio.run(play(proxyd.port()))
    proxyd.until(lambda: echo.codes == [4321], "the close frame at the server")
