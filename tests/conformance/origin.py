"""The scripted origin: records what reaches it, answers as the case under way says. One thread, one loop."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from tests.conformance.case import OK, Answer, Do
from tests.conformance.wire import Malformed, Message, request_head, take_request

T = TypeVar("T")

_OK = Answer((OK,))


@dataclass
class Received:
    """One request, or what came in place of one. ``tunnelled`` are the bytes after a switch of protocols."""

    message: Message | None
    raw: bytes
    wrong: str = ""  # why the bytes are no request
    address: str = ""  # of the origin's that was asked
    tunnelled: bytes = b""


class Origin:
    """Serves 127.0.0.0/8 on one port until the ``with`` block ends."""

    def __init__(self) -> None:
        self.port = 0
        self._answers: list[Answer] = []
        self._received: list[Received] = []
        self._arrived = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what the thread of the test calls

    def script(self, answers: tuple[Answer, ...]) -> None:
        """Forget what was received; answer the coming requests so, in order."""
        self._call(self._script(answers))

    def await_request(self, timeout: float) -> bool:
        """Wait until a request's head has come since ``script``."""
        return self._call(self._await_request(timeout))

    def received(self) -> list[Received]:
        """What came since ``script``, with all that was sent before this was asked."""
        return self._call(self._settled())

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    # -- the loop's side

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accepted, "0.0.0.0", 0, backlog=512, limit=1 << 24)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _script(self, answers: tuple[Answer, ...]) -> None:
        self._answers = list(answers)
        self._received = []
        self._arrived.clear()

    async def _await_request(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._arrived.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _settled(self) -> list[Received]:
        for _ in range(4):  # turns of the loop in which what stands in the sockets is read
            await asyncio.sleep(0)
        return self._received

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data: bytes | None = b""
        try:
            address = writer.get_extra_info("sockname")[0]
            while data is not None:
                data = await self._serve_one(reader, writer, data, address)
        except OSError:
            pass  # the proxy has left
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, address: str
    ) -> bytes | None:
        """Read and answer one request; returns what follows it, None at the connection's end."""
        record: Received | None = None
        answered = False
        while True:
            try:
                taken = take_request(data)
            except Malformed as wrong:
                record = self._record(record, Received(None, data, str(wrong), address))
                return None
            if taken is not None:
                message, rest = taken
                record = self._record(record, Received(message, data[: len(data) - len(rest)], "", address))
                break
            if record is None and (head := request_head(data)) is not None:
                record = self._record(record, Received(head, data, "", address))
                if self._answers and self._answers[0].early:
                    answered = True
                    if not await self._play(self._answers.pop(0), reader, writer, record):
                        return None
            more = await reader.read(1 << 18)
            if not more:
                if data and record is None:
                    self._record(None, Received(None, data, "cut off", address))
                return None
            data += more
            if record is not None:
                record.raw = data
        if not answered:
            reply = self._answers.pop(0) if self._answers else _OK
            if not await self._play(reply, reader, writer, record):
                return None
        return rest

    def _record(self, known: Received | None, now: Received) -> Received:
        """Remember it, in place of what was known of it before."""
        if known is None:
            self._received.append(now)
            self._arrived.set()
            return now
        known.message, known.raw, known.wrong = now.message or known.message, now.raw, now.wrong
        return known

    async def _play(
        self, reply: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Received
    ) -> bool:
        """False where the connection has no further request."""
        for step in reply.steps:
            if step is Do.TELL:
                assert record.message is not None
                target = record.message.first[1]
                step = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(target), target)
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float):
                await asyncio.sleep(step)
            elif step is Do.SHUT:
                writer.write_eof()
                while await reader.read(1 << 16):
                    pass
                return False
            elif step is Do.ECHO:
                while more := await reader.read(1 << 16):
                    record.tunnelled += more
                    writer.write(more)
                return False
            elif step is Do.RESET:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            else:
                assert step is Do.CLOSE
                return False
        return True
