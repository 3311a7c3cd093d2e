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
import contextlib
import errno
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
_IDENTIFICATION: Final = 0x00110000  # SECURITY_SQOS_PRESENT, SECURITY_IDENTIFICATION: nobody acts as us

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class PipeListener:
    """The pipe from the moment it can be connected to."""

    def __init__(self, path: str) -> None:
        self.name: Final = _PREFIX + secrets.token_hex(16)
        self._path: Final = path
        self._allowed: Final = api.OwnerOnly()
        self._next = api.create_pipe(self.name, True, self._allowed)
        self._closed = False
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(self.name)
        os.replace(path + ".new", path)

    def accept(self) -> int:
        """Wait for a client: a handle to its connection. Raises OSError at the end."""
        while True:
            pipe = self._next
            connected = _wait_for_client(pipe)
            if self._closed:
                api.close(pipe)
                raise ConnectionAbortedError("the listener is closed")
            self._next = api.create_pipe(self.name, False, self._allowed)
            if connected:
                return pipe
            api.close(pipe)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):  # wakes accept(); nobody may be there
                api.close(_connect(self.name))


def _wait_for_client(pipe: int) -> bool:
    """Whether there is one; it may have left before it was waited for. Raises OSError."""
    try:
        _winapi_wait(_winapi.ConnectNamedPipe(pipe, overlapped=True))
    except OSError as error:
        if error.winerror == api.ERROR_NO_DATA:
            return False
        if error.winerror != api.ERROR_PIPE_CONNECTED:
            raise
    return True


class PipeServer:
    """Hands connections to ``serve`` on the loop."""

    def __init__(self, listener: PipeListener, serve: Serve) -> None:
        self._listener: Final = listener
        self._serve: Final = serve
        self._loop: Final = asyncio.get_running_loop()
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        threading.Thread(target=self._run, name="control", daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def hand_over(self) -> int:
        raise OSError(errno.ENOTSUP, "commands cannot be heard by another process on Windows")

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


class _Bridge:
    """Two threads between a pipe and a socket. Either end's end is the other's."""

    def __init__(self, pipe: int, sock: socket.socket) -> None:
        self._pipe: Final = pipe
        self._sock: Final = sock
        self._lock: Final = threading.Lock()
        self._users = 2  # threads that still use the pipe
        for run in (self._from_pipe, self._to_pipe):
            threading.Thread(target=run, name="control", daemon=True).start()

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
        self._leave()

    def _to_pipe(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._sock.recv(_CHUNK):
                view = memoryview(data)
                while view:
                    overlapped, _ = _winapi.WriteFile(self._pipe, bytes(view), overlapped=True)
                    view = view[_winapi_wait(overlapped) :]
        self._leave()
        api.cancel_io(self._pipe)  # the other thread waits for what nobody would hear

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
        self._sock.close()
        api.close(self._pipe)


def _bridge(pipe: int) -> socket.socket:
    ours, theirs = socket.socketpair()
    _Bridge(pipe, theirs)
    return ours
