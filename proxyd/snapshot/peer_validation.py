"""What a peer's certificate has to be besides vouched for: its names, its hash, its key.

OpenSSL verifies the chain; it knows nothing of these. They are looked at when a handshake has ended, before
the other side hears that it has.
"""

import hashlib
from ipaddress import ip_address
from typing import Final

from proxyd.codec.certificate import DNS, IP_ADDRESS, Certificate, SubjectAltName, preload
from proxyd.config.core import StringMatcher as StringMatcherConfig
from proxyd.config.tls import CertificateValidationContext, SanType, SubjectAltNameMatcher
from proxyd.snapshot.matchers import StringMatcher
from proxyd.snapshot.route_conditions import compile_string

# Why a certificate is refused
ACCEPTED: Final = 0
NO_SAN: Final = 1
NO_HASH: Final = 2

_KINDS: Final = (SanType.DNS, SanType.URI, SanType.EMAIL, SanType.IP_ADDRESS)


class SanMatcher:
    """One compiled ``SubjectAltNameMatcher``."""

    __slots__ = ("_exact_dns", "_kind", "_matcher", "_oid")

    def __init__(self, config: SubjectAltNameMatcher) -> None:
        self._kind: Final[int] = int(config.san_type)
        self._oid: Final = config.oid
        self._matcher: Final[StringMatcher] = compile_string(config.matcher)
        exact = config.matcher.exact
        # As in Envoy, a certificate's wildcard covers the name that is asked for.
        self._exact_dns: Final[str] = exact if exact is not None and config.san_type is SanType.DNS else ""

    def matches(self, name: SubjectAltName) -> bool:
        if name.kind != self._kind or name.oid != self._oid:
            return False
        if self._exact_dns:
            return dns_name_matches(self._exact_dns, name.value)
        return self._matcher.matches(name.value.encode())


def dns_name_matches(name: str, pattern: str) -> bool:
    """Whether a certificate's ``pattern`` covers ``name``: one ``*``, in the first label, for part of one."""
    name, pattern = name.lower(), pattern.lower()
    if name == pattern:
        return True
    label, dot, domain = name.partition(".")
    first, pattern_dot, rest = pattern.partition(".")
    if not dot or not pattern_dot or domain != rest or "*" in rest or first.startswith("xn--"):
        return False
    before, star, after = first.partition("*")
    if not star or "*" in after:
        return False
    return len(first) <= len(label) + 1 and label.startswith(before) and label.endswith(after)


class PeerValidation:
    """A compiled ``CertificateValidationContext`` but for its chain."""

    def __init__(self, config: CertificateValidationContext | None) -> None:
        config = config or CertificateValidationContext()
        typed = config.match_typed_subject_alt_names or tuple(_typed(config.match_subject_alt_names))
        self._sans: Final = [SanMatcher(matcher) for matcher in typed]
        self._hashes: Final = frozenset(
            text.replace(":", "").lower() for text in config.verify_certificate_hash
        )
        self._spkis: Final = frozenset(config.verify_certificate_spki)
        # Nothing is asked, so nothing need be looked at.
        if self._sans or self._spkis:
            preload()
        self.empty: Final[bool] = not (self._sans or self._hashes or self._spkis)

    def judge(self, certificate: Certificate) -> int:
        """ACCEPTED, NO_SAN or NO_HASH."""
        if self._sans and not self._has_name(certificate):
            return NO_SAN
        if (self._hashes or self._spkis) and not self._has_hash(certificate):
            return NO_HASH
        return ACCEPTED

    def _has_name(self, certificate: Certificate) -> bool:
        return any(matcher.matches(name) for name in certificate.names for matcher in self._sans)

    def _has_hash(self, certificate: Certificate) -> bool:
        if certificate.sha256 in self._hashes:
            return True
        return bool(self._spkis) and certificate.spki in self._spkis


def is_for(certificate: Certificate, host: str) -> bool:
    """Whether the certificate is for this host, a name or an address: what ``auto_san_validation`` asks."""
    if any(dns_name_matches(host, name) for name in certificate.names_of(DNS)):
        return True
    try:
        # An address of IPv6 can be written in several ways; the certificate's are written in the shortest.
        address = str(ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        return False
    return address in certificate.names_of(IP_ADDRESS)


def _typed(matchers: tuple[StringMatcherConfig, ...]) -> list[SubjectAltNameMatcher]:
    return [SubjectAltNameMatcher(san_type=kind, matcher=each) for each in matchers for kind in _KINDS]


def trust_digest(parts: list[bytes]) -> bytes:
    """One digest of all that decides whom a context trusts; no two lists of parts have the same."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
