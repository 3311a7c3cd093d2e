"""Datagrams over real processes: who has a client's session, reloads, the end."""

import contextlib
from typing import Any

from tests.e2e.conftest import Proxyd, StartProxyd
from tests.e2e.test_tcp_proxy import address, bootstrap
from tests.e2e.test_tcp_proxy import listener as tcp_listener
from tests.net.datagrams import DatagramClient, DatagramHost

_UDP = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig"


def listener(cluster: str, **more: Any) -> dict[str, Any]:
    config = {"@type": _UDP, "stat_prefix": "udp", "cluster": cluster}
    place = address(0)
    place["socket_address"]["protocol"] = "UDP"
    return {
        "name": "udp",
        "address": place,
        "listener_filters": [{"name": "udp", "typed_config": config}],
        **more,
    }


def counted(proxyd: Proxyd, name: str, wanted: int) -> None:
    """Wait until a statistic is that."""
    proxyd.until(lambda: proxyd.admin(f"/stats?filter=^{name}$")[1] == f"{name}: {wanted}\n", name)


def test_each_client_has_one_worker_and_a_reload_loses_no_answer(start: StartProxyd) -> None:
    with DatagramHost() as host, contextlib.ExitStack() as stack:
        config = bootstrap({"hosts": host.port}, listener("hosts"), tcp_listener("hosts"))
        proxyd = start(config, "--workers", "2")
        port = proxyd.port("udp")
        clients = [stack.enter_context(DatagramClient(port)) for _ in range(24)]
        for _ in range(3):
            for client in clients:
                assert client.ask(b"a") == [b"echo:a"]
        assert len(host.peers) == 24
        counted(proxyd, "udp.udp.downstream_sess_active", 24)
        waiting = clients[0]
        waiting.sock.send(b"held")
        host.await_held()
        proxyd.command("reload")
        assert proxyd.port("udp") == port
        for client in clients[1:]:
            assert client.ask(b"b") == [b"echo:b"]
        assert len(host.peers) == 24 + 23  # those of new workers
        host.release()
        assert waiting.hear() == [b"at last"]
        counted(proxyd, "udp.udp.downstream_sess_total", 24 + 23)


def test_one_worker_serves_what_cannot_be_shared(start: StartProxyd) -> None:
    with DatagramHost() as host, contextlib.ExitStack() as stack:
        proxyd = start(
            bootstrap({"hosts": host.port}, listener("hosts", enable_reuse_port=False)), "--workers", "3"
        )
        clients = [stack.enter_context(DatagramClient(proxyd.port("udp"))) for _ in range(8)]
        for _ in range(3):
            for client in clients:
                assert client.ask(b"a") == [b"echo:a"]
        assert len(host.peers) == 8
