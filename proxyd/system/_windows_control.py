"""The control channel on Windows: a named pipe for the owner alone, local only.

Its name cannot be guessed; the file in the run directory, where an instance on Linux has its socket, tells it
to whoever may read there. A pipe has no place in the event loops: threads carry bytes between each connection
and a socket, which has.
"""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import _winapi
import asyncio
import atexit
import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final

from proxyd.system import _windows_api as api
from proxyd.system.contract import ControlListener

_PREFIX: Final = "\\\\.\\pipe\\proxyd-"
_CHUNK: Final = 1 << 16
_BUSY_WAIT_MS: Final = 50
_CANCEL_INTERVAL: Final = 0.002  # seconds
_LAST_WORDS: Final = 1.0  # seconds
_IDENTIFICATION: Final = 0x00110000  # SECURITY_SQOS_PRESENT, SECURITY_IDENTIFICATION: nobody acts as us

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class PipeListener:
    """The pipe from the moment it can be connected to. ``file`` in the run directory tells its name."""

    def __init__(self, file: str) -> None:
        name = _PREFIX + secrets.token_hex(16)
        allowed = api.OwnerOnly()
        self._go_on(name, allowed, api.create_pipe(name, True, allowed))
        with open(file + ".new", "w", encoding="ascii") as written:
            written.write(name)
        os.replace(file + ".new", file)

    @classmethod
    def adopt(cls, file: str, pipe: int) -> "PipeListener":
        """Go on where another process has listened, whose next client comes by the handle ``pipe``."""
        made = cls.__new__(cls)
        with open(file, encoding="ascii") as written:
            made._go_on(written.read(), api.OwnerOnly(), pipe)
        return made

    def _go_on(self, name: str, allowed: api.OwnerOnly, pipe: int) -> None:
        self.name = name
        self._allowed = allowed
        self._next = pipe
        self._closed = False
        self._leaving = False

    def accept(self) -> int:
        """Wait for a client: a handle to its connection. Raises OSError at the end."""
        while not self._leaving:
            pipe = self._next
            connected = _wait_for_client(pipe)
            if self._closed:
                api.close(pipe)
                raise ConnectionAbortedError("the listener is closed")
            if connected is None:
                continue
            self._next = api.create_pipe(self.name, False, self._allowed)
            if connected:
                return pipe
            api.close(pipe)
        raise ConnectionAbortedError("another process listens")

    def leave(self, thread: threading.Thread) -> int:
        """Let ``accept``, which ``thread`` calls, wait no more: the handle by which the next client comes."""
        self._leaving = True
        _cancel(self._next, thread)
        return self._next

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):  # wakes accept(); nobody may be there
                api.close(_connect(self.name))


def _wait_for_client(pipe: int) -> bool | None:
    """Whether there is one; it may have left before it was waited for. None: cancelled. Raises OSError."""
    try:
        _, failed = _winapi.ConnectNamedPipe(pipe, overlapped=True).GetOverlappedResult(True)
    except OSError as error:
        if error.winerror == api.ERROR_NO_DATA:
            return False
        if error.winerror != api.ERROR_PIPE_CONNECTED:
            raise
        return True
    return None if failed == api.ERROR_OPERATION_ABORTED else True


class PipeServer:
    """Hands connections to ``serve`` on the loop."""

    def __init__(self, listener: PipeListener, serve: Serve) -> None:
        self._listener: Final = listener
        self._serve: Final = serve
        self._loop: Final = asyncio.get_running_loop()
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._thread: Final = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()

    def hand_over(self) -> int:
        return self._listener.leave(self._thread)

    def _run(self) -> None:
        while True:
            try:
                sock = _bridge(self._listener.accept())
                self._loop.call_soon_threadsafe(self._begin, sock)
            except (OSError, RuntimeError):  # closed, or the loop has ended
                return

    def _begin(self, sock: socket.socket) -> None:
        task = self._loop.create_task(self._converse(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            reader, writer = await asyncio.open_connection(sock=sock)
        except OSError:
            sock.close()
            return
        await self._serve(reader, writer)


async def serve_control(listener: ControlListener, serve: Serve) -> PipeServer:
    assert isinstance(listener, PipeListener)
    return PipeServer(listener, serve)


def adopt_control(descriptor: int, path: str) -> PipeListener:
    return PipeListener.adopt(path, descriptor)


def connect_control(path: str, timeout: float) -> socket.socket:
    with open(path, encoding="ascii") as file:
        name = file.read()
    if not name.startswith(_PREFIX):
        raise ConnectionRefusedError(f"{path} names no pipe")
    deadline = time.monotonic() + timeout
    while True:
        try:
            sock = _bridge(_connect(name))
            break
        except OSError as error:
            if error.winerror != api.ERROR_PIPE_BUSY:
                raise
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is busy")
        with contextlib.suppress(OSError):  # it may come back at once, and others be quicker then
            _winapi.WaitNamedPipe(name, _BUSY_WAIT_MS)
    sock.settimeout(timeout)
    return sock


def _connect(name: str) -> int:
    return _winapi.CreateFile(
        name,
        _winapi.GENERIC_READ | _winapi.GENERIC_WRITE,
        0,
        _winapi.NULL,
        _winapi.OPEN_EXISTING,
        _winapi.FILE_FLAG_OVERLAPPED | _IDENTIFICATION,
        _winapi.NULL,
    )


def _winapi_wait(overlapped: "_winapi.Overlapped") -> int:
    count, _ = overlapped.GetOverlappedResult(True)
    return count


_last_words: Final[set[threading.Thread]] = set()  # those that write to pipes


def _finish() -> None:
    """What was written to sockets before they were closed is to reach the pipes before the process ends."""
    deadline = time.monotonic() + _LAST_WORDS
    for thread in list(_last_words):
        thread.join(max(0.0, deadline - time.monotonic()))


atexit.register(_finish)


class _Bridge:
    """Two threads between a pipe and a socket. Either end's end is the other's."""

    def __init__(self, pipe: int, sock: socket.socket) -> None:
        self._pipe: Final = pipe
        self._sock: Final = sock
        self._reader: Final = threading.Thread(target=self._from_pipe, name="control", daemon=True)
        self._writer: Final = threading.Thread(target=self._to_pipe, name="control", daemon=True)
        _last_words.add(self._writer)
        self._reader.start()
        self._writer.start()

    def _from_pipe(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                overlapped, _ = _winapi.ReadFile(self._pipe, _CHUNK, overlapped=True)
                _winapi_wait(overlapped)
                data = overlapped.getbuffer()
                if not data:
                    break
                self._sock.sendall(data)
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def _to_pipe(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._sock.recv(_CHUNK):
                view = memoryview(data)
                while view:
                    overlapped, _ = _winapi.WriteFile(self._pipe, bytes(view), overlapped=True)
                    view = view[_winapi_wait(overlapped) :]
        _last_words.discard(self._writer)
        self._sock.close()
        _cancel(self._pipe, self._reader)  # it waits for what nobody would hear
        api.close(self._pipe)


def _cancel(pipe: int, thread: threading.Thread) -> None:
    """Let a thread wait no more for what comes by a pipe, until it has ended."""
    while thread.is_alive():
        # Again and again: it may have been about to wait when it was cancelled.
        api.cancel_io(pipe)
        thread.join(_CANCEL_INTERVAL)


def _bridge(pipe: int) -> socket.socket:
    ours, theirs = socket.socketpair()
    _Bridge(pipe, theirs)
    return ours
