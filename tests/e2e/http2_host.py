"""A host that speaks HTTP/2, a process of its own that can be killed: `python -m tests.e2e.http2_host`.

``/hold…``    answers only when told to
``/large/N``  200, N bytes, as fast as they are taken
else          200, the name given at start

It says its port first, then for each line of standard input a line: to ``held`` the paths of the requests
that wait, to ``release`` how many it answers.
"""

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.settings

_ROOT = Path(__file__).resolve().parents[2]
_PIECE = 16384
_STREAMS = 2000


class _Connection(asyncio.Protocol):
    def __init__(self, server: "_Server") -> None:
        self._server = server
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        self._connection = h2.connection.H2Connection(config)
        # h2 ends a connection with more streams than it takes; what is sent before its SETTINGS can be more.
        self._connection.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS}
        )
        self._left: dict[int, int] = {}  # bytes by stream
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connection.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._left.clear()
        for held in [each for each in self._server.held if each[0] is self]:
            del self._server.held[held]

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._go_on()

    def data_received(self, data: bytes) -> None:
        for event in self._connection.receive_data(data):
            self._take(event)
        self._go_on()

    def _take(self, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            fields: Any = event.headers
            path = dict(fields)[":path"]
            if path.startswith("/hold"):
                self._server.held[self, event.stream_id] = path
            elif path.startswith("/large/"):
                self._connection.send_headers(event.stream_id, [(":status", "200")])
                self._left[event.stream_id] = int(path.removeprefix("/large/"))
            else:
                self._answer(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._left.pop(event.stream_id, None)
            self._server.held.pop((self, event.stream_id), None)

    def _answer(self, stream: int) -> None:
        self._connection.send_headers(stream, [(":status", "200")])
        self._connection.send_data(stream, self._server.name, end_stream=True)

    def answer(self, stream: int) -> None:
        self._answer(stream)
        self._flush()

    def _go_on(self) -> None:
        """A piece of each body in turn, for as long as windows and the transport take one."""
        connection = self._connection
        moved = True
        while moved and not self._paused:
            moved = False
            for stream, left in list(self._left.items()):
                size = min(left, _PIECE, connection.local_flow_control_window(stream))
                if size > 0:
                    moved = True
                    connection.send_data(stream, bytes(size), end_stream=size == left)
                    self._left[stream] = left - size
                    if size == left:
                        del self._left[stream]
            self._flush()
        self._flush()

    def _flush(self) -> None:
        data = self._connection.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


class _Server:
    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.held: dict[tuple[_Connection, int], str] = {}

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1024)
        _say(server.sockets[0].getsockname()[1])
        ended = asyncio.Event()
        threading.Thread(target=self._listen, args=(loop, ended), daemon=True).start()
        await ended.wait()

    def _listen(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(self._do, line.strip())
        loop.call_soon_threadsafe(ended.set)

    def _do(self, command: str) -> None:
        if command == "held":
            _say(json.dumps(list(self.held.values())))
            return
        held = list(self.held)
        self.held.clear()
        for connection, stream in held:
            connection.answer(stream)
        _say(len(held))


class Http2Host:
    """Runs until the ``with`` block ends, or it is killed. ``address`` is ``127.0.0.1:port``."""

    def __init__(self, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.http2_host", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        self.address = ""

    def __enter__(self) -> Self:
        self.address = f"127.0.0.1:{self._heard()}"
        return self

    def _heard(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the host has ended"
        return line

    def _ask(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._heard()

    def held(self) -> list[str]:
        """The paths of the requests that wait for an answer."""
        paths: list[str] = json.loads(self._ask("held"))
        return paths

    def release(self) -> int:
        """Answer them; how many there were."""
        return int(self._ask("release"))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


if __name__ == "__main__":
    asyncio.run(_Server(sys.argv[1]).serve())
