"""Which route serves a request: virtual host by authority, then the first route that matches.

``compile_router`` turns a ``RouteConfiguration`` into a ``Router``; everything about a request that can be
decided without it is decided there.
"""

from typing import Final

from proxyd.codec.headers import Headers
from proxyd.config import route as config
from proxyd.snapshot.domains import DomainIndex
from proxyd.snapshot.formatter import FormatError
from proxyd.snapshot.http_filters import HttpFilters, RouteFilters
from proxyd.snapshot.regex import RegexError, compile_regex
from proxyd.snapshot.route import CONNECT_PATH, Route
from proxyd.snapshot.route_actions import (
    MAX_DIRECT_RESPONSE_BODY,
    Mutations,
    RouterError,
    compile_route,
    tls_redirect,
)
from proxyd.snapshot.route_conditions import compile_conditions
from proxyd.snapshot.route_index import Candidate, RouteIndex
from proxyd.snapshot.runtime import Runtime

__all__ = ["Router", "RouterError", "compile_router"]

_TLS_FOR_ALL: Final = config.TlsRequirementType.ALL.value


class Router:
    """A compiled ``RouteConfiguration``. Immutable but for a bounded cache of authorities."""

    __slots__ = ("_domains", "_only", "_tls_redirect", "name")

    def __init__(self, name: str, domains: DomainIndex) -> None:
        self.name: Final = name
        self._domains: Final = domains
        self._only: Final = domains.only()
        self._tls_redirect: Final = tls_redirect()

    def match(
        self, authority: bytes, path: bytes, method: bytes, scheme: bytes, headers: Headers
    ) -> Route | None:
        """The route of this request, or None: no virtual host serves the authority, or none of its routes
        matches. ``path`` is as received, with its query; ``authority`` in any case, with its port; ``scheme``
        what x-forwarded-proto says, for which there is no route where that is nothing."""
        routes = self._only or self._domains.find(authority)
        if routes is None or not scheme:
            return None
        if (
            routes.require_tls
            and scheme != b"https"
            and (routes.require_tls == _TLS_FOR_ALL or headers.get(b"x-envoy-internal") != b"true")
        ):
            return self._tls_redirect
        return routes.match(path, method, scheme, authority, headers)


def compile_router(
    table: config.RouteConfiguration, runtime: Runtime | None = None, filters: HttpFilters | None = None
) -> Router:
    """The router of a route table, as Envoy ranks its domains and routes; ``filters`` are the manager's.

    Raises RouterError for a domain named twice, for a direct response whose body is too long, for weights
    without a sum, and for expressions and formats that cannot be compiled.
    """
    domains = DomainIndex(table.ignore_port_in_host_matching)
    for host in table.virtual_hosts:
        routes = _compile_virtual_host(table, host, runtime or Runtime([]), filters)
        for domain in host.domains:
            if not domains.add(domain.encode(), routes):
                raise RouterError(
                    f"virtual host {host.name!r}: the domain {domain!r} is there already "
                    "(case does not count, and a domain belongs to one virtual host)"
                )
    return Router(table.name, domains)


def _compile_virtual_host(
    table: config.RouteConfiguration, host: config.VirtualHost, runtime: Runtime, filters: HttpFilters | None
) -> RouteIndex:
    # One route that ignores case is enough to search the whole table in lower case; the others then say in
    # their conditions that they mind it.
    fold_case = any(_ignores_case(route.match) for route in host.routes)
    max_body = table.max_direct_response_body_size_bytes
    max_body = MAX_DIRECT_RESPONSE_BODY if max_body is None else max_body
    candidates: list[Candidate] = []
    regexes: list[Candidate] = []
    draws = False
    place = ""
    try:
        mutations = Mutations(table, host)
        route_filters = RouteFilters(filters, table, host)
        for position, route in enumerate(host.routes):
            place = f", route {position}"
            compiled = compile_route(route, mutations, route_filters, max_body, runtime)
            match = route.match
            draws |= match.runtime_fraction is not None or compiled.weighted_clusters is not None
            if match.safe_regex is not None:
                compile_regex(match.safe_regex.regex)  # for the mistake to have its place
                pattern = match.safe_regex.regex.encode()
                conditions = compile_conditions(match, runtime)
                regexes.append(Candidate(position, pattern, True, conditions, compiled))
                continue
            for text, exact in _path_rules(match):
                minds_case = fold_case and not _ignores_case(match)
                conditions = compile_conditions(match, runtime, text if minds_case else b"", exact)
                key = text.lower() if fold_case else text
                candidates.append(Candidate(position, key, exact, conditions, compiled))
        place = ""
        return RouteIndex(host.name, candidates, fold_case, regexes, draws, host.require_tls.value)
    except (RouterError, RegexError, FormatError) as error:
        raise RouterError(f"virtual host {host.name!r}{place}: {error}") from None


def _ignores_case(match: config.RouteMatch) -> bool:
    return match.case_sensitive is False and match.safe_regex is None


def _path_rules(match: config.RouteMatch) -> list[tuple[bytes, bool]]:
    """The path rule of a match as (text, whether the whole path must equal it); one of them has to match."""
    if match.connect_matcher is not None:
        return [(CONNECT_PATH, True)]
    if match.path is not None:
        return [(match.path.encode(), True)]
    if match.path_separated_prefix is not None:
        prefix = match.path_separated_prefix.encode()
        return [(prefix, True), (prefix + b"/", False)]
    assert match.prefix is not None, "the loader lets no match without a path specifier pass"
    return [(match.prefix.encode(), False)]
