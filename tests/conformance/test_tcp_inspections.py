"""Listener filters: the PROXY protocol, whose addresses the connection then has, and the HTTP inspector."""

import pytest

from tests.conformance.conftest import AgreeTcp
from tests.conformance.tcp.case import Do, TcpCase, Tls, tcp

_LISTENER = "type.googleapis.com/envoy.extensions.filters.listener"
_V2 = bytes.fromhex("0d0a0d0a000d0a515549540a")
_V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n"
_V2_IP4 = _V2 + bytes.fromhex("2111000c c0000201 c6336402 1f90 01bb")
_V2_IP6 = (
    _V2 + bytes.fromhex("21210024") + b"\x20\x01\x0d\xb8" + bytes(11) + b"\1" + bytes(15) + b"\1\0\7\0\x09"
)
_TLVS = bytes.fromhex("04000568656c6c6f")  # NOOP


def _filters(*filters: str) -> str:
    return "listener_filters:\n" + "".join(filters)


def _proxy(fields: str = "") -> str:
    kind = f"{_LISTENER}.proxy_protocol.v3.ProxyProtocol"
    return f'- {{name: proxy, typed_config: {{"@type": {kind}, stat_prefix: $case, {fields}}}}}\n'


_HTTP = f'- {{name: http, typed_config: {{"@type": {_LISTENER}.http_inspector.v3.HttpInspector}}}}\n'
_TLS = f'- {{name: tls, typed_config: {{"@type": {_LISTENER}.tls_inspector.v3.TlsInspector}}}}\n'
_STRICT = _filters(_proxy())
_LENIENT = _filters(_proxy("allow_requests_without_proxy_protocol: true"))
_NO_V1 = _filters(_proxy("disallowed_versions: [V1]"))
_NO_V1_LENIENT = _filters(
    _proxy("{disallowed_versions: [V1], allow_requests_without_proxy_protocol: true}"[1:-1])
)
_NAMED = "{name: named, filter_chain_match: {server_names: [origin.example.com]}}"
_SOURCE = "filter_chain_match: {source_prefix_ranges: [{address_prefix: 192.0.2.0, prefix_len: 24}]}"
_DIRECT = "filter_chain_match: {direct_source_prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}"
_DESTINATION = "filter_chain_match: {destination_port: 443}"
_OF_TLS = ("count..*bytes.*", ".*log.*(sent|received)")
_REFUSED = ("client.end",)  # whether what has come was read when it was closed

_END = (b"hello", 5, Do.SHUT, Do.READ)


def _http(*protocols: str) -> str:
    return f"filter_chain_match: {{application_protocols: [{', '.join(protocols)}]}}"


CASES = (
    tcp("v1", _V1 + b"hello", 5, Do.SHUT, Do.READ, listener=_STRICT),
    tcp("v1-6", b"PROXY TCP6 2001:db8::1 ::1 7 9\r\n", *_END, listener=_STRICT),
    tcp("v1-unknown", b"PROXY UNKNOWN\r\n", *_END, listener=_STRICT),
    tcp("v1-unknown-more", b"PROXY UNKNOWN a b 1 2\r\n", *_END, listener=_STRICT),
    tcp("v1-in-pieces", _V1[:3], 0.05, _V1[3:20], 0.05, _V1[20:], *_END, listener=_STRICT),
    tcp("v1-bare-lf", b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\n", Do.READ, listener=_STRICT,
        ignored=_REFUSED),
    tcp("v1-port", b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 70000\r\n", Do.READ, listener=_STRICT,
        ignored=_REFUSED),
    tcp("v1-address", b"PROXY TCP4 192.0.2.300 198.51.100.2 8080 443\r\n", Do.READ, listener=_STRICT,
        ignored=_REFUSED),
    tcp("v1-family", b"PROXY TCP6 192.0.2.1 198.51.100.2 8080 443\r\n", Do.READ, listener=_STRICT,
        ignored=_REFUSED),
    tcp("v1-protocol", b"PROXY UDP4 192.0.2.1 198.51.100.2 8080 443\r\n", Do.READ, listener=_STRICT,
        ignored=_REFUSED),
    tcp("v1-spaces", b"PROXY TCP4  192.0.2.1 198.51.100.2 8080 443\r\n", Do.READ, listener=_STRICT,
        ignored=_REFUSED),
    tcp("v1-long", b"PROXY " + b"x" * 120, Do.READ, listener=_STRICT, ignored=_REFUSED),
    tcp("v2", _V2_IP4 + b"hello", 5, Do.SHUT, Do.READ, listener=_STRICT),
    tcp("v2-6", _V2_IP6 + b"hello", 5, Do.SHUT, Do.READ, listener=_STRICT),
    tcp("v2-in-pieces", _V2_IP4[:5], 0.05, _V2_IP4[5:17], 0.05, _V2_IP4[17:], *_END, listener=_STRICT),
    tcp("v2-local", _V2 + b"\x20\0\0\0", *_END, listener=_STRICT),
    tcp("v2-unspecified", _V2 + b"\x21\0\0\0", *_END, listener=_STRICT),
    tcp("v2-tlv", _V2 + b"\x21\x11\0\x14" + _V2_IP4[16:] + _TLVS, *_END, listener=_STRICT),
    tcp("v2-udp", _V2 + b"\x21\x12\0\x0c" + _V2_IP4[16:], *_END, listener=_STRICT),
    tcp("v2-unix", _V2 + b"\x21\x31\0\xd8" + bytes(216), Do.READ, listener=_STRICT, ignored=_REFUSED),
    tcp("v2-version", _V2 + b"\x31\x11\0\x0c" + _V2_IP4[16:], Do.READ, listener=_STRICT, ignored=_REFUSED),
    tcp("v2-command", _V2 + b"\x22\x11\0\x0c" + _V2_IP4[16:], Do.READ, listener=_STRICT, ignored=_REFUSED),
    tcp("v2-short", _V2 + b"\x21\x11\0\x0b" + _V2_IP4[16:27], Do.READ, listener=_STRICT, ignored=_REFUSED),
    tcp("none", b"GET / HTTP/1.1\r\n\r\n", Do.READ, listener=_STRICT, ignored=_REFUSED),
    tcp("none-nearly", b"PROXIES " * 4, Do.READ, listener=_STRICT, ignored=_REFUSED),
    tcp("none-leaves", Do.SHUT, Do.READ, listener=_STRICT, ignored=_REFUSED),
    tcp("none-allowed", *_END, listener=_LENIENT),
    tcp("none-short", b"hello", Do.READ, listener=_STRICT, ignored=_REFUSED),
    tcp("none-allowed-nearly", b"PROXIES", 7, Do.SHUT, Do.READ, listener=_LENIENT),
    tcp("there-though-not-needed", _V1 + b"hello", 5, Do.SHUT, Do.READ, listener=_LENIENT),
    tcp("broken-though-not-needed", b"PROXY TCP4 x\r\n", Do.READ, listener=_LENIENT, ignored=_REFUSED),
    tcp("disallowed", _V1 + b"hello", Do.READ, listener=_NO_V1, ignored=_REFUSED),
    tcp("disallowed-other", _V2_IP4 + b"hello", 5, Do.SHUT, Do.READ, listener=_NO_V1),
    tcp("disallowed-lenient", _V1 + b"hello", len(_V1) + 5, Do.SHUT, Do.READ, listener=_NO_V1_LENIENT),
    tcp("header-then-tls", b"hello", 5, Do.SHUT, Do.READ, listener=_LENIENT + _TLS, chain=_NAMED, host="tls",
        tls=Tls("origin.example.com"), ignored=_OF_TLS),
    tcp("by-source", _V1 + b"hello", 5, Do.SHUT, Do.READ, listener=_STRICT, chain=_SOURCE),
    tcp("by-source-other", b"PROXY TCP4 192.0.3.1 198.51.100.2 8080 443\r\n", Do.READ, listener=_STRICT,
        chain=_SOURCE, ignored=_REFUSED),
    tcp("by-direct-source", _V1 + b"hello", 5, Do.SHUT, Do.READ, listener=_STRICT, chain=_DIRECT),
    tcp("by-destination", _V1 + b"hello", 5, Do.SHUT, Do.READ, listener=_STRICT, chain=_DESTINATION),
    tcp("http-1.1", b"GET / HTTP/1.1\r\n", 16, Do.SHUT, Do.READ, listener=_filters(_HTTP),
        chain=_http("http/1.1")),
    tcp("http-1.0", b"GET / HTTP/1.0\r\n", 16, Do.SHUT, Do.READ, listener=_filters(_HTTP),
        chain=_http("http/1.0")),
    tcp("http-2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, Do.SHUT, Do.READ, listener=_filters(_HTTP),
        chain=_http("h2c")),
    tcp("http-none", b"\0\1\2\3", 4, Do.SHUT, Do.READ, listener=_filters(_HTTP)),
    tcp("http-none-refused", b"\0\1\2\3", Do.READ, listener=_filters(_HTTP), chain=_http("http/1.1"),
        ignored=_REFUSED),
    tcp("http-in-pieces", b"GE", 0.05, b"T / HT", 0.05, b"TP/1.1\r\n", 16, Do.SHUT, Do.READ,
        listener=_filters(_HTTP), chain=_http("http/1.1")),
    tcp("http-method", b"HELLO / HTTP/1.1\r\n", 18, Do.SHUT, Do.READ, listener=_filters(_HTTP)),
    tcp("http-behind-header", _V1 + b"GET / HTTP/1.1\r\n", 16, Do.SHUT, Do.READ,
        listener=_filters(_proxy(), _HTTP), chain=_http("http/1.1")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TcpCase, agree_tcp: AgreeTcp) -> None:
    agree_tcp(case)
