"""A thousand streams at once: who dies or stalls takes nothing along but what it carried."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests import windows
from tests.e2e.conftest import Proxyd, StartProxyd, config
from tests.e2e.http2_host import Http2Host
from tests.e2e.http2_streams import Asked, Connection, Streams

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
STREAMS = 1000
MEGABYTE = 1 << 20
WIDE = (1 << 31) - 1  # the widest window there is
CONNECTIONS = 10


def bootstrap(*hosts: Http2Host, **manager: Any) -> dict[str, Any]:
    """Hosts that are spoken to in HTTP/2 and take as long as they like."""
    made = config(*(host.address for host in hosts), **manager)
    options = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    options["route_config"]["virtual_hosts"][0]["routes"][-1]["route"]["timeout"] = "0s"
    made["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = {
        _OPTIONS: {
            "@type": f"type.googleapis.com/{_OPTIONS}",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    return made


@pytest.fixture
def hosts() -> Iterator[tuple[Http2Host, Http2Host]]:
    with Http2Host("one") as one, Http2Host("two") as two:
        yield one, two


def use(proxyd: Proxyd) -> tuple[int, int]:
    """Descriptors and bytes of all processes, when no client is left."""
    proxyd.until(lambda: proxyd.counter("http.ingress.downstream_cx_active") == 0, "no connection left")
    processes = [psutil.Process(worker["pid"]) for worker in proxyd.workers()]
    processes.append(psutil.Process(proxyd.process.pid))
    return sum(map(windows.descriptors, processes)), sum(p.memory_info().rss for p in processes)


def spread(clients: Streams, proxyd: Proxyd) -> list[Connection]:
    """Connections at both workers."""
    for _ in range(CONNECTIONS):
        clients.connect()
    proxyd.until(
        lambda: sum(worker["connections"] for worker in proxyd.workers()) == CONNECTIONS, "the connections"
    )
    while not all(worker["connections"] for worker in proxyd.workers()):
        clients.connect()
        count = len(clients.connections)
        proxyd.until(
            lambda: sum(worker["connections"] for worker in proxyd.workers()) == count,  # noqa: B023
            "one more connection",
        )
    return clients.connections


def hold(connections: list[Connection], hosts: tuple[Http2Host, ...], proxyd: Proxyd) -> list[Asked]:
    """A thousand requests that must not be repeated, all of them at the hosts, which hold them."""
    paths = [f"/hold/{number}" for number in range(STREAMS)]
    asked = []
    for number, connection in enumerate(connections):
        asked += connection.ask(paths[number :: len(connections)], "POST")
    proxyd.until(lambda: sum(len(host.held()) for host in hosts) == STREAMS, "all of them at the hosts")
    return asked


def warmed_up(proxyd: Proxyd, hosts: tuple[Http2Host, ...]) -> tuple[int, int]:
    """What is used when a thousand streams have been there and nothing was wrong."""
    with Streams(proxyd.port()) as clients:
        asked = hold(spread(clients, proxyd), hosts, proxyd)
        assert sum(host.release() for host in hosts) == STREAMS
        clients.wait_until_over(asked)
        assert all(each.well for each in asked)
    return use(proxyd)


def assert_flat(before: tuple[int, int], after: tuple[int, int]) -> None:
    assert after[0] - before[0] < 24  # connections to hosts are kept
    assert after[1] - before[1] < 12 * MEGABYTE


def test_a_killed_worker_takes_its_own_streams_along(
    start: StartProxyd, hosts: tuple[Http2Host, Http2Host]
) -> None:
    proxyd = start(bootstrap(*hosts), "--workers", "2")
    before = warmed_up(proxyd, hosts)
    with Streams(proxyd.port()) as clients:
        connections = spread(clients, proxyd)
        asked = hold(connections, hosts, proxyd)
        victim = proxyd.workers()[0]
        psutil.Process(victim["pid"]).kill()
        clients.wait_for(lambda: sum(each.lost for each in connections) >= victim["connections"])
        lost = {id(each) for c in connections if c.lost for each in c.asked.values()}
        proxyd.until(
            lambda: sum(len(host.held()) for host in hosts) == STREAMS - len(lost), "given up at the hosts"
        )
        assert sum(host.release() for host in hosts) == STREAMS - len(lost)
        clients.wait_until_over(asked)
        assert sum(each.lost for each in connections) == victim["connections"]
        assert 0 < len(lost) < STREAMS
        assert [each.path for each in asked if id(each) not in lost and not each.well] == []
        assert {each.failed for each in asked if id(each) in lost} == {"the connection ended"}
        proxyd.until(lambda: len(proxyd.workers()) == 2, "a new worker")
        again = clients.connect().ask(["/name"] * 10)
        clients.wait_until_over(again)
        assert all(each.well for each in again)
    assert_flat(before, use(proxyd))


def test_a_killed_host_takes_its_own_streams_along(
    start: StartProxyd, hosts: tuple[Http2Host, Http2Host]
) -> None:
    proxyd = start(bootstrap(*hosts), "--workers", "2")
    before = warmed_up(proxyd, hosts)
    with Streams(proxyd.port()) as clients:
        connections = spread(clients, proxyd)
        asked = hold(connections, hosts, proxyd)
        lost = set(hosts[0].held())
        hosts[0].kill()
        clients.wait_until_over([each for each in asked if each.path in lost])
        assert {each.path for each in asked if each.over} == lost
        assert hosts[1].release() == STREAMS - len(lost)
        clients.wait_until_over(asked)
        assert {(each.status, each.failed) for each in asked if each.path in lost} == {("503", "")}
        assert {(each.status, each.failed) for each in asked if each.path not in lost} == {("200", "")}
        assert not any(each.lost or each.goaways for each in connections)
    assert_flat(before, use(proxyd))


def test_a_client_that_stalls_holds_nobody_up(start: StartProxyd, hosts: tuple[Http2Host, Http2Host]) -> None:
    """It has windows for everything, and takes nothing of what uses up those of the host's connection."""
    proxyd = start(bootstrap(hosts[0]), "--workers", "1")
    received = "cluster.backend.upstream_cx_rx_bytes_total"

    def stall() -> int:
        """Bytes of memory while it lasts."""
        with Streams(proxyd.port()) as clients:
            others = [clients.connect() for _ in range(CONNECTIONS - 1)]
            stalled = clients.connect(WIDE)
            stalled.stall()
            before = proxyd.counter(received)
            stalled.ask([f"/large/{20 * MEGABYTE}"] * 10)
            # A buffer of 1 MiB for each, and 24 MiB for all on the host's connection.
            proxyd.until(
                lambda: proxyd.counter(received) > before + 28 * MEGABYTE, "most of the window used up"
            )
            asked = [each for one in others for each in one.ask(["/large/10000"] * 110)]
            clients.wait_until_over(asked)
            assert {(each.status, each.received) for each in asked} == {("200", 10000)}
            (worker,) = proxyd.workers()
            return int(psutil.Process(worker["pid"]).memory_info().rss)

    _, first = use(proxyd)
    assert stall() - first < 64 * MEGABYTE
    # How much is in the buffers at once differs from time to time, and so does what the heap keeps of them.
    for rest in reversed(range(4)):
        before = use(proxyd)
        stall()
        after = use(proxyd)
        if not rest or after[1] - before[1] < 12 * MEGABYTE:
            break
    assert_flat(before, after)
