"""What the supervisor looks at all the time in a worker's statistics, without walking all of them."""

from typing import Final

from proxyd.stats.block import HISTOGRAM_MICROSECONDS, HISTOGRAM_PLAIN, Entry


class Watch:
    """The rows of a living worker's table that are looked at all the time, found once as they appear."""

    __slots__ = ("_seen", "active", "connections", "histograms", "lag", "lag_max", "requests")

    def __init__(self) -> None:
        self._seen = 0
        self.requests: Final[list[int]] = []  # cells, as all of these
        self.active: Final[list[int]] = []
        self.connections: Final[list[int]] = []
        self.lag: Final[list[int]] = []
        self.lag_max: Final[list[int]] = []
        self.histograms: Final[list[Entry]] = []

    def follow(self, entries: list[Entry]) -> None:
        """Take in the rows that have come since the last call."""
        for index in range(self._seen, len(entries)):
            entry = entries[index]
            if entry.kind in (HISTOGRAM_MICROSECONDS, HISTOGRAM_PLAIN):
                self.histograms.append(entry)
                continue
            cells = self._cells_for(entry.name)
            if cells is not None:
                cells.append(entry.cell)
        self._seen = len(entries)

    def _cells_for(self, name: str) -> list[int] | None:
        if name.startswith("http."):
            if name.endswith(".downstream_rq_total"):
                return self.requests
            if name.endswith(".downstream_rq_active"):
                return self.active
            return self.connections if name.endswith(".downstream_cx_active") else None
        if name == "process.loop_lag_us":
            return self.lag
        return self.lag_max if name == "process.loop_lag_max_us" else None
