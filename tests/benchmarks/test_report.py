"""What the benchmarks write, from made-up figures. Nothing is measured in tests."""

import pytest
from gates import COMPILED
from measure import GRPC, KEEP_ALIVE, START, TCP_SMALL, Effort, Samples
from report import Run, render

VERSIONS = {"proxyd, plain": "1", "nginx": "2", "Envoy": "3"}
SAMPLES = {
    KEEP_ALIVE: {"proxyd, plain": [30.0, 24.0, 33.0], "nginx": [20.0], "Envoy": [40.0, 60.0]},
    START: {"proxyd, plain": [8.0], "nginx": [0.0], "Envoy": [64.0]},
}


def page(load_before: float = 0.1, rounds: int = 5, samples: Samples = SAMPLES) -> str:
    effort = Effort(5.0, rounds, 10**9, 2000, 3000, 1000)
    router = {"proxyd, plain": (0.5, 0.75)}
    return render(Run("today", "a machine", load_before, VERSIONS, effort, "run", "commit", router), samples)


def test_least_median_and_ratios() -> None:
    lines = page().splitlines()
    rows = [line for line in lines if line.startswith(f"| {KEEP_ALIVE} |")]
    assert [row.split(" | ", 1)[1] for row in rows] == [
        "24.0 | 20.0 | 40.0 |",
        "30.0 | 20.0 | 50.0 |",
        "0.60 | 0.50 | 1.00 |",
        "1.20 | 1.00 | 2.00 |",
        "proxyd, plain, to Envoy | 0.60 | 0.80 | holds |",
    ]
    assert "| proxyd, plain | 0.50 | 0.75 |" in lines


def test_no_ratio_to_nothing() -> None:
    rows = [line for line in page().splitlines() if line.startswith(f"| {START} |")]
    assert len(rows) == 3  # least, median, to Envoy: nginx had none


@pytest.mark.parametrize(("load_before", "rounds", "warns"), [(0.1, 5, 0), (2.0, 5, 1), (0.1, 1, 1)])
def test_figures_that_are_worth_less_say_so(load_before: float, rounds: int, warns: int) -> None:
    assert page(load_before, rounds).count("\n**") == warns


def test_a_proxy_that_cannot_do_it_has_an_empty_cell() -> None:
    lines = page(samples={TCP_SMALL: {"proxyd, plain": [30.0], "Envoy": [40.0]}}).splitlines()
    rows = [line for line in lines if line.startswith(f"| {TCP_SMALL} |")]
    # Least, median, to Envoy; there is no ratio to nginx, which was not measured.
    assert [row.split(" | ", 1)[1] for row in rows] == ["30.0 |  | 40.0 |"] * 2 + ["0.75 |  | 1.00 |"]


def test_gates_that_are_held_and_missed() -> None:
    samples = {GRPC: {COMPILED: [70.0], "Envoy": [100.0]}, TCP_SMALL: {COMPILED: [30.0], "haproxy": [20.0]}}
    lines = page(samples=samples).splitlines()
    assert f"| {GRPC} | {COMPILED}, to Envoy | 0.70 | 0.70 | holds |" in lines
    assert f"| {TCP_SMALL} | {COMPILED}, to haproxy | 1.50 | 1.15 | **missed** |" in lines
    assert "## Gates" in lines
    assert "## Gates" not in page(samples={START: {COMPILED: [7.0], "Envoy": [70.0]}}).splitlines()
