"""Sessions of udp_proxy over real sockets: what ends them, and how many there may be."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.net.server import Server
from proxyd.snapshot import clusters
from proxyd.snapshot.build import compile_snapshot
from proxyd.snapshot.clusters import HostEntry
from proxyd.stats.metrics import Registry
from proxyd.system import native
from tests.net.datagrams import DatagramClient, DatagramHost
from tests.net.tls_house import run

_UDP = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig"


def _address(ip: str, port: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"socket_address": {"protocol": protocol, "address": ip, "port_value": port}}


class House:
    """A server with one UDP listener."""

    def __init__(self, ip: str) -> None:
        self.ip = ip
        self.registry = Registry()
        self.idle = asyncio.Event()
        self.server: Server
        self.port = 0

    def snapshot(self, ports: list[int], proxy: dict[str, Any], cluster: dict[str, Any]) -> Any:
        config = {"@type": _UDP, "stat_prefix": "test", "cluster": "hosts", **proxy}
        endpoints = [{"endpoint": {"address": _address("127.0.0.1", port)}} for port in ports]
        assignment = {"cluster_name": "hosts", "endpoints": [{"lb_endpoints": endpoints}]}
        listener = {
            "name": "udp",
            "address": _address(self.ip, 1, "UDP"),
            "listener_filters": [{"name": "udp", "typed_config": config}],
        }
        cluster = {"name": "hosts", "load_assignment": assignment, **cluster}
        text = json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})
        before = self.server.snapshot if hasattr(self, "server") else None
        return compile_snapshot(load_text(Text("house", text)), self.registry, 0, None, before)

    def change(self, ports: list[int], drain: float = 10.0, **proxy: Any) -> None:
        self.server.commit(self.server.prepare(self.snapshot(ports, proxy, {})), drain)
        self.server.place([(7, 0)])

    def count(self, name: str) -> int:
        counted = self.registry.counters.get(name) or self.registry.gauges.get(name)
        return 0 if counted is None else counted.value

    @property
    def active(self) -> int:
        return self.count("udp.test.downstream_sess_active")

    async def ask(self, client: DatagramClient, data: bytes, answers: int = 1) -> list[bytes]:
        return await asyncio.to_thread(client.ask, data, answers)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - counters tell nobody
                await asyncio.sleep(0.005)


@asynccontextmanager
async def house(
    *hosts: DatagramHost, ip: str = "127.0.0.1", cluster: dict[str, Any] | None = None, **proxy: Any
) -> AsyncIterator[House]:
    made = House(ip)
    snapshot = made.snapshot([host.port for host in hosts], proxy, cluster or {})
    made.server = Server(asyncio.get_running_loop(), snapshot, made.registry, made.idle.set)
    sock = native.bind_datagrams(ip, 0, True)
    made.port = sock.getsockname()[1]
    await made.server.accept(7, 0, sock, 0)
    try:
        yield made
    finally:
        made.server.close()
        assert made.active == 0
        assert made.server.connections == 0


def with_hosts(number: int, main: Callable[..., Coroutine[Any, Any, None]]) -> None:
    if not number:
        run(main())
        return
    with DatagramHost() as host:
        if number == 1:
            run(main(host))
        else:
            with DatagramHost() as other:
                run(main(host, other))


def test_a_host_that_goes_takes_its_sessions_along() -> None:
    async def main(one: DatagramHost, two: DatagramHost) -> None:
        cluster = {"type": "STRICT_DNS"}
        async with house(one, cluster=cluster) as made:
            made.server.update_hosts("hosts", [HostEntry("127.0.0.1", one.port, "")])
            with DatagramClient(made.port) as client:
                assert await made.ask(client, b"a") == [b"echo:a"]
                made.server.update_hosts("hosts", [HostEntry("127.0.0.1", two.port, "")])
                assert await made.ask(client, b"b") == [b"echo:b"]
                assert (len(one.heard), len(two.heard)) == (1, 1)
                assert made.count("udp.test.downstream_sess_total") == 2
                assert made.active == 1

    with_hosts(2, main)


def test_no_more_sessions_than_the_cluster_may_have_connections() -> None:
    async def main(host: DatagramHost) -> None:
        async with house(host) as made:
            cluster = made.server._clusters["hosts"]
            for _ in range(clusters.MAX_CONNECTIONS - 1):
                cluster.count_connection()
            with DatagramClient(made.port) as first, DatagramClient(made.port) as second:
                assert await made.ask(first, b"a") == [b"echo:a"]
                second.sock.send(b"b")
                await made.until(lambda: made.count("cluster.hosts.upstream_cx_overflow") == 1)
                assert made.count("cluster.hosts.circuit_breakers.default.cx_open") == 1
                assert await made.ask(first, b"c") == [b"echo:c"]
            assert [data for data, _ in host.heard] == [b"a", b"c"]
            assert made.active == 1

    with_hosts(1, main)


def test_a_drain_waits_for_what_hosts_have_still_to_say() -> None:
    async def main(host: DatagramHost) -> None:
        async with house(host) as made:
            with DatagramClient(made.port) as client:
                client.sock.send(b"held")
                await asyncio.to_thread(host.await_held)
                made.server.drain(close_idle=False)
                client.sock.send(b"nobody reads this")
                host.release()
                assert await asyncio.to_thread(client.hear) == [b"at last"]
                assert not made.idle.is_set()
                assert made.server.connections == 1
                async with asyncio.timeout(20):
                    await made.idle.wait()  # nothing more came
                assert made.count("udp.test.idle_timeout") == 1
            assert len(host.heard) == 1

    with_hosts(1, main)


def test_a_changed_listener_begins_new_sessions_and_the_old_ones_still_answer() -> None:
    async def main(host: DatagramHost) -> None:
        async with house(host) as made:
            with DatagramClient(made.port) as client:
                client.sock.send(b"held")
                await asyncio.to_thread(host.await_held)
                made.change([host.port], idle_timeout="30s")
                assert await made.ask(client, b"b") == [b"echo:b"]
                host.release()
                assert await asyncio.to_thread(client.hear) == [b"at last"]
                assert made.active == 2
                assert len(host.peers) == 2
                made.change([host.port], drain=0.01, idle_timeout="20s")
                await made.until(lambda: made.active == 1)

    with_hosts(1, main)


def test_sessions_stay_over_a_change_of_something_else() -> None:
    async def main(host: DatagramHost) -> None:
        async with house(host) as made:
            with DatagramClient(made.port) as client:
                assert await made.ask(client, b"a") == [b"echo:a"]
                made.change([host.port])
                assert await made.ask(client, b"b") == [b"echo:b"]
            assert len(host.peers) == 1

    with_hosts(1, main)


def test_another_cluster_of_the_name_takes_over_with_the_next_datagram() -> None:
    async def main(one: DatagramHost, two: DatagramHost) -> None:
        async with house(one) as made:
            with DatagramClient(made.port) as client:
                assert await made.ask(client, b"a") == [b"echo:a"]
                made.change([two.port])
                assert await made.ask(client, b"b") == [b"echo:b"]
            assert (len(one.heard), len(two.heard)) == (1, 1)
            assert made.active == 1

    with_hosts(2, main)


def test_ipv6_clients_are_answered_from_the_address_that_they_asked() -> None:
    async def main(host: DatagramHost) -> None:
        try:
            native.bind_datagrams("::1", 0, False).close()
        except OSError:
            pytest.skip("no IPv6 here")
        async with house(host, ip="::") as made:
            with DatagramClient(made.port, "::1") as client:
                assert await made.ask(client, b"a") == [b"echo:a"]

    with_hosts(1, main)


def test_a_host_that_refused_is_heard_when_it_is_there() -> None:
    async def main() -> None:
        with DatagramHost() as gone:
            port = gone.port
        async with house(gone) as made:
            with DatagramClient(made.port) as client:
                client.sock.send(b"a")
                await made.until(lambda: made.count("cluster.hosts.udp.sess_rx_errors") == 1)
                with DatagramHost(port) as back:
                    assert await made.ask(client, b"b") == [b"echo:b"]
                    assert len(back.heard) == 1
            assert made.count("udp.test.downstream_sess_total") == 1

    with_hosts(0, main)


def test_a_host_that_nothing_leads_to_costs_the_datagram() -> None:
    async def main(host: DatagramHost) -> None:
        async with house(host, cluster={"type": "STRICT_DNS"}) as made:
            made.server.update_hosts("hosts", [HostEntry("255.255.255.255", 9, "")])
            with DatagramClient(made.port) as client:
                client.sock.send(b"a")
                await made.until(lambda: made.count("cluster.hosts.udp.sess_tx_errors") == 1)
            assert made.count("udp.test.downstream_sess_total") == 0

    with_hosts(1, main)
