"""The scale of histograms, and quantiles taken from it against exact ones."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from proxyd.stats.histogram import BUCKETS, MAX_BITS, bucket_of, lower_bound, width
from proxyd.stats.metrics import PLAIN, Histogram
from proxyd.stats.view import Distribution

VALUES = st.integers(min_value=0, max_value=(1 << MAX_BITS) - 1)
FRACTIONS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0)


def distribution(values: list[int], scale: float = 1.0) -> Distribution:
    histogram = Histogram("h", -1, PLAIN)
    for value in values:
        histogram.record(value)
    return Distribution(histogram.counts, histogram.total, scale)


def test_buckets_follow_each_other_without_gap() -> None:
    for index in range(BUCKETS - 1):
        assert lower_bound(index) + width(index) == lower_bound(index + 1)
    assert lower_bound(BUCKETS - 1) + width(BUCKETS - 1) == 1 << MAX_BITS


@settings(deadline=None)
@given(VALUES)
def test_a_value_is_inside_its_bucket(value: int) -> None:
    index = bucket_of(value)
    assert lower_bound(index) <= value < lower_bound(index) + width(index)


@settings(deadline=None)
@given(st.one_of(VALUES, st.integers(-10, -1), st.integers(min_value=1 << MAX_BITS)))
def test_record_counts_in_the_bucket_of_the_value(value: int) -> None:
    histogram = Histogram("h", -1, PLAIN)
    histogram.record(value)
    assert [index for index, count in enumerate(histogram.counts) if count] == [bucket_of(value)]
    assert histogram.count == 1
    assert histogram.total == max(value, 0)


def test_values_out_of_range_count_at_the_ends() -> None:
    assert bucket_of(-5) == 0
    assert bucket_of(1 << 60) == BUCKETS - 1


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=200))
def test_quantiles_are_within_five_percent_of_exact_ones(values: list[int]) -> None:
    measured = distribution(values).quantiles(FRACTIONS)
    exact = sorted(values)
    for fraction, value in zip(FRACTIONS, measured, strict=True):
        expected = exact[max(math.ceil(fraction * len(exact)), 1) - 1]
        # A bucket is 1/16 of its octave; whole values below 32 are exact.
        assert abs(value - expected) <= (1 / 16) * max(expected, value)
        if expected < 32:
            assert value == expected


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(100, 10**9), min_size=1000, max_size=1000))
def test_quantiles_of_many_values_are_within_five_percent(values: list[int]) -> None:
    exact = sorted(values)
    fractions = (0.1, 0.5, 0.9)
    for fraction, value in zip(fractions, distribution(values).quantiles(fractions), strict=True):
        near = exact[int(fraction * len(exact)) - 30 : int(fraction * len(exact)) + 30]
        assert near[0] * 0.95 <= value <= near[-1] * 1.05


def test_quantiles_of_nothing_are_nan() -> None:
    assert all(math.isnan(value) for value in Distribution([], 0, 1.0).quantiles(FRACTIONS))


def test_microseconds_are_shown_as_milliseconds() -> None:
    shown = distribution([1500, 1500], scale=1000.0)
    assert shown.sum == 3.0
    assert 1.45 <= shown.quantiles((0.5,))[0] <= 1.55


@settings(deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=100), st.lists(st.integers(0, 5000), max_size=100))
def test_counts_at_most_a_bound_rise_with_bound_and_with_values(first: list[int], more: list[int]) -> None:
    bounds = (0.5, 1.0, 5.0, 100.0, 1000.0, 6000.0)
    before = distribution(first).at_most(bounds)
    after = distribution(first + more).at_most(bounds)
    assert before == sorted(before)
    assert all(old <= new for old, new in zip(before, after, strict=True))
    assert after[-1] == len(first) + len(more)


def test_whole_small_values_are_counted_exactly_under_a_bound() -> None:
    assert distribution([0, 1, 1, 5, 6, 10]).at_most((0.5, 1.0, 5.0, 10.0)) == [1, 3, 4, 6]


def test_difference_of_two_states_is_what_came_between() -> None:
    interval = distribution([1, 2, 300]).minus(distribution([1, 2]))
    assert interval.count == 1
    assert interval.total == 300
