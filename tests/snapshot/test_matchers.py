import pytest

from proxyd.codec.headers import Headers
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
    query_parameters_of,
)


def exact(value: bytes) -> ValueMatcher:
    return ValueMatcher(StringMatcher(EXACT, value))


# Which of these Envoy 1.40 found fitting for each list of values of the header "h".
MATCHERS = {
    "exact": HeaderMatcher(b"h", exact(b"a")),
    "exact inverted": HeaderMatcher(b"h", exact(b"a"), invert=True),
    "exact inverted, missing is empty": HeaderMatcher(b"h", exact(b"a"), invert=True, missing_as_empty=True),
    "empty, missing is empty": HeaderMatcher(b"h", exact(b""), missing_as_empty=True),
    "present": HeaderMatcher(b"H", None),
    "present inverted": HeaderMatcher(b"h", None, invert=True),
    "absent": HeaderMatcher(b"h", None, present=False),
    "absent inverted": HeaderMatcher(b"h", None, present=False, invert=True),
    "present, missing is empty": HeaderMatcher(b"h", None, missing_as_empty=True),
    "absent, missing is empty": HeaderMatcher(b"h", None, present=False, missing_as_empty=True),
    "range": HeaderMatcher(b"h", RangeMatcher(-5, 10)),
    "range inverted": HeaderMatcher(b"h", RangeMatcher(-5, 10), invert=True),
    "prefix, any case": HeaderMatcher(b"h", ValueMatcher(StringMatcher(PREFIX, b"A", True))),
}
ANY_VALUE = {"present", "absent inverted", "present, missing is empty"}
OTHER_VALUE = {"exact inverted", "exact inverted, missing is empty"}
FITTING = [
    ([], {"exact inverted, missing is empty", "empty, missing is empty", "present inverted", "absent",
          "present, missing is empty"}),
    ([b"a"], ANY_VALUE | {"exact", "range inverted", "prefix, any case"}),
    ([b"b"], ANY_VALUE | OTHER_VALUE | {"range inverted"}),
    ([b""], ANY_VALUE | OTHER_VALUE | {"empty, missing is empty", "range inverted"}),
    ([b"ABC"], ANY_VALUE | OTHER_VALUE | {"range inverted", "prefix, any case"}),
    ([b"+5"], ANY_VALUE | OTHER_VALUE | {"range"}),
    ([b"-5"], ANY_VALUE | OTHER_VALUE | {"range"}),
    ([b"00000000000000000000000000007"], ANY_VALUE | OTHER_VALUE | {"range"}),
    ([b"10"], ANY_VALUE | OTHER_VALUE | {"range inverted"}),
    ([b"5 6"], ANY_VALUE | OTHER_VALUE | {"range inverted"}),
    ([b"1_0"], ANY_VALUE | OTHER_VALUE | {"range inverted"}),
    ([b"9" * 5000], ANY_VALUE | OTHER_VALUE | {"range inverted"}),
]  # fmt: skip


@pytest.mark.parametrize(("values", "fitting"), FITTING)
def test_header_matchers_judge_as_in_envoy(values: list[bytes], fitting: set[str]) -> None:
    headers = Headers([(b"h", value) for value in values])
    found = {
        name for name, matcher in MATCHERS.items() if matcher.matches(b"/", b"GET", b"http", b"x", headers)
    }
    assert found == fitting


def test_of_several_values_one_that_fits_is_enough() -> None:
    headers = Headers([(b"h", b"a"), (b"i", b"x"), (b"h", b"b")])
    for wanted, fits in ((b"a", True), (b"b", True), (b"a,b", False)):
        for invert in (False, True):
            matcher = HeaderMatcher(b"h", exact(wanted), invert=invert)
            assert matcher.matches(b"/", b"GET", b"http", b"x", headers) is (fits != invert)
    for present in (False, True):
        assert HeaderMatcher(b"h", None, present).matches(b"/", b"GET", b"http", b"x", headers) is present


def test_fields_of_one_line_are_compared_as_one() -> None:
    headers = Headers([(b"accept", b"a"), (b"accept", b"b")])
    for wanted, fits in ((b"a", False), (b"a,b", True)):
        assert HeaderMatcher(b"accept", exact(wanted)).matches(b"/", b"GET", b"http", b"x", headers) is fits


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b":method", b"GET"),
        (b":path", b"/p?q"),
        (b":authority", b"x:1"),
        (b"Host", b"x:1"),
        (b":scheme", b"http"),
    ],
)
def test_pseudo_headers(name: bytes, value: bytes) -> None:
    matcher = HeaderMatcher(name, exact(value))
    assert matcher.matches(b"/p?q", b"GET", b"http", b"x:1", Headers())
    assert not matcher.matches(b"/", b"PUT", b"https", b"y", Headers())


def test_string_matchers() -> None:
    for kind, value in ((EXACT, b"abc"), (PREFIX, b"ab"), (SUFFIX, b"bc"), (CONTAINS, b"b")):
        assert StringMatcher(kind, value).matches(b"abc")
        assert not StringMatcher(kind, value).matches(b"aBc")
        assert StringMatcher(kind, value.upper(), True).matches(b"aBc")
        assert not StringMatcher(kind, value).matches(b"xyz")


def test_query_parameters_are_compared_as_written() -> None:
    assert query_parameters_of(b"/p") == {}
    assert query_parameters_of(b"/p?q=1&q=2&a&b=&c=d=e") == {
        b"q": b"1",
        b"a": b"",
        b"b": b"",
        b"c": b"d=e",
    }
    one = QueryParameterMatcher(b"q", StringMatcher(EXACT, b"a%20b"))
    assert one.matches(query_parameters_of(b"/?q=a%20b"))
    assert not one.matches(query_parameters_of(b"/?q=a+b"))
    assert not one.matches(query_parameters_of(b"/?Q=a%20b"))
    assert QueryParameterMatcher(b"q", None).matches({b"q": b""})
    assert QueryParameterMatcher(b"q", None, False).matches({})


def test_all_conditions_must_hold() -> None:
    conditions = Conditions((MATCHERS["exact"],), (QueryParameterMatcher(b"q", None),), b"/P", True)
    headers = Headers([(b"h", b"a")])
    assert conditions.hold(b"/P?q", b"GET", b"http", b"x", headers)
    assert not conditions.hold(b"/p?q", b"GET", b"http", b"x", headers)
    assert not conditions.hold(b"/Px?q", b"GET", b"http", b"x", headers)
    assert not conditions.hold(b"/P?r", b"GET", b"http", b"x", headers)
    assert not conditions.hold(b"/P?q", b"GET", b"http", b"x", Headers())
