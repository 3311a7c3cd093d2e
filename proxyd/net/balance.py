"""Choosing a host, the one place for it: Envoy's ROUND_ROBIN, LEAST_REQUEST and RANDOM.

A balancer is made anew for every host set and answers with places in it. Its state is this process's own, as
it is each worker's own in Envoy: proportions hold per worker, and workers do not begin with the same host.
"""

import heapq
import math
import random
from collections.abc import Callable
from typing import Final

from proxyd.snapshot.hash_policy import NO_KEY
from proxyd.snapshot.load_balancing import LEAST_REQUEST, RANDOM, LoadBalancing
from proxyd.stats.metrics import Gauge

# From here on a deadline no longer tells apart what adds up to it; it is moved back to the beginning.
_FAR: Final = 1e6
# A fresh schedule runs ahead by up to so many turns, for workers to differ.
_MOST_AHEAD: Final = 1024


class Balancer:
    """Chooses among the hosts of one host set, of which there is at least one."""

    def choose(self, key: int = NO_KEY) -> int:
        """The place of the host that the next request goes to; ``key`` is a hash of it, or NO_KEY."""
        raise NotImplementedError


class Rotation(Balancer):
    """ROUND_ROBIN among equals."""

    def __init__(self, count: int, begin: int) -> None:
        self._count: Final = count
        self._next: int = begin % count

    def choose(self, key: int = NO_KEY) -> int:
        chosen = self._next
        self._next = chosen + 1 if chosen + 1 < self._count else 0
        return chosen


class Schedule(Balancer):
    """ROUND_ROBIN by weight: earliest deadline first.

    A host's n-th turn is due at n / weight, so that turns of a heavy host spread between those of light ones.
    After ``period`` choices each host has had exactly its share and everything stands as in the beginning;
    starting over there keeps the deadlines small and the shares exact for ever.
    """

    def __init__(self, weights: list[int], divisor: int, ahead: int) -> None:
        """``divisor`` divides all weights; ``ahead`` is how many turns are over already."""
        self._weights: Final = weights
        self.period: Final = sum(weights) // divisor
        self._turns: list[int] = []
        self._due: list[tuple[float, int, int]] = []  # a heap: deadline, what came first, place
        self._left: int = 0
        self._begin()
        for _ in range(ahead % self.period):
            self.choose()

    def _begin(self) -> None:
        weights = self._weights
        self._left = self.period
        self._turns = [1] * len(weights)
        self._due = [(1.0 / weights[place], place, place) for place in range(len(weights))]
        heapq.heapify(self._due)

    def choose(self, key: int = NO_KEY) -> int:
        if not self._left:
            self._begin()
        self._left -= 1
        place = self._due[0][2]
        turns = self._turns[place] + 1
        self._turns[place] = turns
        # Of two that are due together the one that has waited longer comes first.
        order = len(self._weights) + self.period - self._left
        heapq.heapreplace(self._due, (turns / self._weights[place], order, place))
        return place


class Random(Balancer):
    """RANDOM: any host as likely as another. As in Envoy weights are not looked at."""

    def __init__(self, count: int, rng: Callable[[], float]) -> None:
        self._count: Final = count
        self._rng: Final = rng

    def choose(self, key: int = NO_KEY) -> int:
        return int(self._rng() * self._count)


class LeastOfSome(Balancer):
    """LEAST_REQUEST among equals: of ``choices`` hosts picked at random the one with the fewest requests."""

    def __init__(self, active: list[Gauge], choices: int, rng: Callable[[], float]) -> None:
        self._active: Final = active
        self._choices: Final = choices
        self._rng: Final = rng

    def choose(self, key: int = NO_KEY) -> int:
        active = self._active
        count = len(active)
        rng = self._rng
        best = int(rng() * count)
        fewest = active[best].value
        for _ in range(self._choices - 1):
            place = int(rng() * count)
            if active[place].value < fewest:
                best = place
                fewest = active[place].value
        return best


class LeastByWeight(Balancer):
    """LEAST_REQUEST by weight: like ``Schedule``, with weights that shrink while a host is busy.

    What counts is weight / (active requests + 1) ** bias, taken whenever the host has had a turn.
    """

    def __init__(self, weights: list[int], active: list[Gauge], bias: float, ahead: int) -> None:
        self._weights: Final = weights
        self._active: Final = active
        self._bias: Final = bias
        self._order: int = len(weights)
        self._due: list[tuple[float, int, int]] = [
            (self._interval(place), place, place) for place in range(len(weights))
        ]
        heapq.heapify(self._due)
        for _ in range(ahead):
            self.choose()

    def choose(self, key: int = NO_KEY) -> int:
        deadline, _, place = self._due[0]
        if deadline > _FAR:
            self._due = [(each[0] - deadline, each[1], each[2]) for each in self._due]
            heapq.heapify(self._due)
            deadline = 0.0
        self._order += 1
        heapq.heapreplace(self._due, (deadline + self._interval(place), self._order, place))
        return place

    def _interval(self, place: int) -> float:
        busy = float(self._active[place].value + 1)
        if self._bias != 1.0:
            busy = busy**self._bias
        return busy / self._weights[place]


def balancer(
    policy: LoadBalancing,
    weights: list[int],
    active: list[Gauge],
    rng: Callable[[], float] = random.random,
) -> Balancer:
    """What chooses among hosts of these weights, whose requests under way these gauges count.

    ``rng`` gives numbers from 0.0 up to but not including 1.0.
    """
    count = len(weights)
    equal = min(weights) == max(weights)
    if policy.policy == RANDOM:
        return Random(count, rng)
    if policy.policy == LEAST_REQUEST:
        if equal:
            return LeastOfSome(active, policy.choice_count, rng)
        return LeastByWeight(weights, active, policy.active_request_bias, int(rng() * _MOST_AHEAD))
    if equal:
        return Rotation(count, int(rng() * count))
    return Schedule(weights, math.gcd(*weights), int(rng() * _MOST_AHEAD))
