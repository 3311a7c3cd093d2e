"""Runtime values as Envoy 1.40 reads them."""

from typing import Any

import msgspec
import pytest

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.core import RuntimeFractionalPercent
from proxyd.snapshot.runtime import Runtime, compile_runtime

DEFAULT = (7, 10_000)


def fraction(value: Any, key: str = "a.b") -> tuple[int, int]:
    config = {"default_value": {"numerator": 7, "denominator": 1}, "runtime_key": key}
    return Runtime([{"a": {"b": value}}]).fraction(msgspec.convert(config, RuntimeFractionalPercent))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, (0, 100)),
        (100, (100, 100)),
        (150, (150, 100)),
        ("100", (100, 100)),
        (0.5, (0, 100)),
        (-5, DEFAULT),
        (True, DEFAULT),
        ("many", DEFAULT),
        ("nan", DEFAULT),
        (None, DEFAULT),
        ({"numerator": 5, "denominator": "MILLION"}, (5, 1_000_000)),
        ({"numerator": 5, "denominator": 1}, (5, 10_000)),
        ({"numerator": 5}, (5, 100)),
        ({"denominator": "HUNDRED"}, (0, 100)),
        ({}, (0, 100)),
    ],
)
def test_fractions(value: Any, expected: tuple[int, int]) -> None:
    assert fraction(value) == expected


def test_a_fraction_without_a_key_is_its_default() -> None:
    assert fraction(50, key="") == DEFAULT
    assert fraction(50, key="a") == DEFAULT


def test_numbers_by_dotted_or_nested_keys() -> None:
    runtime = Runtime([{"a": {"b": 3}, "c.d": "4", "e": 5.9, "f": {}}])
    assert [runtime.integer(key, -1) for key in ("a.b", "c.d", "e", "f", "g")] == [3, 4, 5, -1, -1]
    assert runtime.get("a") is None


def test_a_later_layer_wins() -> None:
    layers = [{"name": "one", "static_layer": {"a": 1, "b": 1}}, {"name": "two", "static_layer": {"a": 2}}]
    text = {"layered_runtime": {"layers": [*layers, {"name": "admin", "admin_layer": {}}]}}
    runtime = compile_runtime(msgspec.convert(text, Bootstrap))
    assert (runtime.integer("a", 0), runtime.integer("b", 0)) == (2, 1)
    assert compile_runtime(Bootstrap()).get("a") is None
