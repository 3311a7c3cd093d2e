"""Deadlines on one timer wheel.

A connection has one entry however many deadlines it lives under. Moving a deadline later touches nothing:
the entry fires at its old place, sees the later deadline and moves there. So a request that ends in time
costs the wheel one comparison.
"""

import asyncio
import heapq
import time
from typing import Final

from proxyd.net.bugs import report_bug

NEVER: Final = float("inf")

_TICKS_PER_SECOND: Final = 100
_ROUNDING: Final = 1e-6  # ticks; a time computed from a tick may lie a little before it
# Further away than this, entries are placed by the second and early; they find their exact tick on the way.
_FAR: Final = 10.0


class Timed:
    """Something with a deadline. ``deadline`` is read-only outside the wheel."""

    __slots__ = ("deadline", "tick")

    def __init__(self) -> None:
        self.deadline: float = NEVER
        self.tick: int = -1  # the wheel slot this object stands in; -1 for none

    def on_deadline(self, now: float) -> None:
        """The deadline has passed; it is NEVER again until armed anew."""
        raise NotImplementedError


class TimerWheel:
    """All deadlines of one process, in seconds of the monotonic clock, kept to about 10 ms, never early."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: Final = loop
        self._slots: dict[int, set[Timed]] = {}
        self._ticks: list[int] = []  # a heap of the keys of _slots
        self._handle: asyncio.TimerHandle | None = None
        self._next: int = -1  # the tick _handle is set for
        self._closed: bool = False

    def arm(self, timed: Timed, deadline: float) -> None:
        """Make ``deadline`` the one of ``timed``, in place of the one before."""
        timed.deadline = deadline
        if deadline == NEVER:
            return
        tick = timed.tick
        if tick >= 0:
            if tick <= deadline * _TICKS_PER_SECOND:
                return
            self._slots[tick].discard(timed)
        self._insert(timed, time.monotonic())

    def disarm(self, timed: Timed) -> None:
        """Forget ``timed``; the wheel holds no reference to it any more."""
        timed.deadline = NEVER
        if timed.tick >= 0:
            self._slots[timed.tick].discard(timed)
            timed.tick = -1

    def close(self) -> None:
        """Stop the wheel; nothing fires any more."""
        self._closed = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _insert(self, timed: Timed, now: float) -> None:
        deadline = timed.deadline
        if deadline - now > _FAR:
            tick = int(deadline - 1.0) * _TICKS_PER_SECOND
        else:
            tick = int(deadline * _TICKS_PER_SECOND) + 1
        timed.tick = tick
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = {timed}
            heapq.heappush(self._ticks, tick)
            if self._next < 0 or tick < self._next:
                self._set(tick, now)
        else:
            slot.add(timed)

    def _set(self, tick: int, now: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._closed:
            return
        self._next = tick
        delay = tick / _TICKS_PER_SECOND - now
        self._handle = self.loop.call_later(max(0.0, delay), self._turn)

    def _turn(self) -> None:
        now = time.monotonic()
        reached = int(now * _TICKS_PER_SECOND + _ROUNDING)
        due: list[Timed] = []
        while self._ticks and self._ticks[0] <= reached:
            for timed in self._slots.pop(heapq.heappop(self._ticks)):
                timed.tick = -1
                due.append(timed)
        self._next = -1
        self._handle = None
        for timed in due:
            if timed.tick >= 0:
                continue  # armed anew by one that came before it
            if timed.deadline <= now:
                timed.deadline = NEVER
                try:
                    timed.on_deadline(now)
                except Exception as error:  # noqa: BLE001 - the others' deadlines are due all the same
                    report_bug(self.loop, error, "at a deadline")
            elif timed.deadline != NEVER:
                self._insert(timed, now)
        if self._ticks and (self._next < 0 or self._ticks[0] < self._next):
            self._set(self._ticks[0], now)
