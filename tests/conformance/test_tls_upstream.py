"""Handshakes with origins: names, certificates, versions, and how each failure reads."""

import pytest

from tests.conformance.case import get
from tests.conformance.conftest import AgreeTls
from tests.conformance.tls.bootstrap import TlsCluster, certificate
from tests.conformance.tls.case import TlsCase, tls
from tests.conformance.tls.laboratory import TlsLaboratory

_CA = "trusted_ca: {filename: $certs/ca.crt}"


def _verified(more: str = "", common: str = "", outer: str = "sni: origin.example.com", ca: str = _CA) -> str:
    inner = f"validation_context: {{{ca}, {more}}}, {common}"
    return f"{{common_tls_context: {{{inner}}}, {outer}}}"


def _certificate(name: str) -> str:
    return f"tls_certificates: [{certificate(name)}]"


def _name(matcher: str, kind: str = "DNS") -> str:
    return f"match_typed_subject_alt_names: [{{san_type: {kind}, matcher: {{{matcher}}}}}]"


_BOTH_CAS = "trusted_ca: {filename: $certs/both-ca.crt}"
_CRL = "crl: {filename: $certs/ca.crl}"
_CRL_OF_LEAF = "crl: {filename: $certs/middle.crl}"
_MAX_13 = "tls_maximum_protocol_version: TLSv1_3"
_UP_TO_13 = f"tls_params: {{{_MAX_13}}}"
_ONLY_13 = f"tls_params: {{tls_minimum_protocol_version: TLSv1_3, {_MAX_13}}}"


def _signing(algorithm: str, more: str = "") -> str:
    return f"tls_params: {{signature_algorithms: [{algorithm}], {more}}}"


TLS_CLUSTERS = {
    "unverified": TlsCluster("good"),
    "unverified-stranger": TlsCluster("stranger"),
    "unverified-expired": TlsCluster("expired"),
    "unverified-name": TlsCluster("good", "sni: some.example.com"),
    "auto-sni": TlsCluster("good", http="auto_sni: true"),
    "auto-sni-over-sni": TlsCluster("good", "sni: some.example.com", http="auto_sni: true"),
    "auto-sni-header": TlsCluster("good", http="{auto_sni: true, override_auto_sni_header: x-name}"),
    "auto-san": TlsCluster("good", _verified(outer=""), "{auto_sni: true, auto_san_validation: true}"),
    "verified": TlsCluster("good", _verified()),
    "verified-named": TlsCluster("good", _verified(_name("exact: origin.example.com"))),
    "verified-named-wild": TlsCluster("good", _verified(_name("exact: a.wild.example.com"))),
    "verified-named-suffix": TlsCluster("good", _verified(_name("suffix: .example.com"))),
    "verified-named-ip": TlsCluster("good", _verified(_name("exact: 127.0.0.1", "IP_ADDRESS"))),
    "verified-misnamed": TlsCluster("good", _verified(_name("exact: cat.example.com"))),
    "verified-misnamed-regex": TlsCluster("good", _verified(_name("safe_regex: {regex: 'origin'}"))),
    "verified-stranger": TlsCluster("stranger", _verified()),
    "verified-expired": TlsCluster("expired", _verified()),
    "verified-expired-allowed": TlsCluster("expired", _verified("allow_expired_certificate: true")),
    "verified-self-signed": TlsCluster("self-signed", _verified()),
    "verified-deep": TlsCluster("deep", _verified()),
    "verified-revoked": TlsCluster("revoked", _verified(_CRL)),
    "verified-without-crl": TlsCluster("stranger", _verified(_CRL, ca=_BOTH_CAS)),
    "verified-crl-chain": TlsCluster("deep", _verified(_CRL_OF_LEAF)),
    "verified-crl-leaf": TlsCluster("deep", _verified(f"{_CRL_OF_LEAF}, only_verify_leaf_cert_crl: true")),
    "verified-untyped": TlsCluster("good", _verified("match_subject_alt_names: [{prefix: origin.}]")),
    "verified-untyped-other": TlsCluster("good", _verified("match_subject_alt_names: [{prefix: cat.}]")),
    "signatures": TlsCluster("good", _verified(common=_signing("ecdsa_secp256r1_sha256"))),
    "signatures-13": TlsCluster("good", _verified(common=_signing("ecdsa_secp256r1_sha256", _MAX_13))),
    "signatures-other": TlsCluster("good", _verified(common=_signing("rsa_pss_rsae_sha256"))),
    "signatures-other-13": TlsCluster("tls13", _verified(common=_signing("rsa_pss_rsae_sha256", _MAX_13))),
    "verified-other-ca": TlsCluster("good", _verified(ca="trusted_ca: {filename: $certs/other-ca.crt}")),
    "verified-untrusted": TlsCluster("stranger", _verified("trust_chain_verification: ACCEPT_UNTRUSTED")),
    "pinned": TlsCluster("good", _verified("verify_certificate_spki: ['$spki(origin)']")),
    "pinned-wrong": TlsCluster("good", _verified("verify_certificate_spki: ['$spki(client)']")),
    "hashed": TlsCluster("good", _verified("verify_certificate_hash: ['$hash(origin)']")),
    "hashed-wrong": TlsCluster("good", _verified("verify_certificate_hash: ['$hash(client)']")),
    "both-misnamed": TlsCluster("stranger", _verified(_name("exact: cat.example.com"))),
    "demands-given": TlsCluster("demands", _verified(common=_certificate("client"))),
    "demands-given-13": TlsCluster("demands", _verified(common=f"{_certificate('client')}, {_UP_TO_13}")),
    "demands-nothing": TlsCluster("demands", _verified()),
    "demands-nothing-12": TlsCluster("demands-tls12", _verified()),
    "demands-stranger": TlsCluster("demands", _verified(common=_certificate("stranger"))),
    "demands-expired": TlsCluster("demands", _verified(common=_certificate("expired"))),
    "demands-deep": TlsCluster("demands", _verified(common=_certificate("deep"))),
    "tls12-only": TlsCluster("tls12", _verified()),
    "tls13-only": TlsCluster("tls13", _verified()),
    "tls13-allowed": TlsCluster("tls13", _verified(common=_UP_TO_13)),
    "tls13-preferred": TlsCluster("good", _verified(common=_UP_TO_13)),
    "tls13-demanded": TlsCluster(
        "tls12",
        _verified(common=_ONLY_13),
    ),
    "alpn-offered": TlsCluster("alpn", _verified(common="alpn_protocols: [http/1.1]")),
    "alpn-not-offered": TlsCluster("alpn", _verified()),
    "alpn-not-answered": TlsCluster("good", _verified(common="alpn_protocols: [http/1.1]")),
    "to-plain": TlsCluster("plain", fields="connect_timeout: 0.3s"),
    "to-garbage": TlsCluster("garbage"),
    "to-slammed": TlsCluster("slams"),
    "to-silent": TlsCluster("silent", fields="connect_timeout: 0.3s"),
    "plain-to-tls": TlsCluster("good", None),
}


def _ask(cluster: str, name: str = "", *lines: str, host: str = "origin.example.com") -> TlsCase:
    return tls(
        f"upstream-{name or cluster}", "upstreams", plain=get(f"/{cluster}", *lines, host=host).encode()
    )


CASES = (
    *(_ask(cluster) for cluster in TLS_CLUSTERS),
    _ask("auto-sni", "auto-sni-port", host="origin.example.com:8443"),
    _ask("auto-sni", "auto-sni-address", host="127.0.0.1"),
    _ask("auto-sni-header", "auto-sni-header-given", "x-name: other.example.com"),
    _ask("auto-san", "auto-san-other", host="other.example.com"),
    _ask("auto-san", "auto-san-wild", host="a.wild.example.com"),
    _ask("auto-san", "auto-san-address", host="127.0.0.1"),
    _ask("auto-san", "auto-san-port", host="origin.example.com:99"),
    _ask("verified-stranger", "twice-refused"),
)


# Where OpenSSL does not tell whom it would refuse; where Envoy resumes no session: here the second connection
# for the same name does.
_COUNTED_OTHERWISE = ("verified-untrusted", "auto-san")


@pytest.mark.parametrize("cluster", [name for name in TLS_CLUSTERS if name not in _COUNTED_OTHERWISE])
def test_counts_as_envoy_does(cluster: str, tls_laboratory: TlsLaboratory) -> None:
    envoy, proxyd = (tls_laboratory.counted[kind].get(cluster) for kind in ("envoy", "proxyd"))
    assert proxyd == envoy


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TlsCase, agree_tls: AgreeTls) -> None:
    agree_tls(case)
