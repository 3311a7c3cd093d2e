"""Choosing a host by a hash, so that what hashes alike goes to the same one: Envoy's RING_HASH and MAGLEV.

Hosts are known by their addresses, so every worker, and Envoy, chooses the same host for the same hash. Who
hashes nothing is sent anywhere.
"""

import bisect
import math
from collections.abc import Callable
from typing import Final

from proxyd.codec.xxh64 import xxh64
from proxyd.net.balance import Balancer
from proxyd.snapshot.hash_policy import NO_KEY
from proxyd.snapshot.load_balancing import RING_HASH, LoadBalancing


class HashBalancer(Balancer):
    """What the two have in common."""

    def __init__(self, rng: Callable[[], float]) -> None:
        self._rng: Final = rng

    def choose(self, key: int = NO_KEY) -> int:
        return self.find(int(self._rng() * 2.0**64) if key < 0 else key)

    def find(self, key: int) -> int:
        """The place of the host for this hash."""
        raise NotImplementedError


class Ring(HashBalancer):
    """Hosts have many points each on a ring, by their weight; the next point's host is chosen."""

    def __init__(
        self, names: list[str], weights: list[int], least: int, most: int, rng: Callable[[], float]
    ) -> None:
        """``least`` is how many points there are at least, about, and ``most`` at most."""
        super().__init__(rng)
        total = sum(weights)
        shares = [weight / total for weight in weights]
        lightest = min(shares)
        # As many that the lightest host has a whole number of them.
        scale = min(math.ceil(lightest * least) / lightest, float(most))
        points: list[tuple[int, int]] = []
        made = 0.0
        wanted = 0.0
        for place, name in enumerate(names):
            wanted += scale * shares[place]
            prefix = name.encode() + b"_"
            number = 0
            while made < wanted:
                points.append((xxh64(prefix + b"%d" % number), place))
                number += 1
                made += 1.0
        points.sort()
        self._points: Final = [point for point, _ in points]
        self._places: Final = [place for _, place in points]

    def find(self, key: int) -> int:
        at = bisect.bisect_left(self._points, key)
        return self._places[at if at < len(self._places) else 0]


class Maglev(HashBalancer):
    """Hosts take turns, by their weight, to take a place of a table; each prefers its own order of places.

    "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4.
    """

    def __init__(self, names: list[str], weights: list[int], size: int, rng: Callable[[], float]) -> None:
        super().__init__(rng)
        total = sum(weights)
        shares = [weight / total for weight in weights]
        heaviest = max(shares)
        hosts = sorted(range(len(names)), key=names.__getitem__)
        texts = [names[place].encode() for place in hosts]
        taken = [xxh64(text) % size for text in texts]  # the place that each looks at next
        steps = [xxh64(text, 1) % (size - 1) + 1 for text in texts]
        targets = [0.0] * len(hosts)
        table = [0] * size
        free = bytearray(b"\1") * size
        left = size
        turn = 0
        while left:
            turn += 1
            for each, place in enumerate(hosts):
                if turn * shares[place] < targets[each]:
                    continue
                targets[each] += heaviest
                at = taken[each]
                step = steps[each]
                while not free[at]:
                    at += step
                    if at >= size:
                        at -= size
                free[at] = 0
                table[at] = place
                at += step
                taken[each] = at if at < size else at - size
                left -= 1
                if not left:
                    break
        self._table: Final = table

    def find(self, key: int) -> int:
        return self._table[key % len(self._table)]


def hash_balancer(
    policy: LoadBalancing, names: list[str], weights: list[int], rng: Callable[[], float]
) -> Balancer:
    """What chooses among hosts of these names and weights.

    ``rng`` gives numbers from 0.0 up to but not including 1.0.
    """
    if policy.policy == RING_HASH:
        return Ring(names, weights, policy.least_ring, policy.most_ring, rng)
    return Maglev(names, weights, policy.table_size, rng)
