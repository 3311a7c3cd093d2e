"""TLS of a filter chain and of a cluster in their compiled form: contexts, and what is asked of peers."""

import ssl
from typing import Final

import msgspec

from proxyd.codec.certificate import Certificate
from proxyd.codec.client_hello import TICKET_NAME_BYTES, TLS_1_3, ClientHello
from proxyd.config.cluster import HTTP_OPTIONS_KEY, Cluster
from proxyd.config.core import UpstreamHttpProtocolOptions
from proxyd.config.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    TrustChainVerification,
    UpstreamTlsContext,
)
from proxyd.snapshot import openssl
from proxyd.snapshot.peer_validation import PeerValidation, trust_digest
from proxyd.snapshot.server_name import server_name_of
from proxyd.snapshot.tickets import TicketSecret, ticket_key
from proxyd.snapshot.tls_context import (
    Identity,
    SecretError,
    SecretNotReadyError,
    Secrets,
    TlsError,
    accept_any_client,
    identities,
    secret_of,
    set_alpn,
    set_parameters,
    set_trust,
    validation_of,
)
from proxyd.snapshot.upstream_protocol import UpstreamProtocol
from proxyd.stats.tls_scopes import TlsStats

__all__ = ["ClientTls", "SecretNotReadyError", "Secrets", "ServerTls", "TlsError", "TlsSettings"]

_VALIDATION: Final = "common_tls_context.validation_context"
_MAX_SERVER_NAMES: Final = 256  # of which a cluster keeps sessions

# SignatureScheme with which an ECDSA key of so many bits signs
_ECDSA: Final = {256: 0x0403, 384: 0x0503, 521: 0x0603}
# TLS_ECDHE_ECDSA_WITH_…: AES 128 and 256 in GCM, ChaCha20, AES in CBC
_ECDSA_CIPHERS: Final = frozenset((0xC02B, 0xC02C, 0xCCA9, 0xC009, 0xC00A, 0xC023, 0xC024))


class TlsSettings:
    """What the TLS of all listeners and clusters shares: secrets by name, and what tickets are made of."""

    __slots__ = ("secrets", "tickets")

    def __init__(self, secrets: Secrets, tickets: TicketSecret | None = None) -> None:
        """Without ``tickets`` sessions are resumed in the process that began them alone."""
        self.secrets: Final = secrets
        self.tickets: Final = tickets


class _Choice:
    """One certificate of a listener: its context, and when it is taken."""

    __slots__ = ("certificate", "context", "curve_bits")

    def __init__(self, context: ssl.SSLContext, certificate: Certificate, curve_bits: int) -> None:
        self.context: Final = context
        self.certificate: Final = certificate
        self.curve_bits: Final = curve_bits  # of an ECDSA key, else 0


class ServerTls:
    """A compiled ``DownstreamTlsContext``."""

    def __init__(self, config: DownstreamTlsContext, settings: TlsSettings, stats: TlsStats) -> None:
        """Raises TlsError, RegexError."""
        common = config.common_tls_context or CommonTlsContext()
        self.stats: Final = stats
        validation = validation_of(common, settings.secrets)
        self.validation: Final = PeerValidation(None if _accepts_untrusted(validation) else validation)
        self.require_certificate: Final[bool] = bool(config.require_client_certificate)
        self.demands_certificate: bool = self.require_certificate
        self.require_sni: Final[bool] = bool(config.require_sni)
        self._full_scan: Final[bool] = bool(config.full_scan_certs_on_sni_mismatch)
        found = identities(common, settings.secrets)
        if not found:
            raise TlsError("common_tls_context", "a listener's TLS needs a certificate")
        several = len(found) > 1
        self._choices: Final[list[_Choice]] = []
        for identity in found:
            context = self._context(config, common, validation, identity)
            # A certificate alone is taken for every client; nothing of it need be known.
            bits = identity.certificate.curve_bits if several else 0
            self._choices.append(_Choice(context, identity.certificate, bits))
        self._by_name: Final = self._index() if several else {}
        self._trust: Final = _trust_of(config, validation, found)
        self._own_key: Final = self._operators_key(config, settings.secrets)
        self._resumes: Final = not config.disable_stateless_session_resumption
        self._key: bytes = b""
        self._former_key: bytes = b""
        self._former_name: bytes = b""  # how its tickets begin
        if settings.tickets is not None:
            self.set_tickets(settings.tickets)
        elif self._own_key:
            self.set_tickets(TicketSecret(b"", 0))

    def _context(
        self,
        config: DownstreamTlsContext,
        common: CommonTlsContext,
        validation: CertificateValidationContext | None,
        identity: Identity,
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.options |= ssl.OP_NO_RENEGOTIATION
        if config.prefer_client_ciphers:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        set_parameters(context, common.tls_params, server=True)
        identity.use(context)
        set_alpn(context, common)
        required = self.require_certificate
        if set_trust(context, validation, _VALIDATION):
            # As in Envoy, an authority asks clients for a certificate without demanding one; so do the names
            # and the hashes, which demand it.
            required = required or not self.validation.empty
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        elif required or not self.validation.empty or _accepts_untrusted(validation):
            required = required or not self.validation.empty
            accept_any_client(context, required, _VALIDATION if validation else "require_client_certificate")
        self.demands_certificate = required
        if config.disable_stateless_session_resumption:
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        if config.disable_stateful_session_resumption:
            _needs_openssl("disable_stateful_session_resumption")
            openssl.turn_off_session_cache(context)
        if config.session_timeout is not None:
            _needs_openssl("session_timeout")
            openssl.set_session_timeout(context, int(config.session_timeout))
        return context

    def _operators_key(self, config: DownstreamTlsContext, secrets: Secrets) -> bytes:
        keys = config.session_ticket_keys
        named = config.session_ticket_keys_sds_secret_config
        if named is not None:
            keys = secret_of(secrets, named, "session_ticket_keys_sds_secret_config").session_ticket_keys
            if keys is None:
                raise SecretError("session_ticket_keys_sds_secret_config", f"unknown secret {named.name}")
        if keys is None:
            return b""
        _needs_openssl("session_ticket_keys")
        # None are left of a message that could not be read, which is a mistake of its own.
        return keys.keys[0].contents if keys.keys else b""

    def set_tickets(self, tickets: TicketSecret) -> None:
        """Seal session tickets with what this gives for the context's trust, until the next call."""
        if not self._resumes or not openssl.available():
            return
        if self._own_key:
            self._key = ticket_key(self._own_key, self._trust)
        else:
            self._key = tickets.key(self._trust)
            self._former_key = tickets.former_key(self._trust)
            self._former_name = self._former_key[:TICKET_NAME_BYTES]
        for choice in self._choices:
            openssl.set_ticket_key(choice.context, self._key)

    def is_former(self, hello: ClientHello | None) -> bool:
        """Whether a client comes with a ticket of the former period."""
        return hello is not None and bool(self._former_name) and hello.ticket == self._former_name

    def use_former_key(self, context: ssl.SSLContext) -> None:
        """Open tickets with the former key, until ``use_key``. A context has one key at a time."""
        openssl.set_ticket_key(context, self._former_key)

    def use_key(self, context: ssl.SSLContext) -> None:
        """Seal and open tickets with the key of this period again."""
        openssl.set_ticket_key(context, self._key)

    # -- which certificate

    def _index(self) -> dict[str, list[_Choice]]:
        """The certificates by the names that they are for, ``*.suffix`` as it stands."""
        found: dict[str, list[_Choice]] = {}
        for choice in self._choices:
            names = choice.certificate.names_of(2) or [choice.certificate.common_name]
            for name in filter(None, names):
                found.setdefault(name.lower(), []).append(choice)
        return found

    def choose(self, hello: ClientHello | None) -> tuple[ssl.SSLContext, Certificate]:
        """The context for a client, as Envoy chooses: by name, then an ECDSA key where that is understood."""
        choice = self._choices[0]
        if hello is not None and len(self._choices) > 1:
            choice = self._choose(hello)
        return choice.context, choice.certificate

    def _choose(self, hello: ClientHello) -> _Choice:
        name = hello.server_name
        if name:
            named = self._by_name.get(name)
            if named is None and "." in name:
                named = self._by_name.get("*." + name.partition(".")[2])
            found = None if named is None else _best(named, hello)
            if found is not None:
                return found
            if not self._full_scan:
                return self._choices[0]
        return _best(self._choices, hello) or self._choices[0]


def _best(choices: list[_Choice], hello: ClientHello) -> _Choice | None:
    """The first with an ECDSA key that the client understands, else the first with another."""
    other: _Choice | None = None
    for choice in choices:
        if not choice.curve_bits:
            other = other or choice
        elif _understands(hello, choice.curve_bits):
            return choice
    return other


def _understands(hello: ClientHello, curve_bits: int) -> bool:
    if _ECDSA.get(curve_bits, 0) not in hello.signatures:
        return False
    return TLS_1_3 in hello.versions or not _ECDSA_CIPHERS.isdisjoint(hello.ciphers)


def _accepts_untrusted(validation: CertificateValidationContext | None) -> bool:
    return (
        validation is not None
        and validation.trust_chain_verification is TrustChainVerification.ACCEPT_UNTRUSTED
    )


def _needs_openssl(field: str) -> None:
    if not openssl.available():
        raise TlsError(field, "is not supported by proxyd on this Python: its OpenSSL cannot be reached")


def _trust_of(
    config: DownstreamTlsContext, validation: CertificateValidationContext | None, found: list[Identity]
) -> bytes:
    """Who is trusted and by whom: a session is worth nothing where either is another."""
    return trust_digest(
        [
            b"1" if config.require_client_certificate else b"0",
            b"" if validation is None else msgspec.json.encode(validation),
            *(identity.certificate.der for identity in found),
        ]
    )


class ClientTls:
    """A compiled ``UpstreamTlsContext``, and the sessions that can be resumed."""

    def __init__(
        self, config: UpstreamTlsContext, cluster: Cluster, settings: TlsSettings, stats: TlsStats
    ) -> None:
        """Raises TlsError, RegexError."""
        common = config.common_tls_context or CommonTlsContext()
        self.stats: Final = stats
        validation = validation_of(common, settings.secrets)
        self.validation: Final = PeerValidation(None if _accepts_untrusted(validation) else validation)
        found = identities(common, settings.secrets)[:1]
        self.certificate: Final = found[0].certificate if found else None
        # Where each client's own version is spoken, one for each.
        self._contexts: Final[list[ssl.SSLContext]] = [
            _client_context(common, found, validation, offer) for offer in UpstreamProtocol(cluster).offers()
        ]
        self.verifies: Final[bool] = self._contexts[0].verify_mode == ssl.CERT_REQUIRED
        options = _http_options(cluster)
        self.server_name: Final[str] = server_name_of(config.sni)
        if config.sni and not self.server_name:
            raise TlsError("sni", f"{config.sni} is no host name, and nothing else can be asked for")
        self.by_host: Final[bool] = config.auto_host_sni
        # By request: what a connection may carry depends on the name that it was made with.
        self.by_request: Final[bool] = options.auto_sni
        self.header: Final[bytes] = options.override_auto_sni_header.lower().encode()
        self.validates_request: Final[bool] = options.auto_san_validation
        self.validates_server_name: Final[bool] = config.auto_sni_san_validation
        self._most_sessions: Final[int] = 1 if config.max_session_keys is None else config.max_session_keys
        self._sessions: Final[dict[tuple[str, bool], list[ssl.SSLSession]]] = {}

    def context(self, http2: bool) -> ssl.SSLContext:
        """That of connections which are to speak HTTP/2, or the one there is."""
        return self._contexts[-1 if http2 else 0]

    def session(self, server_name: str, http2: bool) -> ssl.SSLSession | None:
        """One to resume; of TLS 1.3 each is for one use."""
        sessions = self._sessions.get((server_name, http2))
        if not sessions:
            return None
        if self._contexts[0].maximum_version == ssl.TLSVersion.TLSv1_2:
            return sessions[-1]
        return sessions.pop()

    def keep_session(self, server_name: str, session: ssl.SSLSession | None, http2: bool) -> None:
        """What a host has given to be resumed later."""
        if session is None or not self._most_sessions or not (session.has_ticket or session.id):
            return
        key = (server_name, http2)
        sessions = self._sessions.get(key)
        if sessions is None:
            if len(self._sessions) >= _MAX_SERVER_NAMES:
                self._sessions.clear()
            sessions = self._sessions[key] = []
        sessions.append(session)
        if len(sessions) > self._most_sessions:
            del sessions[0]


def _client_context(
    common: CommonTlsContext,
    found: list[Identity],
    validation: CertificateValidationContext | None,
    offer: list[str],
) -> ssl.SSLContext:
    """``offer`` is said by ALPN unless something else is configured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.check_hostname = False  # names are looked at here, as they are configured
    context.verify_mode = ssl.CERT_NONE
    set_parameters(context, common.tls_params, server=False)
    for identity in found:
        identity.use(context)
    if not set_alpn(context, common):
        context.set_alpn_protocols(offer)
    if set_trust(context, validation, _VALIDATION):
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _http_options(cluster: Cluster) -> UpstreamHttpProtocolOptions:
    options = cluster.typed_extension_protocol_options.get(HTTP_OPTIONS_KEY)
    upstream = None if options is None else options.upstream_http_protocol_options
    return upstream or UpstreamHttpProtocolOptions()
