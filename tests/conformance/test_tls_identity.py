"""Who the client is, as the application and the access log are told: XFCC and its kin."""

import itertools

import pytest

from tests.conformance.case import get
from tests.conformance.conftest import AgreeTls
from tests.conformance.tls.bootstrap import Chain, TlsListener, certificate
from tests.conformance.tls.case import TlsCase, tls

_CONTEXT = f"""
common_tls_context:
  tls_certificates: [{certificate("server")}]
  validation_context: {{trusted_ca: {{filename: $certs/ca.crt}}}}
"""
_REQUIRED = (
    "route_config: {name: r, virtual_hosts: [{name: all, domains: ['*'], require_tls: ALL,"
    " routes: [{match: {prefix: /}, route: {cluster: origin}}]}]}"
)
_MODES = ("SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY")
_ALL = "{subject: true, cert: true, chain: true, dns: true, uri: true}"
_DETAILS = {
    "nothing": "{}",
    "subject": "{subject: true}",
    "cert": "{cert: true}",
    "chain": "{chain: true}",
    "dns": "{dns: true}",
    "uri": "{uri: true}",
    "all": _ALL,
}


def _listener(mode: str, details: str, more: str = "") -> TlsListener:
    fields = f"forward_client_cert_details: {mode}\nset_current_client_cert_details: {details}\n{more}"
    return TlsListener((Chain(_CONTEXT, manager=fields),))


_HEADERS = """
route_config:
  name: r
  request_headers_to_add:
  - {header: {key: x-tls, value: "%DOWNSTREAM_TLS_VERSION%"}}
  - {header: {key: x-subject, value: "%DOWNSTREAM_PEER_SUBJECT%"}}
  - {header: {key: x-issuer, value: "%DOWNSTREAM_PEER_ISSUER%"}}
  - {header: {key: x-dns, value: "%DOWNSTREAM_PEER_DNS_SAN%"}}
  - {header: {key: x-uri, value: "%DOWNSTREAM_PEER_URI_SAN%"}}
  - {header: {key: x-ip, value: "%DOWNSTREAM_PEER_IP_SAN%"}}
  - {header: {key: x-email, value: "%DOWNSTREAM_PEER_EMAIL_SAN%"}}
  - {header: {key: x-serial, value: "%DOWNSTREAM_PEER_SERIAL%"}}
  - {header: {key: x-name, value: "%REQUESTED_SERVER_NAME%"}}
  - {header: {key: x-local-uri, value: "%DOWNSTREAM_LOCAL_URI_SAN%"}}
  - {header: {key: x-ends, value: "%DOWNSTREAM_PEER_CERT_V_END(%Y-%m-%d)%"}}
  virtual_hosts: [{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: origin}}]}]
"""

TLS_LISTENERS = {
    **{f"xfcc-{mode}": _listener(mode, "{subject: true, uri: true}") for mode in _MODES},
    **{f"xfcc-details-{name}": _listener("SANITIZE_SET", details) for name, details in _DETAILS.items()},
    "xfcc-plain": TlsListener((Chain(manager="forward_client_cert_details: ALWAYS_FORWARD_ONLY"),)),
    "require-tls": TlsListener((Chain(_CONTEXT, manager=_REQUIRED),)),
    "require-tls-plain": TlsListener((Chain(manager=_REQUIRED),)),
    "edge": TlsListener((Chain(_CONTEXT, manager="use_remote_address: true"),)),
    "headers": TlsListener((Chain(_CONTEXT, manager=_HEADERS),), inspect=True),
}

_XFCC = 'x-forwarded-client-cert: By=spiffe://a;Hash=00;Subject="CN=forged"'
_PLAIN = get("/", _XFCC).encode()

CASES = (
    *(
        tls(
            f"xfcc-{mode}-{certificate or 'nobody'}-{'told' if told else 'silent'}",
            f"xfcc-{mode}",
            certificate=certificate,
            request=get("/", _XFCC) if told else get("/"),
        )
        for mode, certificate, told in itertools.product(_MODES, ("client", ""), (True, False))
    ),
    *(
        tls(f"xfcc-details-{name}-{certificate}", f"xfcc-details-{name}", certificate=certificate)
        for name in _DETAILS
        for certificate in ("client", "bare")
    ),
    tls("xfcc-details-all-deep", "xfcc-details-all", certificate="deep"),
    tls("xfcc-details-all-12", "xfcc-details-all", certificate="deep", versions="1.2"),
    tls("xfcc-plain", "xfcc-plain", plain=_PLAIN),
    tls("require-tls-satisfied", "require-tls"),
    tls("require-tls-redirects", "require-tls-plain", plain=get("/path").encode()),
    tls("edge-over-tls", "edge", request=get("/", "x-forwarded-proto: http")),
    tls("inner-over-tls", "xfcc-SANITIZE", request=get("/", "x-forwarded-proto: http")),
    tls("headers-of-a-client", "headers", certificate="client", sni="a.example.com"),
    tls("headers-of-a-bare-client", "headers", certificate="bare"),
    tls("headers-of-nobody", "headers", versions="1.2"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TlsCase, agree_tls: AgreeTls) -> None:
    agree_tls(case)
