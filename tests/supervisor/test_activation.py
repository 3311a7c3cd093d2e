"""Which listener gets which socket of the service manager."""

import itertools
import logging
import socket
from collections.abc import Iterator

import pytest

from proxyd.supervisor.activation import Activated, Place, assign, group
from proxyd.system import ActivatedSocket


@pytest.fixture
def bound() -> Iterator["Bound"]:
    made = Bound()
    yield made
    made.close()


class Bound:
    """Sockets as a service manager would have them."""

    def __init__(self) -> None:
        self.given: list[ActivatedSocket] = []
        self.groups: list[Activated] = []

    def add(self, name: str, host: str = "127.0.0.1", only_ipv6: bool = True, listens: bool = True) -> int:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
        sock.bind((host, 0))
        if listens:
            sock.listen(1)
        self.given.append(ActivatedSocket(name, sock))
        port: int = sock.getsockname()[1]
        return port

    def assign(self, *places: Place) -> dict[int, tuple[str, int]]:
        self.groups = group(self.given, itertools.count())
        return {index: (each.name, each.address[1]) for index, each in assign(self.groups, places).items()}

    def close(self) -> None:
        for _, sock in self.given:
            sock.close()
        for each in self.groups:
            for numbered in each.sockets:
                numbered.close()


def test_the_name_decides_whatever_the_address(bound: Bound) -> None:
    port = bound.add("http")
    assert bound.assign(Place("other", "127.0.0.1", port), Place("http", "10.0.0.1", 80)) == {
        1: ("http", port)
    }


def test_without_a_listener_of_its_name_the_address_decides(bound: Bound) -> None:
    port = bound.add("proxyd.socket")
    assert bound.assign(Place("a", "127.0.0.1", 1), Place("b", "127.0.0.1", port)) == {
        1: ("proxyd.socket", port)
    }
    assert assign(bound.groups, [Place("a", "127.0.0.2", port)]) == {}


def test_what_is_named_after_one_listener_is_no_others(bound: Bound) -> None:
    first, second = bound.add("http"), bound.add("http")
    places = [Place("http", "127.0.0.1", first), Place("other", "127.0.0.1", second)]
    assert bound.assign(*places) == {0: ("http", first)}


def test_of_several_addresses_of_a_listener_each_gets_its_own(bound: Bound) -> None:
    first, second = bound.add("http"), bound.add("http")
    places = [Place("http", "127.0.0.1", 1), Place("http", "127.0.0.1", first)]
    assert bound.assign(*places) == {0: ("http", second), 1: ("http", first)}


def test_sockets_of_one_address_stay_together(bound: Bound) -> None:
    port = bound.add("http")
    bound.given.append(ActivatedSocket("http", bound.given[0].socket.dup()))
    assert bound.assign(Place("http", "127.0.0.1", 80)) == {0: ("http", port)}
    assert [len(each.sockets) for each in bound.groups] == [2]
    assert len({sock.number for sock in bound.groups[0].sockets}) == 2


def test_a_socket_for_both_protocols_stands_for_either(bound: Bound) -> None:
    try:
        port = bound.add("s", "::", only_ipv6=False)
    except OSError:
        pytest.skip("no IPv6 here")
    assert bound.assign(Place("a", "0.0.0.0", port)) == {0: ("s", port)}
    assert assign(bound.groups, [Place("a", "::", port)]).keys() == {0}


def test_what_does_not_listen_is_told_and_not_used(bound: Bound, caplog: pytest.LogCaptureFixture) -> None:
    bound.add("datagrams", listens=False)
    with caplog.at_level(logging.WARNING):
        assert bound.assign(Place("datagrams", "127.0.0.1", 80)) == {}
    assert "'datagrams' of the service manager does not listen on TCP" in caplog.text
