"""Which route serves a request: virtual host by authority, then the first route that matches.

``compile_router`` turns a ``RouteConfiguration`` into a ``Router``; everything about a request that can be
decided without it is decided there.
"""

from typing import Final

from proxyd.codec.headers import Headers
from proxyd.config import route as config
from proxyd.config.core import StringMatcher as StringMatcherConfig
from proxyd.snapshot.domains import DomainIndex
from proxyd.snapshot.matchers import (
    CONTAINS,
    EXACT,
    PREFIX,
    SUFFIX,
    Conditions,
    HeaderMatcher,
    QueryParameterMatcher,
    RangeMatcher,
    StringMatcher,
    ValueMatcher,
)
from proxyd.snapshot.redirect import Redirect
from proxyd.snapshot.route import DIRECT_RESPONSE, REDIRECT, ROUTE, Route
from proxyd.snapshot.route_index import Candidate, RouteIndex

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


class RouterError(ValueError):
    """A route table that cannot be compiled; the text names what is wrong and where in the table."""


class Router:
    """A compiled ``RouteConfiguration``. Immutable but for a bounded cache of authorities."""

    __slots__ = ("_domains", "name")

    def __init__(self, name: str, domains: DomainIndex) -> None:
        self.name: Final = name
        self._domains: Final = domains

    def match(
        self, authority: bytes, path: bytes, method: bytes, scheme: bytes, headers: Headers
    ) -> Route | None:
        """The route of this request, or None: no virtual host serves the authority, or none of its routes
        matches. ``path`` is as received, with its query; ``authority`` in any case, with its port."""
        routes = self._domains.find(authority)
        if routes is None:
            return None
        return routes.match(path, method, scheme, authority, headers)


def compile_router(table: config.RouteConfiguration) -> Router:
    """The router of a route table, as Envoy ranks its domains and routes.

    Raises RouterError for a domain named twice and for a direct response whose body is too long.
    """
    domains = DomainIndex(table.ignore_port_in_host_matching)
    for host in table.virtual_hosts:
        routes = _compile_virtual_host(host)
        for domain in host.domains:
            if not domains.add(domain.encode(), routes):
                raise RouterError(
                    f"virtual host {host.name!r}: the domain {domain!r} is there already "
                    "(case does not count, and a domain belongs to one virtual host)"
                )
    return Router(table.name, domains)


def _compile_virtual_host(host: config.VirtualHost) -> RouteIndex:
    # One route that ignores case is enough to search the whole table in lower case; the others then say in
    # their conditions that they mind it.
    fold_case = any(route.match.case_sensitive is False for route in host.routes)
    candidates: list[Candidate] = []
    for position, route in enumerate(host.routes):
        try:
            compiled = _compile_route(route)
        except RouterError as error:
            raise RouterError(f"virtual host {host.name!r}, route {position}: {error}") from None
        match = route.match
        headers = tuple(_compile_header(header) for header in match.headers)
        parameters = tuple(_compile_query_parameter(parameter) for parameter in match.query_parameters)
        for text, exact in _path_rules(match):
            minds_case = fold_case and match.case_sensitive is not False and bool(text)
            conditions = None
            if headers or parameters or minds_case:
                conditions = Conditions(headers, parameters, text if minds_case else b"", exact)
            key = text.lower() if fold_case else text
            candidates.append(Candidate(position, key, exact, conditions, compiled))
    return RouteIndex(host.name, candidates, fold_case)


def _path_rules(match: config.RouteMatch) -> list[tuple[bytes, bool]]:
    """The path rule of a match as (text, whether the whole path must equal it); one of them has to match."""
    if match.path is not None:
        return [(match.path.encode(), True)]
    if match.path_separated_prefix is not None:
        prefix = match.path_separated_prefix.encode()
        return [(prefix, True), (prefix + b"/", False)]
    assert match.prefix is not None, "the loader lets no match without a path specifier pass"
    return [(match.prefix.encode(), False)]


def _compile_route(route: config.Route) -> Route:
    match = route.match
    matched = match.prefix or match.path or match.path_separated_prefix or ""
    if route.route is not None:
        compiled = Route(route.name, ROUTE)
        _fill_action(compiled, route.route)
    elif route.redirect is not None:
        compiled = Route(route.name, REDIRECT)
        compiled.status = _REDIRECT_STATUS[route.redirect.response_code]
        compiled.redirect = _compile_redirect(route.redirect)
    else:
        assert route.direct_response is not None, "the loader lets no route without an action pass"
        compiled = Route(route.name, DIRECT_RESPONSE)
        compiled.status = route.direct_response.status
        if route.direct_response.body is not None:
            compiled.body = route.direct_response.body.contents
            if len(compiled.body) > MAX_DIRECT_RESPONSE_BODY:
                raise RouterError(
                    f"the direct response has a body of {len(compiled.body)} bytes; "
                    f"{MAX_DIRECT_RESPONSE_BODY} are allowed"
                )
    compiled.matched_length = len(matched.encode())
    return compiled


def _fill_action(compiled: Route, action: config.RouteAction) -> None:
    compiled.cluster = action.cluster
    if action.timeout is not None:
        compiled.timeout = action.timeout
    if action.idle_timeout is not None:
        compiled.idle_timeout = action.idle_timeout
    compiled.prefix_rewrite = action.prefix_rewrite.encode()
    compiled.host_rewrite = (action.host_rewrite_literal or "").encode()
    compiled.auto_host_rewrite = action.auto_host_rewrite is True
    compiled.not_found_status = _NOT_FOUND_STATUS[action.cluster_not_found_response_code]


def _compile_redirect(action: config.RedirectAction) -> Redirect:
    scheme = "https" if action.https_redirect else action.scheme_redirect or ""
    return Redirect(
        scheme=scheme.encode(),
        host=action.host_redirect.encode(),
        port=b":%d" % action.port_redirect if action.port_redirect else b"",
        path=(action.path_redirect or "").encode(),
        prefix_rewrite=(action.prefix_rewrite or "").encode(),
        strip_query=action.strip_query,
    )


def _compile_string(matcher: StringMatcherConfig) -> StringMatcher:
    if matcher.exact is not None:
        return StringMatcher(EXACT, matcher.exact.encode(), matcher.ignore_case)
    if matcher.prefix is not None:
        return StringMatcher(PREFIX, matcher.prefix.encode(), matcher.ignore_case)
    if matcher.suffix is not None:
        return StringMatcher(SUFFIX, matcher.suffix.encode(), matcher.ignore_case)
    assert matcher.contains is not None, "the loader lets no empty StringMatcher pass"
    return StringMatcher(CONTAINS, matcher.contains.encode(), matcher.ignore_case)


def _compile_header(matcher: config.HeaderMatcher) -> HeaderMatcher:
    value: ValueMatcher | None = None
    if matcher.string_match is not None:
        value = ValueMatcher(_compile_string(matcher.string_match))
    elif matcher.range_match is not None:
        value = RangeMatcher(matcher.range_match.start, matcher.range_match.end)
    elif matcher.exact_match is not None:
        value = ValueMatcher(StringMatcher(EXACT, matcher.exact_match.encode()))
    elif matcher.prefix_match is not None:
        value = ValueMatcher(StringMatcher(PREFIX, matcher.prefix_match.encode()))
    elif matcher.suffix_match is not None:
        value = ValueMatcher(StringMatcher(SUFFIX, matcher.suffix_match.encode()))
    elif matcher.contains_match is not None:
        value = ValueMatcher(StringMatcher(CONTAINS, matcher.contains_match.encode()))
    return HeaderMatcher(
        matcher.name.encode(),
        value,
        present=matcher.present_match is not False,
        invert=matcher.invert_match,
        missing_as_empty=matcher.treat_missing_header_as_empty,
    )


def _compile_query_parameter(matcher: config.QueryParameterMatcher) -> QueryParameterMatcher:
    value = _compile_string(matcher.string_match) if matcher.string_match is not None else None
    return QueryParameterMatcher(matcher.name.encode(), value, matcher.present_match is not False)
