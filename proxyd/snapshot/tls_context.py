"""From Envoy's TLS messages to contexts of OpenSSL: certificates, versions, algorithms, whom to trust.

What fails here says which field is to blame; no message has anything of a key in it.
"""

import re
import ssl
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxyd.codec.certificate import Certificate, split_pem
from proxyd.config.core import DataSource
from proxyd.config.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    SdsSecretConfig,
    Secret,
    TlsCertificate,
    TlsParameters,
    TlsProtocol,
    TrustChainVerification,
)
from proxyd.snapshot import openssl
from proxyd.system import native

Secrets = Mapping[str, Secret]

# Envoy's, preferred ones first; TLS 1.3 has its own, all of them good.
DEFAULT_CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
_TLS_1_3_CIPHERS: Final = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_VERSIONS: Final = {
    TlsProtocol.TLSv1_2: ssl.TLSVersion.TLSv1_2,
    TlsProtocol.TLSv1_3: ssl.TLSVersion.TLSv1_3,
}
_PRIORITIZE_CHACHA: Final = 0x200000  # SSL_OP_PRIORITIZE_CHACHA, for which Python has no name
_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME
_SEPARATORS: Final = re.compile(r"[\[\]|:]")
_NAME: Final = re.compile(r"[\w+!@=.-]{1,64}")  # of a cipher, a curve
_UNREACHABLE: Final = "is not supported by proxyd on this Python: its OpenSSL cannot be reached"


class TlsError(ValueError):
    """A TLS context that cannot be made; ``field`` is the place inside the context."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field: Final = field


class SecretError(TlsError):
    """A secret that is named and is not there, or is another kind of secret."""


class SecretNotReadyError(SecretError):
    """A secret of a file that could not be read yet."""


class Identity:
    """A certificate with its chain and its key, loaded into a context by ``use``."""

    def __init__(self, config: TlsCertificate, field: str) -> None:
        """Raises TlsError."""
        self._field: Final = field
        self.source: Final[str] = _source(config.certificate_chain or config.pkcs12)
        password = b"" if config.password is None else config.password.contents
        if config.pkcs12 is not None:
            self._chain: bytes
            self._key: bytes
            self._chain, self._key = _open_pkcs12(config.pkcs12, password, field)
            self._password: bytes = b""
        else:
            assert config.certificate_chain is not None
            assert config.private_key is not None
            self._chain = config.certificate_chain.contents
            self._key = config.private_key.contents
            self._password = password
        try:
            chain = split_pem(self._chain)
        except ValueError:
            chain = []
        if not chain:
            raise TlsError(f"{field}.certificate_chain", f"no certificate in PEM form is in {self.source}")
        self.certificate: Final = Certificate(chain[0])

    def use(self, context: ssl.SSLContext) -> None:
        """Raises TlsError: no key, another's key, a wrong password."""
        password = self._password
        try:
            with native.private_file(self._chain) as chain, native.private_file(self._key) as key:
                # Always given: OpenSSL would ask the terminal.
                context.load_cert_chain(chain, key, lambda: password)
        except ssl.SSLError as error:
            raise self._explain(error) from None

    def _explain(self, error: ssl.SSLError) -> TlsError:
        reason: str = getattr(error, "reason", None) or ""  # typed as if it were never None
        if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            return TlsError(
                f"{self._field}.private_key", f"is not the key of the certificate in {self.source}"
            )
        if not reason and b"ENCRYPTED" in self._key:
            return TlsError(f"{self._field}.password", "does not open the private key")
        if b"PRIVATE KEY-----" not in self._key:
            return TlsError(f"{self._field}.private_key", "has no private key in PEM form")
        if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "EE_MD_TOO_WEAK"):
            return TlsError(
                f"{self._field}.certificate_chain", f"is too weak: {reason.lower().replace('_', ' ')}"
            )
        words = reason.lower().replace("_", " ") or "unreadable"
        return TlsError(self._field, f"the certificate in {self.source} or its key cannot be loaded: {words}")


def identities(common: CommonTlsContext, secrets: Secrets) -> list[Identity]:
    """All certificates of a context, those of secrets last. Raises TlsError."""
    found = [
        Identity(certificate, f"common_tls_context.tls_certificates[{index}]")
        for index, certificate in enumerate(common.tls_certificates)
    ]
    for index, config in enumerate(common.tls_certificate_sds_secret_configs):
        field = f"common_tls_context.tls_certificate_sds_secret_configs[{index}]"
        certificate = secret_of(secrets, config, field).tls_certificate
        if certificate is None:
            raise SecretError(field, f"the secret {config.name} is no tls_certificate")
        found.append(Identity(certificate, field))
    return found


def validation_of(common: CommonTlsContext, secrets: Secrets) -> CertificateValidationContext | None:
    """What a peer has to be, wherever that stands. Raises TlsError."""
    config = common.validation_context_sds_secret_config
    combined = common.combined_validation_context
    if combined is not None:
        config = combined.validation_context_sds_secret_config
    if config is None:
        return common.validation_context
    field = "common_tls_context.validation_context_sds_secret_config"
    found = secret_of(secrets, config, field).validation_context
    if found is None:
        raise SecretError(field, f"the secret {config.name} is no validation_context")
    return found if combined is None else _merge(combined.default_validation_context, found)


def secret_of(secrets: Secrets, config: SdsSecretConfig, field: str) -> Secret:
    """The secret that is named. Raises TlsError."""
    secret = secrets.get(config.key)
    if secret is not None:
        return secret
    if config.sds_config is not None:
        raise SecretNotReadyError(field, f"the secret {config.name} is not there yet")
    raise SecretError(field, f"unknown secret {config.name}")


def _merge(
    default: CertificateValidationContext, other: CertificateValidationContext
) -> CertificateValidationContext:
    """protobuf's way to merge: what is set in ``other`` wins, lists are appended."""
    changes: dict[str, Any] = {}
    unset = CertificateValidationContext()
    for name in other.__struct_fields__:
        value = getattr(other, name)
        if value != getattr(unset, name):
            changes[name] = getattr(default, name) + value if isinstance(value, tuple) else value
    return msgspec.structs.replace(default, **changes)


def set_parameters(context: ssl.SSLContext, config: TlsParameters | None, server: bool) -> None:
    """Versions, ciphers, curves, signatures. Raises TlsError."""
    config = config or TlsParameters()
    field = "common_tls_context.tls_params"
    most = _VERSIONS.get(config.tls_maximum_protocol_version)
    least = _VERSIONS.get(config.tls_minimum_protocol_version, ssl.TLSVersion.TLSv1_2)
    if most is None:  # Envoy's default of a client is 1.2, as old as that is
        most = max(least, ssl.TLSVersion.TLSv1_3 if server else ssl.TLSVersion.TLSv1_2)
    context.minimum_version = least
    context.maximum_version = most
    for index, text in enumerate(config.cipher_suites):
        for name in filter(None, _SEPARATORS.split(text)):
            try:
                context.set_ciphers(name)
            except (ssl.SSLError, ValueError):
                raise _unknown(f"{field}.cipher_suites[{index}]", name) from None
    names = [name for text in config.cipher_suites for name in filter(None, _SEPARATORS.split(text))]
    context.set_ciphers(":".join(names or DEFAULT_CIPHERS))
    if server and (not names or any("CHACHA20" in text and "|" in text for text in config.cipher_suites)):
        # Which of equals is taken, is the client's matter: one that is quicker without AES says so.
        context.options = ssl.Options(int(context.options) | _PRIORITIZE_CHACHA)
    if not server and openssl.available():
        openssl.set_tls13_ciphers(context, _TLS_1_3_CIPHERS)
    if config.ecdh_curves:
        _set_curves(context, list(config.ecdh_curves), f"{field}.ecdh_curves")
    if config.signature_algorithms:
        place = f"{field}.signature_algorithms"
        if not openssl.available():
            raise TlsError(place, _UNREACHABLE)
        if not openssl.set_signatures(context, list(config.signature_algorithms)):
            raise TlsError(place, f"one of them is unknown to {ssl.OPENSSL_VERSION}")


def _unknown(field: str, name: str) -> TlsError:
    # What is no name may be anything, a key that has got into the wrong place.
    shown = name if _NAME.fullmatch(name) else "this"
    return TlsError(field, f"{shown} is unknown to {ssl.OPENSSL_VERSION}")


def _set_curves(context: ssl.SSLContext, names: list[str], place: str) -> None:
    if not openssl.available():
        raise TlsError(place, _UNREACHABLE)
    for index, name in enumerate(names):
        if not openssl.set_groups(context, [name]):
            raise _unknown(f"{place}[{index}]", name)
    openssl.set_groups(context, names)


def set_trust(context: ssl.SSLContext, config: CertificateValidationContext | None, field: str) -> bool:
    """Load whom to trust; whether the peer's chain is to be verified at all. Raises TlsError."""
    if config is None or (config.trusted_ca is None and config.system_root_certs is None):
        return False
    if config.trusted_ca is not None:
        _load(context, config.trusted_ca, f"{field}.trusted_ca", "certificate")
    else:
        purpose = ssl.Purpose.SERVER_AUTH if _is_client(context) else ssl.Purpose.CLIENT_AUTH
        native.load_system_roots(context, purpose)
    flags = context.verify_flags | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if config.crl is not None:
        _load(context, config.crl, f"{field}.crl", "revocation list")
        leaf = config.only_verify_leaf_cert_crl
        flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF if leaf else ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
    # By number: Python has no name for it.
    context.verify_flags = ssl.VerifyFlags(
        int(flags) | (_NO_CHECK_TIME if config.allow_expired_certificate else 0)
    )
    if config.max_verify_depth is not None:
        if not openssl.available():
            raise TlsError(f"{field}.max_verify_depth", _UNREACHABLE)
        # As Envoy counts, 0 and 1 both allow none between the peer's certificate and a trusted one.
        openssl.set_verify_depth(context, max(0, config.max_verify_depth - 1))
    return config.trust_chain_verification is TrustChainVerification.VERIFY_TRUST_CHAIN


def accept_any_client(context: ssl.SSLContext, required: bool, field: str) -> None:
    """Ask clients for a certificate without verifying its chain. Raises TlsError."""
    if not openssl.available():
        raise TlsError(field, f"a client's certificate that nobody vouches for {_UNREACHABLE}")
    openssl.accept_any_certificate(context, required)


def set_alpn(context: ssl.SSLContext, common: CommonTlsContext | None) -> list[str]:
    """The protocols to choose from, preferred ones first."""
    names = [name for text in ([] if common is None else common.alpn_protocols) for name in text.split(",")]
    if names:
        assert all(0 < len(name.encode()) < 256 for name in names)  # told by the loader
        context.set_alpn_protocols(names)
    return names


def _load(context: ssl.SSLContext, source: DataSource, field: str, what: str) -> None:
    try:
        with native.private_file(source.contents) as path:
            context.load_verify_locations(path)
    except ssl.SSLError:
        raise TlsError(field, f"no {what} in PEM form is in {_source(source)}") from None


def _is_client(context: ssl.SSLContext) -> bool:
    return context.protocol == ssl.PROTOCOL_TLS_CLIENT


def _source(source: DataSource | None) -> str:
    if source is None:
        return "<inline>"
    return source.filename or source.environment_variable or "<inline>"


def _open_pkcs12(source: DataSource, password: bytes, field: str) -> tuple[bytes, bytes]:
    """The chain and the key of a container, as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

    try:
        key, certificate, others = load_key_and_certificates(source.contents, password or None)
    except ValueError:
        raise TlsError(
            f"{field}.pkcs12", f"{_source(source)} is no PKCS #12 container, or the password is wrong"
        ) from None
    if key is None or certificate is None:
        raise TlsError(f"{field}.pkcs12", f"{_source(source)} has no key with its certificate")
    chain = b"".join(each.public_bytes(Encoding.PEM) for each in (certificate, *others))
    return chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
