"""Filter chains chosen from the ClientHello, and certificates chosen by name and kind of key."""

import pytest

from tests.conformance.conftest import AgreeTls
from tests.conformance.tls.bootstrap import Chain, TlsListener, certificate
from tests.conformance.tls.case import TlsCase, tls


def _context(*certificates: str, more: str = "", outer: str = "") -> str:
    listed = ", ".join(map(certificate, certificates))
    return f"{{common_tls_context: {{tls_certificates: [{listed}], {more}}}, {outer}}}"


def _said(text: str) -> str:
    """A manager that answers with ``text``."""
    return (
        "route_config: {name: said, virtual_hosts: [{name: all, domains: ['*'], routes: [{match: {prefix: /},"
        f" direct_response: {{status: 200, body: {{inline_string: {text}}}}}}}]}}]}}"
    )


def _chain(name: str, match: str, shown: str = "server", **more: str) -> Chain:
    tls_context = _context(shown, **more) if shown else ""
    return Chain(tls_context, match, _said(name), name)


def _alone(context: str) -> TlsListener:
    return TlsListener((Chain(context, manager=_said("alone")),), inspect=True)


TLS_LISTENERS = {
    "sni": TlsListener(
        (
            _chain("one", "server_names: [one.example.com]", "one"),
            _chain("two", "server_names: [two.example.com, zwei.example.com]", "two"),
            _chain("wild", "server_names: ['*.wild.example.com']", "wild"),
            _chain("wilder", "server_names: ['*.example.com']", "server"),
            _chain("upper", "server_names: [upper.example.org]", "server"),
        ),
        inspect=True,
    ),
    "sni-default": TlsListener(
        (_chain("one", "server_names: [one.example.com]", "one"),),
        default=_chain("default", "", "server"),
        inspect=True,
    ),
    "sni-any": TlsListener(
        (_chain("one", "server_names: [one.example.com]", "one"), _chain("any", "", "server")),
        inspect=True,
    ),
    "sni-uninspected": TlsListener((_chain("one", "server_names: [one.example.com]", "one"),)),
    "transport": TlsListener(
        (
            _chain("encrypted", "transport_protocol: tls"),
            _chain("plain", "transport_protocol: raw_buffer", ""),
        ),
        inspect=True,
    ),
    "alpn": TlsListener(
        (
            _chain("acme", "application_protocols: [acme/1]", more="alpn_protocols: [acme/1]"),
            _chain("http", "application_protocols: [http/1.1]", more="alpn_protocols: [http/1.1]"),
            _chain("neither", ""),
        ),
        inspect=True,
    ),
    # A name is more specific than a protocol, and once a name has matched there is no way back.
    "order": TlsListener(
        (
            _chain("name", "{server_names: [one.example.com], application_protocols: [acme/1]}", "one"),
            _chain("protocol", "application_protocols: [http/1.1]", "two"),
            _chain("suffix", "server_names: ['*.example.com']", "wild"),
        ),
        default=_chain("default", ""),
        inspect=True,
    ),
    "source": TlsListener(
        (
            _chain("near", "source_prefix_ranges: [{address_prefix: 127.0.0.2, prefix_len: 32}]", "one"),
            _chain("far", "source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]", "two"),
            _chain("loopback", "source_type: SAME_IP_OR_LOOPBACK", "wild"),
        ),
    ),
    "destination": TlsListener(
        (
            _chain("here", "prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]", "one"),
            _chain("more", "prefix_ranges: [{address_prefix: 127.0.0.1, prefix_len: 32}]", "two"),
        ),
    ),
    "names": _alone(_context("one", "two", "wild")),
    "keys": _alone(_context("one", "rsa")),
    "keys-rsa-first": _alone(_context("rsa", "one")),
    "demands-name": _alone(_context("server", outer="require_sni: true")),
    "names-strict": _alone(_context("one", "two", outer="full_scan_certs_on_sni_mismatch: true")),
}

_ECDSA, _RSA = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"

CASES = (
    tls("sni-exact", "sni", sni="one.example.com"),
    tls("sni-second-of-a-chain", "sni", sni="zwei.example.com"),
    tls("sni-upper-case", "sni", sni="ONE.example.com"),
    tls("sni-wildcard", "sni", sni="a.wild.example.com"),
    tls("sni-wildcard-deep", "sni", sni="a.b.wild.example.com"),
    tls("sni-wildcard-shorter", "sni", sni="wild.example.com"),
    tls("sni-wider-wildcard", "sni", sni="three.example.com"),
    tls("sni-wildcards-own-domain", "sni", False, sni="example.com"),
    tls("sni-unknown", "sni", False, sni="example.net"),
    tls("sni-none", "sni", False),
    tls("sni-12", "sni", sni="two.example.com", versions="1.2"),
    tls("sni-plain", "sni", False, plain=b"GET / HTTP/1.1\r\nhost: one.example.com\r\n\r\n"),
    tls("sni-default-known", "sni-default", sni="one.example.com"),
    tls("sni-default-unknown", "sni-default", sni="else.example.com"),
    tls("sni-default-none", "sni-default"),
    tls("sni-any-known", "sni-any", sni="one.example.com"),
    tls("sni-any-unknown", "sni-any", sni="else.example.com"),
    tls("sni-any-none", "sni-any"),
    tls("sni-uninspected-name", "sni-uninspected", False, sni="one.example.com"),
    tls("transport-tls", "transport"),
    tls("transport-plain", "transport", plain=b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"),
    tls("alpn-acme", "alpn", alpn=("acme/1",)),
    tls("alpn-http", "alpn", alpn=("http/1.1",)),
    tls("alpn-both", "alpn", alpn=("http/1.1", "acme/1")),
    tls("alpn-both-turned", "alpn", alpn=("acme/1", "http/1.1")),
    tls("alpn-other", "alpn", alpn=("h3",)),
    tls("alpn-none", "alpn"),
    tls("order-name-and-protocol", "order", sni="one.example.com", alpn=("acme/1",)),
    tls("order-name-other-protocol", "order", sni="one.example.com", alpn=("http/1.1",)),
    tls("order-name-no-protocol", "order", sni="one.example.com"),
    tls("order-suffix", "order", sni="five.example.com", alpn=("http/1.1",)),
    tls("order-protocol", "order", sni="example.org", alpn=("http/1.1",)),
    tls("order-nothing", "order", sni="example.org"),
    tls("source-near", "source"),
    tls("destination-more-specific", "destination"),
    tls("names-first", "names", sni="one.example.com"),
    tls("names-second", "names", sni="two.example.com"),
    tls("names-wildcard", "names", sni="x.wild.example.com"),
    tls("names-wildcard-deep", "names", sni="x.y.wild.example.com"),
    tls("names-unknown", "names", sni="unknown.example.com"),
    tls("names-none", "names"),
    tls("names-second-12", "names", sni="two.example.com", versions="1.2"),
    tls("keys-ecdsa", "keys", sni="one.example.com", versions="1.2", ciphers=_ECDSA),
    tls("keys-rsa", "keys", sni="one.example.com", versions="1.2", ciphers=_RSA),
    tls("keys-both", "keys", sni="one.example.com", versions="1.2", ciphers=f"{_RSA}:{_ECDSA}"),
    tls("keys-rsa-no-name", "keys", versions="1.2", ciphers=_RSA),
    tls("keys-13", "keys", sni="one.example.com"),
    tls("keys-rsa-first-ecdsa", "keys-rsa-first", sni="one.example.com", versions="1.2", ciphers=_ECDSA),
    tls("keys-rsa-first-rsa", "keys-rsa-first", sni="one.example.com", versions="1.2", ciphers=_RSA),
    tls(
        "keys-rsa-first-both",
        "keys-rsa-first",
        sni="one.example.com",
        versions="1.2",
        ciphers=f"{_RSA}:{_ECDSA}",
    ),
    tls("keys-rsa-first-13", "keys-rsa-first", sni="one.example.com"),
    tls("demands-name-given", "demands-name", sni="any.example.com"),
    tls("demands-name-missing", "demands-name"),
    tls("names-strict-second", "names-strict", sni="two.example.com"),
    tls("names-strict-unknown", "names-strict", sni="unknown.example.com"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TlsCase, agree_tls: AgreeTls) -> None:
    agree_tls(case)
