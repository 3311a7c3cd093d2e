"""tcp_proxy: bytes both ways, ends of either side, hosts that are not there, TLS on either side."""

import pytest

from tests.conformance.conftest import AgreeTcp
from tests.conformance.tcp.case import Do, TcpCase, Tls, tcp

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
_ORIGINATED = f"""
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": {_TLS}.UpstreamTlsContext
    sni: origin.example.com
    common_tls_context:
      validation_context:
        trusted_ca: {{filename: $certs/ca.crt}}
"""
_INSPECTED = """
listener_filters:
- name: envoy.filters.listener.tls_inspector
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}
"""
_NAMED = "{name: named, filter_chain_match: {server_names: [origin.example.com]}}"

# What a client sends before there is a host for it may have been read, and waits. Envoy leaves it unread.
_EARLY = ("count.tcp.downstream_cx_rx_bytes_total", ".*log.*received")
# How often a buffer is full.
_BY_CHANCE = ("count..*flow_control.*",)
# Signatures are not always of the same length.
_OF_TLS = ("count..*bytes.*", ".*log.*(sent|received)")

CASES = (
    tcp("echo", b"hello", 5, Do.SHUT, Do.READ),
    tcp("client-ends-first", b"hello", Do.SHUT, Do.READ),
    tcp("client-says-nothing", Do.SHUT, Do.READ),
    tcp("client-leaves", b"hello", 5, Do.CLOSE),
    tcp("client-resets", b"hello", 5, Do.RESET),
    tcp("client-leaves-before-a-word", Do.CLOSE),
    tcp("client-leaves-without-reading", b"hello", Do.AWAIT_HOST, Do.CLOSE, host="read"),
    tcp("host-greets", 11, b"QUIT", 4, Do.SHUT, Do.READ, host="greet"),
    tcp("host-ends-first", Do.READ, b"after", Do.AWAIT_HOST, Do.SHUT, host="end"),
    tcp("host-ends-and-client-leaves", Do.READ, Do.CLOSE, host="end"),
    tcp("host-answers", b"ask", Do.READ, Do.SHUT, host="answer"),
    tcp("host-closes", b"ask", Do.READ, Do.CLOSE, host="close"),
    tcp("host-resets", b"ask", Do.READ, Do.CLOSE, host="slam"),
    tcp("long", bytes(1 << 20), Do.SHUT, Do.READ, ignored=_BY_CHANCE),
    tcp("host-is-not-there", Do.READ, host="none"),
    tcp("host-is-not-there-twice", Do.READ, host="none", proxy="max_connect_attempts: 2"),
    tcp("host-is-not-there-backoff", Do.READ, host="none",
        proxy="{max_connect_attempts: 3, backoff_options: {base_interval: 0.01s}}"),
    tcp("host-does-not-answer", Do.READ, host="full", cluster="connect_timeout: 0.3s"),
    tcp("host-does-not-answer-data", b"hello", Do.READ, host="full", cluster="connect_timeout: 0.3s",
        ignored=_EARLY),
    tcp("host-is-not-there-data", b"hello", 0.1, Do.READ, host="none", ignored=(*_EARLY, "client.end")),
    tcp("no-host", Do.READ, cluster="load_assignment: {cluster_name: $case}"),
    tcp("no-cluster", Do.READ, proxy="cluster: nowhere"),
    tcp("idle", b"hello", 5, Do.READ, proxy="idle_timeout: 0.2s"),
    tcp("idle-from-the-start", Do.READ, proxy="idle_timeout: 0.2s", host="read"),
    tcp("duration", b"hello", 5, Do.READ, proxy="max_downstream_connection_duration: 0.2s"),
    tcp("duration-before-a-host", Do.READ, host="full",
        proxy="max_downstream_connection_duration: 0.2s", cluster="connect_timeout: 5s"),
    tcp("weighted", b"hello", 5, Do.SHUT, Do.READ,
        proxy="weighted_clusters: {clusters: [{name: $case, weight: 1}]}"),
    tcp("hashed", b"hello", 5, Do.SHUT, Do.READ, proxy="hash_policy: [{source_ip: {}}]"),
    tcp("logs-connected", 0.2, b"hello", 5, Do.SHUT, Do.READ,
        proxy="access_log_options: {flush_access_log_on_connected: true}"),
    tcp("terminates", b"hello", 5, Do.SHUT, Do.READ, chain=_TERMINATED, tls=Tls("server.example.com")),
    tcp("terminates-12", b"hello", 5, Do.SHUT, Do.READ, chain=_TERMINATED, tls=Tls(versions="1.2")),
    # How far the handshake is when the host turns out not to be there.
    tcp("terminates-no-host", b"hello", Do.READ, chain=_TERMINATED, tls=Tls(), host="none",
        ignored=(".*log.*tls", "client.(end|certificate)", *_EARLY)),
    tcp("originates", b"hello", 5, Do.SHUT, Do.READ, cluster=_ORIGINATED, host="tls"),
    tcp("originates-no-tls", b"hello", Do.READ, cluster=_ORIGINATED, host="end",
        ignored=("host.*data", *_EARLY)),
    tcp("originates-refused", b"hello", Do.READ, cluster=_ORIGINATED, host="tls-demands",
        ignored=_EARLY),
    tcp("both", b"hello", 5, Do.SHUT, Do.READ, chain=_TERMINATED, cluster=_ORIGINATED, host="tls", tls=Tls()),
    tcp("passes-through", b"hello", 5, Do.SHUT, Do.READ,
        chain=_NAMED, listener=_INSPECTED, host="tls", tls=Tls("origin.example.com"), ignored=_OF_TLS),
    tcp("passes-through-uninspected", b"hello", 5, Do.SHUT, Do.READ,
        chain=_NAMED, host="tls", tls=Tls("origin.example.com")),
    tcp("passes-through-alpn", b"hello", 5, Do.SHUT, Do.READ, host="tls", listener=_INSPECTED,
        chain="filter_chain_match: {application_protocols: [h2]}", tls=Tls("any.example.com", ("h2",)),
        ignored=_OF_TLS),
    tcp("passes-through-other-name", b"hello", Do.READ, chain=_NAMED, listener=_INSPECTED, host="tls",
        tls=Tls("other.example.com"), ignored=("client.end",)),
    tcp("raw-beside-tls", b"hello", 5, Do.SHUT, Do.READ, listener=_INSPECTED,
        chain="filter_chain_match: {transport_protocol: raw_buffer}"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TcpCase, agree_tcp: AgreeTcp) -> None:
    agree_tcp(case)
