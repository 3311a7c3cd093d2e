"""TLS with a host: whom to ask for, what it has to be, and the session it may be resumed with."""

import asyncio
from typing import Final

from proxyd.codec.certificate import Certificate
from proxyd.filters.tls_info import TlsInfo
from proxyd.net.tls import TlsTransport, judge, judge_name
from proxyd.net.tls_words import TlsFailure, words_of_system
from proxyd.net.upstream_connection import ConnectionMaker
from proxyd.snapshot.server_name import server_name_of
from proxyd.snapshot.tls import ClientTls


class TlsClient(TlsTransport):
    """A protocol of the event loop by shape, and the transport of the connection behind it.

    ``done`` ends with None when that can be used, or with why it cannot.
    """

    __slots__ = ("_http2", "_kept", "_maker", "_name", "_preface", "_server_name", "_tls", "done")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        maker: ConnectionMaker,
        tls: ClientTls,
        name: str,
        preface: bytes = b"",
        http2: bool = False,
    ) -> None:
        """``name`` is whom the host has to be; it is asked for unless it is an address or no name at all.

        ``preface`` goes to the host before TLS begins. ``http2``: that is asked for, or at least offered.
        """
        super().__init__(loop, None, tls.stats)
        self._maker: Final = maker
        self._tls: Final = tls
        self._name: Final = name
        self._preface: Final = preface
        self._server_name: Final = server_name_of(name) or (tls.server_name if tls.by_request else "")
        self._http2: Final = http2
        self._kept: bool = False
        self.done: Final[asyncio.Future[TlsFailure | None]] = loop.create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        if self._preface:
            transport.write(self._preface)
        name = self._server_name
        self.start(self._tls.context(self._http2), False, name, self._tls.session(name, self._http2))

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if not self._kept and self.info is not None:
            self._keep_session()

    def _keep_session(self) -> None:
        """With TLS 1.3 it comes behind the handshake; before, it may have an identity instead of a ticket."""
        connection = self._ssl
        if connection is None:
            return
        session = connection.session
        if session is not None and (session.has_ticket or connection.version() == "TLSv1.2"):
            self._kept = True
            self._tls.keep_session(self._server_name, session, self._http2)

    def judge_peer(self, certificate: Certificate | None) -> TlsFailure | None:
        tls = self._tls
        expected = self._name if tls.validates_request else self._server_name
        if tls.validates_request or tls.validates_server_name:
            failure = judge_name(expected, certificate, self.stats)
            if failure is not None:
                return failure
        return judge(tls.validation, certificate, self.stats)

    def on_handshake(self) -> None:
        assert self._ssl is not None
        self.info = TlsInfo(self._ssl, self._peer, self._tls.certificate, self._server_name, self.group_name)
        upstream = self._maker.make(self._ssl.selected_alpn_protocol() or "")
        self.protocol = upstream
        upstream.take_tls(self.info)
        upstream.connection_made(self)  # type: ignore[arg-type]  # a transport by shape
        if not self.done.done():
            self.done.set_result(None)

    def server_flight(self, sent: bytes, received: bytes) -> bytes:
        return received

    def on_failure(self, failure: TlsFailure) -> None:
        if not self.done.done():
            self.done.set_result(failure)

    def connection_lost(self, error: Exception | None) -> None:
        if self.info is None:
            self._transport = None
            if not self.done.done():
                words = words_of_system(error) if isinstance(error, OSError) else ""
                self.done.set_result(TlsFailure(words))
            return
        super().connection_lost(error)
