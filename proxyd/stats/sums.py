"""Numbers of several processes added up by name, and the names that have ceased to mean anything."""

from collections.abc import Iterable, Mapping
from typing import Final

from proxyd.stats import block
from proxyd.stats.block import BlockReader, Entry
from proxyd.stats.histogram import BUCKETS
from proxyd.stats.metrics import Registry
from proxyd.stats.view import Distribution, scale_of

# What every scope of a kind has: a name of it in a living table says that the scope exists.
_SCOPE_MARKS: Final = {
    "cluster": ".upstream_cx_total",
    "http": ".downstream_cx_total",
    "listener": ".downstream_cx_total",
    "host": ".cx_total",
}


class Scopes:
    """The clusters, listeners, connection managers and hosts that some tables speak of."""

    def __init__(self, names: Iterable[str]) -> None:
        self._marks: set[str] = set()
        for name in names:
            kind, _, rest = name.partition(".")
            mark = _SCOPE_MARKS.get(kind)
            if mark is not None and rest.endswith(mark):
                self._marks.add(name[: -len(mark)])

    def __bool__(self) -> bool:
        return bool(self._marks)

    def has(self, name: str) -> bool:
        """Whether the scope of this name exists; names outside such scopes always do."""
        return name.partition(".")[0] not in _SCOPE_MARKS or self.holds(name)

    def add(self, scopes: Iterable[str]) -> None:
        """Speak of these, too: ``cluster.name``, ``http.prefix``, ``listener.address``."""
        self._marks.update(scopes)

    def remove(self, scopes: Iterable[str]) -> set[str]:
        """Speak of these no more; those that it did."""
        removed = self._marks.intersection(scopes)
        self._marks -= removed
        return removed

    def holds(self, name: str) -> bool:
        """Whether the name is of one of the scopes."""
        kind = name.partition(".")[0]
        # Names of clusters have dots, so every beginning may be the scope's.
        end = name.find(".", len(kind) + 1)
        while end > 0:
            if name[:end] in self._marks:
                return True
            end = name.find(".", end + 1)
        return False


class _Histogram:
    """Counts of one histogram while they are added up."""

    __slots__ = ("counts", "total", "unit")

    def __init__(self, unit: int, total: int, counts: list[int]) -> None:
        self.unit: Final = unit
        self.total = total
        self.counts = counts  # empty where nothing was recorded


class Sum:
    """Numbers of several processes, added by name."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.gauges: dict[str, int] = {}
        self.gauges_used: set[str] = set()
        self.zeros: dict[str, int] = {}
        self.histograms: dict[str, _Histogram] = {}

    def copy(self) -> "Sum":
        other = Sum()
        other.counters = dict(self.counters)
        other.gauges_used = set(self.gauges_used)
        for name, histogram in self.histograms.items():
            other.histograms[name] = _Histogram(histogram.unit, histogram.total, histogram.counts)
        return other

    def histograms_alone(self) -> "Sum":
        """A copy that holds nothing else."""
        other = Sum()
        for name, histogram in self.histograms.items():
            other.histograms[name] = _Histogram(histogram.unit, histogram.total, histogram.counts)
        return other

    def keep(self, scopes: Scopes) -> None:
        """Drop the names whose scope does not exist any more."""
        self.counters = {name: value for name, value in self.counters.items() if scopes.has(name)}
        self.histograms = {name: value for name, value in self.histograms.items() if scopes.has(name)}
        self.gauges_used = {name for name in self.gauges_used if scopes.has(name)}

    def drop(self, scopes: Scopes) -> None:
        """Forget every name of these scopes."""
        if not scopes:
            return
        for table in (self.counters, self.gauges, self.zeros, self.histograms):
            for name in [each for each in table if scopes.holds(each)]:
                del table[name]

    def add(self, other: "Sum") -> None:
        """Add what another process has counted; its gauges are none that processes share."""
        for name, value in other.counters.items():
            self.counters[name] = self.counters.get(name, 0) + value
        for name, value in other.gauges.items():
            self._gauge(name, value, False, name in other.gauges_used)
        for name, histogram in other.histograms.items():
            self._histogram(name, histogram.unit, histogram.total, list(histogram.counts))

    def replace(self, other: "Sum") -> None:
        """Take what another says of its names instead of what is known of them."""
        self.counters.update(other.counters)
        self.gauges.update(other.gauges)
        self.gauges_used.update(other.gauges_used)
        self.histograms.update(other.histograms)

    def subtract(self, counters: Mapping[str, int], histograms: Mapping[str, Distribution]) -> None:
        """Let these start from here."""
        for name, value in counters.items():
            if name in self.counters:
                self.counters[name] -= value
        for name, before in histograms.items():
            present = self.histograms.get(name)
            if present is not None and present.counts and before.counts:
                counts = [a - b for a, b in zip(present.counts, before.counts, strict=True)]
                self.histograms[name] = _Histogram(present.unit, present.total - before.total, counts)

    def rows(self) -> dict[str, tuple[int, int, list[int]]]:
        """Histograms in which something was recorded, as they travel: unit, sum, counts."""
        return {name: (h.unit, h.total, h.counts) for name, h in self.histograms.items() if h.counts}

    @classmethod
    def of(
        cls,
        counters: dict[str, int],
        gauges: dict[str, int],
        histograms: Mapping[str, tuple[int, int, list[int]]],
    ) -> "Sum":
        """What another process has told of itself; histograms on another scale are left out."""
        made = cls()
        made.counters = counters
        made.gauges = gauges
        made.gauges_used = {name for name, value in gauges.items() if value}
        for name, (unit, total, counts) in histograms.items():
            if len(counts) == BUCKETS:
                made.histograms[name] = _Histogram(unit, total, counts)
        return made

    def add_gauges(self, reader: BlockReader) -> None:
        """Those that each process has for itself."""
        for entry in reader.entries():
            if entry.kind == block.GAUGE:
                used = reader.value(entry.cell + 1) != 0
                self._gauge(entry.name, reader.value(entry.cell), False, used)

    def add_reader(self, reader: BlockReader) -> None:
        for entry in reader.entries():
            kind = entry.kind
            name = entry.name
            if kind == block.COUNTER:
                self.counters[name] = self.counters.get(name, 0) + reader.value(entry.cell)
            elif kind in (block.GAUGE, block.SHARED_GAUGE):
                used = reader.value(entry.cell + 1) != 0
                self._gauge(name, reader.value(entry.cell), kind == block.SHARED_GAUGE, used)
            elif kind in (block.ZERO_COUNTER, block.ZERO_GAUGE):
                self.zeros[name] = kind
            else:
                recorded = reader.histogram(entry.cell)
                self._histogram(name, kind, *(recorded or (0, [])))

    def add_histograms(self, reader: BlockReader, entries: list[Entry]) -> None:
        """Those in which something was recorded."""
        for entry in entries:
            recorded = reader.histogram(entry.cell)
            if recorded is not None:
                self._histogram(entry.name, entry.kind, *recorded)

    def add_registry_histograms(self, registry: Registry) -> None:
        for name, histogram in registry.histograms.items():
            counts = list(histogram.counts) if histogram.count else []
            self._histogram(name, histogram.unit, histogram.total, counts)

    def add_registry(self, registry: Registry) -> None:
        for name, counter in registry.counters.items():
            self.counters[name] = self.counters.get(name, 0) + counter.value
        for gauge in registry.gauges.values():
            self._gauge(gauge.name, gauge.value, gauge.shared, used=False)
        self.add_registry_histograms(registry)
        self.zeros.update(registry.zeros)

    def forget_gauges(self) -> None:
        """What ends with a process: its gauges, and the names it declared."""
        self.gauges.clear()
        self.zeros.clear()

    def distributions(self) -> dict[str, Distribution]:
        return {
            name: Distribution(h.counts, h.total, scale_of(h.unit)) for name, h in self.histograms.items()
        }

    def _gauge(self, name: str, value: int, shared: bool, used: bool) -> None:
        present = self.gauges.get(name, 0)
        self.gauges[name] = max(present, value) if shared else present + value
        if used:
            self.gauges_used.add(name)

    def _histogram(self, name: str, unit: int, total: int, counts: list[int]) -> None:
        present = self.histograms.get(name)
        if present is None:
            self.histograms[name] = _Histogram(unit, total, counts)
            return
        present.total += total
        if counts:
            # A new list: the present one may belong to the retired sum.
            present.counts = (
                [a + b for a, b in zip(present.counts, counts, strict=True)] if present.counts else counts
            )
