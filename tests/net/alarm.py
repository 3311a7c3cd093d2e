"""Something with a deadline, for tests.

Compiled together with the package where that is compiled: compiled classes take no other subclasses.
"""

from collections.abc import Callable

from proxyd.net.timers import Timed


class Alarm(Timed):
    """Calls ``ring`` with the time at its deadline."""

    def __init__(self, ring: Callable[[float], None]) -> None:
        super().__init__()
        self._ring = ring

    def on_deadline(self, now: float) -> None:
        self._ring(now)
