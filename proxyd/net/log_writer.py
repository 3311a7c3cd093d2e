"""The thread that writes one log file, so that a slow disk or a stalled reader holds up nobody else.

It owns the descriptor. The loop hands it batches of lines and requests through a queue, and reads its counts;
each attribute has one writing side.
"""

import errno
import os
import stat
import threading
import time
from queue import SimpleQueue
from typing import Final

from proxyd.system import native

# POSIX promises that pipes do not interleave writes up to their PIPE_BUF, which is this on Linux and at
# least 512 elsewhere.
PIPE_BUF: Final = 4096

_RETRY_S: Final = 0.05

# Request.kind
WRITE: Final = 0
SYNC: Final = 1
REOPEN: Final = 2
CLOSE: Final = 3


class Request:
    """One thing for the writer to do. ``done`` is set when it has; ``failed`` and ``reason`` count then."""

    __slots__ = ("done", "failed", "kind", "lines", "path", "reason", "size")

    def __init__(self, kind: int, lines: list[bytes] | None = None, size: int = 0) -> None:
        self.kind: Final = kind
        self.lines: Final[list[bytes]] = [] if lines is None else lines
        self.size: Final = size  # bytes in ``lines``
        self.path: str = ""  # of the writer it was handed to
        self.failed: bool = False
        self.reason: str = ""  # why it failed, with the path
        self.done: Final[threading.Event | None] = None if kind == WRITE else threading.Event()


class LogWriter:
    """Writes to ``path``, or to the standard stream ``standard`` (1 or 2) where that is given."""

    def __init__(self, path: str, standard: int = 0) -> None:
        """Open the file; a FIFO is opened by the thread, since that waits for its reader.

        Raises OSError if it cannot be opened.
        """
        self.path: Final = path
        self.completed: int = 0  # writes
        self.failed: int = 0  # writes
        self.dropped: int = 0  # lines
        self.reopen_failed: int = 0
        self.done_bytes: int = 0  # handed to the thread and dealt with, one way or the other
        self._standard: Final = standard
        self._descriptor: int = standard or _open(path)
        self._piped: bool = self._descriptor < 0 or _is_piped(self._descriptor)
        self._torn: bool = False  # the file may end in the middle of a line
        self._closing: bool = False
        self._queue: Final[SimpleQueue[Request]] = SimpleQueue()
        self._runner: threading.Thread | None = None

    def put(self, request: Request) -> None:
        """Hand ``request`` over; returns at once."""
        if self._runner is None:
            # Not before the first line: a process that only looks at a configuration starts no threads.
            self._runner = threading.Thread(target=self._run, name=f"log {self.path}", daemon=True)
            self._runner.start()
        request.path = self.path
        if request.kind == CLOSE:
            self._closing = True
        self._queue.put(request)

    def _run(self) -> None:
        while True:
            request = self._queue.get()
            if request.kind == WRITE:
                self._write(request.lines)
                self.done_bytes += request.size
            elif request.kind == REOPEN:
                request.reason = self._reopen()
                request.failed = bool(request.reason)
            elif request.kind == CLOSE:
                self._forget_descriptor()
            if request.done is not None:
                request.done.set()
            if request.kind == CLOSE:
                return

    def _write(self, lines: list[bytes]) -> None:
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self.path, os.O_WRONLY)
            if self._piped:
                self._write_pipe(lines)
            else:
                self._write_file(lines)
        except OSError as error:
            self.failed += 1
            self.dropped += len(lines)
            if error.errno == errno.EPIPE and not self._standard:
                self._forget_descriptor()

    def _write_file(self, lines: list[bytes]) -> None:
        """Write all lines at once: with O_APPEND no other process's line gets in between.

        A full disk may take a part. The line that it tore is ended before anything else is written, and is
        then written again. Any failure counts as torn: a process beside this one may have torn its line.
        """
        while lines:
            head = b"\n" if self._torn else b""
            data = head + b"".join(lines)
            try:
                written = self._write_some(data)
            except OSError:
                self._torn = True
                self.failed += 1
                self.dropped += len(lines)
                return
            self.completed += 1
            if written == len(data):
                self._torn = False
                return
            written -= len(head)
            whole = 0
            while whole < len(lines) and written >= len(lines[whole]):
                written -= len(lines[whole])
                whole += 1
            lines = lines[whole:]
            self._torn = True

    def _write_pipe(self, lines: list[bytes]) -> None:
        """Write as many whole lines at a time as a pipe keeps together."""
        batch: list[bytes] = []
        size = 0
        for line in lines:
            if size + len(line) > PIPE_BUF and batch:
                self._write_all(b"".join(batch))
                batch = []
                size = 0
            batch.append(line)
            size += len(line)
        self._write_all(b"".join(batch))

    def _write_all(self, data: bytes) -> None:
        while data:
            written = self._write_some(data)
            data = data[written:]
            self.completed += 1

    def _write_some(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                # Somebody else who holds this stream made it non-blocking, so that it cannot be waited for.
                if self._closing:
                    raise
                time.sleep(_RETRY_S)

    def _reopen(self) -> str:
        """Open the file anew; or say why not, and go on with the old one."""
        if self._standard:
            return ""
        try:
            descriptor = _open(self.path)
        except OSError as error:
            self.reopen_failed += 1
            return f"cannot open {self.path}: {native.words(error)}"
        self._forget_descriptor()
        self._descriptor = descriptor
        self._piped = descriptor < 0 or _is_piped(descriptor)
        self._torn = False
        return ""

    def _forget_descriptor(self) -> None:
        if self._descriptor >= 0 and not self._standard:
            os.close(self._descriptor)
            self._descriptor = -1


def _open(path: str) -> int:
    """A descriptor that appends to ``path``; -1 for a FIFO, which is opened when there is a line."""
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            return -1
    except FileNotFoundError:
        pass
    return native.open_log(path)


def _is_piped(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
