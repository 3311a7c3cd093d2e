"""Who hashes alike is sent to the same host; that it is Envoy's is for the conformance tests."""

import random
from collections import Counter

import pytest

from proxyd.codec.xxh64 import xxh64
from proxyd.net.hash_balance import hash_balancer
from proxyd.snapshot.load_balancing import MAGLEV, RING_HASH, LoadBalancing

NAMES = [f"10.0.0.{number}:80" for number in range(1, 6)]
KEYS = [xxh64(b"%d" % number) for number in range(2000)]


def chosen(policy: int, names: list[str], weights: list[int], size: int = 65537) -> list[str]:
    options = LoadBalancing(policy, 2, 1.0)
    options.table_size = size
    balancer = hash_balancer(options, names, weights, random.random)
    return [names[balancer.choose(key)] for key in KEYS]


@pytest.mark.parametrize("policy", [RING_HASH, MAGLEV])
def test_the_choice_is_of_the_host_not_of_its_place(policy: int) -> None:
    before = chosen(policy, NAMES, [1, 2, 3, 4, 5], 1009)
    turned = chosen(policy, NAMES[::-1], [5, 4, 3, 2, 1], 1009)
    if policy == MAGLEV:
        assert turned == before
    else:  # a point more or less at the borders of a host's share
        assert sum(one != other for one, other in zip(before, turned, strict=True)) < len(KEYS) // 50


@pytest.mark.parametrize("policy", [RING_HASH, MAGLEV])
def test_hardly_anybody_moves_but_who_has_lost_a_host(policy: int) -> None:
    before = chosen(policy, NAMES, [1] * 5)
    after = chosen(policy, NAMES[:4], [1] * 4)
    moved = [host for host, other in zip(before, after, strict=True) if host != other]
    others = [host for host in moved if host != NAMES[4]]
    assert len(moved) - len(others) == before.count(NAMES[4])
    assert len(others) < len(KEYS) // 5


@pytest.mark.parametrize("policy", [RING_HASH, MAGLEV])
def test_shares_are_about_the_weights(policy: int) -> None:
    counted = Counter(chosen(policy, NAMES, [1, 1, 2, 2, 4]))
    for name, weight in zip(NAMES, [1, 1, 2, 2, 4], strict=True):
        assert 0.6 * weight < counted[name] * 10 / len(KEYS) < 1.4 * weight


@pytest.mark.parametrize("policy", [RING_HASH, MAGLEV])
def test_what_hashes_nothing_goes_anywhere(policy: int) -> None:
    balancer = hash_balancer(LoadBalancing(policy, 2, 1.0), NAMES, [1] * 5, random.Random(1).random)
    assert len({balancer.choose() for _ in range(200)}) == 5


def test_the_ring_ends_where_it_begins() -> None:
    balancer = hash_balancer(LoadBalancing(RING_HASH, 2, 1.0), NAMES, [1] * 5, random.random)
    assert balancer.choose(2**64 - 1) == balancer.choose(0)
