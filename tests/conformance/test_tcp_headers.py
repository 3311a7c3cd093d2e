"""PROXY headers towards hosts, in front of bytes, of TLS and of HTTP."""

import pytest

from tests.conformance.conftest import AgreeTcp
from tests.conformance.tcp.case import Do, TcpCase, tcp
from tests.net.playbook import HCM

_SOCKETS = "type.googleapis.com/envoy.extensions.transport_sockets"
_LISTENER = "type.googleapis.com/envoy.extensions.filters.listener"
_RAW = f'{{name: raw, typed_config: {{"@type": {_SOCKETS}.raw_buffer.v3.RawBuffer}}}}'
_TLS = (
    f'{{name: tls, typed_config: {{"@type": {_SOCKETS}.tls.v3.UpstreamTlsContext, sni: origin.example.com}}}}'
)
_READS = f"""
listener_filters:
- name: proxy
  typed_config: {{"@type": {_LISTENER}.proxy_protocol.v3.ProxyProtocol, stat_prefix: $case}}
"""
_HTTP = """
- name: envoy.filters.network.http_connection_manager
  typed_config:
    "@type": $manager
    stat_prefix: $case
    use_remote_address: true
    generate_request_id: false
    route_config:
      virtual_hosts:
      - {name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: $case}}]}
    http_filters:
    - name: envoy.filters.http.router
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
""".replace("$manager", HCM)
_GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
_V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n"
_V1_IP6 = b"PROXY TCP6 2001:db8::1 ::1 7 9\r\n"


def _writes(version: str = "", then: str = _RAW) -> str:
    kind = f"{_SOCKETS}.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
    config = f"config: {{version: {version}}}, " if version else "config: {}, "
    typed = f'"@type": {kind}, {config}transport_socket: {then}'
    return f"transport_socket: {{name: proxy, typed_config: {{{typed}}}}}"


_END = (b"hello", 5, Do.SHUT, Do.READ)
_OF_TLS = ("count..*bytes.*", ".*log.*(sent|received)")
# The answer has a date, and the time that the host took.
_OF_HTTP = ("client.data", "listenerlog.*sent")


CASES = (
    tcp("header-v1", b"hello", Do.AWAIT_HOST, Do.SHUT, Do.READ, cluster=_writes("V1"), host="read"),
    tcp("header-default", b"hello", Do.AWAIT_HOST, Do.SHUT, Do.READ, cluster=_writes(), host="read"),
    tcp("header-v2", b"hello", Do.AWAIT_HOST, Do.SHUT, Do.READ, cluster=_writes("V2"), host="read"),
    tcp("header-passed-on", _V1, b"hello", Do.AWAIT_HOST, Do.SHUT, Do.READ, cluster=_writes("V2"),
        host="read", listener=_READS),
    tcp("header-passed-on-6", _V1_IP6, b"hello", Do.AWAIT_HOST, Do.SHUT, Do.READ, cluster=_writes("V1"),
        host="read", listener=_READS),
    tcp("header-then-tls-to-host", *_END, cluster=_writes("V1", _TLS), host="tls-behind-header",
        ignored=_OF_TLS),
    tcp("header-before-http", _GET, 27, Do.CLOSE, filters=_HTTP, only=True, host="http",
        cluster=_writes("V1"), ignored=_OF_HTTP),
    tcp("header-before-http-v2", _GET, 27, Do.CLOSE, filters=_HTTP, only=True, host="http",
        cluster=_writes("V2"), ignored=_OF_HTTP),
    tcp("header-before-http-again", _GET, 60, _GET, 60, Do.CLOSE, filters=_HTTP, only=True, host="http",
        cluster=_writes("V1"), ignored=_OF_HTTP),
    tcp("header-before-http-others", _GET, 27, Do.CLOSE, filters=_HTTP, only=True, host="http", repeat=2,
        cluster=_writes("V1"), ignored=_OF_HTTP),
    tcp("header-to-forwarded-for", _V1, _GET, 27, Do.CLOSE, filters=_HTTP, only=True, host="http",
        cluster=_writes("V1"), listener=_READS, ignored=_OF_HTTP),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TcpCase, agree_tcp: AgreeTcp) -> None:
    agree_tcp(case)
