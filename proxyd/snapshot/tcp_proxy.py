"""tcp_proxy in its compiled form."""

import itertools
from typing import Final

from proxyd.config.tcp_proxy import BackoffStrategy, ClusterWeight, TcpProxy
from proxyd.snapshot.http_connection_manager import compile_access_logs
from proxyd.snapshot.runtime import Runtime
from proxyd.stats.metrics import Registry
from proxyd.stats.tcp_scopes import TcpStats

# Envoy's defaults (TcpProxy, BackoffStrategy).
IDLE_TIMEOUT_S: Final = 3600.0
_MOST_BACKOFFS: Final = 10


class Backoff:
    """How long to wait before another try. Times in seconds."""

    def __init__(self, config: BackoffStrategy) -> None:
        self.base: Final = config.base_interval
        self.most: Final[float] = config.max_interval or config.base_interval * _MOST_BACKOFFS

    def interval(self, tries: int, chance: float) -> float:
        """Before the try after ``tries`` failed ones; ``chance`` is from 0.0 up to but not including 1.0."""
        return min(self.base * 2.0 ** min(tries, 64), self.most) * (0.5 + chance / 2.0)


class TcpProxySnapshot:
    """One compiled tcp_proxy. Times in seconds, 0.0 for none."""

    def __init__(
        self,
        config: TcpProxy,
        registry: Registry,
        runtime: Runtime,
        buffer_limit: int,
        filter_chain_name: str,
        tls: bool,
    ) -> None:
        """Raises FormatError, RegexError."""
        self.buffer_limit: Final = buffer_limit
        self.filter_chain_name: Final = filter_chain_name
        self.tls: Final = tls  # of the filter chain: clients shake hands first
        self.stats: Final = TcpStats(registry, config.stat_prefix)
        weighted = config.weighted_clusters
        single = (ClusterWeight(name=config.cluster or "", weight=1),)
        weights = single if weighted is None else weighted.clusters
        self.clusters: Final[list[str]] = [each.name for each in weights]
        # The share of each and of all before it.
        self.shares: Final[list[int]] = list(itertools.accumulate(each.weight for each in weights))
        idle = config.idle_timeout
        self.idle_timeout: Final[float] = IDLE_TIMEOUT_S if idle is None else idle
        self.max_duration: Final[float] = config.max_downstream_connection_duration or 0.0
        jitter = config.max_downstream_connection_duration_jitter_percentage
        self.duration_jitter: Final[float] = 0.0 if jitter is None else jitter.value / 100.0
        self.max_connect_attempts: Final[int] = config.max_connect_attempts or 1
        backoff = config.backoff_options
        self.backoff: Final = None if backoff is None else Backoff(backoff)
        self.hashes_source: Final[bool] = bool(config.hash_policy)
        self.access_logs: Final = compile_access_logs(config.access_log, runtime)
        options = config.access_log_options
        self.log_interval: Final[float] = 0.0 if options is None else options.access_log_flush_interval or 0.0
        self.logs_connected: Final[bool] = options is not None and options.flush_access_log_on_connected

    def pick(self, chance: float) -> str:
        """The name of the cluster for a connection; ``chance`` as in Backoff."""
        shares = self.shares
        if len(shares) == 1:
            return self.clusters[0]
        drawn = chance * shares[-1]
        for name, share in zip(self.clusters, shares, strict=True):
            if drawn < share:
                return name
        return self.clusters[-1]
