"""The network filter RBAC: who is let through, by addresses, names and certificates, and what is counted."""

import pytest

from tests.conformance.conftest import AgreeTcp
from tests.conformance.tcp.case import Do, TcpCase, Tls, tcp

_RBAC = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_MUTUAL = f"""
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": {_TLS}.DownstreamTlsContext
    common_tls_context:
      tls_certificates:
      - certificate_chain: {{filename: $certs/server.crt}}
        private_key: {{filename: $certs/server.key}}
      validation_context: {{trusted_ca: {{filename: $certs/ca.crt}}}}
"""
_LISTENER = "type.googleapis.com/envoy.extensions.filters.listener"
_READS = f"""
listener_filters:
- name: proxy
  typed_config: {{"@type": {_LISTENER}.proxy_protocol.v3.ProxyProtocol, stat_prefix: $case}}
"""
_INSPECTS = f"""
listener_filters:
- name: tls
  typed_config: {{"@type": {_LISTENER}.tls_inspector.v3.TlsInspector}}
"""
_V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n"
_END = (b"hello", 5, Do.SHUT, Do.READ)
# Envoy reads nothing before there is a host; here the rules are asked as soon as something has come.
_DENIED = (0.3, b"hello", Do.READ)
# Whether all that has come was read, and counted, when it was closed.
_CHANCE = ("client.end", "count.tcp.downstream_cx_rx_bytes_total", ".*log.*received")
_OF_TLS = ("count..*bytes.*",)


def _rbac(principal: str = "any: true", permission: str = "any: true", action: str = "ALLOW", more: str = "",
          rules: str = "rules") -> str:  # fmt: skip
    policy = f"{{permissions: [{{{permission}}}], principals: [{{{principal}}}]}}"
    inner = f"{rules}: {{action: {action}, policies: {{some: {policy}}}}}"
    config = f'"@type": {_RBAC}, stat_prefix: $case., {inner}, {more}'
    return f"- {{name: envoy.filters.network.rbac, typed_config: {{{config}}}}}\n"


def _block(field: str, address: str, bits: int = 32) -> str:
    return f"{field}: {{address_prefix: {address}, prefix_len: {bits}}}"


def _name(matcher: str) -> str:
    return f"authenticated: {{principal_name: {{{matcher}}}}}"


_LOCAL = _block("direct_remote_ip", "127.0.0.1")
_CLIENT = Tls("server.example.com", certificate="client")

CASES = (
    tcp("rbac-any", *_END, filters=_rbac()),
    tcp("rbac-deny-any", *_DENIED, filters=_rbac(action="DENY"), ignored=_CHANCE),
    tcp("rbac-nobody", *_DENIED, filters=_rbac(_block("remote_ip", "10.0.0.0", 8)), ignored=_CHANCE),
    tcp("rbac-deny-others", *_END, filters=_rbac(_block("remote_ip", "10.0.0.0", 8), action="DENY")),
    tcp("rbac-silent", 0.3, Do.SHUT, Do.READ, filters=_rbac(action="DENY"), ignored=_CHANCE),
    tcp("rbac-silent-allowed", Do.SHUT, Do.READ, filters=_rbac()),
    tcp("rbac-remote", *_END, filters=_rbac(_block("remote_ip", "127.0.0.0", 8))),
    tcp("rbac-direct", *_END, filters=_rbac(_LOCAL)),
    tcp("rbac-source", *_END, filters=_rbac(_block("source_ip", "127.0.0.1"))),
    tcp("rbac-remote-of-header", _V1, *_END, listener=_READS,
        filters=_rbac(_block("remote_ip", "192.0.2.1"))),
    tcp("rbac-direct-of-header", _V1, *_END, listener=_READS, filters=_rbac(_LOCAL)),
    tcp("rbac-source-of-header", _V1, *_END, listener=_READS, filters=_rbac(_block("source_ip", "192.0.2.1")),
        ignored=_CHANCE),
    tcp("rbac-destination-of-header", _V1, *_END, listener=_READS,
        filters=_rbac(permission=_block("destination_ip", "198.51.100.0", 24))),
    tcp("rbac-port-of-header", _V1, *_END, listener=_READS,
        filters=_rbac(permission="destination_port: 443")),
    tcp("rbac-port-range", _V1, *_END, listener=_READS,
        filters=_rbac(permission="destination_port_range: {start: 443, end: 444}")),
    tcp("rbac-port-range-end", _V1, *_DENIED, listener=_READS, ignored=_CHANCE,
        filters=_rbac(permission="destination_port_range: {start: 400, end: 443}")),
    tcp("rbac-and", *_END, filters=_rbac(f"and_ids: {{ids: [{{any: true}}, {{{_LOCAL}}}]}}")),
    tcp("rbac-and-not", *_DENIED, ignored=_CHANCE,
        filters=_rbac(f"and_ids: {{ids: [{{any: true}}, {{not_id: {{{_LOCAL}}}}}]}}")),
    tcp("rbac-or", *_END, filters=_rbac(f"or_ids: {{ids: [{{not_id: {{any: true}}}}, {{{_LOCAL}}}]}}")),
    tcp("rbac-rules", *_END,
        filters=_rbac(permission="and_rules: {rules: [{any: true}, {not_rule: {destination_port: 1}}]}")),
    tcp("rbac-or-rules", *_END,
        filters=_rbac(permission="or_rules: {rules: [{destination_port: 1}, {any: true}]}")),
    tcp("rbac-server-name", *_END, listener=_INSPECTS, chain=_MUTUAL, tls=_CLIENT,
        filters=_rbac(permission="requested_server_name: {exact: server.example.com}")),
    tcp("rbac-server-name-other", *_DENIED, listener=_INSPECTS, chain=_MUTUAL, tls=_CLIENT, ignored=_CHANCE,
        filters=_rbac(permission="requested_server_name: {prefix: other}")),
    tcp("rbac-no-server-name", *_END, filters=_rbac(permission="requested_server_name: {exact: ''}")),
    tcp("rbac-certified", *_END, chain=_MUTUAL, tls=_CLIENT, filters=_rbac("authenticated: {}")),
    tcp("rbac-uncertified", *_END, chain=_MUTUAL, tls=Tls(), filters=_rbac("authenticated: {}")),
    tcp("rbac-unnamed", *_DENIED, chain=_MUTUAL, tls=Tls(), filters=_rbac(_name("prefix: c")),
        ignored=_CHANCE),
    tcp("rbac-raw", *_DENIED, filters=_rbac("authenticated: {}"), ignored=_CHANCE),
    tcp("rbac-by-uri", *_END, chain=_MUTUAL, tls=_CLIENT, filters=_rbac(_name("prefix: 'spiffe://'"))),
    tcp("rbac-by-dns-behind-uri", *_END, chain=_MUTUAL, tls=_CLIENT, ignored=_CHANCE,
        filters=_rbac(_name("exact: client.example.com"))),
    tcp("rbac-by-subject-behind-names", *_END, chain=_MUTUAL, tls=_CLIENT, ignored=_CHANCE,
        filters=_rbac(_name("contains: 'CN=client'"))),
    tcp("rbac-by-dns", *_END, chain=_MUTUAL, tls=Tls(certificate="wildcard-client"),
        filters=_rbac(_name("suffix: .example.com"))),
    tcp("rbac-by-subject", *_END, chain=_MUTUAL, tls=Tls(certificate="bare"),
        filters=_rbac(_name("contains: 'CN=bare'"))),
    tcp("rbac-by-expression", *_END, chain=_MUTUAL, tls=Tls(certificate="bare"),
        filters=_rbac(_name("safe_regex: {regex: '.*CN=b.*'}"))),
    tcp("rbac-shadow", *_END, filters=_rbac(action="DENY", rules="shadow_rules")),
    tcp("rbac-shadow-prefix", *_END,
        filters=_rbac(rules="shadow_rules", more="shadow_rules_stat_prefix: trial_")),
    tcp("rbac-continuous", b"hello", 5, b"again", 5, Do.SHUT, Do.READ,
        filters=_rbac(more="enforcement_type: CONTINUOUS")),
    tcp("rbac-once", b"hello", 5, b"again", 5, Do.SHUT, Do.READ, filters=_rbac()),
    tcp("rbac-no-rules", *_END,
        filters=f'- {{name: r, typed_config: {{"@type": {_RBAC}, stat_prefix: $case.}}}}\n'),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TcpCase, agree_tcp: AgreeTcp) -> None:
    agree_tcp(case)
