"""The event loop on Windows: winloop where it is installed, else asyncio's own, which lacks something."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import asyncio
import asyncio.proactor_events as proactor_events
import socket
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVarTuple

from proxyd.system._unread import has_unread as is_in_socket
from proxyd.system._windows_poll import poll

_Arguments = TypeVarTuple("_Arguments")

Callback = Callable[[], object]


def new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import winloop
    except ImportError:
        return Loop()
    loop: asyncio.AbstractEventLoop = winloop.new_event_loop()
    return loop


def has_unread(transport: asyncio.BaseTransport) -> bool:
    # A completion port reads ahead: what has come is in the transport's own buffer, not in the socket.
    reading = getattr(transport, "_read_fut", None)
    overlapped = getattr(reading, "_ov", None)
    if reading is not None and (reading.done() or (overlapped is not None and not overlapped.pending)):
        return True
    return is_in_socket(transport)


class _Transport(proactor_events._ProactorSocketTransport):
    """Hands on what it reads as bytes; Python 3.11 has bytearrays here."""

    def _data_received(self, data: bytes | bytearray | None, length: int) -> None:
        read = bytes(data) if isinstance(data, bytearray) else data
        super()._data_received(read, length)  # type: ignore[misc]  # a private method


class Loop(asyncio.ProactorEventLoop):
    """With ``add_reader`` and ``add_writer``, for control channels and datagrams."""

    def __init__(self) -> None:
        super().__init__()
        self._readiness: _Readiness | None = None

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: "asyncio.Future[Any] | None" = None,
        extra: Any = None,
        server: Any = None,
    ) -> asyncio.BaseTransport:
        return _Transport(self, sock, protocol, waiter, extra, server)  # type: ignore[arg-type]

    def add_reader(self, fd: Any, callback: Callable[[*_Arguments], Any], *args: *_Arguments) -> None:
        self._watch().readers[_number(fd)] = lambda: callback(*args)
        self._watch().wake()

    def add_writer(self, fd: Any, callback: Callable[[*_Arguments], Any], *args: *_Arguments) -> None:
        self._watch().writers[_number(fd)] = lambda: callback(*args)
        self._watch().wake()

    def remove_reader(self, fd: Any) -> bool:
        return self._watch().remove(self._watch().readers, _number(fd))

    def remove_writer(self, fd: Any) -> bool:
        return self._watch().remove(self._watch().writers, _number(fd))

    def close(self) -> None:
        if self._readiness is not None:
            self._readiness.close()
            self._readiness = None
        super().close()

    def _watch(self) -> "_Readiness":
        if self._readiness is None:
            self._readiness = _Readiness(self)
        return self._readiness


def _number(fd: Any) -> int:
    return fd if isinstance(fd, int) else int(fd.fileno())


class _Readiness:
    """A thread that polls; it waits again only when the loop has done what was found."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.readers: Final[dict[int, Callback]] = {}
        self.writers: Final[dict[int, Callback]] = {}
        self._loop: Final = loop
        self._closed = False
        self._turn: Final = threading.Semaphore(1)  # the thread's, to look
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._thread: Final = threading.Thread(target=self._run, name="readiness", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """What is to be watched has changed."""
        try:
            self._waker.send(b"\0")
        except OSError:  # full: it will wake
            pass

    def remove(self, callbacks: dict[int, Callback], number: int) -> bool:
        if callbacks.pop(number, None) is None:
            return False
        self.wake()
        return True

    def close(self) -> None:
        self._closed = True
        self._turn.release()
        self.wake()
        self._thread.join()
        self._woken.close()
        self._waker.close()

    def _run(self) -> None:
        woken = self._woken.fileno()
        while True:
            self._turn.acquire()
            if self._closed:
                return
            # One may be closed meanwhile; the loop has removed it by its next turn.
            readable, writable = poll([woken, *self.readers], [*self.writers])
            try:
                self._loop.call_soon_threadsafe(self._found, readable, writable)
            except RuntimeError:  # the loop has ended
                return

    def _found(self, readable: list[int], writable: list[int]) -> None:
        if self._closed:
            return
        for number in readable:
            if number == self._woken.fileno():
                try:
                    self._woken.recv(4096)
                except OSError:
                    pass
            elif number in self.readers:
                self._loop.call_soon(self._call, self.readers, number)
        for number in writable:
            if number in self.writers:
                self._loop.call_soon(self._call, self.writers, number)
        self._loop.call_soon(self._turn.release)

    def _call(self, callbacks: dict[int, Callback], number: int) -> None:
        callback = callbacks.get(number)
        if callback is not None:
            callback()
