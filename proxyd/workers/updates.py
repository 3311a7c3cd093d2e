"""Changes in place, the worker's side: everything that can fail in Prepare, a swap in Commit."""

import logging
import socket
from collections.abc import Sequence
from typing import Final

import msgspec

from proxyd.config.encoding import decode
from proxyd.net.limits import LimitRow
from proxyd.net.server import Change, Server
from proxyd.snapshot.build import SnapshotError, compile_snapshot
from proxyd.snapshot.tickets import TicketSecret
from proxyd.stats.metrics import Registry
from proxyd.system import native
from proxyd.workers.control import HostSet, Prepare, Socket

logger = logging.getLogger("main")


class Prepared:
    """A change that waits for Commit or Abort."""

    def __init__(self, message: Prepare, change: Change, sockets: list[socket.socket]) -> None:
        self.message: Final = message
        self.change: Final = change
        self.sockets: Final = sockets  # the new ones


class Updates:
    """At most one change at a time."""

    def __init__(
        self, server: Server, registry: Registry, limits: LimitRow, slot: int, tickets: TicketSecret
    ) -> None:
        self._server: Final = server
        self._registry: Final = registry
        self._limits: Final = limits
        self._slot: Final = slot
        self._tickets: Final = tickets
        self._prepared: Prepared | None = None

    def prepare(self, message: Prepare, descriptors: Sequence[int]) -> tuple[str, ...]:
        """Take the descriptors and get ready; why that cannot be done, if so."""
        self.abort()
        configuration, *lent = descriptors
        sockets = [socket.socket(fileno=descriptor) for descriptor in lent]
        columns = self._limits.columns
        try:
            bootstrap = decode(native.read_memory(configuration))
            snapshot = compile_snapshot(
                bootstrap, self._registry, self._slot, self._tickets, self._server.snapshot
            )
            self._limits.columns = message.limit_columns
            change = self._server.prepare(snapshot)
        except Exception as error:
            if not isinstance(error, SnapshotError | msgspec.DecodeError | OSError | ValueError):
                logger.exception("a change of the configuration cannot be prepared")
            self._limits.columns = columns
            for sock in sockets:
                sock.close()
            return (str(error) or type(error).__name__,)
        finally:
            native.close_descriptor(configuration)
        self._limits.columns = columns
        self._prepared = Prepared(message, change, sockets)
        return ()

    def commit(self) -> "Committed | None":
        """Put the change in force; None where none is prepared."""
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            return None
        message = prepared.message
        self._limits.columns = message.limit_columns
        fresh = self._server.commit(prepared.change, message.drain_seconds)
        self._server.set_tickets(self._tickets)  # they may have become others since Prepare
        self._server.place([(lent.number, lent.listener) for lent in message.sockets])
        hosts = [hosts for hosts in message.hosts if hosts.cluster in fresh]
        return Committed(message, prepared.sockets, hosts)

    def abort(self) -> None:
        """Forget what was prepared, if anything was."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            self._server.abandon(prepared.change)
            for sock in prepared.sockets:
                sock.close()


class Committed:
    """What a change leaves to do: sockets to accept on, and the hosts of clusters that are new."""

    def __init__(self, message: Prepare, sockets: list[socket.socket], hosts: list[HostSet]) -> None:
        self.sockets: Final[list[tuple[Socket, socket.socket]]] = list(
            zip(message.sockets[len(message.sockets) - message.lent :], sockets, strict=True)
        )
        self.placed: Final = {lent.number: lent for lent in message.sockets}
        self.hosts: Final = hosts
