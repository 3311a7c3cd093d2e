"""The listening sockets: the supervisor binds and keeps them, workers borrow them.

An address has one SO_REUSEPORT socket for each worker slot, so that the kernel spreads connections; with
``enable_reuse_port: false``, and on a system that has no such thing, it has one, lent to all. What the
service manager has bound (``activation``) is used as it comes: one socket is lent to all, several are shared
out.

A socket with queued connections must not be closed, for that resets them: over a reload the sockets of an
address stay, and those of slots that are no more are served by the workers that remain. Nothing listens
before ``commit``, so a change that is given up has cost nobody a connection; where only what listens can be
lent, a new address does.
"""

import errno
import itertools
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.core import PIPE
from proxyd.net.addresses import plain_ip
from proxyd.supervisor.activation import Activated, NumberedSocket, Place, assign, group
from proxyd.system import ActivatedSocket, native

logger = logging.getLogger("main")

_REUSE_PORT_CHANGED: Final = OSError(errno.EBUSY, "enable_reuse_port cannot be changed by a reload")


class Key(NamedTuple):
    """What makes two configured addresses the same: for port 0 the listener, whose port was chosen once."""

    host: str
    port: int
    owner: tuple[str, int]  # listener name and index of the address where port is 0, else ("", 0)
    udp: bool = False
    ipv4_compat: bool = False


class Wanted(msgspec.Struct, frozen=True):
    """One address of a listener as configured."""

    listener: int  # index in static_resources.listeners
    name: str
    key: Key
    shared: bool  # one socket a slot
    backlog: int
    mode: int = 0  # of the file of a Unix domain socket


class BindError(Exception):
    """An address cannot be had. ``error`` is the system's reason; the text is for this module's tests."""

    def __init__(self, wanted: Wanted, error: OSError) -> None:
        super().__init__(f"{wanted.name}: {format_address(*wanted.key[:2])}: {error.strerror}")
        self.wanted: Final = wanted
        self.error: Final = error


class Held:
    """The sockets of one address."""

    def __init__(self, key: Key, shared: bool, sockets: list[NumberedSocket]) -> None:
        self.key: Final = key
        self.shared: Final = shared
        self.sockets: Final = sockets

    @property
    def address(self) -> tuple[str, int]:
        """As bound: ip, and a port that is never 0; of a Unix domain socket the path, and PIPE."""
        if self.key.port == PIPE:
            return self.key.host, PIPE
        host, port = self.sockets[0].getsockname()[:2]
        return plain_ip(host), port


class Group(NamedTuple):
    """The sockets of one address, as one supervisor hands them to another."""

    key: Key
    shared: bool
    activated: str | None  # the name by which the service manager has bound them
    sockets: list[socket.socket]


class Change(NamedTuple):
    """What a configuration needs beyond what is held: sockets to bind, addresses to give up."""

    bind: list[tuple[Wanted, int]]  # with the number of sockets missing
    close: list[Key]


def wanted_addresses(bootstrap: Bootstrap, default_backlog: int) -> list[Wanted]:
    """Every address that is to be bound of every listener, in the order of the configuration."""
    wanted: list[Wanted] = []
    for index, listener in enumerate(bootstrap.static_resources.listeners):
        if listener.bind_to_port is False:
            continue
        addresses = [listener.address, *(more.address for more in listener.additional_addresses)]
        for number, address in enumerate(addresses):
            host, port = address.host, address.port
            name = listener.name or format_address(host, port)
            backlog = listener.tcp_backlog_size
            wanted.append(
                Wanted(
                    index,
                    name,
                    Key(host, port, ("", 0) if port else (name, number), address.udp, address.ipv4_compat),
                    native.shares_ports and listener.enable_reuse_port is not False and address.pipe is None,
                    default_backlog if backlog is None else backlog,
                    0 if address.pipe is None else address.pipe.mode,
                )
            )
    return wanted


def plan(held: Mapping[Key, int], wanted: Iterable[Wanted], workers: int) -> Change:
    """Decide what to bind and what to close. ``held`` is the number of sockets of each address."""
    bind: list[tuple[Wanted, int]] = []
    keep: set[Key] = set()
    for each in wanted:
        keep.add(each.key)
        missing = (workers if each.shared else 1) - held.get(each.key, 0)
        if missing > 0:
            bind.append((each, missing))
    return Change(bind, [key for key in held if key not in keep])


def serves(slot: int, index: int, sockets: int, workers: int) -> bool:
    """Whether a worker slot serves the socket of this index: its own, and those of slots that are no more.

    Where there are fewer sockets than workers, several slots share one.
    """
    return index % workers == slot if sockets >= workers else slot % sockets == index


class ListenSockets:
    """Everything bound, and the steps of a change: ``prepare``, ``commit`` or ``abandon``, ``retire``."""

    def __init__(self) -> None:
        self._held: dict[Key, Held] = {}
        self._retiring: list[Held] = []
        self._numbers: Final = itertools.count()
        self._activated: list[Activated] = []
        self._in_force: dict[Key, Activated] = {}

    def activate(self, given: Sequence[ActivatedSocket]) -> None:
        """Use what the service manager has bound wherever a listener fits."""
        self._activated = group(given, self._numbers)

    def groups(self) -> list[Group]:
        """Everything that listens."""
        own = [Group(key, held.shared, None, [*held.sockets]) for key, held in self._held.items()]
        given = [
            Group(Key(*each.address, ("", 0)), False, each.name, [*each.sockets]) for each in self._activated
        ]
        return own + given

    def inherit(self, groups: Iterable[Group]) -> None:
        """Hold what another supervisor has held."""
        for key, shared, activated, sockets in groups:
            numbered = [NumberedSocket(next(self._numbers), sock) for sock in sockets]
            if activated is not None:
                self._activated.append(Activated(activated, (key.host, key.port), numbered))
            else:
                self._held[key] = Held(key, shared, numbered)

    def tell_unused(self) -> None:
        """Log what the service manager has bound and no listener in force uses."""
        used = list(self._in_force.values())
        for each in self._activated:
            if each not in used:
                logger.warning(
                    "socket %r of the service manager (%s) belongs to no listener: nobody accepts there",
                    each.name,
                    format_address(*each.address),
                )

    def prepare(self, wanted: Sequence[Wanted], workers: int) -> "Prepared":
        """Bind what is missing. Raises BindError, and then nothing has changed."""
        # What was bound for connections is for no datagrams: those have no place that anything fits.
        places = [Place(each.name, each.key.host, PIPE if each.key.udp else each.key.port) for each in wanted]
        activated = {wanted[index].key: each for index, each in assign(self._activated, places).items()}
        own = [each for each in wanted if each.key not in activated]
        change = plan({key: len(held.sockets) for key, held in self._held.items()}, own, workers)
        prepared = Prepared(list(wanted), workers, change, activated)
        try:
            for each in own:
                held = self._held.get(each.key)
                if held is not None and held.shared != each.shared:
                    raise BindError(each, _REUSE_PORT_CHANGED)
            for each, missing in change.bind:
                prepared.bound[each.key] = self._bind(each, missing)
        except BindError:
            prepared.abandon()
            raise
        for key, held in self._held.items():
            prepared.all[key] = list(held.sockets)
        for key, sockets in prepared.bound.items():
            prepared.all.setdefault(key, []).extend(sockets)
        return prepared

    def commit(self, prepared: "Prepared") -> None:
        """Let the new sockets listen; those of addresses no longer wanted wait for ``retire``.

        Raises BindError (another process was quicker), and then nothing has changed.
        """
        for each in prepared.wanted:
            for sock in [] if each.key.udp else prepared.bound.get(each.key, []):
                try:
                    sock.listen(each.backlog)
                except OSError as error:
                    prepared.abandon()
                    raise BindError(each, error) from None
        self._in_force = prepared.activated
        for each in prepared.wanted:
            if each.key in prepared.activated:
                continue
            held = self._held.setdefault(each.key, Held(each.key, each.shared, []))
            for sock in [] if each.key.udp else held.sockets:
                sock.listen(each.backlog)  # it may have changed
            held.sockets.extend(prepared.bound.get(each.key, []))
        for key in prepared.change.close:
            self._retiring.append(self._held.pop(key))

    def retire(self) -> None:
        """Close what was given up; to be called once nobody accepts on it any more."""
        for held in self._retiring:
            for sock in held.sockets:
                sock.close()
        self._retiring.clear()

    def give_up(self, wanted: Iterable[Wanted]) -> None:
        """Close these addresses, once nobody accepts on them any more."""
        for each in wanted:
            self._in_force.pop(each.key, None)
            if each.key in self._held:
                self._retiring.append(self._held.pop(each.key))
        self.retire()

    def address(self, key: Key) -> tuple[str, int] | None:
        """The bound address of a configured one, None where it was given up."""
        activated = self._in_force.get(key)
        if activated is not None:
            return activated.address
        held = self._held.get(key)
        return None if held is None else held.address

    def close(self) -> None:
        self._retiring.extend(self._held.values())
        self._held.clear()
        self.retire()
        self._in_force.clear()
        for each in self._activated:
            for sock in each.sockets:
                sock.close()
        self._activated.clear()

    def _bind(self, wanted: Wanted, missing: int) -> list[NumberedSocket]:
        host, port, _, udp, ipv4_compat = wanted.key
        bind = native.bind_datagrams if udp else native.bind
        held = self._held.get(wanted.key)
        sockets: list[NumberedSocket] = []
        try:
            if port == PIPE:
                return [NumberedSocket(next(self._numbers), native.bind_pipe(host, wanted.mode))]
            if held is not None:
                port = held.address[1]
            elif port and wanted.shared and not self._ours(port, udp):
                # SO_REUSEPORT would let us share the port with a stranger's group: ask without it first.
                if udp:
                    native.bind_datagrams(host, port, False, ipv4_compat).close()
                else:
                    native.claim_port(host, port, ipv4_compat).close()
            for _ in range(missing):
                sock = NumberedSocket(next(self._numbers), bind(host, port, wanted.shared, ipv4_compat))
                sockets.append(sock)
                if native.lends_listening and not udp:
                    sock.listen(wanted.backlog)
                port = sock.getsockname()[1]
        except OSError as error:
            for sock in sockets:
                sock.close()
            raise BindError(wanted, error) from None
        return sockets

    def _ours(self, port: int, udp: bool) -> bool:
        """Whether a held address has this port: 0.0.0.0 and 127.0.0.1 then do not exclude each other."""
        return any(held.key.udp == udp and held.address[1] == port for held in self._held.values())


class Prepared:
    """Sockets for a configuration that is not yet in force."""

    def __init__(
        self, wanted: list[Wanted], workers: int, change: Change, activated: dict[Key, Activated]
    ) -> None:
        self.wanted: Final = wanted
        self.workers: Final = workers
        self.change: Final = change
        self.activated: Final = activated
        self.bound: Final[dict[Key, list[NumberedSocket]]] = {}
        self.all: Final = {key: list(each.sockets) for key, each in activated.items()}

    def lent(self, slot: int) -> list[tuple[Wanted, NumberedSocket]]:
        """What a worker borrows."""
        lent: list[tuple[Wanted, NumberedSocket]] = []
        for each in self.wanted:
            sockets = self.all[each.key]
            for index, sock in enumerate(sockets):
                # Of those who share one, only one has a client's session.
                alone = each.key.udp and not each.shared
                if slot == 0 if alone else serves(slot, index, len(sockets), self.workers):
                    lent.append((each, sock))
        return lent

    def abandon(self) -> None:
        """Give the change up: close what was bound for it."""
        for sockets in self.bound.values():
            for sock in sockets:
                sock.close()
        self.bound.clear()


def format_address(host: str, port: int) -> str:
    """``ip:port``, an IPv6 address in brackets."""
    if port == PIPE:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
