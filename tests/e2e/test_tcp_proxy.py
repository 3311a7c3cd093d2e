"""Connections that carry bytes, over real processes: reloads and updates leave them alone."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import windows
from tests.e2e.applications import Application
from tests.e2e.conftest import StartProxyd, rewrite

TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(cluster: str) -> dict[str, Any]:
    proxy = {"@type": TCP, "stat_prefix": "bytes", "cluster": cluster}
    filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]
    return {"name": "tcp", "address": address(0), "filter_chains": [{"filters": filters}]}


def bootstrap(ports: dict[str, int], *listeners: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A cluster for each name and port."""
    clusters = [
        {
            "name": name,
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}],
            },
        }
        for name, port in ports.items()
    ]
    resources = {"clusters": clusters, "listeners": list(listeners)}
    return {"admin": {"address": address(0)}, "static_resources": resources, **more}


class Client:
    """A connection through the proxy."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 20)

    def echoed(self, data: bytes) -> bool:
        self.sock.sendall(data)
        return self.sock.recv(len(data)) == data


Connect = Callable[[int], Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[Client] = []

    def one(port: int) -> Client:
        made.append(Client(port))
        return made[-1]

    yield one
    for client in made:
        client.sock.close()


def test_connections_go_on_over_a_reload(start: StartProxyd, connect: Connect) -> None:
    with Application("echo", echoes=True) as echo:
        config = bootstrap({"one": echo.port}, listener("one"))
        proxyd = start(config, "--workers", "2")
        old = [connect(proxyd.port("tcp")) for _ in range(8)]
        assert all(client.echoed(b"before") for client in old)
        proxyd.command("reload")
        assert all(client.echoed(b"after") for client in old)
        new = connect(proxyd.port("tcp"))
        assert new.echoed(b"new")
        proxyd.until(lambda: proxyd.counter("tcp.bytes.downstream_cx_total") == 9, "nine connections")
        for client in old:
            client.sock.close()
        proxyd.until(lambda: len(proxyd.status()["workers"]) == 2, "the old workers gone before their time")
        proxyd.until(lambda: proxyd.counter("cluster.one.upstream_cx_active") == 1, "one left")
        assert new.echoed(b"still")


def test_what_is_on_its_way_when_clients_leave_arrives_over_a_reload(start: StartProxyd) -> None:
    """A drain waits for what clients that are gone have left behind."""
    size = 4 << 20
    with socket.create_server(("127.0.0.1", 0)) as host:
        config = bootstrap({"one": host.getsockname()[1]}, listener("one"))
        config["static_resources"]["clusters"][0]["per_connection_buffer_limit_bytes"] = 1 << 23
        proxyd = start(config)
        with socket.create_connection(("127.0.0.1", proxyd.port("tcp")), 20) as client:
            client.sendall(bytes(size))
        accepted, _ = host.accept()
        rewrite(proxyd, config)
        proxyd.command("reload")
        with accepted:
            accepted.settimeout(20)
            received = 0
            while data := accepted.recv(1 << 20):
                received += len(data)
        assert received == size
        proxyd.until(lambda: len(proxyd.status()["workers"]) == len(proxyd.workers()), "the old ones gone")


def test_a_listener_that_changes_in_place_keeps_its_connections(
    start: StartProxyd, connect: Connect, tmp_path: Path
) -> None:
    lds = tmp_path / "lds.json"

    def write(cluster: str) -> None:
        new = tmp_path / "lds.new"
        new.write_text(json.dumps({"resources": [{"@type": LISTENER, **listener(cluster)}]}))
        windows.replace(new, lds)

    write("one")
    with Application("one", echoes=True) as one, Application("two") as two:
        files = {"lds_config": {"path": str(lds)}}
        config = bootstrap({"one": one.port, "two": two.port}, dynamic_resources=files)
        proxyd = start(config)
        old = connect(proxyd.port("tcp"))
        assert old.echoed(b"before")
        write("two")
        proxyd.until(lambda: proxyd.counter("listener_manager.lds.update_success") == 2, "the change")
        new = connect(proxyd.port("tcp"))
        new.sock.sendall(b"GET /new HTTP/1.1\r\n\r\n")
        assert new.sock.recv(4096).endswith(b"two /new")
        assert old.echoed(b"after")
