"""The supervisor's own statistics: the server, its listeners and clusters over reloads, its processes."""

import logging
import time
from collections.abc import Sequence
from typing import Final

import psutil

from proxyd import __version__
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.filled import listener_as_written
from proxyd.stats.metrics import Registry
from proxyd.stats.server_scopes import (
    ClusterManagerStats,
    ListenerManagerStats,
    RuntimeStats,
    ServerStats,
    WatchdogStats,
)
from proxyd.supervisor.certificates import ExpiryStats, UsedContext, days_until_first_expires
from proxyd.supervisor.draining import Draining, is_in_place

logger = logging.getLogger("main")

# server.state, as Envoy numbers it.
STATES: Final = {"LIVE": 0, "DRAINING": 1, "PRE_INITIALIZING": 2, "INITIALIZING": 3}


class Usage:
    """What one process uses, as of the last look."""

    def __init__(self, pid: int) -> None:
        self.cpu_seconds: float = 0.0
        self.cpu_percent: float = 0.0
        self.memory: int = 0  # resident bytes
        self._looked: float = 0.0
        self._process: psutil.Process | None = None
        try:
            self._process = psutil.Process(pid)
        except (psutil.Error, OSError):  # OSError: no free descriptor for looking
            pass

    def look(self, now: float) -> None:
        """Look again; a process that has gone keeps its last numbers."""
        if self._process is None:
            return
        try:
            with self._process.oneshot():
                times = self._process.cpu_times()
                memory = self._process.memory_info().rss
        except (psutil.Error, OSError):
            return
        used = times.user + times.system
        if self._looked and now > self._looked:
            self.cpu_percent = 100.0 * (used - self.cpu_seconds) / (now - self._looked)
        self.cpu_seconds = used
        self.memory = memory
        self._looked = now


class Vitals:
    """Counts what becomes of configurations, and looks at the processes once a second."""

    def __init__(self, registry: Registry) -> None:
        self._registry: Final = registry
        self.server: Final = ServerStats(registry)
        self.server.version.value = _version_number(__version__)
        self._listeners: Final = ListenerManagerStats(registry)
        self._draining: Final = Draining(self._listeners)
        self._clusters: Final = ClusterManagerStats(registry)
        self._runtime: Final = RuntimeStats(registry)
        self._expiry: Final = ExpiryStats(registry)
        self._watchdogs: Final[dict[int, WatchdogStats]] = {}
        self._usage: Final[dict[int, Usage]] = {}
        self._born: Final = time.monotonic()

    def taken_over(self, generation: int, old: Bootstrap | None, new: Bootstrap, workers: int) -> None:
        """A configuration is in force."""
        server, listeners, clusters = self.server, self._listeners, self._clusters
        server.concurrency.value = workers
        server.live.value = 1
        server.hot_restart_epoch.value = generation - 1
        if old is None:
            server.initialization_time_ms.record(int((time.monotonic() - self._born) * 1e6))
        added, modified, removed = _difference(
            {} if old is None else {each.name: each for each in old.static_resources.listeners},
            {each.name: each for each in new.static_resources.listeners},
        )
        listeners.listener_added.value += added
        listeners.listener_modified.value += modified
        listeners.listener_removed.value += removed
        listeners.listener_create_success.value += len(new.static_resources.listeners) * workers
        listeners.total_listeners_active.value = len(new.static_resources.listeners)
        listeners.workers_started.value = 1
        added, modified, removed = _difference(
            {} if old is None else {each.name: each for each in old.static_resources.clusters},
            {each.name: each for each in new.static_resources.clusters},
        )
        clusters.cluster_added.value += added
        clusters.cluster_modified.value += modified
        clusters.cluster_removed.value += removed
        clusters.active_clusters.value = len(new.static_resources.clusters)
        layers = new.layered_runtime.layers if new.layered_runtime is not None else ()
        self._runtime.load_success.value += 1
        self._runtime.num_layers.value = len(layers)
        self._runtime.num_keys.value = len(
            {key for layer in layers for key in flatten(layer.static_layer or {})}
        )
        for slot in range(workers):
            self._watchdog(slot)

    def updated(self, old: Bootstrap, new: Bootstrap, workers: int, drain_seconds: float) -> None:
        """Resources have changed in place. Routes of files are no part of a listener.

        What connections are left of what has changed is cut after ``drain_seconds``.
        """
        listeners, clusters = self._listeners, self._clusters
        before, now = (
            {each.name: listener_as_written(each) for each in bootstrap.static_resources.listeners}
            for bootstrap in (old, new)
        )
        added, modified, removed = _difference(dict(before), dict(now))
        listeners.listener_added.value += added
        listeners.listener_modified.value += modified
        listeners.listener_removed.value += removed
        listeners.listener_in_place_updated.value += sum(
            before[name] != now[name] and is_in_place(before[name], now[name])
            for name in before.keys() & now.keys()
        )
        listeners.listener_create_success.value += (added + modified) * workers
        listeners.total_listeners_active.value += added - removed
        self._draining.changed(before, now, time.monotonic() + drain_seconds)
        added, modified, removed = _difference(
            {each.name: each for each in old.static_resources.clusters},
            {each.name: each for each in new.static_resources.clusters},
        )
        clusters.cluster_added.value += added
        clusters.cluster_modified.value += modified
        clusters.cluster_removed.value += removed
        clusters.cluster_updated.value += added + modified
        clusters.active_clusters.value += added - removed

    def listeners_draining(self, count: int) -> None:
        """So many listeners are those of generations that end."""
        self._draining.generations(count)

    def listeners_stopped(self, count: int) -> None:
        self._listeners.listener_stopped.value += count
        self._listeners.total_listeners_active.value -= count

    def listener_failed(self) -> None:
        self._listeners.listener_create_failure.value += 1

    def runtime_overridden(self, keys: int) -> None:
        self._runtime.admin_overrides_active.value = keys

    def worker_hung(self, slot: int) -> None:
        watchdog = self._watchdog(slot)
        watchdog.watchdog_miss.value += 1
        watchdog.watchdog_mega_miss.value += 1

    def usage(self, pid: int) -> Usage:
        """What a process uses; all zeros before the first look."""
        usage = self._usage.get(pid)
        if usage is None:
            usage = self._usage[pid] = Usage(pid)
            usage.look(time.monotonic())
        return usage

    def certificates_used(self, contexts: Sequence[UsedContext]) -> None:
        """These TLS contexts are in force."""
        self._expiry.show(contexts)
        self.certificates_expire(contexts)

    def certificates_expire(self, contexts: Sequence[UsedContext]) -> None:
        """Look how long the first of them is good."""
        self.server.days_until_first_cert_expiring.value = days_until_first_expires(contexts, time.time())

    def stats_overflow(self, dropped: int) -> None:
        """So many metrics of one worker found no room in its statistics memory."""
        gauge = self.server.stats_overflow
        if dropped > gauge.value:
            logger.warning("%d statistics of a worker find no room and are not shown", dropped)
        gauge.value = dropped

    def look(self, pids: set[int], state: str, connections: int) -> None:
        """Look at all processes of ours; to be called about once a second."""
        now = time.monotonic()
        self._draining.look(now)
        for pid in self._usage.keys() - pids:
            del self._usage[pid]
        memory = 0
        for pid in pids:
            usage = self.usage(pid)
            usage.look(now)
            memory += usage.memory
        server = self.server
        server.state.value = STATES[state]
        server.uptime.value = int(now - self._born)
        server.total_connections.value = connections
        server.memory_allocated.value = memory
        server.memory_heap_size.value = memory
        server.memory_physical_size.value = memory

    def _watchdog(self, slot: int) -> WatchdogStats:
        watchdog = self._watchdogs.get(slot)
        if watchdog is None:
            watchdog = self._watchdogs[slot] = WatchdogStats(self._registry, slot)
        return watchdog


def flatten(values: object, prefix: str = "") -> dict[str, object]:
    """A tree of runtime values as dotted keys."""
    if not isinstance(values, dict):
        return {prefix: values}
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _difference(old: dict[str, object], new: dict[str, object]) -> tuple[int, int, int]:
    """How many were added, modified, removed."""
    return (
        len(new.keys() - old.keys()),
        sum(old[name] != new[name] for name in new.keys() & old.keys()),
        len(old.keys() - new.keys()),
    )


def _version_number(version: str) -> int:
    """Envoy shows the first bits of its commit; a release has the better number: 1.2.3 is 10203."""
    parts = [int(part) if part.isdecimal() else 0 for part in version.split(".")[:3]]
    return sum(part * weight for part, weight in zip(parts, (10000, 100, 1), strict=False))
