"""The sum of what all processes have counted, living and gone. The supervisor alone has one.

A counter's total is what living workers have published, plus what retired ones left behind, plus the
supervisor's own count; so it never falls, whatever happens to workers. Gauges of a worker go with it.
"""

import logging
from typing import Final

from proxyd.stats import block
from proxyd.stats.block import BlockReader, LayoutMismatchError
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import HIDDEN_PREFIXES
from proxyd.stats.view import Distribution, HistogramView, StatsView, scale_of

logger = logging.getLogger(__name__)


class WorkerNumbers:
    """What one living worker has published about itself."""

    __slots__ = (
        "connections",
        "dropped",
        "heartbeat",
        "loop_lag_max_us",
        "loop_lag_us",
        "pid",
        "requests_active",
        "requests_total",
    )

    def __init__(self, pid: int, heartbeat: float, dropped: int) -> None:
        self.pid: Final = pid  # 0 until the worker has begun
        self.heartbeat: Final = heartbeat  # monotonic seconds, 0.0 before the first
        self.dropped: Final = dropped  # metrics that found no room in the block
        self.connections = 0
        self.requests_active = 0
        self.requests_total = 0
        self.loop_lag_us = 0
        self.loop_lag_max_us = 0


class Totals:
    """Adds up blocks and the supervisor's own registry.

    Not for several threads. ``worker_id`` is any number that no other living worker process has.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry: Final = registry
        self._readers: Final[dict[int, BlockReader]] = {}
        self._retired: Final = _Sum()
        self._baseline: dict[str, int] = {}
        self._at_tick: dict[str, Distribution] = {}
        self._interval: dict[str, Distribution] = {}
        self._own_gauges_used: Final[set[str]] = set()

    def attach(self, worker_id: int, memory: memoryview) -> None:
        """Count a worker's block in; it may still be empty.

        Raises LayoutMismatchError, at once or from check(), if other code laid it out.
        """
        assert worker_id not in self._readers
        reader = BlockReader(memory)
        try:
            reader.begun()
        except LayoutMismatchError:
            reader.close()
            raise
        self._readers[worker_id] = reader

    def check(self, worker_id: int) -> None:
        """Raise LayoutMismatchError if this worker, which says that it is ready, writes another layout."""
        self._readers[worker_id].begun()

    def retire(self, worker_id: int) -> None:
        """Keep the counters and histograms of a worker that has ended, drop its gauges, let its memory go."""
        reader = self._readers.pop(worker_id)
        try:
            self._retired.add_reader(reader)
        except LayoutMismatchError as error:
            logger.error("the numbers of worker %d are lost: %s", worker_id, error)
        finally:
            self._retired.forget_gauges()
            reader.close()

    def read(self) -> StatsView:
        """The totals now."""
        total = self._total()
        view = StatsView()
        for name, value in total.counters.items():
            if name.startswith(HIDDEN_PREFIXES):
                view.hidden[name] = value
            else:
                view.counters[name] = value - self._baseline.get(name, 0)
                if value:
                    view.used.add(name)
        for name, value in total.gauges.items():
            shown = view.hidden if name.startswith(HIDDEN_PREFIXES) else view.gauges
            shown[name] = value
        for name, kind in total.zeros.items():
            (view.counters if kind == block.ZERO_COUNTER else view.gauges).setdefault(name, 0)
        for name, distribution in total.distributions().items():
            nothing = Distribution([], 0, distribution.scale)
            view.histograms[name] = HistogramView(distribution, self._interval.get(name, nothing))
            if distribution.count:
                view.used.add(name)
        for text in self.registry.texts.values():
            view.texts[text.name] = text.value
        view.used.update(total.gauges_used)
        return view

    def tick(self) -> None:
        """End an interval of the histograms; call once every stats_flush_interval (5 s by default)."""
        now = self._total().distributions()
        before = self._at_tick
        self._interval = {
            name: distribution.minus(before[name]) if name in before else distribution
            for name, distribution in now.items()
        }
        self._at_tick = now

    def reset_counters(self) -> None:
        """Let the counters of later views start at 0; histograms go on, as Envoy's do."""
        self._baseline = dict(self._total().counters)

    def worker(self, worker_id: int) -> WorkerNumbers:
        """The numbers of one living worker; raises KeyError where there is none."""
        reader = self._readers[worker_id]
        numbers = WorkerNumbers(reader.pid, reader.heartbeat, reader.dropped)
        try:
            entries = reader.entries()
        except LayoutMismatchError:
            return numbers
        for entry in entries:
            name = entry.name
            if name.startswith("http."):
                if name.endswith(".downstream_rq_total"):
                    numbers.requests_total += reader.value(entry.cell)
                elif name.endswith(".downstream_rq_active"):
                    numbers.requests_active += reader.value(entry.cell)
                elif name.endswith(".downstream_cx_active"):
                    numbers.connections += reader.value(entry.cell)
            elif name == "process.loop_lag_us":
                numbers.loop_lag_us = reader.value(entry.cell)
            elif name == "process.loop_lag_max_us":
                numbers.loop_lag_max_us = reader.value(entry.cell)
        return numbers

    def heartbeat(self, worker_id: int) -> float:
        """Monotonic seconds of a worker's last heartbeat, 0.0 before the first. Cheap."""
        return self._readers[worker_id].heartbeat

    def _total(self) -> "_Sum":
        total = self._retired.copy()
        for worker_id, reader in self._readers.items():
            try:
                total.add_reader(reader)
            except LayoutMismatchError as error:
                logger.error("cannot read the numbers of worker %d: %s", worker_id, error)
        for gauge in self.registry.gauges.values():
            if gauge.value:
                self._own_gauges_used.add(gauge.name)
        total.add_registry(self.registry)
        total.gauges_used.update(self._own_gauges_used)
        return total


class _Histogram:
    """Counts of one histogram while they are added up."""

    __slots__ = ("counts", "total", "unit")

    def __init__(self, unit: int, total: int, counts: list[int]) -> None:
        self.unit: Final = unit
        self.total = total
        self.counts = counts  # empty where nothing was recorded


class _Sum:
    """Numbers of several processes, added by name."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.gauges: dict[str, int] = {}
        self.gauges_used: set[str] = set()
        self.zeros: dict[str, int] = {}
        self.histograms: dict[str, _Histogram] = {}

    def copy(self) -> "_Sum":
        other = _Sum()
        other.counters = dict(self.counters)
        other.gauges_used = set(self.gauges_used)
        for name, histogram in self.histograms.items():
            other.histograms[name] = _Histogram(histogram.unit, histogram.total, histogram.counts)
        return other

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

    def add_registry(self, registry: Registry) -> None:
        for counter in registry.counters.values():
            self.counters[counter.name] = self.counters.get(counter.name, 0) + counter.value
        for gauge in registry.gauges.values():
            self._gauge(gauge.name, gauge.value, gauge.shared, used=False)
        for histogram in registry.histograms.values():
            counts = list(histogram.counts) if histogram.count else []
            self._histogram(histogram.name, histogram.unit, histogram.total, counts)
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
