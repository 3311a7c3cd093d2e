"""Handshakes with clients: versions, ciphers, ALPN, client certificates, names in them."""

import pytest

from tests.conformance.case import get
from tests.conformance.conftest import AgreeTls
from tests.conformance.tls.bootstrap import Chain, TlsListener, certificate
from tests.conformance.tls.case import TlsCase, tls
from tests.conformance.tls.laboratory import TlsLaboratory
from tests.conformance.tls.pki import USER_PRINCIPAL_NAME

_SERVER = f"tls_certificates: [{certificate('server')}]"
_CA = "trusted_ca: {filename: $certs/ca.crt}"


def _listener(common: str = "", more: str = "", manager: str = "") -> TlsListener:
    """One chain with the server's certificate; further YAML of the common context and of the context."""
    fields = ", ".join(filter(None, (_SERVER, common)))
    outer = ", ".join(filter(None, (f"common_tls_context: {{{fields}}}", more)))
    return TlsListener((Chain(f"{{{outer}}}", manager=manager),))


def _validating(context: str, required: bool = True) -> TlsListener:
    return _listener(
        f"validation_context: {{{context}}}", f"require_client_certificate: {str(required).lower()}"
    )


def _san(kind: str, matcher: str) -> TlsListener:
    return _validating(
        f"{_CA}, match_typed_subject_alt_names: [{{san_type: {kind}, matcher: {{{matcher}}}}}]"
    )


_UPN = f"OTHER_NAME, oid: {USER_PRINCIPAL_NAME}"

# Name: type of the name in the certificate, matcher, and whether the client may enter.
_NAMES = {
    "dns-exact": ("DNS", "exact: client.example.com", True),
    "dns-exact-second": ("DNS", "exact: api.client.example.com", True),
    "dns-exact-other": ("DNS", "exact: foo", False),
    "dns-exact-case": ("DNS", "exact: CLIENT.example.com", True),
    "dns-exact-ignored-case": ("DNS", "exact: CLIENT.example.com, ignore_case: true", True),
    "dns-prefix": ("DNS", "prefix: client.", True),
    "dns-prefix-other": ("DNS", "prefix: server.", False),
    "dns-suffix": ("DNS", "suffix: .example.com", True),
    "dns-suffix-other": ("DNS", "suffix: .example.org", False),
    "dns-suffix-ignored-case": ("DNS", "suffix: .EXAMPLE.com, ignore_case: true", True),
    "dns-contains": ("DNS", "contains: client", True),
    "dns-contains-other": ("DNS", "contains: server", False),
    "dns-regex": ("DNS", "safe_regex: {regex: '[a-z]+[.]client[.]example[.]com'}", True),
    "dns-regex-part": ("DNS", "safe_regex: {regex: 'client'}", False),
    "dns-is-no-uri": ("DNS", "prefix: 'spiffe:'", False),
    "uri-exact": ("URI", "exact: 'spiffe://example.com/ns/default/sa/client'", True),
    "uri-exact-other": ("URI", "exact: 'spiffe://example.com/ns/default/sa/other'", False),
    "uri-prefix": ("URI", "prefix: 'spiffe://example.com/ns/default/'", True),
    "uri-suffix": ("URI", "suffix: '/sa/client'", True),
    "uri-contains": ("URI", "contains: default", True),
    "uri-regex": ("URI", "safe_regex: {regex: 'spiffe://example[.]com/ns/[^/]+/sa/client'}", True),
    "uri-is-no-dns": ("URI", "exact: client.example.com", False),
    "email-exact": ("EMAIL", "exact: ops@example.com", True),
    "email-exact-other": ("EMAIL", "exact: dev@example.com", False),
    "email-suffix": ("EMAIL", "suffix: '@example.com'", True),
    "email-prefix": ("EMAIL", "prefix: 'ops@'", True),
    "email-contains": ("EMAIL", "contains: '@'", True),
    "email-regex": ("EMAIL", "safe_regex: {regex: '.*@example[.]com'}", True),
    "ip-exact": ("IP_ADDRESS", "exact: 192.0.2.7", True),
    "ip-exact-other": ("IP_ADDRESS", "exact: 192.0.2.8", False),
    "ip-exact-v6": ("IP_ADDRESS", "exact: '2001:db8::7'", True),
    "ip-prefix": ("IP_ADDRESS", "prefix: '192.0.2.'", True),
    "ip-suffix": ("IP_ADDRESS", "suffix: '::7'", True),
    "ip-suffix-other": ("IP_ADDRESS", "suffix: '.8'", False),
    "ip-contains": ("IP_ADDRESS", "contains: '.0.2.'", True),
    "ip-regex": ("IP_ADDRESS", "safe_regex: {regex: '192[.]0[.]2[.][0-9]+'}", True),
    "other-exact": (_UPN, "exact: client@example.com", True),
    "other-exact-other": (_UPN, "exact: server@example.com", False),
    "other-suffix": (_UPN, "suffix: '@example.com'", True),
    "other-prefix": (_UPN, "prefix: client", True),
    "other-contains": (_UPN, "contains: '@'", True),
    "other-regex": (_UPN, "safe_regex: {regex: '[a-z]+@example[.]com'}", True),
    "other-of-another-type": ("OTHER_NAME, oid: 1.2.3.4", "prefix: client", False),
}

# Of a deprecated field that has no types: a name of any kind but OTHER_NAME will do.
_UNTYPED = {
    "dns": ("exact: api.client.example.com", True),
    "dns-covered": ("exact: any.example.com", False),
    "uri": ("prefix: 'spiffe://example.com/'", True),
    "email": ("suffix: '@example.com'", True),
    "ip": ("exact: 192.0.2.7", True),
    "other-name": ("prefix: 'client@'", False),
    "wildcard": ("exact: '*.example.com'", False),
    "none": ("exact: foo", False),
}


def _signing(name: str, *algorithms: str, more: str = "") -> TlsListener:
    params = f"tls_params: {{signature_algorithms: [{', '.join(algorithms)}]}}"
    return TlsListener(
        (Chain(f"{{common_tls_context: {{tls_certificates: [{certificate(name)}], {params}}}, {more}}}"),)
    )


TLS_LISTENERS = {
    "tls": _listener(),
    "tls12": _listener("tls_params: {tls_maximum_protocol_version: TLSv1_2}"),
    "tls13": _listener("tls_params: {tls_minimum_protocol_version: TLSv1_3}"),
    "tls-auto": _listener(
        "tls_params: {tls_minimum_protocol_version: TLS_AUTO, tls_maximum_protocol_version: TLS_AUTO}"
    ),
    "tls-cipher": _listener("tls_params: {cipher_suites: [ECDHE-ECDSA-AES256-GCM-SHA384]}"),
    "tls-curve": _listener("tls_params: {ecdh_curves: [P-256]}"),
    "tls-alpn": _listener("alpn_protocols: [http/1.1]"),
    "tls-alpn-joined": _listener("alpn_protocols: ['acme/1,http/1.1']"),
    "tls-required": _validating(_CA),
    "tls-required-12": _listener(
        f"validation_context: {{{_CA}}}, tls_params: {{tls_maximum_protocol_version: TLSv1_2}}",
        "require_client_certificate: true",
    ),
    "tls-required-unverified": _listener("", "require_client_certificate: true"),
    "tls-optional": _validating(_CA, required=False),
    "tls-two-cas": _validating("trusted_ca: {filename: $certs/both-ca.crt}"),
    "tls-untrusted-accepted": _validating(f"{_CA}, trust_chain_verification: ACCEPT_UNTRUSTED"),
    "tls-expired-allowed": _validating(f"{_CA}, allow_expired_certificate: true"),
    "tls-crl": _validating(f"{_CA}, crl: {{filename: $certs/ca.crl}}"),
    "tls-crl-middle": _validating(f"{_CA}, crl: {{filename: $certs/middle.crl}}"),
    "tls-crl-middle-leaf": _validating(
        f"{_CA}, crl: {{filename: $certs/middle.crl}}, only_verify_leaf_cert_crl: true"
    ),
    "tls-crl-all": _validating(f"{_CA}, crl: {{filename: $certs/all.crl}}"),
    "tls-crl-all-leaf": _validating(
        f"{_CA}, crl: {{filename: $certs/all.crl}}, only_verify_leaf_cert_crl: true"
    ),
    "tls-client-ciphers": _listener("", "prefer_client_ciphers: true"),
    "tls-signatures-p256": _signing("server", "ecdsa_secp256r1_sha256"),
    "tls-signatures-other": _signing("server", "rsa_pss_rsae_sha256"),
    "tls-signatures-rsa": _signing("rsa", "rsa_pss_rsae_sha512", "rsa_pss_rsae_sha384"),
    "tls-depth-0": _validating(f"{_CA}, max_verify_depth: 0"),
    "tls-depth-1": _validating(f"{_CA}, max_verify_depth: 1"),
    "tls-depth-2": _validating(f"{_CA}, max_verify_depth: 2"),
    "tls-spki": _validating(f"{_CA}, verify_certificate_spki: ['$spki(client)']"),
    "tls-hash": _validating(f"{_CA}, verify_certificate_hash: ['$hash(client)']"),
    "tls-hash-only": _validating("verify_certificate_hash: ['$hash(stranger)']"),
    "tls-spki-or-hash": _validating(
        f"{_CA}, verify_certificate_spki: ['$spki(client)'], verify_certificate_hash: ['$hash(bare)']"
    ),
    "tls-two-names": _validating(
        f"{_CA}, match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: foo}}}},"
        " {san_type: URI, matcher: {prefix: 'spiffe:'}}]"
    ),
    **{f"tls-san-{name}": _san(kind, matcher) for name, (kind, matcher, _) in _NAMES.items()},
    **{
        f"tls-san-untyped-{name}": _validating(f"{_CA}, match_subject_alt_names: [{{{matcher}}}]")
        for name, (matcher, _) in _UNTYPED.items()
    },
}


def _clients(listener: str, **accepted: bool) -> list[TlsCase]:
    """A case for each certificate (``_`` for ``-``; ``nobody`` has none), in both versions of TLS."""
    return [
        tls(
            f"{listener}-{name.replace('_', '-')}-{version}",
            listener,
            may_enter,
            certificate="" if name == "nobody" else name.replace("_", "-"),
            versions=version,
        )
        for name, may_enter in accepted.items()
        for version in ("1.2", "1.3")
    ]


_OFFERS = {
    "256-first": ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    "128-first": ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    "chacha-first": ("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    "chacha-before-256": ("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    "chacha-last": ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
}

CASES = (
    tls("tls-both", "tls"),
    tls("tls-12", "tls", versions="1.2"),
    tls("tls-13", "tls", versions="1.3"),
    tls("tls-11", "tls", False, versions="1.1"),
    tls("tls-10-or-11", "tls", False, versions="1.0-1.1"),
    tls("tls-10-to-12", "tls", versions="1.0-1.2"),
    tls("tls-name", "tls", sni="any.example.com"),
    tls("tls-alpn-not-configured", "tls", alpn=("h2", "http/1.1")),
    tls("tls-certificate-not-asked-for", "tls", certificate="client"),
    tls("tls-plain-http", "tls", False, plain=get("/").encode()),
    tls("tls-garbage", "tls", False, plain=b"\x00\x01garbage that is no handshake\r\n\r\n"),
    tls("tls-not-found", "tls", request=get("no-path")),
    tls("tls12-with-12", "tls12", versions="1.2"),
    tls("tls12-with-both", "tls12"),
    tls("tls12-with-13", "tls12", False, versions="1.3"),
    tls("tls13-with-12", "tls13", False, versions="1.2"),
    tls("tls13-with-both", "tls13"),
    tls("tls13-with-13", "tls13", versions="1.3"),
    tls("tls-auto-with-12", "tls-auto", versions="1.2"),
    tls("tls-auto-with-11", "tls-auto", False, versions="1.1"),
    tls("tls-auto-with-13", "tls-auto", versions="1.3"),
    tls("tls-cipher-right", "tls-cipher", versions="1.2", ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"),
    tls(
        "tls-cipher-of-two",
        "tls-cipher",
        versions="1.2",
        ciphers="ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
    ),
    tls("tls-cipher-wrong", "tls-cipher", False, versions="1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"),
    tls("tls-cipher-weak", "tls", False, versions="1.2", ciphers="ECDHE-ECDSA-AES128-SHA256"),
    tls("tls-cipher-rsa-only", "tls", False, versions="1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256"),
    tls("tls-curve-right", "tls-curve", curve="prime256v1"),
    tls("tls-curve-wrong", "tls-curve", False, curve="secp384r1", versions="1.3"),
    tls("tls-curve-right-12", "tls-curve", curve="prime256v1", versions="1.2"),
    tls("tls-alpn-one", "tls-alpn", alpn=("http/1.1",)),
    tls("tls-alpn-second", "tls-alpn", alpn=("h3", "http/1.1")),
    tls("tls-alpn-none-offered", "tls-alpn"),
    tls("tls-alpn-nothing-common", "tls-alpn", alpn=("acme/2",)),
    tls("tls-alpn-12", "tls-alpn", alpn=("http/1.1",), versions="1.2"),
    tls("tls-alpn-joined-second", "tls-alpn-joined", alpn=("http/1.1",)),
    tls("tls-alpn-joined-server-prefers", "tls-alpn-joined", alpn=("http/1.1", "acme/1")),
    *_clients(
        "tls-required",
        nobody=False,
        client=True,
        bare=True,
        deep=True,
        stranger=False,
        self_signed=False,
        expired=False,
        future=False,
        wildcard_client=True,
    ),
    *_clients("tls-required-unverified", nobody=True, client=True),
    *_clients("tls-optional", nobody=True, client=True, stranger=False, expired=False),
    *_clients("tls-two-cas", client=True, stranger=True, self_signed=False),
    *_clients("tls-untrusted-accepted", client=True, stranger=True, self_signed=True, expired=True),
    *_clients("tls-expired-allowed", client=True, expired=True, stranger=False),
    *_clients("tls-crl", client=True, revoked=False),
    *_clients("tls-crl-middle", client=False, deep=False, deep_revoked=False),
    *_clients("tls-crl-middle-leaf", client=False, deep=True, deep_revoked=False),
    *_clients("tls-crl-all", client=True, deep=False, deep_revoked=False),
    *_clients("tls-crl-all-leaf", client=True, deep=True, deep_revoked=False),
    *(
        tls(
            f"tls-san-untyped-{name}-{version}",
            f"tls-san-untyped-{name}",
            accepted,
            certificate="client",
            versions=version,
        )
        for name, (_, accepted) in _UNTYPED.items()
        for version in ("1.2", "1.3")
    ),
    *_clients("tls-san-untyped-dns", wildcard_client=False, bare=False),
    *_clients("tls-san-untyped-dns-covered", wildcard_client=True),
    *(
        tls(f"{listener}-{name}", listener, versions="1.2", ciphers=":".join(ciphers))
        for listener in ("tls", "tls-client-ciphers")
        for name, ciphers in _OFFERS.items()
    ),
    *(
        tls(
            f"{listener}-{name.replace('_', '-')}-{version}",
            listener,
            accepted,
            signatures=(name,),
            versions=version,
        )
        for listener, name, accepted in (
            ("tls-signatures-p256", "ecdsa_secp256r1_sha256", True),
            ("tls-signatures-p256", "rsa_pss_rsae_sha256", False),
            ("tls-signatures-other", "ecdsa_secp256r1_sha256", False),
            ("tls-signatures-rsa", "rsa_pss_rsae_sha512", True),
            ("tls-signatures-rsa", "rsa_pss_rsae_sha384", True),
            ("tls-signatures-rsa", "rsa_pss_rsae_sha256", False),
        )
        for version in ("1.2", "1.3")
    ),
    *_clients("tls-depth-0", client=True, deep=False),
    *_clients("tls-depth-1", client=True, deep=False),
    *_clients("tls-depth-2", client=True, deep=True),
    *_clients("tls-spki", client=True, bare=False),
    *_clients("tls-hash", client=True, bare=False),
    *_clients("tls-hash-only", stranger=True, client=False),
    *_clients("tls-spki-or-hash", client=True, bare=True, deep=False),
    *_clients("tls-two-names", client=True, bare=False, wildcard_client=False),
    *_clients("tls-san-dns-exact", bare=False, stranger=False, wildcard_client=True),
    tls("tls-required-12-client", "tls-required-12", certificate="client"),
    tls("tls-required-12-nobody", "tls-required-12", False),
    *(
        tls(f"tls-san-{name}-{version}", f"tls-san-{name}", accepted, certificate="client", versions=version)
        for name, (_, _, accepted) in _NAMES.items()
        for version in (("1.2", "1.3") if "exact" in name else ("1.2",))
    ),
)


# Where Envoy asks nobody for a certificate (intended.py); where OpenSSL does not tell whom it would refuse.
_COUNTED_OTHERWISE = ("tls-required-unverified", "tls-untrusted-accepted")


@pytest.mark.parametrize("listener", [name for name in TLS_LISTENERS if name not in _COUNTED_OTHERWISE])
def test_counts_as_envoy_does(listener: str, tls_laboratory: TlsLaboratory) -> None:
    envoy, proxyd = (tls_laboratory.counted[kind][listener] for kind in ("envoy", "proxyd"))
    assert proxyd == envoy


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TlsCase, agree_tls: AgreeTls) -> None:
    agree_tls(case)
