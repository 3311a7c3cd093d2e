"""The hosts of all clusters: STATIC ones as written, those of EDS as their files say, those with names
resolved for all workers at once.

Envoy: config.cluster.v3.Cluster (type, dns_refresh_rate, dns_failure_refresh_rate, dns_jitter,
dns_lookup_family). With STRICT_DNS all addresses that the names have are hosts, with LOGICAL_DNS the first
one is where the one host is at present. A name that cannot be resolved just now keeps the hosts it had. One
that has no address (any more) has no hosts; a LOGICAL_DNS cluster keeps its host even then.
"""

import ipaddress
import itertools
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import anyio
import anyio.to_thread

from proxyd.config.cluster import Cluster, DiscoveryType, DnsLookupFamily, is_resolved
from proxyd.snapshot.clusters import HostEntry, endpoints
from proxyd.stats.metrics import Registry
from proxyd.stats.server_scopes import ClusterUpdateStats
from proxyd.system import native
from proxyd.workers.control import HostSet

logger = logging.getLogger("dns")

FIRST_TIMEOUT: Final = 5.0  # seconds a generation waits for names before it starts without them
_REFRESH_RATE: Final = 5.0  # seconds; Envoy's default of dns_refresh_rate
_MAX_FACTOR: Final = 10.0  # max_interval of a failure refresh rate, where it is not said, in base_intervals
_THREADS: Final = 16
# Later sets have higher numbers, also those of a cluster that takes another's place and name.
_numbers: Final = itertools.count()

Resolve = Callable[[str, int], Awaitable[list[str]]]
Hosts = tuple[HostEntry, ...]
Tell = Callable[[HostSet], None]


class SystemResolver:
    """Names as the system resolves them (hosts file, DNS, whatever it is set up for)."""

    def __init__(self) -> None:
        # Threads of its own: a resolver can take half a minute, and must not keep other work waiting.
        self._limiter: Final = anyio.CapacityLimiter(_THREADS)

    async def resolve(self, name: str, family: int) -> list[str]:
        """Addresses of a name in one family. Raises socket.gaierror."""

        def blocking() -> list[str]:
            found = socket.getaddrinfo(name, None, family=family, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(entry[4][0]) for entry in found))

        # Nothing may wait for it when the server stops.
        return await anyio.to_thread.run_sync(blocking, abandon_on_cancel=True, limiter=self._limiter)


class Names:
    """One cluster's hosts over time."""

    def __init__(self, cluster: Cluster, registry: Registry, resolve: Resolve, assigned: Hosts = ()) -> None:
        """``assigned`` are the hosts of an EDS cluster."""
        self.cluster: Final = cluster
        stat_name = cluster.alt_stat_name or cluster.name
        self._stats: Final = ClusterUpdateStats(registry, stat_name)
        self._resolve: Final = resolve
        self._failures = 0
        self._targets: Final = endpoints(cluster)
        self._logical: Final = cluster.type == DiscoveryType.LOGICAL_DNS
        self._resolved: dict[str, list[str]] = {}
        self._in_force = False
        self._followers: Final[list[Tell]] = []
        self._following: Final = anyio.Lock()
        self._number = next(_numbers)
        self._eds: Final = cluster.type == DiscoveryType.EDS
        self.hosts: Hosts = ()
        if self._eds:
            self.hosts = _once(assigned)
        elif not self.dynamic:
            self.hosts = _once(self._targets)

    @property
    def dynamic(self) -> bool:
        return is_resolved(self.cluster)

    @property
    def set(self) -> HostSet:
        """The present hosts for workers."""
        return HostSet(self.cluster.name, self._number, self.hosts)

    @property
    def known(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self.dynamic or self._eds or bool(self._resolved)

    def assign(self, hosts: Hosts) -> bool:
        """Other hosts of an EDS cluster; True if they are not the same."""
        return self._apply(_once(hosts))

    def adopt(self, before: Hosts) -> None:
        """The cluster is in force from now on; its hosts were ``before`` under the same name."""
        self._in_force = True
        if self.hosts != before:
            self._stats.membership_change.value += 1
        self._show(self.hosts)

    def retire(self) -> None:
        """The cluster is not in force any more; others may be there under its name."""
        self._in_force = False

    def forget(self) -> None:
        """The cluster is no more."""
        self._in_force = False
        self._stats.forget()

    @property
    def resolved(self) -> dict[str, list[str]]:
        """The addresses that names had when they were looked up last."""
        return dict(self._resolved)

    def remember(self, resolved: Mapping[str, list[str]]) -> None:
        """Begin with the addresses that another process has found."""
        names = {target.ip for target in self._targets}
        if self.dynamic and not self._eds and names <= resolved.keys():
            self._resolved.update({name: resolved[name] for name in names})
            self._apply(self._found())

    async def refresh(self) -> bool:
        """Resolve every name once; True if the hosts have changed."""
        failed = False
        for name in dict.fromkeys(target.ip for target in self._targets):
            failed = not await self._refresh_name(name) or failed
        self._failures = self._failures + 1 if failed else 0
        return self._apply(self._found())

    async def follow(self, tell: Tell) -> None:
        """Resolve again and again until cancelled, and tell every change.

        Of several who follow one resolves for all: generations with the cluster in common hear the same.
        """
        self._followers.append(tell)
        try:
            tell(self.set)
            if self._eds:
                await anyio.sleep_forever()
            async with self._following:
                while True:
                    await anyio.sleep(self.next_refresh())
                    await self.refresh()
        finally:
            self._followers.remove(tell)

    def next_refresh(self) -> float:
        """Seconds until the next refresh, as Envoy counts them."""
        rate = self.cluster.dns_refresh_rate or _REFRESH_RATE
        failing = self.cluster.dns_failure_refresh_rate
        if not self._failures or failing is None:
            return rate + random.uniform(0.0, self.cluster.dns_jitter or 0.0)
        longest = failing.max_interval or failing.base_interval * _MAX_FACTOR
        return random.uniform(0.0, min(failing.base_interval * 2.0 ** min(self._failures - 1, 64), longest))

    def _found(self) -> Hosts:
        """The hosts by what is known of all names."""
        found = [
            target._replace(ip=ip, hostname=target.hostname or target.ip)
            for target in self._targets
            for ip in self._resolved.get(target.ip, ())
        ]
        if self._logical:
            return tuple(found[:1]) or self.hosts
        return _once(found)

    async def _refresh_name(self, name: str) -> bool:
        stats = self._stats
        stats.update_attempt.value += 1
        try:
            addresses = await self._addresses(name)
        except OSError as error:
            stats.update_failure.value += 1
            if not self._failures:
                logger.warning("cluster %s: cannot resolve %s: %s", self.cluster.name, name, error)
            return False
        stats.update_success.value += 1
        if not addresses:
            stats.update_empty.value += 1
        if self._resolved.get(name) == addresses:
            stats.update_no_rebuild.value += 1
        self._resolved[name] = addresses
        return True

    async def _addresses(self, name: str) -> list[str]:
        try:
            return [str(ipaddress.ip_address(name))]
        except ValueError:
            pass
        first, second = _FAMILIES[self.cluster.dns_lookup_family]
        found = await self._of_family(name, first)
        if second is None or (found and self.cluster.dns_lookup_family != DnsLookupFamily.ALL):
            return found
        return found + await self._of_family(name, second)

    async def _of_family(self, name: str, family: int) -> list[str]:
        try:
            found = await self._resolve(name, family)
        except socket.gaierror as error:
            if error.errno in native.NO_ADDRESS:
                return []
            raise
        # Where all are hosts, an answer in another order is no other answer.
        return found if self._logical else sorted(found)

    def _apply(self, hosts: Hosts) -> bool:
        if hosts == self.hosts:
            return False
        self.hosts = hosts
        self._number = next(_numbers)
        if self._in_force:
            self._stats.membership_change.value += 1
            self._show(hosts)
        if self._followers:
            where = f"at {hosts[0].ip}" if self._logical else f"{len(hosts)} hosts"
            logger.info("cluster %s: now %s", self.cluster.name, where)
        for tell in list(self._followers):
            tell(self.set)
        return True

    def _show(self, hosts: Hosts) -> None:
        stats = self._stats
        stats.membership_total.value = len(hosts)
        stats.membership_healthy.value = len(hosts)
        stats.max_host_weight.value = max((entry.weight for entry in hosts), default=0)


def _once(entries: Iterable[HostEntry]) -> Hosts:
    """Of entries with one address only the first."""
    found: dict[tuple[str, int], HostEntry] = {}
    for entry in entries:
        found.setdefault((entry.ip, entry.port), entry)
    return tuple(found.values())


_FAMILIES: Final[dict[DnsLookupFamily, tuple[int, int | None]]] = {
    DnsLookupFamily.AUTO: (socket.AF_INET6, socket.AF_INET),
    DnsLookupFamily.V4_ONLY: (socket.AF_INET, None),
    DnsLookupFamily.V6_ONLY: (socket.AF_INET6, None),
    DnsLookupFamily.V4_PREFERRED: (socket.AF_INET, socket.AF_INET6),
    DnsLookupFamily.ALL: (socket.AF_INET6, socket.AF_INET),
}


class HostSets:
    """The hosts of all clusters of one configuration.

    A cluster that was there ``before`` and has not changed keeps what is known of it.
    """

    def __init__(
        self,
        clusters: Iterable[Cluster],
        registry: Registry,
        before: "HostSets | None" = None,
        resolve: Resolve | None = None,
        assigned: Mapping[str, Hosts] | None = None,
    ) -> None:
        """``assigned`` are the hosts of EDS clusters by the clusters' names."""
        resolve = resolve or SystemResolver().resolve
        self.names: Final[dict[str, Names]] = {}
        for cluster in clusters:
            known = before.names.get(cluster.name) if before is not None else None
            if known is None or known.cluster != cluster:
                known = Names(cluster, registry, resolve, (assigned or {}).get(cluster.name, ()))
            self.names[cluster.name] = known

    def resolved(self) -> dict[str, dict[str, list[str]]]:
        """By cluster: the addresses that names had when they were looked up last."""
        return {name: names.resolved for name, names in self.names.items() if names.resolved}

    def remember(self, resolved: Mapping[str, Mapping[str, list[str]]]) -> None:
        """Begin with what another process has found; names that it did not know are resolved."""
        for name, addresses in resolved.items():
            if name in self.names:
                self.names[name].remember(addresses)

    def adopt(self, before: "HostSets | None") -> None:
        """This configuration is in force instead of another."""
        old = before.names if before is not None else {}
        for name, names in self.names.items():
            former = old.get(name)
            if former is not names:
                if former is not None:
                    former.retire()
                names.adopt(former.hosts if former is not None else ())
        for name in old.keys() - self.names.keys():
            old[name].forget()

    def assign(self, assigned: Mapping[str, Hosts]) -> bool:
        """The present hosts of EDS clusters by the clusters' names; True if some are not the same."""
        changes = [self.names[name].assign(hosts) for name, hosts in assigned.items() if name in self.names]
        return any(changes)

    async def first(self, seconds: float = FIRST_TIMEOUT) -> None:
        """Resolve all names once, for at most that time; what is not known by then has no hosts."""
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                for names in self.names.values():
                    if not names.known:
                        group.start_soon(names.refresh)

    async def follow(self, tell: Tell) -> None:
        """Resolve again and again until cancelled, and tell every change."""
        async with anyio.create_task_group() as group:
            for names in self._dynamic():
                group.start_soon(names.follow, tell)

    def sets(self) -> tuple[HostSet, ...]:
        """The present hosts of all clusters whose hosts can change."""
        return tuple(names.set for names in self._dynamic())

    def _dynamic(self) -> list[Names]:
        return [names for names in self.names.values() if names.dynamic]
