"""Access log filters in their compiled form: one small class for each kind of question."""

import random
import time
from typing import Final

from proxyd.config import access_log_filter as config
from proxyd.config.core import FractionalPercent, RuntimeFractionalPercent
from proxyd.errors import FLAG_NAMES
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.matchers import HeaderMatcher
from proxyd.snapshot.route_conditions import compile_header
from proxyd.snapshot.runtime import Runtime

_EQ: Final = 0
_GE: Final = 1
_LE: Final = 2


class LogFilter:
    """A condition on a request and what has become of it."""

    def passes(self, info: StreamInfo) -> bool:
        """Whether ``info`` is as wanted."""
        raise NotImplementedError


class Comparison(LogFilter):
    """A number of the request compared with a value."""

    def __init__(self, op: int, value: int) -> None:
        self.op: Final = op
        self.value: Final = value

    def number(self, info: StreamInfo) -> int:
        raise NotImplementedError

    def passes(self, info: StreamInfo) -> bool:
        number = self.number(info)
        op = self.op
        if op == _EQ:
            return number == self.value
        if op == _GE:
            return number >= self.value
        if op == _LE:
            return number <= self.value
        return number != self.value


class StatusCode(Comparison):
    """``status_code_filter``."""

    def number(self, info: StreamInfo) -> int:
        return info.response_code


class Duration(Comparison):
    """``duration_filter``: whole milliseconds, up to now while the request is under way."""

    def number(self, info: StreamInfo) -> int:
        return int(((info.end or time.monotonic()) - info.start) * 1000)


class Flags(LogFilter):
    """``response_flag_filter``: any of ``flags``, bits of proxyd.errors."""

    def __init__(self, flags: int) -> None:
        self.flags: Final = flags

    def passes(self, info: StreamInfo) -> bool:
        return info.response_flags & self.flags != 0


class Header(LogFilter):
    """``header_filter``."""

    def __init__(self, matcher: HeaderMatcher) -> None:
        self.matcher: Final = matcher

    def passes(self, info: StreamInfo) -> bool:
        return self.matcher.matches(info.path, info.method, info.scheme, info.authority, info.request_headers)


class Sample(LogFilter):
    """``runtime_filter``: ``numerator`` of ``denominator``, the same for all proxies that see a request."""

    def __init__(self, numerator: int, denominator: int, independent: bool) -> None:
        self.numerator: Final = numerator
        self.denominator: Final = denominator
        self.independent: Final = independent

    def passes(self, info: StreamInfo) -> bool:
        pivot = -1 if self.independent else _pivot(info.request_id)
        if pivot < 0:
            pivot = random.randrange(self.denominator)
        return pivot % self.denominator < self.numerator


class AllOf(LogFilter):
    """``and_filter``."""

    def __init__(self, filters: list[LogFilter]) -> None:
        self.filters: Final = filters

    def passes(self, info: StreamInfo) -> bool:
        return all(each.passes(info) for each in self.filters)


class AnyOf(LogFilter):
    """``or_filter``."""

    def __init__(self, filters: list[LogFilter]) -> None:
        self.filters: Final = filters

    def passes(self, info: StreamInfo) -> bool:
        return any(each.passes(info) for each in self.filters)


def compile_filter(source: config.AccessLogFilter, runtime: Runtime) -> LogFilter:
    """The filter of an access log or of a local reply's mapper. Raises RegexError."""
    if source.status_code_filter is not None:
        comparison = source.status_code_filter.comparison
        return StatusCode(comparison.op.value, _value(comparison, runtime))
    if source.duration_filter is not None:
        comparison = source.duration_filter.comparison
        return Duration(comparison.op.value, _value(comparison, runtime))
    if source.runtime_filter is not None:
        sampled = source.runtime_filter
        numerator, denominator = runtime.fraction(
            RuntimeFractionalPercent(
                default_value=sampled.percent_sampled or FractionalPercent(), runtime_key=sampled.runtime_key
            )
        )
        return Sample(numerator, denominator, sampled.use_independent_randomness)
    if source.and_filter is not None:
        return AllOf([compile_filter(each, runtime) for each in source.and_filter.filters])
    if source.or_filter is not None:
        return AnyOf([compile_filter(each, runtime) for each in source.or_filter.filters])
    if source.header_filter is not None:
        return Header(compile_header(source.header_filter.header))
    assert source.response_flag_filter is not None, "the loader lets no empty filter pass"
    return Flags(_flags(source.response_flag_filter.flags))


def _value(comparison: config.ComparisonFilter, runtime: Runtime) -> int:
    return runtime.integer(comparison.value.runtime_key, comparison.value.default_value)


def _flags(names: tuple[str, ...]) -> int:
    """Their bits; all for none. Some flags of Envoy are of features that proxyd has not: they never come."""
    if not names:
        return -1
    return sum(1 << bit for bit, name in enumerate(FLAG_NAMES) if name in names)


def _pivot(request_id: bytes) -> int:
    """The number that all proxies make of a request's UUID, or -1 where it is none."""
    if len(request_id) != 36:
        return -1
    try:
        return int(request_id[:8], 16)
    except ValueError:
        return -1
