"""Shares of hosts: exact where they can be, elsewhere within bounds that chance hardly breaks."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from proxyd.net.balance import Balancer, balancer
from proxyd.snapshot.load_balancing import LEAST_REQUEST, RANDOM, ROUND_ROBIN, LoadBalancing
from proxyd.stats import metrics


def gauges(*values: int) -> list[metrics.Gauge]:
    registry = metrics.Registry()
    made = [registry.gauge(str(number)) for number in range(len(values))]
    for gauge, value in zip(made, values, strict=True):
        gauge.value = value
    return made


def make(policy: int, weights: list[int], choices: int = 2, bias: float = 1.0, seed: int = 1) -> Balancer:
    rng = random.Random(seed).random
    return balancer(LoadBalancing(policy, choices, bias), weights, gauges(*[0] * len(weights)), rng)


def shares(chooser: Balancer, turns: int) -> list[int]:
    counted = Counter(chooser.choose() for _ in range(turns))
    return [counted[place] for place in range(max(counted) + 1)]


def near(turns: int, share: float) -> int:
    """Five standard deviations."""
    return int(5 * (turns * share * (1 - share)) ** 0.5) + 1


@pytest.mark.parametrize("seed", range(5))
def test_equals_take_turns_from_anywhere(seed: int) -> None:
    chooser = make(ROUND_ROBIN, [3, 3, 3], seed=seed)
    turns = [chooser.choose() for _ in range(30)]
    assert all(after == (before + 1) % 3 for before, after in pairwise(turns))


def test_workers_begin_anywhere() -> None:
    assert {make(ROUND_ROBIN, [1] * 4, seed=seed).choose() for seed in range(100)} == {0, 1, 2, 3}


@pytest.mark.parametrize("weights", [[1, 2], [5, 1, 1], [1, 2, 3, 4], [7, 3, 11, 2, 5], [4, 2], [1, 1000]])
@pytest.mark.parametrize("seed", range(3))
def test_shares_are_the_weights_in_any_period(weights: list[int], seed: int) -> None:
    chooser = make(ROUND_ROBIN, weights, seed=seed)
    for _ in range(3):
        assert shares(chooser, sum(weights)) == weights


def test_the_order_is_that_of_the_earliest_deadline() -> None:
    chooser = make(ROUND_ROBIN, [1, 2, 3])
    turns = "".join(str(chooser.choose()) for _ in range(12))
    # Due at 1/3, 1/2, 2/3, and three of them at 1 in the order in which they began to wait.
    assert "212012" in turns


@pytest.mark.parametrize("weights", [[1, 2, 3, 4], [5, 1, 1], [9, 1]])
def test_a_heavy_host_does_not_come_in_one_row(weights: list[int]) -> None:
    chooser = make(ROUND_ROBIN, weights)
    total = sum(weights)
    seen = [0] * len(weights)
    for turn in range(1, 5 * total + 1):
        seen[chooser.choose()] += 1
        for count, weight in zip(seen, weights, strict=True):
            assert abs(count - turn * weight / total) <= 2


def test_shares_stay_exact_however_unlike_weights_are() -> None:
    chooser = make(ROUND_ROBIN, [1, 0xFFFFFFFF])
    assert [chooser.choose() for _ in range(10_000)].count(0) <= 1


def test_a_schedule_is_the_same_after_each_period() -> None:
    chooser = make(ROUND_ROBIN, [3, 5, 7])
    periods = [[chooser.choose() for _ in range(15)] for _ in range(50)]
    assert all(period == periods[0] for period in periods)


@pytest.mark.parametrize("weights", [[1, 1, 1], [1, 5, 50]])
def test_random_does_not_look_at_weights(weights: list[int]) -> None:
    turns = 30_000
    for count in shares(make(RANDOM, weights), turns):
        assert abs(count - turns / 3) < near(turns, 1 / 3)


def test_of_idle_equals_all_get_the_same() -> None:
    turns = 40_000
    for count in shares(make(LEAST_REQUEST, [1] * 4), turns):
        assert abs(count - turns / 4) < near(turns, 1 / 4)


@pytest.mark.parametrize(("choices", "share"), [(2, 1 / 9), (3, 1 / 27)])
def test_a_busy_host_is_taken_only_when_it_alone_is_picked(choices: int, share: float) -> None:
    rng = random.Random(1).random
    chooser = balancer(LoadBalancing(LEAST_REQUEST, choices, 1.0), [1, 1, 1], gauges(5, 1, 1), rng)
    turns = 30_000
    assert abs(shares(chooser, turns)[0] - turns * share) < near(turns, share)


def test_of_two_as_busy_the_first_picked_is_taken() -> None:
    picks = iter([0.9, 0.1, 0.1, 0.9])
    chooser = balancer(LoadBalancing(LEAST_REQUEST, 2, 1.0), [1, 1], gauges(4, 4), lambda: next(picks))
    assert [chooser.choose(), chooser.choose()] == [1, 0]


def test_idle_hosts_of_unlike_weights_share_by_weight() -> None:
    assert shares(make(LEAST_REQUEST, [1, 2, 3]), 6000) == pytest.approx([1000, 2000, 3000], abs=2)


@pytest.mark.parametrize("bias", [0.0, 1.0, 2.0])
def test_requests_under_way_make_a_host_lighter(bias: float) -> None:
    """Weight 2 with three requests against weight 1 with none: 2 / 4 ** bias to 1."""
    share = (2 / 4**bias) / (2 / 4**bias + 1)
    chooser = balancer(LoadBalancing(LEAST_REQUEST, 2, bias), [2, 1], gauges(3, 0), lambda: 0.0)
    assert shares(chooser, 9000)[0] == pytest.approx(9000 * share, abs=2)


def test_a_host_is_heavy_again_when_its_requests_are_over() -> None:
    active = gauges(3, 0)
    chooser = balancer(LoadBalancing(LEAST_REQUEST, 2, 1.0), [2, 1], active, lambda: 0.0)
    shares(chooser, 300)
    active[0].value = 0
    assert shares(chooser, 300)[0] == pytest.approx(200, abs=3)


def test_a_schedule_by_requests_works_for_ever() -> None:
    chooser = balancer(LoadBalancing(LEAST_REQUEST, 2, 3.0), [1, 2], gauges(100, 100), lambda: 0.0)
    assert shares(chooser, 3000) == pytest.approx([1000, 2000], abs=2)  # a million and more each turn
