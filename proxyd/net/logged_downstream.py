"""Connections of listeners with an access log of their own: one line for each, when it has ended.

What is counted for the line costs those listeners alone.
"""

import time
from typing import Final

from proxyd.errors import NR
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import ConnectionStream, StreamInfo
from proxyd.net.access_log import AccessLogger
from proxyd.net.downstream import Http1Downstream
from proxyd.net.http2_downstream import Http2Downstream
from proxyd.net.listener import HttpListener


class LoggedDownstream(Http1Downstream):
    """Counts its bytes, and tells of itself at its end."""

    __slots__ = ("_begun", "_loggers", "_received", "_sent")

    def __init__(self, listener: HttpListener) -> None:
        super().__init__(listener)
        self._loggers: Final = listener.connections.access_loggers
        self._begun: Final = time.time()
        self._received: int = 0
        self._sent: int = 0

    def _read(self, data: bytes) -> None:
        self._received += len(data)
        super()._read(data)

    def _write(self, data: bytes) -> None:
        self._sent += len(data)
        super()._write(data)

    def connection_lost(self, error: Exception | None) -> None:
        now = time.monotonic()
        end = connection_end(self.info, self._begun, self._born, now)
        if self._received:
            end.protocol = "HTTP/1.1"
        end.bytes_received = self._received
        end.bytes_sent = self._sent
        super().connection_lost(error)
        _log(self._loggers, end)

    def _new_http2(self) -> Http2Downstream:
        other = LoggedHttp2Downstream(self._listener, self.info)
        other.begun(self._begun)
        return other


class LoggedHttp2Downstream(Http2Downstream):
    """The same of a client that speaks HTTP/2."""

    __slots__ = ("_begun", "_loggers", "_received", "_sent")

    def __init__(self, listener: HttpListener, info: ConnectionInfo | None = None) -> None:
        super().__init__(listener, info)
        self._loggers: Final = listener.connections.access_loggers
        self._begun: float = time.time()
        self._received: int = 0
        self._sent: int = 0

    def begun(self, at: float) -> None:
        """When the connection has begun, by the wall clock, where another object stood for it then."""
        self._begun = at

    def _count_received(self, count: int) -> None:
        self._received += count
        super()._count_received(count)

    def _count_sent(self, count: int) -> None:
        self._sent += count
        super()._count_sent(count)

    def connection_lost(self, error: Exception | None) -> None:
        end = connection_end(self.info, self._begun, self._born, time.monotonic())
        if self._received:
            end.protocol = "HTTP/2"
        end.bytes_received = self._received
        end.bytes_sent = self._sent
        super().connection_lost(error)
        _log(self._loggers, end)


def connection_end(info: ConnectionInfo, begun: float, born: float, now: float) -> ConnectionStream:
    """What is known of a connection that ends; ``begun`` is by the wall clock, the others monotonic."""
    end = ConnectionStream()
    end.connection = info
    end.downstream_remote_address = info.remote_address
    end.start_time = begun
    end.start = born
    end.end = now
    return end


def log_refused(
    loggers: list[AccessLogger], info: ConnectionInfo, begun: float, born: float, unmatched: bool
) -> None:
    """Tell of a connection that no filter chain has, or (``unmatched``) that none is for."""
    end = connection_end(info, begun, born, time.monotonic())
    if unmatched:
        end.response_flags = NR
        end.response_code_details = "filter_chain_not_found"
    _log(loggers, end)


def _log(loggers: list[AccessLogger], end: StreamInfo) -> None:
    for logger in loggers:
        logger.log(end)
