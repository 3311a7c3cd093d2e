"""What the workers of a generation are given: a configuration, listening sockets, hosts, limits.

A change in place is equipment of its own, which takes the place of the former one when it is committed.
"""

from collections.abc import Collection
from typing import Final

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.encoding import encode
from proxyd.snapshot.limit_names import limit_names, listener_key
from proxyd.stats.block import size_for
from proxyd.supervisor.activation import NumberedSocket
from proxyd.supervisor.dns import HostSets
from proxyd.supervisor.limits import Limits
from proxyd.supervisor.sockets import Prepared, Wanted
from proxyd.supervisor.worker import Worker
from proxyd.system import native
from proxyd.workers.control import Prepare, Socket


class Equipment:
    """One configuration's; ``close`` it when no worker is going to be given it any more."""

    def __init__(self, bootstrap: Bootstrap, sockets: Prepared, hosts: HostSets, limits: Limits) -> None:
        """Raises OSError where there is no memory or descriptor for the configuration."""
        self.bootstrap: Final = bootstrap
        self.hosts: Final = hosts
        self.configuration: Final = native.create_sealed_memory("proxyd-config", encode(bootstrap))
        self.stats_size: Final = size_for(_scopes(bootstrap))
        self._sockets: Final = sockets
        self._limits: Final = limits
        self._limited: Final = limit_names(bootstrap)
        self.limit_columns: Final = limits.table.lend_columns(self._limited)

    def lent(self, slot: int, stopped: Collection[str]) -> list[tuple[Wanted, NumberedSocket]]:
        """The sockets that a slot serves, but for those of listeners whose keys are ``stopped``."""
        listeners = self.bootstrap.static_resources.listeners
        return [
            (wanted, sock)
            for wanted, sock in self._sockets.lent(slot)
            if listener_key(listeners[wanted.listener], wanted.listener) not in stopped
        ]

    def close(self) -> None:
        """Give back what was taken for it."""
        native.close_descriptor(self.configuration)
        self._limits.table.take_back_columns(self._limited)


class Pending:
    """Equipment for a change on its way: every worker, also one that is yet to come, has to hear of it."""

    def __init__(self, number: int, equipment: Equipment, drain_seconds: float) -> None:
        self.number: Final = number
        self.equipment: Final = equipment
        self.lent: Final[dict[int, frozenset[int]]] = {}  # worker id to the numbers of its sockets
        self._drain_seconds: Final = drain_seconds

    def tell(self, worker: Worker, stopped: Collection[str]) -> None:
        """Have a worker get ready, see ``Equipment.lent``. Raises OSError."""
        equipment = self.equipment
        lent = equipment.lent(worker.member.slot, stopped)
        lent.sort(key=lambda each: each[1].number not in worker.lent)
        new = [sock for _, sock in lent if sock.number not in worker.lent]
        self.lent[worker.member.worker_id] = frozenset(sock.number for _, sock in lent)
        message = Prepare(
            number=self.number,
            sockets=tuple(Socket(sock.number, wanted.listener, wanted.backlog) for wanted, sock in lent),
            lent=len(new),
            limit_columns=equipment.limit_columns,
            hosts=equipment.hosts.sets(),
            drain_seconds=self._drain_seconds,
        )
        worker.send(message, [equipment.configuration, *(sock.fileno() for sock in new)])


def _scopes(bootstrap: Bootstrap) -> int:
    """How many clusters, hosts and listeners have statistics of their own, as far as it is written."""
    resources = bootstrap.static_resources
    hosts = sum(
        len(locality.lb_endpoints)
        for cluster in resources.clusters
        if cluster.load_assignment is not None
        for locality in cluster.load_assignment.endpoints
    )
    return len(resources.clusters) + len(resources.listeners) + hosts
