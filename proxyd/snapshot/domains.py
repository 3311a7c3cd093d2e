"""Which virtual host serves an authority, ranked as Envoy ranks domains.

Exact names first, then the longest suffix wildcard (``*.example.com``, ``*-api.example.com``), then the
longest prefix wildcard (``example.*``), then ``*``. A wildcard stands for at least one character.
"""

from typing import Final

from proxyd.snapshot.route_index import RouteIndex

CACHED_AUTHORITIES: Final = 1024
# Clients choose authorities: without this bound, 1,024 long ones could pin tens of megabytes.
CACHED_AUTHORITY_BYTES: Final = 255


class DomainIndex:
    """Virtual hosts by domain. Built by ``add``, then only read."""

    __slots__ = ("_cache", "_default", "_exact", "_ignore_port", "_only_default", "_prefixes", "_suffixes")

    def __init__(self, ignore_port: bool) -> None:
        self._ignore_port: Final = ignore_port
        self._exact: dict[bytes, RouteIndex] = {}
        self._suffixes: list[tuple[int, dict[bytes, RouteIndex]]] = []  # longest first
        self._prefixes: list[tuple[int, dict[bytes, RouteIndex]]] = []
        self._default: RouteIndex | None = None
        self._only_default: bool = True
        # Lower-casing and walking the wildcards once per authority, not once per request.
        self._cache: dict[bytes, RouteIndex | None] = {}

    def add(self, domain: bytes, routes: RouteIndex) -> bool:
        """Let ``routes`` serve ``domain``; False if the domain is taken already."""
        domain = domain.lower()
        if domain == b"*":
            if self._default is not None:
                return False
            self._default = routes
            return True
        self._only_default = False
        if domain.startswith(b"*"):
            return _add_wildcard(self._suffixes, domain[1:], routes)
        if domain.endswith(b"*"):
            return _add_wildcard(self._prefixes, domain[:-1], routes)
        if domain in self._exact:
            return False
        self._exact[domain] = routes
        return True

    def only(self) -> RouteIndex | None:
        """The routes of every authority, where one virtual host takes them all."""
        return self._default if self._only_default else None

    def find(self, authority: bytes) -> RouteIndex | None:
        """The routes of the virtual host that serves ``authority`` (any case), or None."""
        if self._only_default:
            return self._default
        cache = self._cache
        if authority in cache:
            return cache[authority]
        routes = self._search(authority)
        if len(authority) <= CACHED_AUTHORITY_BYTES:
            if len(cache) >= CACHED_AUTHORITIES:
                cache.clear()
            cache[authority] = routes
        return routes

    def _search(self, authority: bytes) -> RouteIndex | None:
        host = authority.lower()
        if self._ignore_port:
            host = without_port(host)
        routes = self._exact.get(host)
        if routes is not None:
            return routes
        size = len(host)
        for length, domains in self._suffixes:
            if length < size:
                routes = domains.get(host[size - length :])
                if routes is not None:
                    return routes
        for length, domains in self._prefixes:
            if length < size:
                routes = domains.get(host[:length])
                if routes is not None:
                    return routes
        return self._default


def without_port(authority: bytes) -> bytes:
    """``authority`` up to its port, if it has one; the colons of an IPv6 literal are not a port's."""
    colon = authority.rfind(b":")
    if colon < 0 or authority.rfind(b"]") > colon:
        return authority
    return authority[:colon]


def _add_wildcard(table: list[tuple[int, dict[bytes, RouteIndex]]], fixed: bytes, routes: RouteIndex) -> bool:
    for length, domains in table:
        if length == len(fixed):
            if fixed in domains:
                return False
            domains[fixed] = routes
            return True
    table.append((len(fixed), {fixed: routes}))
    table.sort(key=_length, reverse=True)
    return True


def _length(entry: tuple[int, dict[bytes, RouteIndex]]) -> int:
    return entry[0]
