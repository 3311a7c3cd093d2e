"""How many listeners and filter chains drain: those of generations that end, and those of changes in place.

As in Envoy a change in place counts for the whole drain time, whether or not connections are left.
"""

from typing import Final

from proxyd.config.filled import chains, frame
from proxyd.config.listener import FilterChain, Listener
from proxyd.stats.server_scopes import ListenerManagerStats


def is_in_place(before: Listener, now: Listener) -> bool:
    """Whether nothing but filter chains differs, so that those that stay keep their connections."""
    return frame(before) == frame(now)


class Draining:
    """Keeps two gauges. Times are monotonic seconds."""

    def __init__(self, stats: ListenerManagerStats) -> None:
        self._stats: Final = stats
        self._generations = 0  # listeners of those that end
        self._changes: list[tuple[float, int, int]] = []  # until when, listeners, filter chains

    def generations(self, listeners: int) -> None:
        """So many listeners are those of generations that end."""
        self._generations = listeners
        self._show()

    def changed(self, before: dict[str, Listener], now: dict[str, Listener], until: float) -> None:
        """Listeners, by name and as written, have been replaced by others."""
        gone = filter_chains = 0
        for name, listener in before.items():
            other = now.get(name)
            if other == listener:
                continue
            if other is not None and is_in_place(listener, other):
                filter_chains += _gone(list(chains(listener)), list(chains(other)))
            else:
                gone += 1
        if gone or filter_chains:
            self._changes.append((until, gone, filter_chains))
            self._show()

    def look(self, now: float) -> None:
        """Forget what has drained."""
        if self._changes and self._changes[0][0] <= now:
            self._changes = [each for each in self._changes if each[0] > now]
            self._show()

    def _show(self) -> None:
        stats = self._stats
        stats.total_listeners_draining.value = self._generations + sum(each[1] for each in self._changes)
        stats.total_filter_chains_draining.value = sum(each[2] for each in self._changes)


def _gone(before: list[FilterChain], now: list[FilterChain]) -> int:
    """How many are not there any more, each as often as it was."""
    left = list(now)
    gone = 0
    for chain in before:
        if chain in left:
            left.remove(chain)
        else:
            gone += 1
    return gone
