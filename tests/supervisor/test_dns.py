import socket
from itertools import zip_longest

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
    RefreshRate,
)
from proxyd.config.core import Address, SocketAddress
from proxyd.snapshot.clusters import HostEntry
from proxyd.stats.metrics import Registry
from proxyd.supervisor.dns import HostSets, Names
from proxyd.workers.control import HostSet


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


def cluster(
    *hosts: str,
    family: DnsLookupFamily = DnsLookupFamily.V4_ONLY,
    weights: tuple[int | None, ...] = (),
    **more: object,
) -> Cluster:
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
                            ),
                            load_balancing_weight=weight,
                        )
                        for host, weight in zip_longest(hosts, weights)
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
    assert names.hosts == (HostEntry("10.0.0.1", 80, ""), HostEntry("10.0.0.2", 80, ""))
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
    assert names.hosts == (HostEntry("10.0.0.1", 80, "web"), HostEntry("10.0.0.2", 80, "web"))
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
    assert [ip for ip, *_ in names.hosts] == expected


def test_auto_takes_ipv4_where_there_is_no_ipv6():
    book = Book()
    book.entries = {("web", V4): ["127.0.0.1"]}
    names = Names(cluster("web", family=DnsLookupFamily.AUTO), Registry(None), book.resolve)
    refresh(names)
    assert [ip for ip, *_ in names.hosts] == ["127.0.0.1"]


def test_addresses_among_names_are_not_looked_up():
    names = Names(cluster("10.0.0.9"), Registry(None), Book().resolve)
    assert refresh(names)
    assert names.hosts == (HostEntry("10.0.0.9", 80, "10.0.0.9"),)


def failing(names: Names, book: Book, times: int) -> None:
    book.entries["web", V4] = socket.gaierror(socket.EAI_AGAIN, "try again")
    for _ in range(times):
        refresh(names)


def test_what_fails_is_tried_again_as_often_as_what_does_not():
    book = Book()
    names = Names(cluster("web", dns_refresh_rate=2.0), Registry(None), book.resolve)
    assert names.next_refresh() == 2.0
    failing(names, book, 5)
    assert names.next_refresh() == 2.0


def test_a_failure_refresh_rate_doubles_up_to_its_longest():
    book = Book()
    rate = RefreshRate(base_interval=1.0, max_interval=3.0)
    names = Names(
        cluster("web", dns_refresh_rate=60.0, dns_failure_refresh_rate=rate), Registry(None), book.resolve
    )
    longest = []
    for _ in range(4):
        failing(names, book, 1)
        longest.append(max(names.next_refresh() for _ in range(300)))
    for most, bound in zip(longest, [1.0, 2.0, 3.0, 3.0], strict=True):
        assert bound * 0.9 < most <= bound
    book.entries["web", V4] = ["10.0.0.1"]
    refresh(names)
    assert names.next_refresh() == 60.0


def test_without_a_longest_wait_it_is_ten_times_the_first():
    book = Book()
    rate = RefreshRate(base_interval=1.0)
    names = Names(cluster("web", dns_failure_refresh_rate=rate), Registry(None), book.resolve)
    failing(names, book, 30)
    assert 9.0 < max(names.next_refresh() for _ in range(300)) <= 10.0


def test_jitter_only_delays():
    names = Names(cluster("web", dns_refresh_rate=2.0, dns_jitter=1.0), Registry(None), Book().resolve)
    waits = [names.next_refresh() for _ in range(300)]
    assert 2.0 <= min(waits) < 2.1
    assert 2.9 < max(waits) <= 3.0


def test_weights_are_those_of_the_endpoints():
    registry, book = Registry(None), Book()
    book.entries["a", V4] = ["10.0.0.1", "10.0.0.2"]
    book.entries["b", V4] = ["10.0.0.2", "10.0.0.3"]
    names = Names(cluster("a", "b", weights=(3, 7)), registry, book.resolve)
    names.adopt(())
    refresh(names)
    # Of an address that two names have, the first name counts.
    assert names.hosts == (
        HostEntry("10.0.0.1", 80, "a", 3),
        HostEntry("10.0.0.2", 80, "a", 3),
        HostEntry("10.0.0.3", 80, "b", 7),
    )
    assert registry.gauge("cluster.c.max_host_weight").value == 7
    assert registry.gauge("cluster.c.membership_total").value == 3
    names.forget()
    assert registry.gauge("cluster.c.max_host_weight").value == 0


def test_a_logical_host_is_at_the_first_address():
    registry, book = Registry(None), Book()
    names = Names(cluster("web", type=DiscoveryType.LOGICAL_DNS), registry, book.resolve)
    names.adopt(())
    book.entries["web", V4] = ["10.0.0.9", "10.0.0.1"]
    assert refresh(names)
    assert names.hosts == (HostEntry("10.0.0.9", 80, "web"),)
    book.entries["web", V4] = ["10.0.0.9", "10.0.0.2"]
    assert not refresh(names)
    book.entries["web", V4] = ["10.0.0.2", "10.0.0.9"]
    assert refresh(names)
    assert names.hosts == (HostEntry("10.0.0.2", 80, "web"),)
    assert registry.gauge("cluster.c.membership_total").value == 1


@pytest.mark.parametrize("answer", [[], socket.gaierror(socket.EAI_AGAIN, "try again")])
def test_a_logical_host_stays_where_it_was_when_nothing_is_found(answer):
    book = Book()
    names = Names(cluster("web", type=DiscoveryType.LOGICAL_DNS), Registry(None), book.resolve)
    book.entries["web", V4] = ["10.0.0.9"]
    refresh(names)
    book.entries["web", V4] = answer
    assert not refresh(names)
    assert [entry.ip for entry in names.hosts] == ["10.0.0.9"]


def test_those_who_follow_one_cluster_hear_the_same_from_one_resolution():
    async def follow() -> None:
        registry, book = Registry(None), Book()
        book.entries["web", V4] = ["10.0.0.1"]
        old = HostSets([cluster("web", dns_refresh_rate=0.002)], registry, resolve=book.resolve)
        await old.first()
        new = HostSets([cluster("web", dns_refresh_rate=0.002)], registry, old, book.resolve)
        heard: dict[str, list[int]] = {"old": [], "new": []}
        changed = anyio.Event()

        async def listen(name: str, sets: HostSets, scope: anyio.CancelScope) -> None:
            def tell(change: HostSet) -> None:
                heard[name].append(change.number)
                if len(heard[name]) > 1:
                    changed.set()

            with scope:
                await sets.follow(tell)

        first, second = anyio.CancelScope(), anyio.CancelScope()
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(listen, "old", old, first)
                group.start_soon(listen, "new", new, second)
                await anyio.wait_all_tasks_blocked()
                book.entries["web", V4] = ["10.0.0.2"]
                await changed.wait()
                assert len(heard["old"]) == 2
                assert heard["new"] == heard["old"]
                # The one who resolved leaves, the other goes on.
                first.cancel()
                changed = anyio.Event()
                book.entries["web", V4] = ["10.0.0.3"]
                await changed.wait()
                second.cancel()
        assert len(heard["new"]) == 3
        assert heard["new"][:2] == heard["old"]
        attempts = count(registry, "update_attempt")
        await anyio.sleep(0.01)
        assert count(registry, "update_attempt") == attempts

    anyio.run(follow)


def test_a_cluster_that_has_changed_no_longer_counts_under_its_name():
    registry, book = Registry(None), Book()
    book.entries = {("web", V4): ["10.0.0.1"], ("other", V4): ["10.0.0.2"]}
    old, new = (HostSets([cluster(name)], registry, resolve=book.resolve) for name in ("web", "other"))
    old.adopt(None)
    anyio.run(old.first)
    anyio.run(new.first)
    new.adopt(old)
    book.entries["web", V4] = []
    assert refresh(old.names["c"])
    assert registry.gauge("cluster.c.membership_total").value == 1


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

                group.start_soon(hosts.follow, tell)
        numbers = [change.number for change in told]  # the first is what is known already
        assert numbers == sorted(set(numbers))
        assert [change.hosts[0].ip for change in told] == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]
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
        assert new.sets()[0].hosts == (HostEntry("10.0.0.1", 80, "web"),)
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
