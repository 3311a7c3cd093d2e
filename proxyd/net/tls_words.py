"""THE place where OpenSSL's errors become Envoy's words.

Envoy's TLS is BoringSSL; operators know, and their alarms look for, what that prints:
``TLS_error:|<number>:SSL routines:OPENSSL_internal:<REASON>:<details>:TLS_error_end``.
"""

import ssl
from typing import Final

from proxyd.system import native

_LIBRARY: Final = 0x10000000  # of BoringSSL's numbers: ERR_LIB_SSL, the reason in the lowest 12 bits
_SYSTEM: Final = 0x02000000  # ERR_LIB_SYS; the reason is the system's number
_ALERT: Final = 1000  # the reason of an alert that the peer has sent is its number above this

# BoringSSL's reasons by OpenSSL's names for them.
_REASONS: Final = {
    "CERTIFICATE_VERIFY_FAILED": 125,
    "BAD_PACKET_LENGTH": 112,
    "BAD_SIGNATURE": 114,
    "DECODE_ERROR": 137,
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": 139,
    "DIGEST_CHECK_FAILED": 140,
    "EXCESSIVE_MESSAGE_SIZE": 150,
    "HTTPS_PROXY_REQUEST": 155,
    "HTTP_REQUEST": 156,
    "INAPPROPRIATE_FALLBACK": 157,
    "LENGTH_MISMATCH": 159,
    "NO_CIPHERS_AVAILABLE": 176,
    "NO_RENEGOTIATION": 182,
    "NO_SHARED_CIPHER": 184,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": 192,
    "TLSV1_ALERT_UNEXPECTED_MESSAGE": 223,
    "UNEXPECTED_MESSAGE": 223,
    "UNEXPECTED_RECORD": 225,
    "UNKNOWN_PROTOCOL": 234,
    "UNSUPPORTED_PROTOCOL": 240,
    "WRONG_VERSION_NUMBER": 247,
    "NO_COMMON_SIGNATURE_ALGORITHMS": 253,
}
# What OpenSSL calls otherwise
_RENAMED: Final = {
    "VERSION_TOO_LOW": "UNSUPPORTED_PROTOCOL",
    "VERSION_TOO_HIGH": "UNSUPPORTED_PROTOCOL",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "TLSV1_ALERT_CERTIFICATE_REQUIRED",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "NO_COMMON_SIGNATURE_ALGORITHMS",
    "ENCRYPTED_LENGTH_TOO_LONG": "EXCESSIVE_MESSAGE_SIZE",
    "BAD_RECORD_TYPE": "UNEXPECTED_RECORD",
}
_ALERTS: Final = {
    "SSLV3_ALERT_CLOSE_NOTIFY": 0,
    "SSLV3_ALERT_UNEXPECTED_MESSAGE": 10,
    "SSLV3_ALERT_BAD_RECORD_MAC": 20,
    "TLSV1_ALERT_DECRYPTION_FAILED": 21,
    "TLSV1_ALERT_RECORD_OVERFLOW": 22,
    "SSLV3_ALERT_DECOMPRESSION_FAILURE": 30,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": 40,
    "SSLV3_ALERT_NO_CERTIFICATE": 41,
    "SSLV3_ALERT_BAD_CERTIFICATE": 42,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": 43,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": 44,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": 45,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": 46,
    "SSLV3_ALERT_ILLEGAL_PARAMETER": 47,
    "TLSV1_ALERT_UNKNOWN_CA": 48,
    "TLSV1_ALERT_ACCESS_DENIED": 49,
    "TLSV1_ALERT_DECODE_ERROR": 50,
    "TLSV1_ALERT_DECRYPT_ERROR": 51,
    "TLSV1_ALERT_EXPORT_RESTRICTION": 60,
    "TLSV1_ALERT_PROTOCOL_VERSION": 70,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": 71,
    "TLSV1_ALERT_INTERNAL_ERROR": 80,
    "TLSV1_ALERT_INAPPROPRIATE_FALLBACK": 86,
    "TLSV1_ALERT_USER_CANCELLED": 90,
    "TLSV1_ALERT_NO_RENEGOTIATION": 100,
    "TLSV1_UNSUPPORTED_EXTENSION": 110,
    "TLSV1_UNRECOGNIZED_NAME": 112,
    "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY": 115,
    "TLSV1_ALERT_CERTIFICATE_REQUIRED": 116,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": 120,
}

_CERTIFICATE_UNKNOWN: Final = 46
_BAD_CERTIFICATE_HASH_VALUE: Final = 114
_REVOCATION: Final = ("certificate revoked", "unable to get certificate CRL", "CRL has expired")


_NO_CERTIFICATE: Final = "PEER_DID_NOT_RETURN_A_CERTIFICATE"
_MISSING: Final = "peer did not provide required client certificate"


class TlsFailure:
    """Why TLS has ended a handshake or a connection; ``words`` are Envoy's.

    ``alert`` is how the peer is told, in plain text: of a server whose handshake is not over for the client.
    """

    __slots__ = ("alert", "words")

    def __init__(self, words: str, alert: int = _CERTIFICATE_UNKNOWN) -> None:
        self.words: Final = words
        self.alert: Final = b"\x15\x03\x03\x00\x02\x02%c" % alert


def words_of(error: ssl.SSLError) -> str:
    """What Envoy would say where OpenSSL says this."""
    reason: str = getattr(error, "reason", None) or "UNKNOWN"  # typed as if it were never None
    reason = _RENAMED.get(reason, reason)
    details = ""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = "CERTIFICATE_VERIFY_FAILED"
        message = str(error.verify_message).replace("self-signed", "self signed")
        # Python does not say at which certificate; of these two kinds alone it is not the peer's own.
        depth = 1 if "in certificate chain" in message else 0
        if message in _REVOCATION:
            message = f"certificate revocation check against provided CRLs failed: {message}"
        details = "verify cert failed: X509_verify_cert: certificate verification error at depth"
        details = f"{details} {depth}: {message}"
    elif reason == _NO_CERTIFICATE:
        details = _MISSING
    return _line(reason, details)


def words_of_system(error: OSError) -> str:
    """The connection broke in the middle of a handshake."""
    number = _SYSTEM + (error.errno or 0)
    return f"TLS_error:|{number}:system library:OPENSSL_internal:{native.words(error)}:TLS_error_end"


def words_of_names(names: list[str]) -> str:
    """The peer has none of the names that are asked for."""
    shown = ", ".join(names)
    return _line(
        "CERTIFICATE_VERIFY_FAILED", f"verify cert failed: SAN matcher, certificate SANs are [{shown}]"
    )


def words_of_server_name(expected: str, names: list[str]) -> str:
    """The host is not the one that was asked for."""
    return _line(
        "CERTIFICATE_VERIFY_FAILED",
        f"verify cert failed: verify SAN list, expected SANs: [{expected}], "
        f"certificate SANs: [{', '.join(names)}]",
    )


def words_of_missing() -> str:
    """The peer has shown no certificate at all."""
    return _line(_NO_CERTIFICATE, _MISSING)


def failure_of_hash() -> TlsFailure:
    """The peer's certificate and its key are none of those that are asked for."""
    words = _line("CERTIFICATE_VERIFY_FAILED", "verify cert failed: cert hash and spki")
    return TlsFailure(words, _BAD_CERTIFICATE_HASH_VALUE)


def _line(reason: str, details: str) -> str:
    number = _ALERT + _ALERTS[reason] if reason in _ALERTS else _REASONS.get(reason, 0)
    tail = f":{details}" if details else ""
    return f"TLS_error:|{_LIBRARY + number}:SSL routines:OPENSSL_internal:{reason}{tail}:TLS_error_end"
