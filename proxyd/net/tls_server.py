"""TLS with a client: its first message is read before the certificate is chosen."""

import asyncio
import time
from typing import Final

from proxyd.codec.certificate import Certificate
from proxyd.codec.client_hello import HELLO, MORE, ClientHello, ClientHelloReader
from proxyd.filters.tls_info import TlsInfo
from proxyd.net.listener import Connection
from proxyd.net.timers import Timed, TimerWheel
from proxyd.net.tls import TlsTransport, judge
from proxyd.net.tls_words import TlsFailure, words_of_missing
from proxyd.snapshot.tls import ServerTls
from proxyd.stats.scopes import ListenerStats


class HandshakeDeadline(Timed):
    """``transport_socket_connect_timeout``."""

    def __init__(self, server: "TlsServer", stats: ListenerStats) -> None:
        super().__init__()
        self._server: Final = server
        self._stats: Final = stats

    def on_deadline(self, now: float) -> None:
        self._stats.downstream_cx_transport_socket_connect_timeout.value += 1
        self._server.abort()


class TlsServer(TlsTransport):
    """A protocol of the event loop by shape, and the transport of the connection behind it."""

    __slots__ = ("_certificate", "_connection", "_deadline", "_reader", "_server_name", "_tls", "_wheel")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: Connection, tls: ServerTls, wheel: TimerWheel
    ) -> None:
        super().__init__(loop, connection, tls.stats)
        self._connection: Final = connection
        self._tls: Final = tls
        self._wheel: Final = wheel
        self._reader: ClientHelloReader | None = None
        self._certificate: Certificate | None = None
        self._server_name: str = ""
        self._deadline: HandshakeDeadline | None = None

    def begin(
        self,
        transport: asyncio.Transport,
        hello: ClientHello | None,
        data: bytes,
        timeout: float,
        stats: ListenerStats,
    ) -> None:
        """Take over an accepted connection of which ``data`` has been read, ``hello`` in it if it is known.

        ``timeout`` is for the handshake, 0.0 for none.
        """
        self._transport = transport
        if timeout > 0.0:
            self._deadline = HandshakeDeadline(self, stats)
            self._wheel.arm(self._deadline, time.monotonic() + timeout)
        self._connection.connection_made(self)  # type: ignore[arg-type]  # a transport by shape
        if transport.is_closing():
            return
        if hello is not None:
            self._answer(hello, data)
        else:
            self._reader = ClientHelloReader()
            if data:
                self.feed(data)

    def feed(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            super().feed(data)
            return
        found = reader.feed(data)
        if found == MORE:
            return
        self._reader = None
        if found == HELLO:
            self._answer(reader.hello, reader.received)
            return
        # What is no ClientHello is OpenSSL's to refuse: it has the words and the alert. What that takes for
        # one all the same, being large or in crumbs, has not been heard on which name it asks for.
        self._answer(None, reader.received)
        if not self.is_closing():
            self.stats.connection_error.value += 1
            self.abort()

    def _answer(self, hello: ClientHello | None, data: bytes) -> None:
        """Begin with the context that a client's first message, which ``data`` has, asks for."""
        tls = self._tls
        if hello is not None:
            self._server_name = hello.server_name
            if tls.require_sni and not hello.server_name:
                self.stats.connection_error.value += 1
                self.abort()
                return
        context, self._certificate = tls.choose(hello)
        self.start(context, True)
        if not tls.is_former(hello):
            super().feed(data)
            return
        # Tickets are opened as the first message is read; what is sealed, is sealed behind the last.
        tls.use_former_key(context)
        try:
            super().feed(data)
        finally:
            tls.use_key(context)

    def judge_peer(self, certificate: Certificate | None) -> TlsFailure | None:
        if certificate is None and self._tls.demands_certificate:
            # No session of a context that trusts otherwise can be resumed here; this is the second lock.
            self.stats.fail_verify_no_cert.value += 1
            return TlsFailure(words_of_missing())
        if certificate is None:
            return None
        return judge(self._tls.validation, certificate, self.stats)

    def on_handshake(self) -> None:
        self._disarm()
        assert self._ssl is not None
        info = self._connection.connection_info()
        info.tls = self.info = TlsInfo(
            self._ssl, self._peer, self._certificate, self._server_name, self.group_name
        )
        self._connection.on_secured(self._ssl.selected_alpn_protocol() or "")

    def server_flight(self, sent: bytes, received: bytes) -> bytes:
        return sent

    def on_failure(self, failure: TlsFailure) -> None:
        self._disarm()
        self._connection.connection_info().transport_failure_reason = failure.words

    def connection_lost(self, error: Exception | None) -> None:
        self._disarm()
        super().connection_lost(error)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._wheel.disarm(self._deadline)
            self._deadline = None
