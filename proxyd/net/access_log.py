"""Access logs off the event loop: lines are collected in memory and written by a thread of each file.

The loop only appends to a list. A batch goes to the thread when it holds 64 KiB, and every second when the
owner calls ``flush_all``; what a stalled sink has not taken is bounded, and beyond that lines are dropped and
counted.
"""

import time
from typing import Final

from proxyd.filters.stream_info import StreamInfo
from proxyd.net.log_writer import CLOSE, REOPEN, SYNC, WRITE, LogWriter, Request
from proxyd.snapshot.access_log_filter import LogFilter
from proxyd.snapshot.formatter import Formatter
from proxyd.snapshot.http_connection_manager import AccessLogSnapshot
from proxyd.stats.scopes import AccessLogStats
from proxyd.system import native

BATCH_BYTES: Final = 64 * 1024
# What one sink may have waiting, in bytes: about half a minute of a busy worker's lines.
BUFFER_BYTES: Final = 4 * 1024 * 1024


class LogFile:
    """One sink of this process, shared by all loggers that name it. Used on the loop alone."""

    __slots__ = ("_bytes", "_counted", "_handed_bytes", "_lines", "_stats", "path", "writer")

    def __init__(self, writer: LogWriter, stats: AccessLogStats) -> None:
        self.path: Final = writer.path
        self.writer: Final = writer
        self._stats: Final = stats
        self._lines: list[bytes] = []
        self._bytes: int = 0
        self._handed_bytes: int = 0
        self._counted: list[int] = [0, 0, 0, 0]  # what of the writer's counts the statistics have already

    @property
    def waiting(self) -> int:
        """Bytes that are not written yet."""
        return self._bytes + self._handed_bytes - self.writer.done_bytes

    def write(self, line: bytes) -> None:
        """Take one line, with its line feed; it is written later, whole, or dropped and counted."""
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= BATCH_BYTES:
            self.hand_over()

    def hand_over(self) -> bool:
        """Give what was collected to the thread; False if there was nothing."""
        lines = self._lines
        if not lines:
            return False
        size = self._bytes
        stats = self._stats
        stats.write_buffered.value += len(lines)
        if self.waiting > BUFFER_BYTES:
            stats.write_dropped.value += len(lines)
        else:
            self._handed_bytes += size
            self.writer.put(Request(WRITE, lines, size))
        self._lines = []
        self._bytes = 0
        return True

    def count(self) -> None:
        """Bring the statistics up to what the thread has done; threads do not touch the registry."""
        writer = self.writer
        stats = self._stats
        now = [writer.completed, writer.failed, writer.dropped, writer.reopen_failed]
        before = self._counted
        stats.write_completed.value += now[0] - before[0]
        stats.write_failed.value += now[1] - before[1]
        stats.write_dropped.value += now[2] - before[2]
        stats.reopen_failed.value += now[3] - before[3]
        self._counted = now


class Reopening:
    """Files on their way to being opened again; ``wait`` may block and may be called on any thread."""

    def __init__(self, requests: list[Request]) -> None:
        self._requests: Final = requests

    def wait(self, timeout: float) -> bool:
        """Whether all were opened again within ``timeout`` seconds, earlier lines being in the old files."""
        return not self.reasons(timeout)

    def reasons(self, timeout: float) -> list[str]:
        """Why some were not opened again within ``timeout`` seconds, with their paths."""
        _wait(self._requests, timeout)
        reasons: list[str] = []
        for request in self._requests:
            if request.done is not None and not request.done.is_set():
                reasons.append(f"{request.path} takes no lines, and was not opened again")
            elif request.failed:
                reasons.append(request.reason)
        return reasons


class AccessLogs:
    """The sinks of one process by path. Its methods are called on the loop."""

    def __init__(self, stats: AccessLogStats) -> None:
        self._stats: Final = stats
        self._files: Final[dict[str, LogFile]] = {}

    def open_file(self, path: str) -> LogFile:
        """The sink that appends to ``path``; ``/dev/stdout`` and ``/dev/stderr`` are this process's streams.

        Raises OSError, with the path, if the file cannot be opened.
        """
        path = native.log_path(path)
        file = self._files.get(path)
        if file is None:
            # Opening /dev/stdout anew fails where it is a socket, as under systemd.
            file = LogFile(LogWriter(path, native.standard_streams.get(path, 0)), self._stats)
            self._files[path] = file
        return file

    def close_unused(self, used: "set[str]") -> None:
        """Close the files that nobody logs to any more once they are written; does not block."""
        for path in self._files.keys() - used:
            file = self._files.pop(path)
            file.hand_over()
            file.writer.put(Request(CLOSE))

    def open_standard(self, stream: int) -> LogFile:
        """The sink of standard output (1) or standard error (2)."""
        return self.open_file("/dev/stdout" if stream == 1 else "/dev/stderr")

    def flush_all(self) -> None:
        """Hand over what was collected and count what was done; to be called every second."""
        stats = self._stats
        waiting = 0
        for file in self._files.values():
            if file.hand_over():
                stats.flushed_by_timer.value += 1
            file.count()
            waiting += file.waiting
        stats.write_total_buffered.value = waiting

    def flush_now(self, timeout: float = 1.0) -> bool:
        """Write everything and wait for it, at most ``timeout`` seconds; False if that was not enough."""
        written = _wait(self._ask_all(SYNC), timeout)
        self.flush_all()
        return written

    def begin_reopen(self, others: list[Request] | None = None) -> Reopening:
        """Let every file be opened again after what it has been given so far; does not block.

        ``others``: requests already handed to writers that are not of access logs, to be waited for as well.
        """
        return Reopening((others or []) + self._ask_all(REOPEN))

    def reopen(self, timeout: float = 5.0) -> bool:
        """Open every file again and wait for it: True when all lines up to now are in the old files."""
        reopened = self.begin_reopen().wait(timeout)
        self.flush_all()
        return reopened

    def close(self, timeout: float = 1.0) -> bool:
        """Write what there is, for at most ``timeout`` seconds, and close; nothing may be logged after."""
        written = _wait(self._ask_all(CLOSE), timeout)
        self.flush_all()
        self._files.clear()
        return written

    def _ask_all(self, kind: int) -> list[Request]:
        requests: list[Request] = []
        for file in self._files.values():
            file.hand_over()
            request = Request(kind)
            file.writer.put(request)
            requests.append(request)
        return requests


class AccessLogger:
    """One configured access log: a format and the sink of its lines."""

    __slots__ = ("_file", "_filter", "_formatter")

    def __init__(self, formatter: Formatter, file: LogFile, log_filter: LogFilter | None = None) -> None:
        self._filter: Final = log_filter
        self._formatter: Final = formatter
        self._file: Final = file

    @property
    def path(self) -> str:
        """The sink's."""
        return self._file.path

    def log(self, info: StreamInfo) -> None:
        """Log a request that has ended, if its filter lets it pass."""
        if self._filter is not None and not self._filter.passes(info):
            return
        self._file.write(self._formatter.format_line(info))


def open_loggers(logs: AccessLogs, configured: list[AccessLogSnapshot]) -> list[AccessLogger]:
    """The loggers of one connection manager. Raises OSError, with the path, if a file cannot be opened."""
    return [
        AccessLogger(
            log.formatter,
            logs.open_file(log.path) if log.path else logs.open_standard(log.standard),
            log.filter,
        )
        for log in configured
    ]


def _wait(requests: list[Request], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    for request in requests:
        done = request.done
        if done is not None and not done.wait(max(0.0, deadline - time.monotonic())):
            return False
    return True
