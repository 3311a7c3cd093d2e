from typing import Any

import msgspec
import pytest

from proxyd.config.cluster import Cluster
from proxyd.snapshot.load_balancing import LEAST_REQUEST, RANDOM, ROUND_ROBIN, compile_load_balancing
from proxyd.snapshot.runtime import Runtime

TYPES = "type.googleapis.com/envoy.extensions.load_balancing_policies"


def compiled(**fields: Any) -> tuple[int, int]:
    policy = compile_load_balancing(msgspec.convert({"name": "c", **fields}, Cluster), Runtime([]))
    return policy.policy, policy.choice_count


def extension(kind: str, **fields: Any) -> dict[str, Any]:
    return {"typed_extension_config": {"name": "x", "typed_config": {"@type": f"{TYPES}.{kind}", **fields}}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (ROUND_ROBIN, 2)),
        ({"lb_policy": 1}, (LEAST_REQUEST, 2)),
        ({"lb_policy": 1, "least_request_lb_config": {"choice_count": 5}}, (LEAST_REQUEST, 5)),
        ({"lb_policy": 3}, (RANDOM, 2)),
    ],
)
def test_the_old_way(fields: dict[str, Any], expected: tuple[int, int]) -> None:
    assert compiled(**fields) == expected


def test_the_new_way_comes_before_the_old_one_and_its_first_policy_is_used() -> None:
    least = extension("least_request.v3.LeastRequest", choice_count=3)
    chance, turns = extension("random.v3.Random"), extension("round_robin.v3.RoundRobin")
    assert compiled(lb_policy=3, load_balancing_policy={"policies": [least, turns]}) == (LEAST_REQUEST, 3)
    assert compiled(load_balancing_policy={"policies": [chance, least]}) == (RANDOM, 2)
    assert compiled(lb_policy=1, load_balancing_policy={"policies": [turns]}) == (ROUND_ROBIN, 2)


@pytest.mark.parametrize(
    ("bias", "layer", "expected"),
    [
        (None, {}, 1.0),
        ({"default_value": 0.5}, {}, 0.5),
        ({}, {}, 0.0),
        ({"default_value": 0.5, "runtime_key": "a.b"}, {"a": {"b": 2}}, 2.0),
        ({"default_value": 0.5, "runtime_key": "a.b"}, {"a.b": -1}, 0.5),
        ({"default_value": 1e9}, {}, 100.0),
    ],
)
def test_the_bias_may_come_from_the_runtime(
    bias: dict[str, Any] | None, layer: dict[str, Any], expected: float
) -> None:
    fields = {"lb_policy": 1, "least_request_lb_config": {"active_request_bias": bias}}
    config = msgspec.convert({"name": "c", **fields}, Cluster)
    assert compile_load_balancing(config, Runtime([layer])).active_request_bias == expected
