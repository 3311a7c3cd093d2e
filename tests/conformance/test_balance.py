"""Where the choice is random or takes turns: how often each is chosen, not which comes when."""

from collections import Counter

import pytest

from tests.conformance.case import Case, case, get
from tests.conformance.laboratory import Laboratory

LISTENERS = {
    "balance": """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /turns}, route: {cluster: turns}}
    - {match: {prefix: /random}, route: {cluster: random}}
    - {match: {prefix: /weighted}, route: {cluster: weighted}}
    - match: {prefix: /split}
      route: {weighted_clusters: {clusters: [{name: one, weight: 30}, {name: two, weight: 70}]}}
    - match: {prefix: /half, runtime_fraction: {default_value: {numerator: 50}}}
      route: {cluster: one}
    - {match: {prefix: /half}, route: {cluster: two}}
"""
}

CLUSTERS = """
turns: {load_assignment: $three}
random: {load_assignment: $three, lb_policy: RANDOM}
weighted: {load_assignment: $weighted}
one: {load_assignment: $origin}
two: {load_assignment: $origin}
"""

_COUNT = 200


def _many(name: str) -> Case:
    return case(f"balance-{name}", get(f"/{name}") * _COUNT, listener="balance", responses=_COUNT)


def _hosts(kind: str, name: str, laboratory: Laboratory) -> list[str]:
    seen = laboratory.observed[kind][f"balance-{name}"]
    return [seen[f"log[{number}].host"] for number in range(_COUNT)]


def _of_one(kind: str, name: str, laboratory: Laboratory) -> int:
    """How many requests went to the cluster "one"."""
    seen = laboratory.observed[kind][f"balance-{name}"]
    return sum(seen[f"log[{number}].cluster"] == "one" for number in range(_COUNT))


@pytest.mark.parametrize("case", [_many("turns")], ids=str)
@pytest.mark.parametrize("kind", ["envoy", "proxyd"])
def test_each_has_its_turn(kind: str, case: Case, laboratory: Laboratory) -> None:
    hosts = _hosts(kind, "turns", laboratory)
    assert len(set(hosts)) == 3
    assert hosts[3:] == hosts[:-3]


@pytest.mark.parametrize("case", [_many("random")], ids=str)
@pytest.mark.parametrize("kind", ["envoy", "proxyd"])
def test_chance_is_fair(kind: str, case: Case, laboratory: Laboratory) -> None:
    counts = Counter(_hosts(kind, "random", laboratory))
    assert len(counts) == 3
    assert all(abs(count - _COUNT / 3) < 40 for count in counts.values())  # six standard deviations


@pytest.mark.parametrize("case", [_many("weighted")], ids=str)
@pytest.mark.parametrize("kind", ["envoy", "proxyd"])
def test_turns_follow_weights(kind: str, case: Case, laboratory: Laboratory) -> None:
    counts = sorted(Counter(_hosts(kind, "weighted", laboratory)).values())
    assert all(abs(count - want) <= 2 for count, want in zip(counts, (20, 60, 120), strict=True))


@pytest.mark.parametrize("case", [_many("split")], ids=str)
@pytest.mark.parametrize("kind", ["envoy", "proxyd"])
def test_clusters_are_chosen_by_weight(kind: str, case: Case, laboratory: Laboratory) -> None:
    assert abs(_of_one(kind, "split", laboratory) - 60) < 39


@pytest.mark.parametrize("case", [_many("half")], ids=str)
@pytest.mark.parametrize("kind", ["envoy", "proxyd"])
def test_a_fraction_of_requests_takes_a_route(kind: str, case: Case, laboratory: Laboratory) -> None:
    assert abs(_of_one(kind, "half", laboratory) - 100) < 43
