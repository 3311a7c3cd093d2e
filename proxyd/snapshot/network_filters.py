"""Network filters in their compiled form: echo, direct_response, and those in front of the last one."""

from typing import Final

from proxyd.config.direct_response import Config as DirectResponse
from proxyd.config.message import Message
from proxyd.config.network_filters import (
    ConnectionLimit,
    Echo,
    LocalRateLimit,
    RuntimeFeatureFlag,
    SniCluster,
)
from proxyd.config.network_rbac import RBAC, EnforcementType
from proxyd.snapshot.http_connection_manager import AccessLogSnapshot
from proxyd.snapshot.rbac import Rbac
from proxyd.snapshot.runtime import Runtime
from proxyd.stats.metrics import Registry
from proxyd.stats.network_filter_scopes import ConnectionLimitStats, LocalRateLimitStats, RbacStats


class DirectResponseSnapshot:
    """What every connection is told before it is closed, or with ``echoes`` what it says itself."""

    def __init__(
        self, config: Echo | DirectResponse, buffer_limit: int, filter_chain_name: str, tls: bool
    ) -> None:
        self.echoes: Final[bool] = isinstance(config, Echo)
        response = None if isinstance(config, Echo) else config.response
        self.response: Final[bytes] = b"" if response is None else response.contents
        self.buffer_limit: Final = buffer_limit
        self.filter_chain_name: Final = filter_chain_name
        self.tls: Final = tls  # of the filter chain: clients shake hands first
        self.access_logs: Final[list[AccessLogSnapshot]] = []


class NetworkFilterSnapshot:
    """A filter in front of the last one."""


class SniClusterSnapshot(NetworkFilterSnapshot):
    """It has no options."""


class ConnectionLimitSnapshot(NetworkFilterSnapshot):
    """``delay`` in seconds, 0.0 for none; ``name`` is under which all workers' connections count."""

    def __init__(self, config: ConnectionLimit, registry: Registry, runtime: Runtime, name: str) -> None:
        self.name: Final = name
        self.stats: Final = ConnectionLimitStats(registry, config.stat_prefix)
        self.max_connections: Final = config.max_connections
        self.delay: Final[float] = config.delay or 0.0
        self.enabled: Final[bool] = _enabled(config.runtime_enabled, runtime)


class LocalRateLimitSnapshot(NetworkFilterSnapshot):
    """``rate`` in tokens a second; ``name`` is of the bucket that all workers share."""

    def __init__(self, config: LocalRateLimit, registry: Registry, runtime: Runtime, name: str) -> None:
        self.name: Final = name
        self.stats: Final = LocalRateLimitStats(registry, config.stat_prefix)
        bucket = config.token_bucket
        self.max_tokens: Final = bucket.max_tokens
        self.rate: Final[float] = (bucket.tokens_per_fill or 1) / bucket.fill_interval
        self.enabled: Final[bool] = _enabled(config.runtime_enabled, runtime)


class RbacSnapshot(NetworkFilterSnapshot):
    """``rules`` decide, ``shadow`` is counted."""

    def __init__(self, config: RBAC, registry: Registry) -> None:
        """Raises RegexError."""
        self.stats: Final = RbacStats(registry, config.stat_prefix, config.shadow_rules_stat_prefix)
        self.rules: Final = None if config.rules is None else Rbac(config.rules)
        self.shadow: Final = None if config.shadow_rules is None else Rbac(config.shadow_rules)
        self.continuous: Final[bool] = config.enforcement_type is EnforcementType.CONTINUOUS


def compile_network_filter(
    config: Message, registry: Registry, runtime: Runtime, name: str
) -> NetworkFilterSnapshot:
    """A filter in front of the last one; ``name`` is for one that limits. Raises RegexError."""
    if isinstance(config, ConnectionLimit):
        return ConnectionLimitSnapshot(config, registry, runtime, name)
    if isinstance(config, LocalRateLimit):
        return LocalRateLimitSnapshot(config, registry, runtime, name)
    if isinstance(config, RBAC):
        return RbacSnapshot(config, registry)
    assert isinstance(config, SniCluster), "the loader lets no last filter stand before others"
    return SniClusterSnapshot()


def _enabled(flag: RuntimeFeatureFlag | None, runtime: Runtime) -> bool:
    if flag is None:
        return True
    value = runtime.get(flag.runtime_key)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value if isinstance(value, bool) else flag.default_value
