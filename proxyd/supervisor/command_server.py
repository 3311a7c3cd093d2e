"""Answers what the command line asks, on the control socket of the run directory."""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from proxyd.supervisor.commands import (
    MAX_REQUEST,
    PROGRESS_INTERVAL,
    VERSION,
    Command,
    Progress,
    Refused,
    Reply,
    Request,
)
from proxyd.system import ControlListener, ControlServer, native

logger = logging.getLogger("main")

MAX_CLIENTS: Final = 32
REQUEST_TIMEOUT: Final = 5.0  # seconds a client may take to say what it wants
_LENGTH: Final = struct.Struct("!I")

Answer = Callable[[Command], Awaitable[Reply]]


class CommandServer:
    """One command a connection. What a client started goes on when the client goes."""

    def __init__(self, answer: Answer) -> None:
        self._answer: Final = answer
        self._encoder: Final = msgspec.msgpack.Encoder()
        self._decoder: Final = msgspec.msgpack.Decoder(Request)
        self._server: ControlServer | None = None
        self._clients: Final[set[asyncio.Task[None]]] = set()
        self._running: Final[set[asyncio.Task[Reply]]] = set()

    async def listen(self, listener: ControlListener) -> None:
        """Answer what comes in there; the listener belongs to this server from now on."""
        self._server = await native.serve_control(listener, self._serve)

    def hand_over(self) -> int:
        """Accept no more; the descriptor by which another process does. What is being answered goes on."""
        assert self._server is not None
        server, self._server = self._server, None
        return server.hand_over()

    async def close(self) -> None:
        """Accept no more; what is being answered gets its answer, if it comes soon."""
        if self._server is not None:
            for _ in range(3):
                await asyncio.sleep(0)  # asyncio loses, unclosed, whom it has let in as a server closes
            self._server.close()
        if self._clients:
            await asyncio.wait(self._clients, timeout=1.0)
        for task in [*self._clients, *self._running]:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass
        except asyncio.CancelledError:
            pass  # the server is closing
        except Exception as bug:
            logger.exception("bug: a command failed")
            with contextlib.suppress(OSError):
                await self._send(
                    writer, Refused((f"a bug of proxyd: {type(bug).__name__}; its log has more",))
                )
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) > MAX_CLIENTS:
            await self._send(writer, Refused(("too many commands at once; try again",)))
            return
        async with asyncio.timeout(REQUEST_TIMEOUT):
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > MAX_REQUEST:
                await self._send(writer, Refused((f"the command has {length} bytes, too many",)))
                return
            payload = await reader.readexactly(length)
        try:
            request = self._decoder.decode(payload)
        except msgspec.DecodeError as error:
            await self._send(writer, Refused((_VERSIONS.format(error),)))
            return
        if request.version != VERSION:
            await self._send(writer, Refused((_VERSIONS.format(f"{request.version}, not {VERSION}"),)))
            return
        await self._send(writer, await self._follow(request.command, writer))

    async def _follow(self, command: Command, writer: asyncio.StreamWriter) -> Reply:
        """Carry a command out, with signs of life meanwhile."""
        task = asyncio.ensure_future(self._answer(command))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        while True:
            done, _ = await asyncio.wait([task], timeout=PROGRESS_INTERVAL)
            if done:
                return task.result()
            await self._send(writer, Progress(type(command).__name__.lower()))

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        payload = self._encoder.encode(reply)
        writer.write(_LENGTH.pack(len(payload)) + payload)
        await writer.drain()


_VERSIONS: Final = (
    "this command is of another version of proxyd than the one that runs ({}); use the same, or restart it"
)
