"""Statistics as they were at one moment, summed over all processes: what the renderers print."""

import math
from typing import Final

from proxyd.stats.histogram import BUCKETS, lower_bound, width
from proxyd.stats.metrics import MICROSECONDS


class Distribution:
    """Counts of a histogram's buckets, and the exact sum of what was recorded."""

    __slots__ = ("count", "counts", "scale", "total")

    def __init__(self, counts: list[int], total: int, scale: float) -> None:
        self.counts: Final = counts  # empty where nothing was recorded
        self.total: Final = total
        self.scale: Final = scale  # printed = recorded / scale
        self.count: Final = sum(counts)

    @property
    def sum(self) -> float:
        """The sum of all values, as printed."""
        return self.total / self.scale

    def quantiles(self, fractions: tuple[float, ...]) -> list[float]:
        """The value below which each of the rising fractions (0 to 1) lies; NaN where there are none."""
        count = self.count
        if not count:
            return [float("nan")] * len(fractions)
        results: list[float] = []
        below = 0
        index = -1
        inside = 0
        for fraction in fractions:
            # The rank-th smallest value; at least the first, so that 0 gives the minimum.
            rank = max(fraction * count, 1e-9)
            while below + inside < rank and index < BUCKETS - 1:
                below += inside
                index += 1
                inside = self.counts[index]
            results.append(self._inside(index, (rank - below) / inside))
        return results

    def at_most(self, bounds: tuple[float, ...]) -> list[int]:
        """How many values are at most each of the rising, printed bounds; never falling from bound to bound.

        A bound inside a bucket takes its share of the bucket, as if the values were spread evenly.
        """
        if not self.counts:
            return [0] * len(bounds)
        results: list[int] = []
        below = 0
        index = 0
        for bound in bounds:
            limit = math.floor(bound * self.scale)  # recorded values are whole numbers
            while index < BUCKETS - 1 and lower_bound(index) + width(index) - 1 <= limit:
                below += self.counts[index]
                index += 1
            share = (limit - lower_bound(index) + 1) / width(index)
            results.append(below + int(self.counts[index] * min(max(share, 0.0), 1.0)))
        return results

    def minus(self, other: "Distribution") -> "Distribution":
        """What was recorded after ``other``, an earlier state of the same histogram."""
        if not other.counts:
            return self
        return Distribution(
            [new - old for new, old in zip(self.counts, other.counts, strict=True)],
            self.total - other.total,
            self.scale,
        )

    def _inside(self, index: int, fraction: float) -> float:
        """The value at a fraction of a bucket. A bucket of a single whole value is that value."""
        size = width(index)
        return (lower_bound(index) + (fraction * size if size > 1 else 0)) / self.scale


class HistogramView:
    """One histogram: since the start, and during the last whole flush interval."""

    __slots__ = ("cumulative", "interval")

    def __init__(self, cumulative: Distribution, interval: Distribution) -> None:
        self.cumulative: Final = cumulative
        self.interval: Final = interval


class StatsView:
    """Values by full dotted name. Hidden names (proxyd's own, see scopes) are in ``hidden`` alone."""

    def __init__(self) -> None:
        self.counters: Final[dict[str, int]] = {}
        self.gauges: Final[dict[str, int]] = {}
        self.histograms: Final[dict[str, HistogramView]] = {}
        self.texts: Final[dict[str, str]] = {}
        self.hidden: Final[dict[str, int]] = {}  # counters and gauges under HIDDEN_PREFIXES
        self.used: Final[set[str]] = set()  # written since the start, of every kind


def scale_of(unit: int) -> float:
    """Recorded units to one printed unit: microseconds are printed as milliseconds."""
    return 1000.0 if unit == MICROSECONDS else 1.0
