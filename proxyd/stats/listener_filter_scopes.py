"""The stat names of listener filters, of all listeners together."""

from typing import Final

from proxyd.stats.metrics import Counter, Registry
from proxyd.stats.scopes import Scope


class ProxyProtocolStats:
    """``proxy_proto.[<stat_prefix>.]``: what connections began with."""

    def __init__(self, registry: Registry, stat_prefix: str) -> None:
        scope = Scope(registry, f"proxy_proto.{stat_prefix}." if stat_prefix else "proxy_proto.")
        self.error: Final = registry.counter("downstream_cx_proxy_proto_error")
        self.not_found_allowed: Final = scope.counter("not_found_allowed")
        self.not_found_disallowed: Final = scope.counter("not_found_disallowed")
        self.versions: Final = [VersionStats(scope, version) for version in (1, 2)]

    def version(self, version: int) -> "VersionStats":
        return self.versions[version - 1]


class VersionStats:
    """``versions.v<version>.``"""

    def __init__(self, scope: Scope, version: int) -> None:
        self.found: Final[Counter] = scope.counter(f"versions.v{version}.found")
        self.disallowed: Final[Counter] = scope.counter(f"versions.v{version}.disallowed")
        self.error: Final[Counter] = scope.counter(f"versions.v{version}.error")


class HttpInspectorStats:
    """``http_inspector.``: which HTTP connections began with."""

    def __init__(self, registry: Registry) -> None:
        scope = Scope(registry, "http_inspector.")
        self.http10_found: Final = scope.counter("http10_found")
        self.http11_found: Final = scope.counter("http11_found")
        self.http2_found: Final = scope.counter("http2_found")
        self.http_not_found: Final = scope.counter("http_not_found")
        scope.zero_counters("parse_error read_error")
