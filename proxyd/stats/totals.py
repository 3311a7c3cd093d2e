"""The sum of what all processes have counted, living and gone. The supervisor alone has one.

A counter's total is what living workers have published, plus what retired ones left behind, plus the
supervisor's own count; so it never falls, whatever happens to workers. Gauges of a worker go with it.
"""

import logging
import sys
from collections.abc import Iterable
from typing import Final

from proxyd.stats.block import ZERO_COUNTER, BlockReader, Entry, LayoutMismatchError
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import HIDDEN_PREFIXES
from proxyd.stats.sums import Scopes, Sum
from proxyd.stats.view import Distribution, HistogramView, StatsView
from proxyd.stats.watch import Watch

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


# What is looked at every second must not hold up the supervisor: the names of a large configuration are read
# in pieces.
_ROWS_AT_A_TIME: Final = 20_000


class Totals:
    """Adds up blocks and the supervisor's own registry.

    Not for several threads. ``worker_id`` is any number that no other living worker process has.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry: Final = registry
        self._readers: Final[dict[int, BlockReader]] = {}
        self._watches: Final[dict[int, Watch]] = {}
        self._retired: Final = Sum()
        self._inherited: Sum | None = None  # of an instance that this one has taken over from
        self._baseline: dict[str, int] = {}
        self._at_tick: dict[str, Distribution] = {}
        self._interval: dict[str, Distribution] = {}
        self._own_gauges_used: Final[set[str]] = set()
        self._hidden: Final = Scopes(())  # taken out in place: workers still have the names
        self._histograms_before: Final[dict[str, Distribution]] = {}  # of scopes that have come back

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
        self._watches[worker_id] = Watch()

    def check(self, worker_id: int) -> None:
        """Raise LayoutMismatchError if this worker, which says that it is ready, writes another layout."""
        self._readers[worker_id].begun()

    def retire(self, worker_id: int) -> None:
        """Keep the counters and histograms of a worker that has ended, drop its gauges, let its memory go."""
        reader = self._readers.pop(worker_id)
        del self._watches[worker_id]
        try:
            self._retired.add_reader(reader)
        except LayoutMismatchError as error:
            logger.error("the numbers of worker %d are lost: %s", worker_id, error)
        finally:
            self._retired.forget_gauges()
            reader.close()

    def forget_removed(self) -> None:
        """Drop what retired workers left of clusters, listeners and the like that no living worker has.

        To be called after a reload, while the workers that serve are all attached: what none of them names
        then has been taken out of the configuration.
        """
        names = [entry.name for reader in self._readers.values() for entry in _entries(reader)]
        if not names:
            return
        scopes = Scopes([*names, *self.registry.counters])
        self._retired.keep(scopes)
        self._baseline = {name: value for name, value in self._baseline.items() if scopes.has(name)}
        for name in [each for each in self._histograms_before if not scopes.has(each)]:
            del self._histograms_before[name]
        self._at_tick = {name: value for name, value in self._at_tick.items() if scopes.has(name)}
        self._interval = {name: value for name, value in self._interval.items() if scopes.has(name)}

    def hide(self, scopes: Iterable[str]) -> None:
        """Clusters and the like are no more, though living workers have their names: do not show them.

        ``scopes`` are beginnings of names: ``cluster.backend``, ``http.ingress``, ``listener.0.0.0.0_80``.
        """
        self._hidden.add(scopes)

    def show(self, scopes: Iterable[str]) -> None:
        """These are in force. What was hidden has come back, and counts from 0."""
        back = Scopes(())
        back.add(self._hidden.remove(scopes))
        if not back:
            return
        total = self._total()
        self._baseline.update({name: value for name, value in total.counters.items() if back.holds(name)})
        before = {name: each for name, each in total.distributions().items() if back.holds(name)}
        self._histograms_before.update(before)
        for name in before:
            self._at_tick.pop(name, None)

    def read(self) -> StatsView:
        """The totals now."""
        total = self._total()
        view = StatsView()
        total.drop(self._hidden)
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
            (view.counters if kind == ZERO_COUNTER else view.gauges).setdefault(name, 0)
        for name, distribution in total.distributions().items():
            if name in self._histograms_before:
                distribution = distribution.minus(self._histograms_before[name])
            nothing = Distribution([], 0, distribution.scale)
            view.histograms[name] = HistogramView(distribution, self._interval.get(name, nothing))
            if distribution.count:
                view.used.add(name)
        for text in self.registry.texts.values():
            view.texts[text.name] = text.value
        view.used.update(total.gauges_used)
        return view

    def estate(self) -> Sum:
        """What a successor takes over: everything but what it counts itself, the state of the server."""
        total = self._total()
        total.drop(self._hidden)
        total.subtract(self._baseline, self._histograms_before)
        total.gauges = {}
        for reader in self._readers.values():
            total.add_gauges(reader)
        return total

    def inherit(self, found: Sum) -> None:
        """Count in what a predecessor has counted; it is told again and again while that drains."""
        if self._inherited is None:
            self._inherited = Sum()
        self._inherited.replace(found)

    def bequeathed(self) -> None:
        """The predecessor has ended: keep its counters and histograms, drop its gauges."""
        if self._inherited is not None:
            self._inherited.forget_gauges()
            self._retired.add(self._inherited)
            self._inherited = None

    def tick(self) -> None:
        """End an interval of the histograms; call once every stats_flush_interval (5 s by default)."""
        total = self._retired.histograms_alone()
        if self._inherited is not None:
            total.add(self._inherited.histograms_alone())
        for worker_id, reader in self._readers.items():
            watch = self._watches[worker_id]
            watch.follow(_entries(reader, _ROWS_AT_A_TIME))
            total.add_histograms(reader, watch.histograms)
        total.add_registry_histograms(self.registry)
        now = {name: each for name, each in total.distributions().items() if each.count}
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
        watch = self._watches[worker_id]
        watch.follow(_entries(reader, _ROWS_AT_A_TIME))
        numbers.requests_total = _sum_of(reader, watch.requests)
        numbers.requests_active = _sum_of(reader, watch.active)
        numbers.connections = _sum_of(reader, watch.connections)
        numbers.loop_lag_us = _sum_of(reader, watch.lag)
        numbers.loop_lag_max_us = _sum_of(reader, watch.lag_max)
        return numbers

    def heartbeat(self, worker_id: int) -> float:
        """Monotonic seconds of a worker's last heartbeat, 0.0 before the first. Cheap."""
        return self._readers[worker_id].heartbeat

    def _total(self) -> "Sum":
        total = self._retired.copy()
        if self._inherited is not None:
            total.add(self._inherited)
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


def _entries(reader: BlockReader, most: int = sys.maxsize) -> list[Entry]:
    """The table of a worker, empty where other code wrote it (which ``check`` tells)."""
    try:
        return reader.entries(most)
    except LayoutMismatchError:
        return []


def _sum_of(reader: BlockReader, cells: list[int]) -> int:
    return sum([reader.value(cell) for cell in cells])
