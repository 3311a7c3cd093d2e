"""ORIGINAL_DST clusters: a request goes where its client, or a header, says, and hosts are made for that.

Envoy: config.cluster.v3.Cluster.OriginalDstLbConfig. Each process has hosts of its own, at most as many as
the cluster may have connections: for one more the oldest that is not in use has to go. Clients choose them,
so their numbers are not published by name. As in Envoy, a host's name is the cluster's with the address.
"""

import asyncio
import ipaddress
import time
from typing import Final

from proxyd.codec.headers import Headers
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.net.addresses import format_address, parse_address
from proxyd.net.cluster import Cluster
from proxyd.net.host import Host
from proxyd.net.timers import Timed, TimerWheel
from proxyd.snapshot.clusters import ClusterSnapshot, HostEntry, OriginalDstSnapshot
from proxyd.snapshot.hash_policy import NO_KEY
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import HostStats, OriginalDstStats

_LONGEST_DESTINATION: Final = 64  # bytes; an IPv6 address in brackets and a port have 47


def new_cluster(
    config: ClusterSnapshot, loop: asyncio.AbstractEventLoop, wheel: TimerWheel, registry: Registry
) -> Cluster:
    """The live form of a compiled cluster."""
    if config.original_dst is None:
        return Cluster(config, loop, wheel, registry)
    return OriginalDstCluster(config, config.original_dst, loop, wheel, registry)


class OriginalDstCluster(Cluster):
    """Hosts by their addresses, the one that has not been asked for longest first."""

    def __init__(
        self,
        config: ClusterSnapshot,
        options: OriginalDstSnapshot,
        loop: asyncio.AbstractEventLoop,
        wheel: TimerWheel,
        registry: Registry,
    ) -> None:
        super().__init__(config, loop, wheel, registry)
        self._options: Final = options
        self._counted: Final = OriginalDstStats(registry, config.stat_name)
        self._table: Final[dict[tuple[str, int], Host]] = {}
        self._used: Final[set[Host]] = set()  # since the last cleanup
        self._cleanup: Final = _Cleanup(self)

    def choose(self, connection: ConnectionInfo, headers: Headers, key: int = NO_KEY) -> Host | None:
        options = self._options
        meant = connection.original_destination
        if options.header:
            named = headers.get(options.header)
            if named is not None:
                destination = _parse(named)
                if destination is None:
                    self._counted.host_invalid.value += 1
                else:
                    meant = destination
        host = None if meant is None else self._find(meant[0], meant[1] if options.port < 0 else options.port)
        if host is None:
            self.stats.upstream_cx_none_healthy.value += 1
        return host

    def _find(self, ip: str, port: int) -> Host | None:
        key = (ip, port)
        host = self._table.get(key)
        if host is not None:
            if host not in self._used:
                self._used.add(host)
                del self._table[key]  # to the end of the line
                self._table[key] = host
            return host
        if len(self._table) >= self.config.max_connections and not self._make_room():
            return None
        name = self.config.name
        address = format_address(ip, port)
        host = Host(self, HostEntry(ip, port, name + address), HostStats(Registry(None), name, address))
        self._table[key] = host
        self._used.add(host)
        self._count_members()
        if len(self._table) == 1:
            self.wheel.arm(self._cleanup, time.monotonic() + self._options.cleanup_interval)
        return host

    def _make_room(self) -> bool:
        for key, host in self._table.items():
            if not host.stats.rq_active.value:  # idle connections are no reason to refuse others
                self._used.discard(host)
                self._forget(key, host)
                return True
        return False

    def clean_up(self, now: float) -> None:
        """Forget the hosts that have not been chosen since the last time and have no connection."""
        used = self._used
        for key, host in list(self._table.items()):
            if host not in used and not host.stats.cx_active.value:
                self._forget(key, host)
        used.clear()
        if self._table:
            self.wheel.arm(self._cleanup, now + self._options.cleanup_interval)

    def _forget(self, key: tuple[str, int], host: Host) -> None:
        del self._table[key]
        self._count_members()
        self._leaving.add(host)
        host.removed = True
        host.pool.close()

    def _count_members(self) -> None:
        self._counted.membership_change.value += 1
        count = len(self._table)
        self.stats.membership_total.value = count
        self.stats.membership_healthy.value = count

    def _present(self) -> list[Host]:
        return list(self._table.values())


class _Cleanup(Timed):
    """When a cluster looks for hosts that nobody uses any more."""

    __slots__ = ("_cluster",)

    def __init__(self, cluster: OriginalDstCluster) -> None:
        super().__init__()
        self._cluster: Final = cluster

    def on_deadline(self, now: float) -> None:
        self._cluster.clean_up(now)


def _parse(text: bytes) -> tuple[str, int] | None:
    """``ip:port``, an IPv6 address in brackets; None for anything else."""
    if len(text) > _LONGEST_DESTINATION or not text.isascii() or b"%" in text:
        return None
    found = parse_address(text.decode())
    if found is None or found[1] > 65535:
        return None
    try:
        ip = ipaddress.ip_address(found[0])
    except ValueError:
        return None
    if (ip.version == 6) != text.startswith(b"["):
        return None
    return str(ip), found[1]
