"""Where the lines of proxyd's own log go: through a bounded queue to a thread, no sink holds up a loop.

A sink may be a pipe that nobody reads, a stalled disk, a terminal in scroll lock. Lines that find the queue
full are dropped and counted, and the next line that gets through says how many.
"""

import contextlib
import logging
from typing import Final

from proxyd.net.log_writer import CLOSE, REOPEN, SYNC, WRITE, LogWriter, Request

QUEUE_BYTES: Final = 1 << 20  # of lines that may wait for the sink
END_LIMIT: Final = 1.0  # seconds that the end of a process waits for its last lines

_STANDARD_ERROR: Final = 2


class LogHandler(logging.Handler):
    """Writes to a file, or to standard error without a path. The thread begins with the first line.

    A process that forks must not have logged by then: threads do not cross a fork.
    """

    def __init__(self, path: str | None) -> None:
        """Open the file; a FIFO is opened by the thread. Raises OSError."""
        super().__init__()
        standard = _STANDARD_ERROR if path is None else 0
        self._writer: Final = LogWriter(path or "standard error", standard)
        self.dropped: int = 0  # lines not told of yet
        self._handed_bytes = 0
        self.closed: bool = False  # nobody answers any more

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; never blocks, never raises."""
        try:
            line = self._line(record)
        except Exception:  # noqa: BLE001 - a line that cannot be made must not disturb what it tells of
            self.handleError(record)
            return
        if self.closed or self._handed_bytes - self._writer.done_bytes + len(line) > QUEUE_BYTES:
            self.dropped += 1
            return
        if self.dropped:
            dropped, self.dropped = self.dropped, 0
            self._hand_over(self._line(_told(dropped)))
        self._hand_over(line)

    def begin_reopen(self) -> Request:
        """Let the file be opened anew after the lines so far; where it cannot be, the old one stays."""
        return self._ask(REOPEN)

    def sync(self, seconds: float) -> bool:
        """Wait until what was queued is written, for at most so long."""
        done = self._ask(SYNC).done
        return done is None or done.wait(seconds)

    def close(self) -> None:
        """Write what is queued, for at most ``END_LIMIT``; what comes later is dropped."""
        if not self.closed:
            self.closed = True
            with contextlib.suppress(RuntimeError):  # no line yet, and too late in the process for a thread
                done = self._ask(CLOSE).done
                if done is not None:
                    done.wait(END_LIMIT)
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode("utf-8", "backslashreplace")

    def _hand_over(self, line: bytes) -> None:
        self._handed_bytes += len(line)
        self._writer.put(Request(WRITE, [line], len(line)))

    def _ask(self, kind: int) -> Request:
        request = Request(kind)
        self._writer.put(request)
        return request


def _told(dropped: int) -> logging.LogRecord:
    lines = "line was" if dropped == 1 else "lines were"
    return logging.makeLogRecord(
        {
            "name": "main",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": f"{dropped} {lines} dropped: the log could not be written fast enough",
        }
    )
