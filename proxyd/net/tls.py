"""TLS between the loop's transport and HTTP, over ``ssl.MemoryBIO``: a protocol on one side, a transport on
the other, for listeners and for clusters alike.

What OpenSSL writes into memory goes to the transport at once, so the transport's own limits are the only
buffer: nothing waits here. A peer that makes us answer and does not read is not read from either.
"""

import asyncio
import ssl
from typing import Any, Final

from proxyd.codec.certificate import Certificate
from proxyd.codec.server_hello import GROUP_NAMES, agreed_group
from proxyd.filters.tls_info import TlsInfo
from proxyd.net.bugs import report_bug
from proxyd.net.tls_words import (
    TlsFailure,
    failure_of_hash,
    words_of,
    words_of_missing,
    words_of_names,
    words_of_server_name,
)
from proxyd.snapshot.openssl import release_memory
from proxyd.snapshot.peer_validation import ACCEPTED, NO_SAN, PeerValidation, is_for
from proxyd.stats.tls_scopes import TlsStats

# What is left of a connection's life.
_NEW: Final = 0
_HANDSHAKING: Final = 1
_OPEN: Final = 2
_CLOSED: Final = 3  # nothing goes either way any more

# Who has stopped the reading.
_BY_PROTOCOL: Final = 1
_BY_PEER: Final = 2  # it does not take what it makes us write

_MAX_READ: Final = 65536  # a record holds 16 KiB at most
_MAX_WRITE: Final = 65536  # into OpenSSL at once
_MAX_KEPT: Final = 16384  # bytes of content whose memory is kept for what comes next
_KEPT_FOR: Final = 1.0  # seconds that more of it is kept: giving it back costs a third of encrypting it
_TLS_1_2: Final = "TLSv1.2"


class TlsTransport:
    """What both directions share. ``protocol`` is the connection that speaks HTTP through it."""

    __slots__ = (
        "_group", "_incoming", "_outgoing", "_paused", "_peer", "_peer_stalls", "_received_eof", "_sent_eof",
        "_shrinking", "_ssl", "_state", "_transport", "info", "loop", "protocol", "stats",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any, stats: TlsStats) -> None:
        self.loop: Final = loop
        self.protocol: Any = protocol
        self.stats: Final = stats
        self.info: TlsInfo | None = None
        self._transport: asyncio.Transport | None = None
        self._incoming: ssl.MemoryBIO | None = None
        self._outgoing: ssl.MemoryBIO | None = None
        self._ssl: ssl.SSLObject | None = None
        self._state: int = _NEW
        self._peer: Certificate | None = None
        self._group: int = 0
        self._paused: int = 0
        self._peer_stalls: bool = False
        self._received_eof: bool = False
        self._sent_eof: bool = False
        self._shrinking: asyncio.TimerHandle | None = None  # what waits to give memory back

    # -- what the directions do differently

    def on_handshake(self) -> None:
        """The handshake has ended well and the peer is accepted."""
        raise NotImplementedError

    def on_failure(self, failure: TlsFailure) -> None:
        """TLS has failed; the transport is being closed."""
        raise NotImplementedError

    def server_flight(self, sent: bytes, received: bytes) -> bytes:
        """Which of what has just been sent and received is the server's."""
        raise NotImplementedError

    def judge_peer(self, certificate: Certificate | None) -> TlsFailure | None:
        """Look at the peer's certificate; counts what is wrong with it."""
        raise NotImplementedError

    # -- the handshake

    def start(
        self,
        context: ssl.SSLContext,
        server: bool,
        server_name: str = "",
        session: ssl.SSLSession | None = None,
    ) -> None:
        """Begin; of a client its first message goes out."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server, server_name or None, session)
        self._state = _HANDSHAKING
        if not server:
            self._shake_hands(b"")

    def _shake_hands(self, received: bytes) -> None:
        connection = self._ssl
        assert connection is not None
        try:
            connection.do_handshake()
        except ssl.SSLWantReadError:
            self._note_group(self._flush(), received)
            return
        except ssl.SSLError as error:
            self._count_error(error)
            self._flush()  # the alert
            self._fail(TlsFailure(words_of(error)))
            return
        der = connection.getpeercert(True)
        certificate = None if der is None else Certificate(der)
        failure = self.judge_peer(certificate)
        if failure is not None:
            self._refuse(connection, failure)
            return
        self._note_group(b"", received)
        self._count_handshake(connection, certificate)
        self._peer = certificate
        self._state = _OPEN
        self.on_handshake()
        self._flush()
        # A handshake takes more than most of what follows.
        self._shrink()

    def _note_group(self, sent: bytes, received: bytes) -> None:
        if not self._group:
            self._group = agreed_group(self.server_flight(sent, received))

    @property
    def group_name(self) -> str:
        """The curve that was agreed on, where it is known."""
        return GROUP_NAMES.get(self._group, "")

    def _refuse(self, connection: ssl.SSLObject, failure: TlsFailure) -> None:
        """The peer must not take the handshake for ended: what would tell it so was not sent yet."""
        assert self._outgoing is not None
        held_back = self._outgoing.read()
        transport = self._transport
        # To a server of TLS 1.2 the last flight has gone; with TLS 1.3 only an encrypted alert would count.
        if held_back and connection.version() == _TLS_1_2 and transport is not None:
            transport.write(failure.alert)
        self._fail(failure)

    def _count_handshake(self, connection: ssl.SSLObject, certificate: Certificate | None) -> None:
        stats = self.stats
        stats.handshake.value += 1
        if connection.session_reused:
            stats.session_reused.value += 1
        if certificate is None:
            stats.no_certificate.value += 1
        cipher = connection.cipher()
        if cipher is not None:
            stats.count("ciphers", cipher[0])
        stats.count("versions", connection.version() or "unknown")
        if self._group:
            stats.count("curves", self.group_name or "unknown_ssl_curve")

    def _count_error(self, error: ssl.SSLError) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            self.stats.fail_verify_error.value += 1
        elif getattr(error, "reason", None) == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            self.stats.fail_verify_no_cert.value += 1
        elif not isinstance(error, ssl.SSLEOFError):
            self.stats.connection_error.value += 1

    def _fail(self, failure: TlsFailure) -> None:
        if self._state == _CLOSED:
            return
        self._state = _CLOSED
        self.on_failure(failure)
        if self._transport is not None:
            self._transport.close()

    # -- the loop's side

    def data_received(self, data: bytes) -> None:
        try:
            self.feed(data)
        except Exception as error:  # noqa: BLE001 - one broken connection must not take others with it
            report_bug(self.loop, error, "in TLS")
            self.abort()

    def feed(self, data: bytes) -> None:
        """What has come from the peer."""
        if self._state == _CLOSED:
            return
        incoming = self._incoming
        assert incoming is not None
        incoming.write(data)
        if self._state == _HANDSHAKING:
            self._shake_hands(data)
        if self._state == _OPEN and incoming.pending:
            self._read(incoming)
            if len(data) > _MAX_KEPT:
                self._swell()

    def _read(self, incoming: ssl.MemoryBIO) -> None:
        connection = self._ssl
        assert connection is not None
        first = b""
        more: list[bytes] = []
        ended = False
        failure: TlsFailure | None = None
        try:
            while incoming.pending:  # a whole record fits into one reading, so OpenSSL keeps nothing back
                data = connection.read(_MAX_READ)
                if not data:
                    ended = True
                    break
                if first:
                    more.append(data)
                else:
                    first = data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        except ssl.SSLError as error:
            self._count_error(error)
            failure = TlsFailure(words_of(error))
        if first:
            if more:
                more.insert(0, first)
                first = b"".join(more)
            self.protocol.data_received(first)
        outgoing = self._outgoing
        if outgoing is not None and outgoing.pending:
            # An answer to what was read: a peer that does not take it gets no more of them.
            self._flush()
            if self._peer_stalls:
                self._pause(_BY_PEER)
        if failure is not None:
            self._fail(failure)
        elif ended and self._state == _OPEN:
            self._end_of_data()

    def _end_of_data(self) -> None:
        """The peer sends nothing more."""
        if self._received_eof:
            return
        self._received_eof = True
        if not self.protocol.eof_received():
            self.close()

    def eof_received(self) -> bool:
        """The transport's end-of-file. Whether it stays open for what is still to be written."""
        if self._state == _OPEN:
            if not self._received_eof:
                self._received_eof = True
                if self.protocol.eof_received():
                    return True
            elif not self._sent_eof:
                return True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._state = _CLOSED
        self._transport = None
        if self._shrinking is not None:
            self._shrinking.cancel()
            self._shrinking = None
        self.protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self._peer_stalls = True
        if self.protocol is not None:
            self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self._peer_stalls = False
        self._resume(_BY_PEER)
        if self.protocol is not None:
            self.protocol.resume_writing()

    # -- the protocol's side: a transport

    def write(self, data: bytes) -> None:
        connection = self._ssl
        if self._state != _OPEN or self._sent_eof or connection is None:
            return
        try:
            if len(data) <= _MAX_WRITE:
                connection.write(data)
            else:
                view = memoryview(data)
                while view:
                    written = connection.write(view[:_MAX_WRITE])
                    view = view[written:]  # mypyc would evaluate a call that stands in a slice twice
        except ssl.SSLError as error:
            self._count_error(error)
            self.abort()
            return
        self._flush()

    def _flush(self) -> bytes:
        """Send what OpenSSL has written; what that was."""
        outgoing = self._outgoing
        transport = self._transport
        if outgoing is not None and outgoing.pending and transport is not None:
            sent = outgoing.read()
            transport.write(sent)
            if len(sent) > _MAX_KEPT:
                self._swell()
            return sent
        return b""

    def _swell(self) -> None:
        """Something large has passed: its memory is given back later, once for all that comes till then."""
        if self._shrinking is None:
            self._shrinking = self.loop.call_later(_KEPT_FOR, self._shrink)

    def _shrink(self) -> None:
        self._shrinking = None
        assert self._incoming is not None
        assert self._outgoing is not None
        if self._state == _OPEN and self._incoming.pending:
            self._swell()  # what is left of it waits for the protocol
        release_memory(self._incoming)
        release_memory(self._outgoing)

    def _say_goodbye(self) -> None:
        connection = self._ssl
        if self._state != _OPEN or self._sent_eof or connection is None:
            return
        self._sent_eof = True
        try:
            connection.unwrap()
        except ssl.SSLError:
            pass  # it waits for the peer's own goodbye, which we do not
        self._flush()

    def set_protocol(self, protocol: Any) -> None:
        """Hand what comes to another from now on."""
        self.protocol = protocol

    def write_eof(self) -> None:
        self._say_goodbye()
        if self._transport is not None:
            self._transport.write_eof()

    def close(self) -> None:
        self._say_goodbye()
        self._state = _CLOSED
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._state = _CLOSED
        if self._transport is not None:
            self._transport.abort()

    def is_closing(self) -> bool:
        transport = self._transport
        return transport is None or transport.is_closing()

    def pause_reading(self) -> None:
        self._pause(_BY_PROTOCOL)

    def resume_reading(self) -> None:
        self._resume(_BY_PROTOCOL)

    def _pause(self, who: int) -> None:
        transport = self._transport
        if self._paused == 0 and transport is not None and not transport.is_closing():
            transport.pause_reading()
        self._paused |= who

    def _resume(self, who: int) -> None:
        if self._paused & who:
            self._paused &= ~who
            transport = self._transport
            if self._paused == 0 and transport is not None and not transport.is_closing():
                transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default if self._transport is None else self._transport.get_extra_info(name, default)


def judge(validation: PeerValidation, certificate: Certificate | None, stats: TlsStats) -> TlsFailure | None:
    """What is wrong with a peer whose chain has been looked at; counts it."""
    if validation.empty:
        return None
    if certificate is None:
        stats.fail_verify_no_cert.value += 1
        return TlsFailure(words_of_missing())
    verdict = validation.judge(certificate)
    if verdict == ACCEPTED:
        return None
    if verdict == NO_SAN:
        stats.fail_verify_san.value += 1
        return TlsFailure(words_of_names([name.value for name in certificate.names]))
    stats.fail_verify_cert_hash.value += 1
    return failure_of_hash()


def judge_name(name: str, certificate: Certificate | None, stats: TlsStats) -> TlsFailure | None:
    """Whether a host is the one that was asked for."""
    if certificate is not None and is_for(certificate, name):
        return None
    stats.fail_verify_san.value += 1
    names = [] if certificate is None else [each.value for each in certificate.names]
    return TlsFailure(words_of_server_name(name, names))
