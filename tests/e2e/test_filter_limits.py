"""Limits of network filters are the instance's, as in Envoy: all its workers have them together."""

import socket
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Proxyd, StartProxyd
from tests.e2e.test_tcp_proxy import address

NETWORK = "type.googleapis.com/envoy.extensions.filters.network"
WORKERS = 3


def echo_behind(kind: str, **fields: Any) -> dict[str, Any]:
    filters = [
        {"name": "limit", "typed_config": {"@type": f"{NETWORK}.{kind}", "stat_prefix": "few", **fields}},
        {"name": "echo", "typed_config": {"@type": f"{NETWORK}.echo.v3.Echo"}},
    ]
    listener = {"name": "echo", "address": address(0), "filter_chains": [{"filters": filters}]}
    return {"admin": {"address": address(0)}, "static_resources": {"listeners": [listener]}}


class Clients:
    """Connections that are let through stay open."""

    def __init__(self, proxyd: Proxyd) -> None:
        self._port = proxyd.port("echo")
        self._open: list[socket.socket] = []

    def is_served(self) -> bool:
        client = socket.create_connection(("127.0.0.1", self._port), 30)
        try:
            client.sendall(b"x")
            served = client.recv(1) == b"x"
        except ConnectionError:
            served = False
        if served:
            self._open.append(client)
        else:
            client.close()
        return served

    def leave(self) -> None:
        while self._open:
            self._open.pop().close()


@pytest.fixture
def gone() -> Iterator[list[Clients]]:
    made: list[Clients] = []
    yield made
    for clients in made:
        clients.leave()


def test_connections_of_all_workers_count(start: StartProxyd, gone: list[Clients]) -> None:
    most = 10
    proxyd = start(
        echo_behind("connection_limit.v3.ConnectionLimit", max_connections=most), "--workers", str(WORKERS)
    )
    clients = Clients(proxyd)
    gone.append(clients)
    assert [clients.is_served() for _ in range(most + 5)] == [True] * most + [False] * 5
    proxyd.until(lambda: proxyd.counter("connection_limit.few.limited_connections") == 5, "refusals counted")
    proxyd.command("reload")
    assert not clients.is_served()  # those that drain go through a chain that is written alike
    clients.leave()
    proxyd.until(clients.is_served, "a connection let through")
    for _ in range(most - 1):
        proxyd.until(clients.is_served, "a connection let through")
    assert not clients.is_served()
    psutil.Process(proxyd.workers()[0]["pid"]).kill()
    psutil.Process(proxyd.workers()[1]["pid"]).kill()
    proxyd.until(clients.is_served, "a connection let through in place of one that was lost")


def test_all_workers_take_from_one_bucket(start: StartProxyd, gone: list[Clients]) -> None:
    bucket = {"max_tokens": 10, "fill_interval": "100000s"}
    proxyd = start(
        echo_behind("local_ratelimit.v3.LocalRateLimit", token_bucket=bucket), "--workers", str(WORKERS)
    )
    clients = Clients(proxyd)
    gone.append(clients)
    assert [clients.is_served() for _ in range(15)] == [True] * 10 + [False] * 5
    proxyd.until(lambda: proxyd.counter("local_rate_limit.few.rate_limited") == 5, "refusals counted")
    proxyd.command("reload")
    assert not clients.is_served()  # a reload does not fill it
