"""A client's connection whose bytes are taken as they are: what tcp_proxy, echo and direct_response share."""

import asyncio
import time
from typing import Final

from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import ConnectionStream
from proxyd.net.access_log import AccessLogger
from proxyd.net.addresses import note_addresses
from proxyd.net.listener import Chain, Connection
from proxyd.net.timers import Timed

# What %ACCESS_LOG_TYPE% says of a connection's end, in a listener's own log and in that of tcp_proxy.
_LISTENERS: Final = "NotSet"
_TCP_END: Final = "TcpConnectionEnd"


class RawDownstream(Timed, Connection):
    """A protocol of the event loop by shape. Whoever builds on it calls ``begin`` and ``finish``."""

    __slots__ = ("_chain", "_stream", "_transport", "info")

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self._chain: Final = chain
        self._transport: asyncio.Transport | None = None
        self._stream: Final = ConnectionStream()
        self.info: Final = ConnectionInfo()

    def begin(self, transport: asyncio.Transport, filter_chain_name: str, buffer_limit: int) -> bool:
        """Take the connection in; False where the listener has too many and it is being closed."""
        self._transport = transport
        stream = self._stream
        stream.start = time.monotonic()
        stream.start_time = time.time()
        if not self._chain.admit(self):
            transport.abort()
            return False
        info = self.info
        note_addresses(info, transport)
        info.filter_chain_name = filter_chain_name
        stream.connection = info
        stream.downstream_remote_address = info.remote_address
        transport.set_write_buffer_limits(buffer_limit)
        return True

    def finish(self, now: float) -> bool:
        """The connection has gone; False where it never was taken in. The chain's owner is not told yet."""
        self._transport = None
        chain = self._chain
        chain.wheel.disarm(self)
        self.log(chain.connection_loggers(), _TCP_END, now)
        if not chain.dismiss(self, now - self._stream.start):
            return False
        self.log(chain.connections.access_loggers, _LISTENERS, now)
        return True

    def log(self, loggers: list[AccessLogger], kind: str, now: float) -> None:
        """Write a line to each; ``kind`` is what %ACCESS_LOG_TYPE% says."""
        if not loggers:
            return
        stream = self._stream
        stream.end = now
        stream.access_log_type = kind
        for logger in loggers:
            logger.log(stream)

    def connection_info(self) -> ConnectionInfo:
        return self.info
