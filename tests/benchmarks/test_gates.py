"""Gates, from made-up figures."""

from gates import COMPILED, GATES, Finding, Gate, findings
from measure import GRPC, HTTP2, TCP_SMALL


def test_the_least_of_each_side_is_compared() -> None:
    samples = {
        GRPC: {COMPILED: [90.0, 70.0], "Envoy": [100.0, 120.0]},
        TCP_SMALL: {COMPILED: [24.0], "haproxy": [20.0]},
    }
    found = findings(samples)
    assert found == [Finding(Gate(GRPC, "Envoy", 0.7), 0.7), Finding(Gate(TCP_SMALL, "haproxy", 1.15), 1.2)]
    assert [finding.holds for finding in found] == [True, False]


def test_what_was_not_measured_is_neither_held_nor_missed() -> None:
    samples = {
        GRPC: {"proxyd, plain": [1.0], "Envoy": [2.0]},
        HTTP2: {COMPILED: [1.0], "nginx": [2.0]},
        TCP_SMALL: {COMPILED: [1.0], "haproxy": [0.0]},
    }
    assert findings(samples) == []


def test_every_gate_is_another() -> None:
    assert len({gate[:2] + gate[3:] for gate in GATES}) == len(GATES)
