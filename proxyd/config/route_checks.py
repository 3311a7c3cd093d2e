"""What no single field of a route table can tell: domains, clusters, weights, bodies, headers to change."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from proxyd.config.core import DataSource, HeaderValueOption
from proxyd.config.finding import Finding
from proxyd.config.http_filters import ROUTER
from proxyd.config.mistakes import NOT_SUPPORTED, did_you_mean, quote
from proxyd.config.route import (
    ClusterWeight,
    Route,
    RouteAction,
    RouteConfiguration,
    VirtualHost,
    WeightedCluster,
)

MAX_DIRECT_RESPONSE: Final = 4096  # bytes, unless the route table says otherwise
_MAX_WEIGHT: Final = 0xFFFFFFFF

Names = dict[str, None]  # in their order, quickly found


class _Known(NamedTuple):
    """The clusters that exist, and whether there will be more."""

    clusters: Names
    later: bool


_Level = ClusterWeight | Route | VirtualHost | RouteConfiguration
# Where a message ends and what is of one hop is decided in one place, and that is not a route table.
_NOT_TO_ADD: Final = frozenset(
    ("content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "upgrade",
     "http2-settings")
)  # fmt: skip
_NOT_TO_REMOVE: Final = frozenset(("content-length", "upgrade"))


def check_routes(
    path: str, config: RouteConfiguration, clusters: Names, later: bool = False
) -> Iterator[Finding]:
    """Everything that is wrong with a route table as a whole; ``clusters`` are those that exist.

    ``later``: others will come, too late for a table that is checked now.
    """
    yield from _headers(path, config)
    yield from _filters(path, config)
    known = _Known(clusters, later) if config.validate_clusters is not False else None
    size = config.max_direct_response_body_size_bytes
    first: dict[str, str] = {}
    for index, host in enumerate(config.virtual_hosts):
        within = f"{path}.virtual_hosts[{index}]"
        for number, domain in enumerate(host.domains):
            place = f"{within}.domains[{number}]"
            if mistake := _domain_mistake(domain):
                yield Finding(place, mistake)
            elif domain and first.setdefault(domain.lower(), place) != place:
                yield Finding(place, f"duplicate domain {quote(domain)}: {first[domain.lower()]} has it")
        yield from _headers(within, host)
        yield from _filters(within, host)
        for number, route in enumerate(host.routes):
            place = f"{within}.routes[{number}]"
            yield from _headers(place, route)
            yield from _filters(place, route)
            if route.route is not None:
                yield from _action(f"{place}.route", route.route, known)
            if route.direct_response is not None and route.direct_response.body is not None:
                limit = MAX_DIRECT_RESPONSE if size is None else size
                yield from _body(f"{place}.direct_response.body", route.direct_response.body, limit)


def _domain_mistake(domain: str) -> str | None:
    """Envoy takes an asterisk in the middle for a letter that no host has; here it is a mistake."""
    if domain.count("*") > 1 or "*" in domain[1:-1]:
        return f'{quote(domain)} can never match: "*" stands alone, as the first character or as the last'
    return None


def _action(path: str, action: RouteAction, clusters: _Known | None) -> Iterator[Finding]:
    yield from _cluster(f"{path}.cluster", action.cluster or "", clusters)
    if action.prefix_rewrite and action.regex_rewrite is not None:
        yield Finding(f"{path}.regex_rewrite", "only one of prefix_rewrite and regex_rewrite can be set")
    for index, upgrade in enumerate(action.upgrade_configs):
        if upgrade.connect_config is not None and upgrade.upgrade_type.upper() != "CONNECT":
            yield Finding(
                f"{path}.upgrade_configs[{index}].connect_config", "is for the upgrade_type CONNECT"
            )
    if action.weighted_clusters is not None:
        yield from _weights(f"{path}.weighted_clusters", action.weighted_clusters, clusters)


def _weights(path: str, weighted: WeightedCluster, clusters: _Known | None) -> Iterator[Finding]:
    for index, cluster in enumerate(weighted.clusters):
        place = f"{path}.clusters[{index}]"
        yield from _headers(place, cluster)
        yield from _filters(place, cluster)
        yield from _cluster(f"{place}.name", cluster.name, clusters)
        if bool(cluster.name) == bool(cluster.cluster_header):
            yield Finding(place, "exactly one of name and cluster_header must be set")
    total = sum(cluster.weight for cluster in weighted.clusters)
    every = tuple(f"{path}.clusters[{index}].weight" for index in range(len(weighted.clusters)))
    if not 0 < total <= _MAX_WEIGHT:
        yield Finding(
            f"{path}.clusters", f"the weights must sum up to 1 to {_MAX_WEIGHT}, not {total}", every
        )
    elif weighted.total_weight and weighted.total_weight != total:
        yield Finding(f"{path}.total_weight", f"the weights sum up to {total}", every)


def _cluster(path: str, name: str, known: _Known | None) -> Iterator[Finding]:
    if not name or known is None:
        return
    clusters = known.clusters
    # A cluster whose own name could not be read may be the one that is meant.
    if name not in clusters and "" not in clusters:
        hint = did_you_mean(name, clusters)
        if not hint and known.later:
            hint = " (those of cds_config are read later: set validate_clusters to false)"
        yield Finding(path, f"unknown cluster {quote(name)}{hint}", ("dynamic_resources",))


def _body(path: str, body: DataSource, limit: int) -> Iterator[Finding]:
    if (size := len(body.contents)) > limit:
        yield Finding(path, f"the body is {size} bytes long: at most {limit} are possible")


def _filters(path: str, level: _Level) -> Iterator[Finding]:
    for name, each in level.typed_per_filter_config.items():
        place = f"{path}.typed_per_filter_config[{quote(name)}]"
        if each.disabled:
            if name == ROUTER:
                yield Finding(f"{place}.disabled", "the router cannot be disabled")
        elif each.config is None:
            yield Finding(f"{place}.config", "is required unless the filter is disabled")
        if each.config:  # Envoy says so of all filters that proxyd has
            yield Finding(f"{place}.config", "the filter has no configuration for routes: {} can stand here")


def _headers(path: str, level: _Level) -> Iterator[Finding]:
    for field, to_add in (
        ("request_headers_to_add", level.request_headers_to_add),
        ("response_headers_to_add", level.response_headers_to_add),
    ):
        for index, option in enumerate(to_add):
            yield from _addition(f"{path}.{field}[{index}]", option)
    for field, to_remove in (
        ("request_headers_to_remove", level.request_headers_to_remove),
        ("response_headers_to_remove", level.response_headers_to_remove),
    ):
        for index, name in enumerate(to_remove):
            place = f"{path}.{field}[{index}]"
            if name.startswith(":") or name.lower() == "host":
                yield Finding(place, "pseudo headers and host cannot be removed")
            elif name.lower() in _NOT_TO_REMOVE:
                yield Finding(place, f"removing {name} is {NOT_SUPPORTED}")


def _addition(path: str, option: HeaderValueOption) -> Iterator[Finding]:
    name = option.header.key.lower()
    if name == "host":
        yield Finding(f"{path}.header.key", "host cannot be changed here: see host_rewrite_literal")
    elif name in _NOT_TO_ADD:
        yield Finding(f"{path}.header.key", f"adding {option.header.key} is {NOT_SUPPORTED}")
    if option.append is not None and option.append_action:
        yield Finding(f"{path}.append", "only one of append and append_action can be set")
