"""The HTTP filters of a connection manager in their compiled form: which are at work, for which routes."""

from collections.abc import Mapping, Sequence
from typing import Final

from proxyd.config import route as config
from proxyd.config.grpc_filters import Config as GrpcHttp1Bridge
from proxyd.config.grpc_filters import FilterConfig as GrpcStatsConfig
from proxyd.config.grpc_filters import GrpcWeb
from proxyd.config.http_connection_manager import UpgradeConfig
from proxyd.config.http_filters import FilterConfig, HttpFilter, Router
from proxyd.config.message import Message
from proxyd.filters.grpc_http1_bridge import GrpcHttp1BridgeFactory
from proxyd.filters.grpc_stats import GrpcStatsFactory
from proxyd.filters.grpc_web import GrpcWebFactory
from proxyd.filters.http_filter import HttpFilterFactory
from proxyd.stats.grpc_scopes import GrpcStats
from proxyd.stats.metrics import Registry

Factories = tuple[HttpFilterFactory, ...]


class HttpFilters:
    """The filters in front of the router, in their order; ``upgrades`` has those of some protocols."""

    def __init__(
        self, filters: Sequence[HttpFilter], registry: Registry, upgrades: Sequence[UpgradeConfig] = ()
    ) -> None:
        self.upgrades: Final[dict[bytes, HttpFilters]] = {
            each.upgrade_type.lower().encode(): HttpFilters(each.filters, registry)
            for each in upgrades
            if each.filters
        }
        self._names: Final[list[str]] = []
        self._disabled: Final[list[bool]] = []
        self._factories: Final[list[HttpFilterFactory]] = []
        for each in filters:
            if not isinstance(each.typed_config, Router):
                self._names.append(each.name)
                self._disabled.append(each.disabled)
                self._factories.append(compile_http_filter(each.typed_config, registry))
        # There are some, if only disabled ones.
        self.any: Final[bool] = bool(self._names) or any(each.any for each in self.upgrades.values())
        self.default: Final[Factories] = self._chosen({})

    def of(self, levels: Sequence[Mapping[str, FilterConfig]]) -> Factories | None:
        """Those at work for a route, whose ``levels`` stand here from the farthest to the nearest.

        None where they are the default's.
        """
        said: dict[str, bool] = {}
        for level in levels:
            said.update({name: each.disabled for name, each in level.items()})
        chosen = self._chosen(said)
        return None if chosen == self.default else chosen

    def of_upgrades(self, levels: Sequence[Mapping[str, FilterConfig]]) -> dict[bytes, Factories] | None:
        """The same of protocols with their own; None where all are the default's."""
        found: dict[bytes, Factories] = {}
        for protocol, filters in self.upgrades.items():
            chosen = filters.of(levels)
            if chosen is not None:
                found[protocol] = chosen
        return found or None

    def _chosen(self, said: Mapping[str, bool]) -> Factories:
        return tuple(
            [
                factory
                for name, disabled, factory in zip(self._names, self._disabled, self._factories, strict=True)
                if not said.get(name, disabled)
            ]
        )


class RouteFilters:
    """Which filters are at work for the routes of one virtual host."""

    def __init__(
        self, filters: HttpFilters | None, table: config.RouteConfiguration, host: config.VirtualHost
    ) -> None:
        self._filters: Final = filters
        self._levels: Final = [table.typed_per_filter_config, host.typed_per_filter_config]

    def of(self, route: config.Route, weight: config.ClusterWeight | None = None) -> Factories | None:
        """None: the manager's default."""
        return None if self._filters is None else self._filters.of(self._levels_of(route, weight))

    def of_upgrades(
        self, route: config.Route, weight: config.ClusterWeight | None = None
    ) -> dict[bytes, Factories] | None:
        """The same of protocols with filters of their own."""
        return None if self._filters is None else self._filters.of_upgrades(self._levels_of(route, weight))

    def _levels_of(
        self, route: config.Route, weight: config.ClusterWeight | None
    ) -> list[Mapping[str, FilterConfig]]:
        levels: list[Mapping[str, FilterConfig]] = [*self._levels, route.typed_per_filter_config]
        if weight is not None:
            levels.append(weight.typed_per_filter_config)
        return levels


def compile_http_filter(config: Message, registry: Registry) -> HttpFilterFactory:
    """A filter of a chain, compiled."""
    if isinstance(config, GrpcWeb):
        return GrpcWebFactory(GrpcStats(registry, "grpc-web"))
    if isinstance(config, GrpcHttp1Bridge):
        return GrpcHttp1BridgeFactory(config.upgrade_protobuf_to_grpc, config.ignore_query_parameters)
    assert isinstance(config, GrpcStatsConfig), "the loader lets no other filter pass"
    listed = config.individual_method_stats_allowlist
    methods = frozenset(
        (service.name.encode(), method.encode())
        for service in (() if listed is None else listed.services)
        for method in service.method_names
    )
    return GrpcStatsFactory(
        GrpcStats(registry),
        bool(config.stats_for_all_methods),
        methods,
        config.replace_dots_in_grpc_service_name,
        config.enable_upstream_stats,
    )
