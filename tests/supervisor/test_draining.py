"""What drains after changes in place, and for how long it is counted."""

from proxyd.config.core import Address, SocketAddress
from proxyd.config.listener import FilterChain, FilterChainMatch, Listener
from proxyd.stats.metrics import Registry
from proxyd.stats.server_scopes import ListenerManagerStats
from proxyd.supervisor.draining import Draining


def chain(server_name: str) -> FilterChain:
    return FilterChain(filter_chain_match=FilterChainMatch(server_names=(server_name,)), filters=())


def listener(*server_names: str, port: int = 1, default: str = "") -> Listener:
    return Listener(
        name="one",
        address=Address(socket_address=SocketAddress(address="127.0.0.1", port_value=port)),
        filter_chains=tuple(map(chain, server_names)),
        default_filter_chain=chain(default) if default else None,
    )


class Drained:
    def __init__(self) -> None:
        self.stats = ListenerManagerStats(Registry(None))
        self.draining = Draining(self.stats)

    def change(self, before: Listener, now: Listener | None, until: float) -> None:
        self.draining.changed({"one": before}, {"one": now} if now is not None else {}, until)

    @property
    def gauges(self) -> tuple[int, int]:
        """Listeners and filter chains."""
        stats = self.stats
        return stats.total_listeners_draining.value, stats.total_filter_chains_draining.value


def test_only_the_chains_that_are_gone_drain_where_nothing_else_differs() -> None:
    drained = Drained()
    drained.change(listener("a", "b", "b"), listener("b", "c"), 5.0)
    assert drained.gauges == (0, 2)
    drained.change(listener("b", "c"), listener("b", "c", default="d"), 6.0)
    assert drained.gauges == (0, 2)
    drained.change(listener("b", default="d"), listener("b", default="e"), 7.0)
    assert drained.gauges == (0, 3)
    drained.draining.look(4.9)
    assert drained.gauges == (0, 3)
    drained.draining.look(5.0)
    assert drained.gauges == (0, 1)
    drained.draining.look(9.0)
    assert drained.gauges == (0, 0)


def test_a_listener_drains_where_it_goes_or_differs_beside_its_chains() -> None:
    drained = Drained()
    drained.change(listener("a"), listener("a", port=2), 5.0)
    drained.change(listener("a"), None, 5.0)
    drained.change(listener("a"), listener("a"), 5.0)
    drained.draining.generations(3)
    assert drained.gauges == (5, 0)
    drained.draining.look(5.0)
    assert drained.gauges == (3, 0)
