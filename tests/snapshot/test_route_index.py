"""The index answers what a scan from the first route to the last would."""

import re

import pytest
import re2
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


EXPRESSIONS = ("/a.*", "/[ab]+", ".*b", "/", "/a/?", ".*", "(/|a)*", "/b(a|b/).*")
mixed_rules = st.lists(
    st.one_of(
        st.tuples(paths, st.booleans(), st.booleans()),
        st.tuples(st.sampled_from(EXPRESSIONS), st.just(True), st.booleans()),
    ),
    max_size=12,
)
Rule = tuple[bytes | str, bool, bool]


def build_mixed(table: list[Rule]) -> RouteIndex:
    """The same with expressions, which are text, among the paths."""
    candidates: list[Candidate] = []
    regexes: list[Candidate] = []
    for position, (text, exact, conditional) in enumerate(table):
        conditions = None
        if conditional:
            conditions = Conditions((HeaderMatcher(b"on", ValueMatcher(StringMatcher(EXACT, b"yes"))),))
        route = Route(str(position), ROUTE)
        if isinstance(text, str):
            regexes.append(Candidate(position, text.encode(), True, conditions, route))
        else:
            candidates.append(Candidate(position, text, exact, conditions, route))
    return RouteIndex("host", candidates, False, regexes)


def first_of_mixed_by_scan(table: list[Rule], path: bytes, on: bool) -> str | None:
    for position, (text, exact, conditional) in enumerate(table):
        if isinstance(text, str):
            matches = re.fullmatch(text.encode(), path) is not None
        else:
            matches = path == text if exact else path.startswith(text)
        if matches and (on or not conditional):
            return str(position)
    return None


@given(mixed_rules, st.lists(paths, min_size=1, max_size=8), st.booleans())
def test_the_index_with_expressions_finds_what_a_scan_finds(
    table: list[Rule], asked: list[bytes], on: bool
) -> None:
    index = build_mixed(table)
    for path in asked:
        assert match(index, path, on) == first_of_mixed_by_scan(table, path, on)


def test_expressions_are_not_asked_where_an_earlier_route_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    index = build_mixed([(b"/a", False, False), ("/.*", True, False)])

    def never(_: re2.Set, __: bytes) -> list[int]:
        raise AssertionError

    monkeypatch.setattr(re2.Set, "Match", never)
    assert match(index, b"/a/b", False) == "0"
    with pytest.raises(AssertionError):
        match(index, b"/b", False)
