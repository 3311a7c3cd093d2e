"""Expressions mean what RE2 means by them, and take time that grows with the text alone."""

import time

import pytest

from proxyd.snapshot import regex
from proxyd.snapshot.regex import Regex, RegexError, RegexSet, Substitution


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("/a", b"/a", True),
        ("/a", b"/ab", False),
        ("a", b"/a", False),
        ("a|ab", b"ab", True),
        ("^/a$", b"/a", True),
        ("/a$", b"/a\n", False),
        (".", "é".encode(), True),
        (".", b"\xe9", False),
        ("(?i)/A.*", b"/ab", True),
        (r"\pL+", "größe".encode(), True),
        ("(?s).*", b"a\nb", True),
        (".*", b"a\nb", False),
        ("", b"", True),
    ],
)
def test_the_whole_text_has_to_match(pattern: str, text: bytes, matches: bool) -> None:
    assert Regex(pattern).matches(text) is matches


@pytest.mark.parametrize("pattern", ["(a", "(?=a)b", r"(a)\1", "a**", "[z-a]", "a{1001}"])
def test_what_is_no_expression_of_re2_is_refused(pattern: str) -> None:
    with pytest.raises(RegexError, match=r"^no RE2 expression: \S"):
        Regex(pattern)


def test_no_expression_can_stop_a_worker() -> None:
    begin = time.perf_counter()
    assert not Regex("(a+)+$").matches(b"a" * 20_000 + b"b")
    assert Substitution("(a*)*b", "x").replace_all(b"a" * 2_000) == b"a" * 2_000
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    ("pattern", "substitution", "text", "result"),
    [
        ("^/service/([^/]+)(/.*)$", r"\2/instance/\1", b"/service/foo/v1/api", b"/v1/api/instance/foo"),
        ("one", "two", b"/xxx/one/yyy/one/zzz", b"/xxx/two/yyy/two/zzz"),
        ("^(.*?)one(.*)$", r"\1two\2", b"/xxx/one/yyy/one/zzz", b"/xxx/two/yyy/one/zzz"),
        ("(?i)/xxx/", "/yyy/", b"/aaa/XxX/bbb", b"/aaa/yyy/bbb"),
        ("nothing", "x", b"/a", b"/a"),
        ("e*", "X", b"/x2/beet", b"X/XxX2X/XbXtX"),
        ("", "-", "aé".encode(), "-a-é-".encode()),
        ("", "-", b"\xe9", b"-\xe9-"),
        ("x*", "-", b"", b"-"),
        ("(a)|(b)", r"<\1\2>", b"abc", b"<a><b>c"),
        ("a", r"\0\\", b"ab", b"a\\b"),
        ("^a", "b", b"aaa", b"baa"),
        (r"\bx", "y", b"xx x", b"yx y"),
        (".*", "", b"/a", b""),
    ],
)
def test_every_match_is_replaced(pattern: str, substitution: str, text: bytes, result: bytes) -> None:
    assert Substitution(pattern, substitution).replace_all(text) == result


@pytest.mark.parametrize(
    ("substitution", "reason"),
    [
        (r"\2", "refers to a group, and the expression has 1"),
        (r"\x", "a backslash stands before a digit"),
        ("\\", "a backslash stands before a digit"),
    ],
)
def test_a_substitution_that_means_nothing_is_refused(substitution: str, reason: str) -> None:
    with pytest.raises(RegexError, match=reason):
        Substitution("(a)", substitution)


def test_a_set_finds_all_that_match() -> None:
    patterns = [b"/a.*", b"/.b", b"x", b"/ab"]
    assert sorted(RegexSet(patterns).matches(b"/ab")) == [0, 1, 3]
    assert RegexSet(patterns).matches(b"/") == []
    assert RegexSet([]).matches(b"/") == []


def test_what_is_too_large_for_one_set_is_shared_among_several() -> None:
    expressions = RegexSet([b"/%d/[a-z]{1,20}" % number for number in range(200)], 1 << 17)
    assert len(expressions._parts) > 1
    for number in (0, 99, 199):
        assert expressions.matches(b"/%d/abc" % number) == [number]


def test_an_expression_too_large_for_any_set_is_refused() -> None:
    with pytest.raises(RegexError, match="too large"):
        RegexSet([b"([a-z]{100}){10}"], 1 << 14)


def test_without_the_engine_expressions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regex, "_re2", None)
    for attempt in (lambda: Regex("a"), lambda: Substitution("a", "b"), lambda: RegexSet([b"a"])):
        with pytest.raises(RegexError, match="need the package google-re2, which is not installed"):
            attempt()
    assert RegexSet([]).matches(b"/") == []
