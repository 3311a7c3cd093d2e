"""How soon something that died is started again."""

from typing import Final

FIRST_DELAY: Final = 0.1  # seconds before the second attempt in a row; the first is immediate
LONGEST_DELAY: Final = 30.0
STABLE: Final = 10.0  # seconds; whatever lived that long has not died of its start


class Backoff:
    """One thing's history of deaths. Times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._failures = 0
        self.not_before: float = 0.0

    def died(self, now: float, lived: float) -> float:
        """It died at ``now`` after ``lived`` seconds; returns for how long it is not to be started."""
        if lived >= STABLE:
            self._failures = 0
        # The exponent is bounded only to keep the float finite.
        delay = 0.0 if not self._failures else FIRST_DELAY * 2.0 ** min(self._failures - 1, 64)
        delay = min(delay, LONGEST_DELAY)
        self._failures += 1
        self.not_before = now + delay
        return delay
