"""TLS on both sides: what a listener shows its clients, and what a cluster asks of its hosts.

Private keys, passwords and tickets' keys are marked SECRET: no dump and no mistake shows them. The loader
reads them with everything else; workers open no file. What Python's ``ssl`` cannot do has no field here and
is refused by name, some of it only where the platform's OpenSSL is not to be reached (``snapshot.openssl``).
"""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.core import DataSource, StringMatcher
from proxyd.config.discovery import ConfigSource, WatchedDirectory
from proxyd.config.message import DURATION, SECRET, UINT32, Message, NonEmpty, Oneof, UInt32

_TLS = "envoy.extensions.transport_sockets.tls.v3."


class TlsProtocol(enum.IntEnum):
    """``TlsParameters.TlsProtocol``; AUTO is TLS 1.2 to 1.3 for listeners and 1.2 for clusters."""

    TLS_AUTO = 0
    TLSv1_2 = 3
    TLSv1_3 = 4


class TlsParameters(Message, frozen=True, kw_only=True):
    """Versions and algorithms. ``cipher_suites`` are those of TLS 1.2, in order; ``[a|b]`` is a, b, or the
    one with ChaCha20 where a client would rather have that."""

    proto: ClassVar[str] = f"{_TLS}TlsParameters"

    tls_minimum_protocol_version: TlsProtocol = TlsProtocol.TLS_AUTO
    tls_maximum_protocol_version: TlsProtocol = TlsProtocol.TLS_AUTO
    cipher_suites: tuple[str, ...] = ()
    ecdh_curves: tuple[str, ...] = ()
    signature_algorithms: tuple[str, ...] = ()


class TlsCertificate(Message, frozen=True, kw_only=True):
    """A certificate with its key: two PEM texts, or both (and the chain) in one PKCS #12 container."""

    proto: ClassVar[str] = f"{_TLS}TlsCertificate"

    certificate_chain: DataSource | None = None
    private_key: Annotated[DataSource | None, SECRET] = None
    pkcs12: Annotated[DataSource | None, SECRET] = None
    password: Annotated[DataSource | None, SECRET] = None
    watched_directory: WatchedDirectory | None = None


class TlsSessionTicketKeys(Message, frozen=True, kw_only=True):
    """What tickets are sealed with: 80 random bytes. What each context uses is derived from them."""

    proto: ClassVar[str] = f"{_TLS}TlsSessionTicketKeys"

    keys: Annotated[tuple[DataSource, ...], Meta(min_length=1), SECRET]


class SanType(enum.IntEnum):
    """``SubjectAltNameMatcher.SanType``."""

    EMAIL = 1
    DNS = 2
    URI = 3
    IP_ADDRESS = 4
    OTHER_NAME = 5


class SubjectAltNameMatcher(Message, frozen=True, kw_only=True):
    """How one of the peer's names of a kind has to look; ``oid`` says which OTHER_NAME."""

    proto: ClassVar[str] = f"{_TLS}SubjectAltNameMatcher"

    san_type: SanType
    matcher: StringMatcher
    oid: str = ""


class TrustChainVerification(enum.IntEnum):
    """``CertificateValidationContext.TrustChainVerification``."""

    VERIFY_TRUST_CHAIN = 0
    ACCEPT_UNTRUSTED = 1


class SystemRootCerts(Message, frozen=True, kw_only=True):
    """The authorities that this machine trusts."""

    proto: ClassVar[str] = f"{_TLS}CertificateValidationContext.SystemRootCerts"


_Spki = Annotated[str, Meta(min_length=44, max_length=44)]
_Hash = Annotated[str, Meta(min_length=64, max_length=95)]


class CertificateValidationContext(Message, frozen=True, kw_only=True):
    """What a peer's certificate has to be. Without ``trusted_ca`` or ``system_root_certs`` its chain is not
    verified. ``verify_certificate_spki`` and ``verify_certificate_hash`` are alternatives to each other."""

    proto: ClassVar[str] = f"{_TLS}CertificateValidationContext"

    trusted_ca: DataSource | None = None
    watched_directory: WatchedDirectory | None = None
    system_root_certs: SystemRootCerts | None = None
    verify_certificate_spki: tuple[_Spki, ...] = ()
    verify_certificate_hash: tuple[_Hash, ...] = ()
    match_typed_subject_alt_names: tuple[SubjectAltNameMatcher, ...] = ()
    match_subject_alt_names: tuple[StringMatcher, ...] = ()
    crl: DataSource | None = None
    allow_expired_certificate: bool = False
    trust_chain_verification: TrustChainVerification = TrustChainVerification.VERIFY_TRUST_CHAIN
    only_verify_leaf_cert_crl: bool = False
    max_verify_depth: Annotated[int, Meta(ge=0, le=100), UINT32] | None = None


class SdsSecretConfig(Message, frozen=True, kw_only=True):
    """A secret by its name: of ``static_resources.secrets``, with ``sds_config`` of a file of its own."""

    proto: ClassVar[str] = f"{_TLS}SdsSecretConfig"

    name: NonEmpty
    sds_config: ConfigSource | None = None

    @property
    def key(self) -> str:
        """By which the secret is found among all that there are; see ``secret_key``."""
        return self.name if self.sds_config is None else secret_key(self.name, self.sds_config.file)


def secret_key(name: str, file: str) -> str:
    """What the secret of a file is called beside static ones, and others of its name in other files."""
    return f"{name}\n{file}"


class CombinedCertificateValidationContext(Message, frozen=True, kw_only=True):
    """Two contexts that are merged: what the named one sets wins, its lists are appended."""

    proto: ClassVar[str] = f"{_TLS}CommonTlsContext.CombinedCertificateValidationContext"

    default_validation_context: CertificateValidationContext
    validation_context_sds_secret_config: SdsSecretConfig


_SECRET_TYPE = Oneof("type")


class Secret(Message, frozen=True, kw_only=True):
    """Something to be referred to by its name."""

    proto: ClassVar[str] = f"{_TLS}Secret"

    name: str = ""
    tls_certificate: Annotated[TlsCertificate | None, _SECRET_TYPE] = None
    session_ticket_keys: Annotated[TlsSessionTicketKeys | None, _SECRET_TYPE, SECRET] = None
    validation_context: Annotated[CertificateValidationContext | None, _SECRET_TYPE] = None


_VALIDATION = Oneof("validation_context_type")


class CommonTlsContext(Message, frozen=True, kw_only=True):
    """What both sides have. An item of ``alpn_protocols`` may hold several, separated by commas."""

    proto: ClassVar[str] = f"{_TLS}CommonTlsContext"

    tls_params: TlsParameters | None = None
    tls_certificates: tuple[TlsCertificate, ...] = ()
    tls_certificate_sds_secret_configs: tuple[SdsSecretConfig, ...] = ()
    validation_context: Annotated[CertificateValidationContext | None, _VALIDATION] = None
    validation_context_sds_secret_config: Annotated[SdsSecretConfig | None, _VALIDATION] = None
    combined_validation_context: Annotated[CombinedCertificateValidationContext | None, _VALIDATION] = None
    alpn_protocols: tuple[str, ...] = ()


_TICKET_KEYS = Oneof("session_ticket_keys_type")


class DownstreamTlsContext(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
):
    """A listener's TLS.

    Defaults of what is ``None``: require_client_certificate, require_sni, full_scan_certs_on_sni_mismatch
    false. Tickets are valid in every worker and after a reload, for as long as the context asks the same of
    clients.
    """

    proto: ClassVar[str] = f"{_TLS}DownstreamTlsContext"

    common_tls_context: CommonTlsContext | None = None
    require_client_certificate: bool | None = None
    require_sni: bool | None = None
    session_ticket_keys: Annotated[TlsSessionTicketKeys | None, _TICKET_KEYS, SECRET] = None
    session_ticket_keys_sds_secret_config: Annotated[SdsSecretConfig | None, _TICKET_KEYS] = None
    disable_stateless_session_resumption: Annotated[bool, _TICKET_KEYS] = False
    disable_stateful_session_resumption: bool = False
    session_timeout: Annotated[float, Meta(ge=0, lt=4294967296), DURATION] | None = None
    full_scan_certs_on_sni_mismatch: bool | None = None
    prefer_client_ciphers: bool = False


class UpstreamTlsContext(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
):
    """A cluster's TLS. Default of max_session_keys: 1; 0 reuses no session.

    ``auto_host_sni`` takes the endpoint's hostname as SNI, ``auto_sni_san_validation`` looks for the SNI
    among the host's DNS names.
    """

    proto: ClassVar[str] = f"{_TLS}UpstreamTlsContext"

    common_tls_context: CommonTlsContext | None = None
    sni: Annotated[str, Meta(max_length=255)] = ""
    auto_host_sni: bool = False
    auto_sni_san_validation: bool = False
    max_session_keys: UInt32 | None = None


class RawBuffer(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
):
    """No TLS."""

    proto: ClassVar[str] = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
