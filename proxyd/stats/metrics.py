"""What a process counts in, and the registry that publishes it.

Counting is one addition to an attribute, without lock, lookup or call: ``counter.value += 1``. Nothing else
is done on the data plane; `Registry.publish` finds out what has changed and copies that to shared memory.
"""

from collections.abc import Iterable
from typing import Final

from proxyd.stats import block
from proxyd.stats.histogram import BUCKETS, SUB_BUCKETS, bucket_of, width

# Units. Envoy's millisecond histograms are recorded in microseconds and printed in milliseconds.
MICROSECONDS: Final = block.HISTOGRAM_MICROSECONDS
PLAIN: Final = block.HISTOGRAM_PLAIN


# Most values are small: their buckets are looked up rather than worked out.
_LOOKED_UP: Final = 1 << 14
_BUCKETS: Final = [index for index in range(bucket_of(_LOOKED_UP)) for _ in range(width(index))]


class Counter:
    """A number that only grows. ``value`` is public for ``+=``; never lower it."""

    __slots__ = ("cell", "name", "published", "value")

    def __init__(self, name: str, cell: int) -> None:
        self.name: Final = name
        self.cell: Final = cell  # -1: no room in the block, counted but not seen outside
        self.value: int = 0
        self.published: int = 0


class Gauge:
    """A number that goes up and down. ``value`` is public for ``+=``, ``-=`` and ``=``.

    A *shared* gauge says the same in every worker (hosts in a cluster): its total is the largest value, that
    of any other gauge is the sum.
    """

    __slots__ = ("cell", "name", "published", "shared", "value")

    def __init__(self, name: str, cell: int, shared: bool) -> None:
        self.name: Final = name
        self.cell: Final = cell
        self.shared: Final = shared
        self.value: int = 0
        self.published: int = 0


class Text:
    """A stat that is a word (Envoy's text readout). Lives in the supervisor alone, never in shared memory."""

    __slots__ = ("name", "value")

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.value: str = ""


class Histogram:
    """A distribution of whole numbers: microseconds if ``unit`` is MICROSECONDS, else bytes or requests."""

    __slots__ = ("cell", "count", "counts", "name", "published", "published_count", "total", "unit")

    def __init__(self, name: str, cell: int, unit: int) -> None:
        self.name: Final = name
        self.cell: Final = cell
        self.unit: Final = unit
        self.count: int = 0
        self.total: int = 0  # exact sum of all values
        self.counts: list[int] = [0] * BUCKETS
        self.published: list[int] = [0] * BUCKETS
        self.published_count: int = 0

    def record(self, value: int) -> None:
        """Count one value. Negative values (a clock stepped back) count as 0."""
        if value < 0:
            value = 0
        self.counts[_BUCKETS[value] if value < _LOOKED_UP else bucket_of(value)] += 1
        self.total += value
        self.count += 1


class Registry:
    """All metrics of one process by name; the one writer of its block.

    ``memory`` is a zeroed, writable buffer (length a multiple of 8) that the supervisor reads, or None where
    the metrics are read directly (the supervisor's own, tests). Asking again for a name gives the same
    object. When the block is full, new metrics are not seen outside but work.
    """

    def __init__(self, memory: memoryview | None = None) -> None:
        self.counters: Final[dict[str, Counter]] = {}
        self.gauges: Final[dict[str, Gauge]] = {}
        self.histograms: Final[dict[str, Histogram]] = {}
        self.texts: Final[dict[str, Text]] = {}
        self.zeros: Final[dict[str, int]] = {}  # name to kind
        self._counter_twins: Final[list[tuple[Counter, int]]] = []  # with the cell of the second name
        self._histogram_twins: Final[list[tuple[Histogram, Histogram]]] = []
        self._writer: Final = None if memory is None else block.BlockWriter(memory)

    def counter(self, name: str) -> Counter:
        """The counter of this full dotted name, made at the first call."""
        counter = self.counters.get(name)
        if counter is None:
            counter = self.counters[name] = Counter(name, self._append(block.COUNTER, name))
        return counter

    def gauge(self, name: str, shared: bool = False) -> Gauge:
        """The gauge of this name; ``shared`` if every worker sets it to the same value."""
        gauge = self.gauges.get(name)
        if gauge is None:
            kind = block.SHARED_GAUGE if shared else block.GAUGE
            gauge = self.gauges[name] = Gauge(name, self._append(kind, name), shared)
        return gauge

    def histogram(self, name: str, unit: int = MICROSECONDS) -> Histogram:
        """The histogram of this name; ``unit`` is MICROSECONDS or PLAIN."""
        histogram = self.histograms.get(name)
        if histogram is None:
            histogram = self.histograms[name] = Histogram(name, self._append(unit, name), unit)
        return histogram

    def counter_twin(self, name: str, counter: Counter) -> None:
        """Show ``counter`` under a second name too, at no cost where it counts."""
        if name not in self.counters:
            self.counters[name] = counter
            self._counter_twins.append((counter, self._append(block.COUNTER, name)))

    def histogram_twin(self, name: str, histogram: Histogram) -> None:
        """The same for a histogram."""
        if name not in self.histograms:
            self.histograms[name] = histogram
            twin = Histogram(name, self._append(histogram.unit, name), histogram.unit)
            self._histogram_twins.append((histogram, twin))

    def text(self, name: str) -> Text:
        """The text readout of this name. Only in a registry without memory."""
        assert self._writer is None, "text readouts do not travel through shared memory"
        text = self.texts.get(name)
        if text is None:
            text = self.texts[name] = Text(name)
        return text

    def zero_counters(self, prefix: str, names: str) -> None:
        """Declare counters that Envoy has and this process never counts: shown as 0, no cell, no object.

        ``names`` are words separated by white space, each to be put behind ``prefix``.
        """
        self._zeros(block.ZERO_COUNTER, prefix, names)

    def zero_gauges(self, prefix: str, names: str) -> None:
        """Declare gauges that Envoy has and this process never sets, as zero_counters() does."""
        self._zeros(block.ZERO_GAUGE, prefix, names)

    def forget(self, names: Iterable[str]) -> None:
        """Show these names no more. Only in a registry without memory: a block's table can only grow."""
        assert self._writer is None, "names stay in shared memory until their process ends"
        for name in names:
            self.counters.pop(name, None)
            self.gauges.pop(name, None)
            self.histograms.pop(name, None)
            self.zeros.pop(name, None)
            self.texts.pop(name, None)

    def publish(self) -> None:
        """Copy what has changed to the block; to be called at least every 100 ms, and before exit."""
        writer = self._writer
        if writer is None:
            return
        for counter, cell in self._counter_twins:
            if counter.value != counter.published:
                writer.store(cell, counter.value)
        for histogram, twin in self._histogram_twins:
            if histogram.count != histogram.published_count:
                twin.counts, twin.total, twin.count = histogram.counts, histogram.total, histogram.count
                _publish_histogram(writer, twin)
        for counter in self.counters.values():
            value = counter.value
            if value != counter.published:
                counter.published = value
                writer.store(counter.cell, value)
        for gauge in self.gauges.values():
            value = gauge.value
            if value != gauge.published:
                gauge.published = value
                writer.store(gauge.cell, value)
                writer.store(gauge.cell + 1, 1)  # used, as usedonly asks
        for histogram in self.histograms.values():
            if histogram.count != histogram.published_count:
                _publish_histogram(writer, histogram)
        writer.published()

    def heartbeat(self, now_monotonic: float) -> None:
        """Tell the supervisor that this process's event loop turned at ``now_monotonic`` (seconds)."""
        if self._writer is not None:
            self._writer.heartbeat(now_monotonic)

    def close(self) -> None:
        """Let go of the memory; the owner may unmap it afterwards. Publish first."""
        if self._writer is not None:
            self._writer.close()

    def _append(self, kind: int, name: str) -> int:
        return -1 if self._writer is None else self._writer.append(kind, name)

    def _zeros(self, kind: int, prefix: str, names: str) -> None:
        for name in names.split():
            full = prefix + name
            if full not in self.zeros:
                self.zeros[full] = kind
                self._append(kind, full)


def _publish_histogram(writer: block.BlockWriter, histogram: Histogram) -> None:
    counts = histogram.counts
    published = histogram.published
    first = histogram.cell + block.HISTOGRAM_HEAD
    if histogram.cell >= 0:
        for octave in range(0, BUCKETS, SUB_BUCKETS):
            # Comparing slices skips the octaves where nothing happened at the speed of C.
            if counts[octave : octave + SUB_BUCKETS] == published[octave : octave + SUB_BUCKETS]:
                continue
            for index in range(octave, octave + SUB_BUCKETS):
                count = counts[index]
                if count != published[index]:
                    published[index] = count
                    writer.store(first + index, count)
        writer.store(histogram.cell + 1, histogram.total)
        # Last: a reader that sees a count of 0 skips the buckets.
        writer.store(histogram.cell, histogram.count)
    histogram.published_count = histogram.count
