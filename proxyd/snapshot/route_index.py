"""The routes of one virtual host, found without scanning them.

The first route in configuration order that matches wins. Paths can be looked up, other conditions (headers,
query parameters) cannot, so the table answers a path with the *candidates*: the routes whose path rule
matches, in order, up to the first one without other conditions. The candidates of every path and prefix
named in the configuration are worked out at load; a request costs one dictionary look-up for its path and,
unless that hits, a binary search over the lengths of the prefixes.

The search works because the table also holds *markers*: for each prefix, its own beginnings at the shorter
lengths that the search probes on its way to it, answering with the candidates of that beginning. A hit
therefore always allows to go on to longer prefixes, and the last hit is the longest prefix of the path.

Regular expressions of the whole table are matched in one pass, and only if no route before the first of them
has been taken; what they match joins the candidates.
"""

from random import getrandbits
from typing import Final

from proxyd.codec.headers import Headers
from proxyd.snapshot.matchers import Conditions
from proxyd.snapshot.regex import RegexSet
from proxyd.snapshot.route import Route

_NO_REGEX: Final = 1 << 30  # behind every position
# Of one lot come the requests that a runtime_fraction lets pass and the cluster of several, as in Envoy.
_LOT_BITS: Final = 60


class Candidate:
    """A route with what must hold besides its path rule; None where nothing else must."""

    __slots__ = ("conditions", "exact", "position", "route", "text")

    def __init__(
        self, position: int, text: bytes, exact: bool, conditions: Conditions | None, route: Route
    ) -> None:
        self.position: Final = position  # in the configuration: the lowest that matches wins
        self.text: Final = text  # the path, the prefix or the expression
        self.exact: Final = exact  # the whole path must equal ``text``, not only begin with it
        self.conditions: Final = conditions
        self.route: Final = route


class RouteIndex:
    """Immutable; ``match`` is called once a request."""

    __slots__ = (
        "_beginnings",
        "_default",
        "_draws",
        "_exact",
        "_first_regex",
        "_fold_case",
        "_lengths",
        "_regex_set",
        "_regexes",
        "name",
        "require_tls",
    )

    def __init__(
        self,
        name: str,
        candidates: list[Candidate],
        fold_case: bool,
        regexes: list[Candidate] | None = None,
        draws: bool = False,
        require_tls: int = 0,
    ) -> None:
        """``name`` is the virtual host's. With ``fold_case`` every ``text`` of ``candidates`` is given in
        lower case, and candidates that mind the case have a condition that says so. ``regexes`` are in order
        of their positions, each ``text`` an expression. ``draws``: something is decided by lot.

        Raises RegexError for an expression that cannot be compiled.
        """
        self.name: Final = name
        self.require_tls: Final = require_tls  # VirtualHost.TlsRequirementType; the router heeds it
        self._fold_case: Final = fold_case
        self._regexes: Final[list[Candidate]] = regexes or []
        self._first_regex: Final[int] = self._regexes[0].position if self._regexes else _NO_REGEX
        self._regex_set: Final = RegexSet([regex.text for regex in self._regexes])
        self._draws: Final = draws
        paths = {c.text for c in candidates if c.exact}
        prefixes = {c.text for c in candidates if not c.exact}
        self._lengths: Final = sorted({len(prefix) for prefix in prefixes} - {0})
        by_text: dict[tuple[bool, bytes], list[Candidate]] = {}
        for candidate in candidates:
            by_text.setdefault((candidate.exact, candidate.text), []).append(candidate)
        self._exact: Final = {path: _candidates_of(path, True, self._lengths, by_text) for path in paths}
        self._beginnings: Final = {
            beginning: _candidates_of(beginning, False, self._lengths, by_text)
            for prefix in prefixes
            for beginning in _markers(prefix, self._lengths)
        }
        self._default: Final = _candidates_of(b"", False, self._lengths, by_text)

    def match(
        self, path: bytes, method: bytes, scheme: bytes, authority: bytes, headers: Headers
    ) -> Route | None:
        """The first route that matches; ``path`` may carry a query, which path rules do not see."""
        query = path.find(b"?")
        whole = path if query < 0 else path[:query]
        bare = whole.lower() if self._fold_case else whole
        candidates = self._exact.get(bare)
        if candidates is None:
            candidates = self._default
            lengths = self._lengths
            low = 0
            high = len(lengths)
            while low < high:
                middle = (low + high) >> 1
                found = self._beginnings.get(bare[: lengths[middle]])
                if found is None:
                    high = middle
                else:
                    candidates = found
                    low = middle + 1
        first_regex = self._first_regex
        if not self._draws and first_regex == _NO_REGEX:
            for candidate in candidates:
                conditions = candidate.conditions
                if conditions is None or conditions.hold(path, method, scheme, authority, headers, 0):
                    return candidate.route
            return None
        draw = getrandbits(_LOT_BITS) if self._draws else 0
        for candidate in candidates:
            if candidate.position > first_regex:
                break
            conditions = candidate.conditions
            if conditions is None or conditions.hold(path, method, scheme, authority, headers, draw):
                return _chosen(candidate.route, draw, headers)
        if first_regex == _NO_REGEX:
            return None
        for candidate in self._with_regexes(candidates, whole):
            conditions = candidate.conditions
            if conditions is None or conditions.hold(path, method, scheme, authority, headers, draw):
                return _chosen(candidate.route, draw, headers)
        return None

    def _with_regexes(self, candidates: tuple[Candidate, ...], path: bytes) -> list[Candidate]:
        """The candidates from the first expression on, expressions that match among them."""
        found = [self._regexes[index] for index in self._regex_set.matches(path)]
        found += [candidate for candidate in candidates if candidate.position > self._first_regex]
        if len(found) > 1:
            found.sort(key=_position)
        return found


def _chosen(route: Route, draw: int, headers: Headers) -> Route:
    weighted = route.weighted_clusters
    return route if weighted is None else weighted.choose(draw, headers)


def _candidates_of(
    text: bytes, exact: bool, lengths: list[int], by_text: dict[tuple[bool, bytes], list[Candidate]]
) -> tuple[Candidate, ...]:
    """What may match a path that equals ``text`` (or of which ``text`` is the longest known beginning)."""
    found = list(by_text.get((True, text), ())) if exact else []
    found += by_text.get((False, b""), ())
    for length in lengths:
        if length <= len(text):
            found += by_text.get((False, text[:length]), ())
    found.sort(key=_position)
    for index, candidate in enumerate(found):
        if candidate.conditions is None:
            return tuple(found[: index + 1])
    return tuple(found)


def _markers(prefix: bytes, lengths: list[int]) -> list[bytes]:
    """``prefix`` and those of its beginnings that the search probes before it gets there."""
    beginnings = []
    low = 0
    high = len(lengths)
    while low < high:
        middle = (low + high) >> 1
        length = lengths[middle]
        if length <= len(prefix):
            beginnings.append(prefix[:length])
            low = middle + 1
        else:
            high = middle
    return beginnings


def _position(candidate: Candidate) -> int:
    return candidate.position
