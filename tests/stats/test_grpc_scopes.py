"""How many names gRPC's statistics can have: clients and hosts choose them."""

import pytest

from proxyd.stats.grpc_scopes import MOST_NAMES, GrpcStats
from proxyd.stats.metrics import Registry


def test_there_is_an_end_to_the_names_that_peers_choose() -> None:
    registry = Registry()
    stats = GrpcStats(registry)
    for number in range(3 * MOST_NAMES):
        stats.method("c", b"s", b"%d" % number).charge_request_messages(1)
    assert len(registry.counters) == MOST_NAMES + 1
    assert registry.counters["cluster.c.grpc.request_message_count"].value == 2 * MOST_NAMES
    known = stats.method("c", b"s", b"0")
    for number in range(100):
        known.charge_status(b"%d" % number)
    counted = [name for name in registry.counters if name.startswith("cluster.c.grpc.s.0.")]
    assert len(counted) == 17 + 4  # the statuses that there are; success, failure, total, and the messages
    assert registry.counters["cluster.c.grpc.s.0.total"].value == 100
    stats.method("c", b"listed", b"m", bounded=False).charge_request_messages(1)
    assert registry.counters["cluster.c.grpc.listed.m.request_message_count"].value == 1


@pytest.mark.parametrize("name", [b"x" * 300, b"a\nb", b"a b", b"\xff", b"\x1b[1m"])
def test_what_is_no_name_counts_with_all_others(name: bytes) -> None:
    registry = Registry()
    stats = GrpcStats(registry).method("c", b"s", name)
    stats.charge_request_messages(1)
    stats.charge_status(name)
    assert set(registry.counters) == {
        "cluster.c.grpc.request_message_count",
        "cluster.c.grpc.failure",
        "cluster.c.grpc.total",
    }
