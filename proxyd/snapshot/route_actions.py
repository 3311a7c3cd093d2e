"""From the action that an operator wrote to the Route that runs it."""

from typing import Final

from proxyd.config import route as config
from proxyd.config.core import RegexMatchAndSubstitute
from proxyd.snapshot.grpc_timeouts import compile_grpc_timeouts
from proxyd.snapshot.hash_policy import HashPolicies
from proxyd.snapshot.header_mutation import (
    AttemptCount,
    HeaderMutation,
    compile_request_mutation,
    compile_response_mutation,
)
from proxyd.snapshot.http_filters import RouteFilters
from proxyd.snapshot.redirect import Redirect, TlsRedirect
from proxyd.snapshot.regex import Substitution
from proxyd.snapshot.route import DIRECT_RESPONSE, REDIRECT, ROUTE, WHOLE_PATH, Route, WeightedClusters
from proxyd.snapshot.runtime import Runtime

_NOT_FOUND_STATUS: Final = {
    config.ClusterNotFoundResponseCode.SERVICE_UNAVAILABLE: 503,
    config.ClusterNotFoundResponseCode.NOT_FOUND: 404,
    config.ClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR: 500,
}
_REDIRECT_STATUS: Final = {
    config.RedirectResponseCode.MOVED_PERMANENTLY: 301,
    config.RedirectResponseCode.FOUND: 302,
    config.RedirectResponseCode.SEE_OTHER: 303,
    config.RedirectResponseCode.TEMPORARY_REDIRECT: 307,
    config.RedirectResponseCode.PERMANENT_REDIRECT: 308,
}

# Default of RouteConfiguration.max_direct_response_body_size_bytes
MAX_DIRECT_RESPONSE_BODY: Final = 4096

# The messages that have header mutations. A cluster weight's are no level among the others: it comes first.
_Level = config.Route | config.VirtualHost | config.RouteConfiguration


class RouterError(ValueError):
    """A route table that cannot be compiled; the text names what is wrong and where in the table."""


class Mutations:
    """The header mutations of all levels around a route, but for its own; made once for each virtual host."""

    def __init__(self, table: config.RouteConfiguration, host: config.VirtualHost) -> None:
        """Raises FormatError."""
        self._most_specific_last: Final = table.most_specific_header_mutations_wins
        self._request: Final = [_request_mutation(host), _request_mutation(table)]
        self._response: Final = [_response_mutation(host), _response_mutation(table)]
        self._count_in_request: Final = host.include_request_attempt_count
        self._count_in_response: Final = host.include_attempt_count_in_response

    def request(self, route: config.Route) -> tuple[HeaderMutation, ...]:
        """The levels of a route that change requests, in the order in which they are applied."""
        levels = self._ordered([_request_mutation(route), *self._request])
        return (AttemptCount(), *levels) if self._count_in_request else levels

    def response(self, route: config.Route) -> tuple[HeaderMutation, ...]:
        """The same for responses."""
        levels = self._ordered([_response_mutation(route), *self._response])
        return (*levels, AttemptCount()) if self._count_in_response and route.route is not None else levels

    def _ordered(self, levels: list[HeaderMutation | None]) -> tuple[HeaderMutation, ...]:
        if self._most_specific_last:
            levels.reverse()
        return tuple([level for level in levels if level is not None])


def compile_route(
    route: config.Route, mutations: Mutations, filters: RouteFilters, max_body: int, runtime: Runtime
) -> Route:
    """The compiled form of a route.

    Raises RouterError for what cannot be, RegexError and FormatError for texts that cannot be compiled.
    """
    if route.route is not None:
        compiled = _compile_action(route, route.route, mutations, filters, runtime)
    elif route.redirect is not None:
        compiled = Route(route.name, REDIRECT)
        compiled.status = _REDIRECT_STATUS[route.redirect.response_code]
        compiled.redirect = _compile_redirect(route.redirect)
    else:
        assert route.direct_response is not None, "the loader lets no route without an action pass"
        compiled = _compile_direct_response(route.name, route.direct_response, max_body)
    compiled.matched_length = _matched_length(route.match)
    compiled.response_mutations = mutations.response(route)
    compiled.filters = filters.of(route)
    compiled.upgrade_filters = filters.of_upgrades(route)
    return compiled


def tls_redirect() -> Route:
    """The answer to a request that should have come over TLS. Header mutations do not touch it."""
    compiled = Route("", REDIRECT)
    compiled.status = 301
    compiled.redirect = TlsRedirect()
    return compiled


def _matched_length(match: config.RouteMatch) -> int:
    if match.safe_regex is not None:
        return WHOLE_PATH
    return len((match.prefix or match.path or match.path_separated_prefix or "").encode())


def _compile_action(
    route: config.Route,
    action: config.RouteAction,
    mutations: Mutations,
    filters: RouteFilters,
    runtime: Runtime,
) -> Route:
    compiled = _compile_cluster(route, action, mutations)
    compiled.cluster = action.cluster or ""
    compiled.cluster_header = (action.cluster_header or "").lower().encode()
    weighted = action.weighted_clusters
    if weighted is not None:
        routes: list[Route] = []
        weights: list[int] = []
        for weight in weighted.clusters:
            compiled_weight = _compile_weight(route, action, weight, mutations)
            compiled_weight.filters = filters.of(route, weight)
            compiled_weight.upgrade_filters = filters.of_upgrades(route, weight)
            routes.append(compiled_weight)
            key = f"{weighted.runtime_key_prefix}.{weight.name}"
            configured = weight.weight
            weights.append(runtime.integer(key, configured) if weighted.runtime_key_prefix else configured)
        if not 0 < sum(weights) <= 0xFFFFFFFF:
            raise RouterError(f"the sum of weights is {sum(weights)}; it must be from 1 to 4294967295")
        header = (weighted.header_name or "").lower().encode()
        compiled.weighted_clusters = WeightedClusters(routes, weights, header)
    return compiled


def _compile_weight(
    route: config.Route, action: config.RouteAction, weight: config.ClusterWeight, mutations: Mutations
) -> Route:
    compiled = _compile_cluster(route, action, mutations)
    compiled.cluster = weight.name
    compiled.cluster_header = weight.cluster_header.lower().encode()
    compiled.weight_mutation = compile_request_mutation(
        weight.request_headers_to_add, weight.request_headers_to_remove
    )
    compiled.weight_host_rewrite = (weight.host_rewrite_literal or "").encode()
    compiled.changes_request |= compiled.weight_mutation is not None or bool(compiled.weight_host_rewrite)
    own = compile_response_mutation(weight.response_headers_to_add, weight.response_headers_to_remove)
    compiled.response_mutations = mutations.response(route)
    if own is not None:
        compiled.response_mutations = (own, *compiled.response_mutations)
    compiled.matched_length = _matched_length(route.match)
    return compiled


def _compile_cluster(route: config.Route, action: config.RouteAction, mutations: Mutations) -> Route:
    """All of an action but its cluster."""
    compiled = Route(route.name, ROUTE)
    if action.timeout is not None:
        compiled.timeout = action.timeout
    if action.idle_timeout is not None:
        compiled.idle_timeout = action.idle_timeout
    if action.flush_timeout is not None:
        compiled.flush_timeout = action.flush_timeout
    if action.max_stream_duration is not None:
        compiled.timeout = 0.0  # as in Envoy, this message takes the place of ``timeout``
        if action.max_stream_duration.max_stream_duration is not None:
            compiled.max_stream_duration = action.max_stream_duration.max_stream_duration
    compiled.grpc_timeouts = compile_grpc_timeouts(action)
    compiled.settle_timeouts()
    compiled.not_found_status = _NOT_FOUND_STATUS[action.cluster_not_found_response_code]
    compiled.prefix_rewrite = action.prefix_rewrite.encode()
    if action.hash_policy:
        compiled.hash_policies = HashPolicies(action.hash_policy)
    compiled.regex_rewrite = _substitution(action.regex_rewrite)
    compiled.host_rewrite = (action.host_rewrite_literal or "").encode()
    compiled.host_rewrite_header = (action.host_rewrite_header or "").lower().encode()
    compiled.host_rewrite_regex = _substitution(action.host_rewrite_path_regex)
    compiled.auto_host_rewrite = action.auto_host_rewrite is True
    compiled.append_x_forwarded_host = action.append_x_forwarded_host
    compiled.connect = route.match.connect_matcher is not None
    if action.upgrade_configs:
        compiled.upgrades = {
            each.upgrade_type.lower().encode(): each.enabled is not False for each in action.upgrade_configs
        }
    for upgrade in action.upgrade_configs:
        if upgrade.connect_config is not None:
            proxied = upgrade.connect_config.proxy_protocol_config
            compiled.terminates_connect = True
            compiled.connect_proxy_protocol = 0 if proxied is None else proxied.version.value + 1
    compiled.request_mutations = mutations.request(route)
    compiled.changes_request = bool(
        compiled.request_mutations
        or compiled.prefix_rewrite
        or compiled.regex_rewrite is not None
        or compiled.host_rewrite
        or compiled.host_rewrite_header
        or compiled.host_rewrite_regex is not None
    )
    return compiled


def _compile_redirect(action: config.RedirectAction) -> Redirect:
    scheme = "https" if action.https_redirect else action.scheme_redirect or ""
    return Redirect(
        scheme=scheme.encode(),
        host=action.host_redirect.encode(),
        port=b":%d" % action.port_redirect if action.port_redirect else b"",
        path=(action.path_redirect or "").encode(),
        prefix_rewrite=(action.prefix_rewrite or "").encode(),
        strip_query=action.strip_query,
        regex_rewrite=_substitution(action.regex_rewrite),
    )


def _compile_direct_response(name: str, action: config.DirectResponseAction, max_body: int) -> Route:
    compiled = Route(name, DIRECT_RESPONSE)
    compiled.status = action.status
    if action.status == 201 or 300 <= action.status < 400:
        # As in Envoy: such an answer has a location, the request's own URL.
        compiled.redirect = Redirect(b"", b"", b"", b"", b"", False)
    if action.body is not None:
        compiled.body = action.body.contents
        if len(compiled.body) > max_body:
            raise RouterError(
                f"the direct response has a body of {len(compiled.body)} bytes; {max_body} are allowed"
            )
    return compiled


def _substitution(rewrite: RegexMatchAndSubstitute | None) -> Substitution | None:
    return None if rewrite is None else Substitution(rewrite.pattern.regex, rewrite.substitution)


def _request_mutation(level: _Level) -> HeaderMutation | None:
    return compile_request_mutation(level.request_headers_to_add, level.request_headers_to_remove)


def _response_mutation(level: _Level) -> HeaderMutation | None:
    return compile_response_mutation(level.response_headers_to_add, level.response_headers_to_remove)
