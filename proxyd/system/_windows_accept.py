"""Accepting on a listening socket that several processes have copies of, on Windows.

A socket belongs to one completion port, so loops of several processes cannot accept on copies of one; and a
non-blocking accept on a copy may block (envoyproxy/envoy#17555). Here each process accepts on a thread that
may block, and hands connections, which are its alone, to its loop.
"""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import asyncio
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from proxyd.system import _windows_api as api

logger = logging.getLogger("main")

_STOP_LIMIT: Final = 5.0  # seconds until a thread that does not come back is given up
_QUEUE_LIMIT: Final = 1.0  # seconds that a thread goes on to take what is queued, once it shall stop
_PAUSE: Final = 0.1  # seconds, after what Windows lacks memory for
_CANCEL_INTERVAL: Final = 0.002  # seconds
_WSAEWOULDBLOCK: Final = 10035
_OUT_OF_RESOURCES: Final = (10024, 10055)  # WSAEMFILE, WSAENOBUFS


class Acceptance:
    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self._arrived: Final[deque[socket.socket]] = deque()  # not handed over yet
        self._thread: threading.Thread | None = None
        self._take: Callable[[socket.socket], None] = _nobody
        self._stopping = False
        self._until = 0.0  # monotonic seconds; the end of taking what is queued

    async def start(
        self,
        loop: asyncio.AbstractEventLoop,
        backlog: int,
        new_connection: Callable[[], asyncio.BaseProtocol],
        take: Callable[[socket.socket], None],
    ) -> None:
        if self._stopping:
            return
        self._take = take
        self._thread = threading.Thread(target=self._run, args=(loop,), name="accept", daemon=True)
        self._thread.start()

    def stop(self) -> list[socket.socket]:
        self._until = time.monotonic() + _QUEUE_LIMIT
        self._stopping = True
        thread = self._thread
        deadline = time.monotonic() + _STOP_LIMIT
        while thread is not None and thread.is_alive():
            # Again and again: it may have been about to wait when it was cancelled.
            api.cancel_io(self._sock.fileno())
            thread.join(_CANCEL_INTERVAL)
            if time.monotonic() > deadline:
                logger.error("a thread that accepts does not end; a connection may be lost")
                break
        self._sock.close()
        queued = list(self._arrived)
        self._arrived.clear()
        return queued

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping or (time.monotonic() < self._until and self._is_queued(0.0)):
            try:
                connection, _ = self._sock.accept()
                connection.setblocking(False)
            except OSError as error:
                self._endure(error)
                continue
            self._arrived.append(connection)
            try:
                loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop has ended
                return

    def _endure(self, error: OSError) -> None:
        """Before the next try: another process was quicker, the client has gone, or we were cancelled."""
        if error.winerror == _WSAEWOULDBLOCK:
            self._is_queued(_PAUSE)
        elif error.winerror in _OUT_OF_RESOURCES:
            logger.error("no connection can be accepted: %s", error.strerror)
            time.sleep(_PAUSE)

    def _is_queued(self, seconds: float) -> bool:
        try:
            return bool(select.select([self._sock], [], [], seconds)[0])
        except OSError:
            return False

    def _deliver(self) -> None:
        if self._arrived:  # else stop() has returned it
            self._take(self._arrived.popleft())


def _nobody(_: socket.socket) -> None:
    raise AssertionError("nobody takes connections")


def acceptance(sock: socket.socket) -> Acceptance:
    return Acceptance(sock)
