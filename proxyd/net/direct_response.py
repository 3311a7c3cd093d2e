"""The network filters echo and direct_response at work: what comes is given back, or one thing is said."""

import asyncio
import time
from typing import Final

from proxyd.config.listener import FilterChain
from proxyd.net.listener import Chain, Connection, Connections
from proxyd.net.raw_downstream import RawDownstream
from proxyd.net.timers import TimerWheel
from proxyd.snapshot.network_filters import DirectResponseSnapshot

# So long the client has to take some of the response, or to close once it has all.
_PATIENCE_S: Final = 1.0


class DirectResponseChain(Chain):
    """One filter chain of a listener that answers by itself."""

    def __init__(
        self,
        config: DirectResponseSnapshot,
        connections: Connections,
        wheel: TimerWheel,
        written: FilterChain | None = None,
    ) -> None:
        super().__init__(connections, wheel, written)
        self.config: Final = config

    def new_connection(self) -> Connection:
        if self.config.echoes:
            return EchoDownstream(self, self.config)
        return DirectResponseDownstream(self, self.config)


class EchoDownstream(RawDownstream):
    """Gives back what comes, and closes with the client."""

    __slots__ = ("_config",)

    def __init__(self, chain: Chain, config: DirectResponseSnapshot) -> None:
        super().__init__(chain)
        self._config: Final = config

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.begin(transport, self._config.filter_chain_name, self._config.buffer_limit)

    def data_received(self, data: bytes) -> None:
        self._stream.bytes_received += len(data)
        self._stream.bytes_sent += len(data)
        if self._transport is not None:
            self._transport.write(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self.finish(time.monotonic()):
            self._chain.connections.on_closed()

    def pause_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close_if_idle(self) -> None:
        """Nobody knows what is under way: it goes on until the client ends it."""

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class DirectResponseDownstream(EchoDownstream):
    """Says what is configured, and closes its half; the client's bytes are thrown away until it closes, too.

    Closed with bytes unread, the connection would be reset, and the response perhaps lost with it.
    """

    __slots__ = ("_unsent",)

    def __init__(self, chain: Chain, config: DirectResponseSnapshot) -> None:
        super().__init__(chain, config)
        self._unsent: int = 0  # bytes in the transport at the last look

    def connection_made(self, transport: asyncio.Transport) -> None:
        config = self._config
        if not self.begin(transport, config.filter_chain_name, config.buffer_limit):
            return
        self._chain.wheel.arm(self, self._stream.start + _PATIENCE_S)
        if not config.tls:
            self._respond(transport)

    def on_secured(self, alpn: str) -> None:
        if self._transport is not None:
            self._respond(self._transport)

    def _respond(self, transport: asyncio.Transport) -> None:
        response = self._config.response
        self._stream.bytes_sent = len(response)
        self._stream.response_code_details = "direct_response"
        if response:
            transport.write(response)
        transport.write_eof()
        self._unsent = transport.get_write_buffer_size()

    def data_received(self, data: bytes) -> None:
        """It is not listened to."""

    def on_deadline(self, now: float) -> None:
        transport = self._transport
        if transport is None:
            return
        unsent = transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._unsent = unsent
            self._chain.wheel.arm(self, now + _PATIENCE_S)
        else:
            transport.abort()
