"""The hosts of all clusters: STATIC ones as written, STRICT_DNS ones resolved for all workers at once.

Envoy: config.cluster.v3.Cluster (STRICT_DNS, dns_refresh_rate, dns_lookup_family). All addresses that a name
has are hosts. A name that cannot be resolved just now keeps the hosts it had; one that has no address (any
more) has no hosts.
"""

import ipaddress
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import anyio
import anyio.to_thread

from proxyd.config.cluster import Cluster, DiscoveryType, DnsLookupFamily
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import escape
from proxyd.stats.server_scopes import ClusterUpdateStats
from proxyd.workers.control import HostSet

logger = logging.getLogger("dns")

FIRST_TIMEOUT: Final = 5.0  # seconds a generation waits for names before it starts without them
_REFRESH_RATE: Final = 5.0  # seconds; Envoy's default of dns_refresh_rate
_LONGEST_BACKOFF: Final = 60.0  # seconds between attempts while a name cannot be resolved
_NO_ADDRESS: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_THREADS: Final = 16

Resolve = Callable[[str, int], Awaitable[list[str]]]
Hosts = tuple[tuple[str, int, str], ...]


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

    def __init__(self, cluster: Cluster, registry: Registry, resolve: Resolve) -> None:
        self.cluster: Final = cluster
        stat_name = cluster.alt_stat_name or cluster.name
        self._stats: Final = ClusterUpdateStats(registry, stat_name)
        prefix = f"cluster.{escape(stat_name)}."
        self._membership: Final = [
            registry.gauge(prefix + name, shared=True) for name in ("membership_total", "membership_healthy")
        ]
        self._weight: Final = registry.gauge(prefix + "max_host_weight", shared=True)
        self._resolve: Final = resolve
        self._failures = 0
        self._targets: Final = [
            (
                locality_host.endpoint.address.socket_address.address,
                locality_host.endpoint.address.socket_address.port_value,
                locality_host.endpoint.hostname,
            )
            for locality in (cluster.load_assignment.endpoints if cluster.load_assignment else ())
            for locality_host in locality.lb_endpoints
        ]
        self._resolved: dict[str, list[str]] = {}
        self._in_force = False
        self.hosts: Hosts = () if self.dynamic else tuple(dict.fromkeys(self._targets))

    @property
    def dynamic(self) -> bool:
        return self.cluster.type == DiscoveryType.STRICT_DNS

    @property
    def known(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self.dynamic or bool(self._resolved)

    def adopt(self, before: Hosts) -> None:
        """The cluster is in force from now on; its hosts were ``before`` under the same name."""
        self._in_force = True
        if self.hosts != before:
            self._stats.membership_change.value += 1
        self._show(len(self.hosts))

    def forget(self) -> None:
        """The cluster is no more."""
        self._in_force = False
        self._show(0)

    async def refresh(self) -> bool:
        """Resolve every name once; True if the hosts have changed."""
        failed = False
        for name in dict.fromkeys(target[0] for target in self._targets):
            failed = not await self._refresh_name(name) or failed
        self._failures = self._failures + 1 if failed else 0
        return self._apply(
            tuple(
                dict.fromkeys(
                    (ip, port, hostname or name)
                    for name, port, hostname in self._targets
                    for ip in self._resolved.get(name, ())
                )
            )
        )

    def next_refresh(self) -> float:
        """Seconds until the next refresh: the configured rate, longer and jittered while names fail."""
        rate = self.cluster.dns_refresh_rate or _REFRESH_RATE
        if not self._failures:
            return rate
        longest = min(rate * 2 ** min(self._failures - 1, 16), max(rate, _LONGEST_BACKOFF))
        return random.uniform(longest / 2, longest) if longest > rate else rate

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
            return sorted(found)
        return sorted(found) + sorted(await self._of_family(name, second))

    async def _of_family(self, name: str, family: int) -> list[str]:
        try:
            return await self._resolve(name, family)
        except socket.gaierror as error:
            if error.errno in _NO_ADDRESS:
                return []
            raise

    def _apply(self, hosts: Hosts) -> bool:
        changed = hosts != self.hosts
        self.hosts = hosts
        if changed and self._in_force:
            self._stats.membership_change.value += 1
            self._show(len(hosts))
        return changed

    def _show(self, hosts: int) -> None:
        for gauge in self._membership:
            gauge.value = hosts
        self._weight.value = 1 if hosts else 0


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
    ) -> None:
        resolve = resolve or SystemResolver().resolve
        self.names: Final[dict[str, Names]] = {}
        self._numbers: Final[dict[str, int]] = {}
        for cluster in clusters:
            known = before.names.get(cluster.name) if before is not None else None
            if known is None or known.cluster != cluster:
                known = Names(cluster, registry, resolve)
            self.names[cluster.name] = known

    def adopt(self, before: "HostSets | None") -> None:
        """This configuration is in force instead of another."""
        old = before.names if before is not None else {}
        for name, names in self.names.items():
            if old.get(name) is not names:
                names.adopt(old[name].hosts if name in old else ())
        for name in old.keys() - self.names.keys():
            old[name].forget()

    async def first(self, seconds: float = FIRST_TIMEOUT) -> None:
        """Resolve all names once, for at most that time; what is not known by then has no hosts."""
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                for names in self.names.values():
                    if not names.known:
                        group.start_soon(names.refresh)

    async def follow(self, on_change: Callable[[HostSet], None]) -> None:
        """Resolve again and again until cancelled, and tell every change."""
        async with anyio.create_task_group() as group:
            for names in self._dynamic():
                group.start_soon(self._follow, names, on_change)

    def sets(self) -> tuple[HostSet, ...]:
        """The present hosts of all clusters whose hosts can change."""
        return tuple(self._set(names) for names in self._dynamic())

    async def _follow(self, names: Names, on_change: Callable[[HostSet], None]) -> None:
        while True:
            await anyio.sleep(names.next_refresh())
            if await names.refresh():
                number = self._numbers.get(names.cluster.name, 0)
                self._numbers[names.cluster.name] = number + 1
                logger.info("cluster %s: now %d hosts", names.cluster.name, len(names.hosts))
                on_change(self._set(names))

    def _set(self, names: Names) -> HostSet:
        name = names.cluster.name
        return HostSet(name, self._numbers.get(name, 0), names.hosts)

    def _dynamic(self) -> list[Names]:
        return [names for names in self.names.values() if names.dynamic]
