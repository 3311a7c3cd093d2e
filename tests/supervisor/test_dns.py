import socket

import anyio
import pytest

from proxyd.config.cluster import (
    Cluster,
    ClusterLoadAssignment,
    DiscoveryType,
    DnsLookupFamily,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from proxyd.config.core import Address, SocketAddress
from proxyd.stats.metrics import Registry
from proxyd.supervisor.dns import HostSets, Names


class Book:
    """A resolver that answers from a table: (name, family) to addresses or an error."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, int], list[str] | OSError] = {}

    async def resolve(self, name: str, family: int) -> list[str]:
        await anyio.lowlevel.checkpoint()
        answer = self.entries.get((name, family), socket.gaierror(socket.EAI_NONAME, "unknown"))
        if isinstance(answer, OSError):
            raise answer
        return answer


def cluster(*hosts: str, family: DnsLookupFamily = DnsLookupFamily.V4_ONLY, **more: object) -> Cluster:
    return Cluster(
        name="c",
        **{"type": DiscoveryType.STRICT_DNS, "dns_lookup_family": family, **more},
        load_assignment=ClusterLoadAssignment(
            cluster_name="c",
            endpoints=(
                LocalityLbEndpoints(
                    lb_endpoints=tuple(
                        LbEndpoint(
                            endpoint=Endpoint(
                                address=Address(socket_address=SocketAddress(address=host, port_value=80))
                            )
                        )
                        for host in hosts
                    )
                ),
            ),
        ),
    )


def refresh(names: Names) -> bool:
    return anyio.run(names.refresh)


def count(registry: Registry, name: str) -> int:
    return registry.counter(f"cluster.c.{name}").value


V4, V6 = socket.AF_INET, socket.AF_INET6


def test_a_static_cluster_is_what_is_written():
    registry = Registry(None)
    hosts = HostSets([cluster("10.0.0.1", "10.0.0.2", type=DiscoveryType.STATIC)], registry)
    hosts.adopt(None)
    names = hosts.names["c"]
    assert names.hosts == (("10.0.0.1", 80, ""), ("10.0.0.2", 80, ""))
    assert registry.gauge("cluster.c.membership_total").value == 2
    assert registry.gauge("cluster.c.membership_healthy").value == 2
    assert count(registry, "membership_change") == 1
    assert hosts.sets() == ()


def test_all_addresses_of_a_name_are_hosts_and_order_does_not_matter():
    registry, book = Registry(None), Book()
    names = Names(cluster("web"), registry, book.resolve)
    names.adopt(())
    book.entries["web", V4] = ["10.0.0.2", "10.0.0.1"]
    assert refresh(names)
    assert names.hosts == (("10.0.0.1", 80, "web"), ("10.0.0.2", 80, "web"))
    book.entries["web", V4] = ["10.0.0.1", "10.0.0.2"]
    assert not refresh(names)
    assert (count(registry, "update_attempt"), count(registry, "update_success")) == (2, 2)
    assert (count(registry, "update_no_rebuild"), count(registry, "membership_change")) == (1, 1)


def test_a_name_that_cannot_be_resolved_now_keeps_its_hosts():
    registry, book = Registry(None), Book()
    names = Names(cluster("web"), registry, book.resolve)
    names.adopt(())
    book.entries["web", V4] = ["10.0.0.1"]
    refresh(names)
    book.entries["web", V4] = socket.gaierror(socket.EAI_AGAIN, "try again")
    assert not refresh(names)
    assert len(names.hosts) == 1
    assert count(registry, "update_failure") == 1


def test_a_name_without_addresses_has_no_hosts():
    registry, book = Registry(None), Book()
    names = Names(cluster("web"), registry, book.resolve)
    names.adopt(())
    book.entries["web", V4] = ["10.0.0.1"]
    refresh(names)
    del book.entries["web", V4]
    assert refresh(names)
    assert names.hosts == ()
    assert count(registry, "update_empty") == 1
    assert registry.gauge("cluster.c.membership_total").value == 0


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (DnsLookupFamily.AUTO, ["::1"]),
        (DnsLookupFamily.V4_ONLY, ["127.0.0.1"]),
        (DnsLookupFamily.V6_ONLY, ["::1"]),
        (DnsLookupFamily.V4_PREFERRED, ["127.0.0.1"]),
        (DnsLookupFamily.ALL, ["::1", "127.0.0.1"]),
    ],
)
def test_families(family, expected):
    book = Book()
    book.entries = {("web", V4): ["127.0.0.1"], ("web", V6): ["::1"]}
    names = Names(cluster("web", family=family), Registry(None), book.resolve)
    refresh(names)
    assert [ip for ip, _, _ in names.hosts] == expected


def test_auto_takes_ipv4_where_there_is_no_ipv6():
    book = Book()
    book.entries = {("web", V4): ["127.0.0.1"]}
    names = Names(cluster("web", family=DnsLookupFamily.AUTO), Registry(None), book.resolve)
    refresh(names)
    assert [ip for ip, _, _ in names.hosts] == ["127.0.0.1"]


def test_addresses_among_names_are_not_looked_up():
    names = Names(cluster("10.0.0.9"), Registry(None), Book().resolve)
    assert refresh(names)
    assert names.hosts == (("10.0.0.9", 80, "10.0.0.9"),)


def test_failures_are_retried_less_and_less_often():
    book = Book()
    book.entries["web", V4] = socket.gaierror(socket.EAI_AGAIN, "try again")
    names = Names(cluster("web", dns_refresh_rate=2.0), Registry(None), book.resolve)
    assert names.next_refresh() == 2.0
    for _ in range(10):
        refresh(names)
    assert 30.0 <= names.next_refresh() <= 60.0
    book.entries["web", V4] = ["10.0.0.1"]
    refresh(names)
    assert names.next_refresh() == 2.0


def test_the_first_resolution_does_not_wait_forever():
    async def never(name: str, family: int) -> list[str]:
        await anyio.sleep_forever()
        raise AssertionError

    async def start() -> None:
        hosts = HostSets([cluster("web")], Registry(None), resolve=never)
        await hosts.first(0.01)
        assert hosts.sets()[0].hosts == ()

    anyio.run(start)


def test_changes_are_told_with_rising_numbers():
    async def follow() -> None:
        book = Book()
        book.entries["web", V4] = ["10.0.0.1"]
        hosts = HostSets([cluster("web", dns_refresh_rate=0.002)], Registry(None), resolve=book.resolve)
        await hosts.first()
        told = []
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:

                def tell(change):
                    told.append(change)
                    book.entries["web", V4] = [f"10.0.0.{len(told) + 2}"]
                    if len(told) == 3:
                        group.cancel_scope.cancel()

                book.entries["web", V4] = ["10.0.0.2"]
                group.start_soon(hosts.follow, tell)
        assert [change.number for change in told] == [1, 2, 3]
        assert [change.hosts[0][0] for change in told] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
        assert hosts.sets() == (told[-1],)

    anyio.run(follow)


def test_an_unchanged_cluster_keeps_what_is_known_of_it():
    async def reload() -> None:
        registry, book = Registry(None), Book()
        book.entries["web", V4] = ["10.0.0.1"]
        old = HostSets([cluster("web")], registry, resolve=book.resolve)
        await old.first()
        old.adopt(None)
        new = HostSets([cluster("web")], registry, old, book.resolve)
        await new.first()
        new.adopt(old)
        assert new.sets()[0].hosts == (("10.0.0.1", 80, "web"),)
        assert (count(registry, "update_attempt"), count(registry, "membership_change")) == (1, 1)
        gone = HostSets([], registry, new, book.resolve)
        gone.adopt(new)
        assert registry.gauge("cluster.c.membership_total").value == 0

    anyio.run(reload)


def test_a_configuration_that_is_refused_shows_nothing():
    registry = Registry(None)
    old = HostSets([cluster("10.0.0.1", type=DiscoveryType.STATIC)], registry)
    old.adopt(None)
    HostSets([cluster("10.0.0.1", "10.0.0.2", type=DiscoveryType.STATIC)], registry, old)
    assert registry.gauge("cluster.c.membership_total").value == 1
