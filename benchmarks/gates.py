"""What the figures have to reach: ratios to another proxy in the same run, least of all rounds."""

from typing import NamedTuple

from measure import (
    DOWN,
    GRPC,
    HTTP2,
    KEEP_ALIVE,
    TCP_DOWN,
    TCP_SMALL,
    TCP_UP,
    TLS,
    UP,
    WEBSOCKET,
    Samples,
)

PLAIN, COMPILED = "proxyd, plain", "proxyd, compiled"


class Gate(NamedTuple):
    """A ratio that is not to be passed."""

    quantity: str
    yardstick: str
    most: float
    proxy: str = COMPILED


GATES = (
    Gate(KEEP_ALIVE, "Envoy", 0.8, PLAIN),
    Gate(KEEP_ALIVE, "Envoy", 0.55),
    Gate(KEEP_ALIVE, "nginx", 1.3),
    Gate(DOWN, "Envoy", 1.2),
    Gate(UP, "Envoy", 1.2),
    Gate(TLS, "Envoy", 0.6),
    Gate(HTTP2, "Envoy", 0.6),
    Gate(GRPC, "Envoy", 0.7),
    Gate(WEBSOCKET, "Envoy", 1.0),
    Gate(TCP_SMALL, "haproxy", 1.15),
    Gate(TCP_DOWN, "Envoy", 1.0),
    Gate(TCP_UP, "Envoy", 1.0),
)


class Finding(NamedTuple):
    """What a run says of a gate."""

    gate: Gate
    ratio: float

    @property
    def holds(self) -> bool:
        return self.ratio <= self.gate.most


def findings(samples: Samples) -> list[Finding]:
    """Of the gates whose two sides were measured."""
    found = []
    for gate in GATES:
        row = samples.get(gate.quantity, {})
        ours, theirs = row.get(gate.proxy), row.get(gate.yardstick)
        if ours and theirs and min(theirs):
            found.append(Finding(gate, min(ours) / min(theirs)))
    return found
