"""Listening sockets that the service manager has bound (socket activation), and which listener gets which.

A socket belongs to the listener of its name (systemd: ``FileDescriptorName=``), whatever address that
listener is configured with; one whose name is no listener's (systemd names it after its unit) to the
listener of its address. They are never closed: the manager holds them as well, and a later configuration may
want them.
"""

import ipaddress
import itertools
import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from proxyd.config.core import PIPE
from proxyd.system import ActivatedSocket

logger = logging.getLogger("main")


class NumberedSocket(socket.socket):
    """A listening socket; its number, which no other ever has, is how workers know it again."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        super().__init__(fileno=sock.detach())
        self.number: Final = number


class Place(NamedTuple):
    """One address of a listener, as configured."""

    name: str  # of the listener
    host: str
    port: int


class Activated:
    """All sockets of one name and address."""

    def __init__(self, name: str, address: tuple[str, int], sockets: list[NumberedSocket]) -> None:
        self.name: Final = name
        self.address: Final = address
        self.sockets: Final = sockets

    def listens_on(self, place: Place) -> bool:
        """Whether this is the configured address. What listens on :: may take IPv4 connections as well."""
        host, port = self.address
        if port != place.port:
            return False
        if ipaddress.ip_address(host) == ipaddress.ip_address(place.host):
            return True
        return host == "::" and place.host == "0.0.0.0" and not _only_ipv6(self.sockets[0])


def group(given: Sequence[ActivatedSocket], numbers: "itertools.count[int]") -> list[Activated]:
    """The sockets by name and address, in the order in which they came; what is no listening TCP is told."""
    found: dict[tuple[str, tuple[str, int]], Activated] = {}
    for name, sock in given:
        if not _listens(sock):
            logger.warning("socket %r of the service manager does not listen on TCP and is not used", name)
            sock.close()
            continue
        address = sock.getsockname()[:2]
        activated = found.setdefault((name, address), Activated(name, address, []))
        activated.sockets.append(NumberedSocket(next(numbers), sock))
    return list(found.values())


def _listens(sock: socket.socket) -> bool:
    return (
        sock.family in (socket.AF_INET, socket.AF_INET6)
        and sock.type == socket.SOCK_STREAM
        and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    )


def _only_ipv6(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def assign(activated: Sequence[Activated], places: Sequence[Place]) -> dict[int, Activated]:
    """Which of the places (by index) get sockets, and which."""
    listeners = {place.name for place in places}
    free = list(activated)
    found: dict[int, Activated] = {}
    for index, each in _matches(free, places, listeners):
        if index not in found and each in free:
            found[index] = each
            free.remove(each)
    return found


def _matches(
    activated: list[Activated], places: Sequence[Place], listeners: set[str]
) -> Iterator[tuple[int, Activated]]:
    """All pairs that may be, the best ones first: name and address, the name alone, the address alone."""
    pairs = [(index, place, each) for index, place in enumerate(places) for each in [*activated]]
    for index, place, each in pairs:
        if each.name == place.name and each.listens_on(place):
            yield index, each
    for index, place, each in pairs:
        if each.name == place.name and place.port != PIPE:
            yield index, each
    for index, place, each in pairs:
        if each.name not in listeners and each.listens_on(place):
            yield index, each
