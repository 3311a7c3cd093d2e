"""A moment of each fuzz target; `nox -s fuzz` takes its time."""

import pytest
from hypothesis import strategies

from tests.fuzz.run import fuzz
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("name", TARGETS)
def test_half_a_second_finds_nothing(name: str) -> None:
    count, _ = fuzz(TARGETS[name], 0.5, 1)
    assert count


def test_what_is_found_comes_with_its_seed() -> None:
    def check(given: object) -> None:
        raise ValueError(given)

    with pytest.raises(ValueError, match="GET") as found:
        fuzz(Target(strategies.sampled_from([b"GET", b"PUT"]), check), 60.0, 7)
    assert "seed 7" in found.value.__notes__
