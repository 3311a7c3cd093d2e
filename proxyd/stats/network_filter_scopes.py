"""The stat names of network filters that look at connections before the last filter has them."""

from typing import Final

from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import Scope, escape


class ConnectionLimitStats:
    """``connection_limit.<stat_prefix>.``"""

    def __init__(self, registry: Registry, stat_prefix: str) -> None:
        scope = Scope(registry, f"connection_limit.{escape(stat_prefix)}.")
        self.active_connections: Final = scope.gauge("active_connections")
        self.limited_connections: Final = scope.counter("limited_connections")


class RbacStats:
    """``<stat_prefix>rbac.``; what the shadow rules say stands behind a prefix of their own."""

    def __init__(self, registry: Registry, stat_prefix: str, shadow_prefix: str) -> None:
        scope = Scope(registry, f"{stat_prefix}rbac.")
        self.allowed: Final = scope.counter("allowed")
        self.denied: Final = scope.counter("denied")
        shadow = f"{shadow_prefix}." if shadow_prefix else ""
        self.shadow_allowed: Final = scope.counter(f"{shadow}shadow_allowed")
        self.shadow_denied: Final = scope.counter(f"{shadow}shadow_denied")


class LocalRateLimitStats:
    """``local_rate_limit.<stat_prefix>.``"""

    def __init__(self, registry: Registry, stat_prefix: str) -> None:
        scope = Scope(registry, f"local_rate_limit.{escape(stat_prefix)}.")
        self.rate_limited: Final = scope.counter("rate_limited")
