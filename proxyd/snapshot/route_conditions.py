"""From the matchers that an operator wrote to those that run: what a route asks for besides its path."""

from proxyd.config import route as config
from proxyd.config.core import StringMatcher as StringMatcherConfig
from proxyd.snapshot.matchers import (
    ANY,
    CONTAINS,
    EXACT,
    PREFIX,
    SUFFIX,
    Conditions,
    HeaderMatcher,
    QueryParameterMatcher,
    RangeMatcher,
    RegexStringMatcher,
    StringMatcher,
    ValueMatcher,
)
from proxyd.snapshot.regex import Regex
from proxyd.snapshot.runtime import Runtime


def compile_conditions(
    match: config.RouteMatch, runtime: Runtime, path_text: bytes = b"", path_whole: bool = False
) -> Conditions | None:
    """The conditions of a match; None where it asks for nothing but a path. Raises RegexError.

    ``path_text`` and ``path_whole`` are those of ``Conditions``.
    """
    fraction = match.runtime_fraction
    if not (match.headers or match.query_parameters or path_text or match.grpc or fraction):
        return None
    numerator, denominator = (1, 1) if fraction is None else runtime.fraction(fraction)
    return Conditions(
        tuple(compile_header(header) for header in match.headers),
        tuple(_compile_query_parameter(parameter) for parameter in match.query_parameters),
        path_text,
        path_whole,
        match.grpc is not None,
        numerator,
        denominator,
    )


def compile_string(matcher: StringMatcherConfig) -> StringMatcher:
    """A compiled ``StringMatcher``. Raises RegexError."""
    if matcher.safe_regex is not None:
        return RegexStringMatcher(Regex(matcher.safe_regex.regex))
    if matcher.exact is not None:
        return StringMatcher(EXACT, matcher.exact.encode(), matcher.ignore_case)
    if matcher.prefix is not None:
        return StringMatcher(PREFIX, matcher.prefix.encode(), matcher.ignore_case)
    if matcher.suffix is not None:
        return StringMatcher(SUFFIX, matcher.suffix.encode(), matcher.ignore_case)
    assert matcher.contains is not None, "the loader lets no empty StringMatcher pass"
    return StringMatcher(CONTAINS, matcher.contains.encode(), matcher.ignore_case)


def compile_header(matcher: config.HeaderMatcher) -> HeaderMatcher:
    """A compiled ``HeaderMatcher``. Raises RegexError."""
    return HeaderMatcher(
        matcher.name.encode(),
        _compile_value(matcher),
        present=matcher.present_match is not False,
        invert=matcher.invert_match,
        missing_as_empty=matcher.treat_missing_header_as_empty,
    )


def _compile_value(matcher: config.HeaderMatcher) -> ValueMatcher | None:
    if matcher.string_match is not None:
        return ValueMatcher(compile_string(matcher.string_match))
    if matcher.range_match is not None:
        return RangeMatcher(matcher.range_match.start, matcher.range_match.end)
    if matcher.safe_regex_match is not None:
        return ValueMatcher(RegexStringMatcher(Regex(matcher.safe_regex_match.regex)))
    if matcher.exact_match is not None:
        # Envoy takes an empty one for any value.
        kind = EXACT if matcher.exact_match else ANY
        return ValueMatcher(StringMatcher(kind, matcher.exact_match.encode()))
    if matcher.prefix_match is not None:
        return ValueMatcher(StringMatcher(PREFIX, matcher.prefix_match.encode()))
    if matcher.suffix_match is not None:
        return ValueMatcher(StringMatcher(SUFFIX, matcher.suffix_match.encode()))
    if matcher.contains_match is not None:
        return ValueMatcher(StringMatcher(CONTAINS, matcher.contains_match.encode()))
    return None


def _compile_query_parameter(matcher: config.QueryParameterMatcher) -> QueryParameterMatcher:
    value = compile_string(matcher.string_match) if matcher.string_match is not None else None
    return QueryParameterMatcher(matcher.name.encode(), value, matcher.present_match is not False)
