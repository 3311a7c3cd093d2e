"""Live clusters: their hosts, and which one is next."""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Final

from proxyd.codec.headers import Headers
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.net.addresses import format_address
from proxyd.net.balance import Balancer, balancer
from proxyd.net.hash_balance import hash_balancer
from proxyd.net.host import Host
from proxyd.net.pool import PoolOwner
from proxyd.net.timers import TimerWheel
from proxyd.snapshot.clusters import ClusterSnapshot, HostEntry
from proxyd.snapshot.hash_policy import NO_KEY
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import HostStats

__all__ = ["Cluster", "Host"]


class Cluster(PoolOwner):
    """Hosts that do the same work, with what all requests to them share."""

    def __init__(
        self, config: ClusterSnapshot, loop: asyncio.AbstractEventLoop, wheel: TimerWheel, registry: Registry
    ) -> None:
        super().__init__(config, loop, wheel)
        self.hashes: Final[bool] = config.load_balancing.hashes
        self._registry: Final = registry
        self._hosts: list[Host] = []
        self._leaving: set[Host] = set()  # named by no host set any more, but not idle yet
        self._balancer: Balancer | None = None  # None without hosts
        self._on_gone: Callable[[Cluster], None] | None = None
        self.update_hosts(config.hosts)

    def choose(self, connection: ConnectionInfo, headers: Headers, key: int = NO_KEY) -> Host | None:
        """The host for the next request, or None where the cluster has none.

        ``connection`` and ``headers`` are the client's; what carries bytes has no headers. ``key`` is the
        hash of what the filter or route hashes, for a cluster that ``hashes``.
        """
        chooser = self._balancer
        if chooser is None:
            self.stats.upstream_cx_none_healthy.value += 1
            self.stats.lb_healthy_panic.value += 1  # as in Envoy: none of none is healthy
            return None
        return self._hosts[chooser.choose(key)]

    def update_hosts(self, entries: Iterable[HostEntry]) -> None:
        """Replace the host set; hosts that stay keep their connections, others finish what they have."""
        if self.config.logical_host:
            hosts = self._logical(entries)
            gone: list[Host] = []
        else:
            hosts, gone = self._strict(entries)
        self._hosts = hosts
        self._balancer = None
        if hosts:
            self._balancer = self._new_balancer(hosts)
        if not self.config.resolved:  # whoever resolves the others counts them
            self.stats.membership_total.value = len(hosts)
            self.stats.membership_healthy.value = len(hosts)
        self._leaving.update(gone)
        for host in gone:
            host.removed = True
            host.pool.close()

    def _new_balancer(self, hosts: list[Host]) -> Balancer:
        policy = self.config.load_balancing
        weights = [host.weight for host in hosts]
        if self.hashes:
            names = [format_address(host.ip, host.port) for host in hosts]
            return hash_balancer(policy, names, weights, random.random)
        return balancer(policy, weights, [host.stats.rq_active for host in hosts])

    def _strict(self, entries: Iterable[HostEntry]) -> tuple[list[Host], list[Host]]:
        """The hosts of these entries, known ones taken over, and the known ones that are not among them."""
        known = {(host.ip, host.port): host for host in self._hosts}
        seen: set[tuple[str, int]] = set()
        hosts: list[Host] = []
        for entry in entries:
            key = (entry.ip, entry.port)
            if self.config.resolved and key in seen:
                continue  # several names may resolve to one address: it is one host all the same
            seen.add(key)
            host = known.pop(key, None)
            if host is None:
                host = self._new_host(entry, format_address(entry.ip, entry.port))
            else:
                host.update(entry)
            hosts.append(host)
        return hosts, list(known.values())

    def _logical(self, entries: Iterable[HostEntry]) -> list[Host]:
        """The one host, wherever it is now: new connections go there, and the present ones stay."""
        for entry in entries:
            if not self._hosts:
                return [self._new_host(entry, self.config.logical_host)]
            self._hosts[0].update(entry)
            break
        return self._hosts

    def _present(self) -> list[Host]:
        return self._hosts

    def _new_host(self, entry: HostEntry, counted_as: str) -> Host:
        return Host(self, entry, HostStats(self._registry, self.config.name, counted_as))

    def retire(self, on_gone: "Callable[[Cluster], None]") -> None:
        """Another has this one's place, or none has: finish what is under way, then say so.

        Requests that have chosen this cluster may still be sent to its hosts, for the last time.
        """
        self._on_gone = on_gone
        self._leaving.update(self._present())
        for host in list(self._leaving):
            host.removed = True
            host.pool.close()

    def on_drained(self, host: Host) -> None:
        self._leaving.discard(host)
        if self._on_gone is not None and not self._leaving:
            self._on_gone(self)

    def abort(self) -> None:
        """Close every connection at once."""
        for host in [*self._present(), *self._leaving]:
            host.pool.abort()
