"""One endpoint of a cluster: where it is, and its pool of connections."""

from typing import Final

from proxyd.net.addresses import format_address
from proxyd.net.pool import PoolOwner
from proxyd.net.pool_set import new_pool
from proxyd.snapshot.clusters import HostEntry
from proxyd.stats.scopes import HostStats


class Host:
    """One endpoint of a cluster with its pool; lives as long as host sets name it and then until it is idle.

    A LOGICAL_DNS cluster's host changes its address, and has connections to former ones.
    """

    def __init__(self, cluster: PoolOwner, entry: HostEntry, stats: HostStats) -> None:
        self._cluster: Final = cluster
        self.ip: str = entry.ip
        self.port: Final = entry.port
        self.hostname: str = entry.hostname
        self.weight: int = entry.weight
        self.address: str = format_address(entry.ip, entry.port)
        self.removed: bool = False  # no host set names it any more
        self.stats: Final = stats
        self.pool: Final = new_pool(cluster, self)

    @property
    def server_name(self) -> str:
        """Whom the host has to be in TLS, where no request says so."""
        tls = self._cluster.config.tls
        if tls is None:
            return ""
        return self.hostname or tls.server_name if tls.by_host else tls.server_name

    def update(self, entry: HostEntry) -> None:
        """Take over what a newer host set says."""
        self.hostname = entry.hostname
        self.weight = entry.weight
        if self.ip != entry.ip:
            self.ip = entry.ip
            self.address = format_address(entry.ip, entry.port)
