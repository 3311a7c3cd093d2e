"""One endpoint of a cluster: where it is, and its pool of connections."""

from typing import Final

from proxyd.net.addresses import format_address
from proxyd.net.named_pools import NamedPools
from proxyd.net.pool import Pool, PoolOwner
from proxyd.snapshot.clusters import HostEntry
from proxyd.stats.scopes import HostStats


class Host:
    """One endpoint of a cluster with its pool; lives as long as host sets name it and then until it is idle.

    A LOGICAL_DNS cluster's host changes its address, and has connections to former ones.
    """

    def __init__(self, cluster: PoolOwner, entry: HostEntry, stats: HostStats) -> None:
        self.ip: str = entry.ip
        self.port: Final = entry.port
        self.hostname: str = entry.hostname
        self.weight: int = entry.weight
        self.address: str = format_address(entry.ip, entry.port)
        self.stats: Final = stats
        self.pool: Final = host_pool(cluster, self)

    def update(self, entry: HostEntry) -> None:
        """Take over what a newer host set says."""
        self.hostname = entry.hostname
        self.weight = entry.weight
        if self.ip != entry.ip:
            self.ip = entry.ip
            self.address = format_address(entry.ip, entry.port)


def host_pool(cluster: PoolOwner, host: Host) -> Pool:
    """The pool of a host as its cluster's TLS wants it: one for all requests, or one for each name."""
    tls = cluster.config.tls
    if tls is None:
        return Pool(cluster, host)
    if tls.by_request:
        return NamedPools(cluster, host, tls)
    return Pool(cluster, host, host.hostname or tls.server_name if tls.by_host else tls.server_name)
