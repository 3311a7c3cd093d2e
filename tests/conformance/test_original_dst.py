"""ORIGINAL_DST clusters: hosts that a header names, and those that the PROXY protocol's header means.

What iptables has redirected is in tests/e2e/test_original_dst.py.
"""

import pytest

from tests.conformance.case import Case, cases_of, get
from tests.conformance.conftest import Agree, AgreeTcp
from tests.conformance.tcp.case import Do, TcpCase, tcp

_CLUSTER = "type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED"

CLUSTERS = f"""
named: {{{_CLUSTER}, original_dst_lb_config: {{use_http_header: true, upstream_port_override: $origin}}}}
named-otherwise:
  {{{_CLUSTER}, original_dst_lb_config:
    {{use_http_header: true, http_header_name: X-Where, upstream_port_override: $origin}}}}
named-port: {{{_CLUSTER}, original_dst_lb_config: {{use_http_header: true}}}}
meant: {{{_CLUSTER}}}
"""

LISTENERS = {
    "original-dst": """
    route_config:
      virtual_hosts:
      - name: all
        domains: ["*"]
        routes:
        - match: {prefix: /named/}
          route: {cluster: named}
        - match: {prefix: /otherwise/}
          route: {cluster: named-otherwise}
        - match: {prefix: /port/}
          route: {cluster: named-port}
        - match: {prefix: /meant/}
          route: {cluster: meant}
        - match: {prefix: /added/}
          route: {cluster: named}
          request_headers_to_add:
          - header: {key: x-envoy-original-dst-host, value: "127.0.0.11:9"}
            append_action: OVERWRITE_IF_EXISTS_OR_ADD
        - match: {prefix: /removed/}
          route: {cluster: named}
          request_headers_to_remove: [x-envoy-original-dst-host]
""",
}

_HEADER = "x-envoy-original-dst-host"
_asked = cases_of("original-dst")


def _named(name: str, value: str, *more: str, path: str = "/named/") -> Case:
    return _asked(name, get(path, f"{_HEADER}: {value}", *more))


CASES = (
    _named("host", "127.0.0.12:9"),
    _named("host-again", "127.0.0.12:9"),
    _named("two", "127.0.0.12:9", f"{_HEADER}: 127.0.0.13:9"),
    _named("first-broken", "x", f"{_HEADER}: 127.0.0.13:9"),
    _named("list", "127.0.0.12:9, 127.0.0.13:9"),
    _named("without-port", "127.0.0.12"),
    _named("empty", ""),
    _named("name", "localhost:9"),
    _named("large-port", "127.0.0.12:70000"),
    _named("negative-port", "127.0.0.12:-1"),
    _named("long-port", "127.0.0.12:00009"),
    _named("short-address", "127.12:9"),
    _named("zeros", "127.000.000.012:9"),
    _named("brackets-around-ipv4", "[127.0.0.12]:9"),
    _named("ipv6-without-brackets", "::1:9"),
    _named("ipv6-refused", "[::1]:9"),
    _named("ipv6-long", "[0:0:0::0:1]:9"),
    _named("scope", "[::1%lo]:9"),
    _named("port-0", "127.0.0.12:0", path="/port/"),
    _named("refused", "127.0.0.12:1", path="/port/"),
    _asked("none", get("/named/")),
    _asked("otherwise", get("/otherwise/", "x-where: 127.0.0.12:9")),
    _named("otherwise-not", "127.0.0.12:9", path="/otherwise/"),
    _named("meant-not", "127.0.0.12:9", path="/meant/"),
    _named("added", "127.0.0.12:9", path="/added/"),
    _named("removed", "127.0.0.12:9", path="/removed/"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)


_LISTENER = "type.googleapis.com/envoy.extensions.filters.listener"
_PROXY = f"""
listener_filters:
- {{name: proxy, typed_config: {{"@type": {_LISTENER}.proxy_protocol.v3.ProxyProtocol}}}}
"""
# An intended difference: what comes before there is a host may have been read.
_READ = ("client.end", r"count\.tcp\.downstream_cx_rx_bytes_total", r".*log\[0\]\.(wire_)?received")
_TO_HOST = f"{{{_CLUSTER}, original_dst_lb_config: {{upstream_port_override: $port}}}}"


def _header(destination: str, port: int = 9) -> bytes:
    family = 6 if ":" in destination else 4
    source = "::2" if family == 6 else "192.0.2.1"
    return f"PROXY TCP{family} {source} {destination} 8080 {port}\r\n".encode()


TCP_CASES = (
    tcp("meant-by-header", _header("127.0.0.1") + b"hello", 5, Do.SHUT, Do.READ, listener=_PROXY,
        cluster=_TO_HOST),
    tcp("meant-elsewhere", _header("127.0.0.2") + b"hello", Do.READ, listener=_PROXY, cluster=_TO_HOST,
        ignored=_READ),
    tcp("meant-nowhere", b"hello", Do.READ, cluster=_TO_HOST),
    tcp("meant-by-nobody", b"PROXY UNKNOWN\r\nhello", Do.READ, listener=_PROXY, cluster=_TO_HOST,
        ignored=_READ),
)  # fmt: skip


@pytest.mark.parametrize("case", TCP_CASES, ids=str)
def test_bytes_agree_with_envoy(case: TcpCase, agree_tcp: AgreeTcp) -> None:
    agree_tcp(case)
