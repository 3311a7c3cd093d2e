"""The index answers what a scan from the first route to the last would."""

from hypothesis import given
from hypothesis import strategies as st

from proxyd.codec.headers import Headers
from proxyd.snapshot.matchers import EXACT, Conditions, HeaderMatcher, StringMatcher, ValueMatcher
from proxyd.snapshot.route import ROUTE, Route
from proxyd.snapshot.route_index import Candidate, RouteIndex

paths = st.text("/ab", max_size=7).map(str.encode)
rules = st.lists(st.tuples(paths, st.booleans(), st.booleans()), max_size=12)


def build(table: list[tuple[bytes, bool, bool]]) -> RouteIndex:
    """Routes of (text, exact, conditional); a conditional one asks for the header ``on``."""
    candidates = []
    for position, (text, exact, conditional) in enumerate(table):
        conditions = None
        if conditional:
            matcher = HeaderMatcher(b"on", ValueMatcher(StringMatcher(EXACT, b"yes")))
            conditions = Conditions((matcher,))
        candidates.append(Candidate(position, text, exact, conditions, Route(str(position), ROUTE)))
    return RouteIndex("host", candidates, False)


def first_by_scan(table: list[tuple[bytes, bool, bool]], path: bytes, on: bool) -> str | None:
    for position, (text, exact, conditional) in enumerate(table):
        if (path == text if exact else path.startswith(text)) and (on or not conditional):
            return str(position)
    return None


def match(index: RouteIndex, path: bytes, on: bool) -> str | None:
    headers = Headers([(b"on", b"yes")] if on else [])
    route = index.match(path, b"GET", b"http", b"a", headers)
    return None if route is None else route.name


@given(rules, paths, st.booleans())
def test_the_index_finds_what_a_scan_finds(
    table: list[tuple[bytes, bool, bool]], path: bytes, on: bool
) -> None:
    assert match(build(table), path, on) == first_by_scan(table, path, on)


@given(rules, st.booleans())
def test_every_path_and_prefix_of_the_table_is_found(table: list[tuple[bytes, bool, bool]], on: bool) -> None:
    index = build(table)
    for text, _, _ in table:
        for path in (text, text + b"/", text[:-1], text + b"zz"):
            assert match(index, path, on) == first_by_scan(table, path, on)


def test_path_rules_do_not_see_the_query() -> None:
    index = build([(b"/a?b", False, False), (b"/a", True, False)])
    assert match(index, b"/a?b=1", False) == "1"


def test_long_tables_keep_short_lists_of_candidates() -> None:
    table = [(b"/%d" % number, False, False) for number in range(500)] + [(b"/", False, False)]
    index = build(table)
    assert match(index, b"/499/x", False) == "4"
    assert max(len(candidates) for candidates in index._beginnings.values()) == 1
