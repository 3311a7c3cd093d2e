"""Network filters beside tcp_proxy, and in front of it and of HTTP."""

import pytest

from tests.conformance.conftest import AgreeTcp
from tests.conformance.tcp.case import Do, TcpCase, Tls, tcp

_NETWORK = "type.googleapis.com/envoy.extensions.filters.network"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_TERMINATED = f"""
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": {_TLS}.DownstreamTlsContext
    common_tls_context:
      tls_certificates:
      - certificate_chain: {{filename: $certs/server.crt}}
        private_key: {{filename: $certs/server.key}}
"""
_INSPECTED = """
listener_filters:
- name: envoy.filters.listener.tls_inspector
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}
"""
_GET = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def _filter(name: str, kind: str, fields: str = "") -> str:
    return (
        f'- {{name: envoy.filters.network.{name}, typed_config: {{"@type": {_NETWORK}.{kind}, {fields}}}}}\n'
    )


def _limit(most: int, more: str = "") -> str:
    return _filter("connection_limit", "connection_limit.v3.ConnectionLimit",
                   f"stat_prefix: $case, max_connections: {most}, {more}")  # fmt: skip


def _bucket(most: int, more: str = "") -> str:
    bucket = f"token_bucket: {{max_tokens: {most}, fill_interval: 60s}}"
    return _filter("local_ratelimit", "local_ratelimit.v3.LocalRateLimit",
                   f"stat_prefix: $case, {bucket}, {more}")  # fmt: skip


_ECHO = _filter("echo", "echo.v3.Echo")
_SAYS = _filter("direct_response", "direct_response.v3.Config", "response: {inline_string: no service here}")
_SNI = _filter("sni_cluster", "sni_cluster.v3.SniCluster")
_HTTP = f"""
- name: envoy.filters.network.http_connection_manager
  typed_config:
    "@type": {_NETWORK}.http_connection_manager.v3.HttpConnectionManager
    stat_prefix: $case
    route_config:
      virtual_hosts:
      - {{name: all, domains: ['*'], routes: [{{match: {{prefix: /}}, direct_response: {{status: 204}}}}]}}
    http_filters:
    - name: envoy.filters.http.router
      typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"""
_HEAD = ("client.data",)  # it has a date

CASES = (
    tcp("echo-filter", b"hello", 5, b"again", 5, Do.CLOSE, filters=_ECHO, only=True),
    tcp("echo-filter-shut", b"hello", 5, Do.SHUT, Do.READ, filters=_ECHO, only=True),
    tcp("echo-filter-tls", b"hello", 5, Do.CLOSE, filters=_ECHO, only=True, chain=_TERMINATED, tls=Tls()),
    tcp("says", Do.READ, filters=_SAYS, only=True),
    tcp("says-to-a-speaker", b"hello", Do.READ, filters=_SAYS, only=True),
    tcp("says-nothing", Do.READ, only=True, filters=_filter("direct_response", "direct_response.v3.Config")),
    tcp("limited", b"hello", 5, Do.SHUT, Do.READ, filters=_limit(1)),
    tcp("limited-one-after-the-other", b"hello", 5, Do.SHUT, Do.READ, filters=_limit(1), repeat=3),
    tcp("limited-over", Do.READ, filters=_limit(2), held=2),
    tcp("limited-over-late", Do.READ, filters=_limit(1, "delay: 0.2s"), held=1),
    tcp("limited-over-late-speaker", b"hello", Do.READ, filters=_limit(1, "delay: 0.2s"), held=1,
        ignored=("client.end",)),
    tcp("limited-off", b"hello", 5, Do.SHUT, Do.READ, held=2,
        ignored=("count.connection_limit.active_connections",),  # below zero in Envoy: it counts ends alone
        filters=_limit(1, "runtime_enabled: {default_value: false, runtime_key: k}")),
    tcp("rate-limited", b"hello", 5, Do.SHUT, Do.READ, filters=_bucket(1)),
    tcp("rate-limited-over", Do.READ, filters=_bucket(2), repeat=3, host="end"),
    tcp("rate-limited-off", Do.READ, repeat=3, host="end",
        filters=_bucket(1, "runtime_enabled: {default_value: false, runtime_key: k}")),
    tcp("rate-limited-http", _GET, Do.READ, filters=_bucket(1) + _HTTP, only=True, ignored=_HEAD),
    # Envoy counts the version of a connection when it speaks.
    tcp("rate-limited-http-over", _GET, Do.READ, filters=_bucket(1) + _HTTP, only=True, repeat=2,
        ignored=(*_HEAD, "count.http.downstream_cx_http1_total")),
    tcp("sni-cluster", b"hello", 5, Do.SHUT, Do.READ, filters=_SNI, listener=_INSPECTED, chain=_TERMINATED,
        proxy="cluster: nowhere", tls=Tls("sni-cluster")),
    tcp("sni-cluster-unknown", b"hello", Do.READ, filters=_SNI, listener=_INSPECTED, chain=_TERMINATED,
        tls=Tls("nowhere.example.com"), ignored=(".*log.*tls",)),
    tcp("sni-cluster-no-name", b"hello", 5, Do.SHUT, Do.READ, filters=_SNI, listener=_INSPECTED,
        chain=_TERMINATED, tls=Tls()),
    tcp("sni-cluster-raw", b"hello", 5, Do.SHUT, Do.READ, filters=_SNI, listener=_INSPECTED),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TcpCase, agree_tcp: AgreeTcp) -> None:
    agree_tcp(case)
