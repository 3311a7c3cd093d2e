"""One listening socket at work: what comes is a connection of the listener it serves at that moment."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from proxyd.net.listener import Connection, Served
from proxyd.system import Acceptance, native


class Acceptor:
    """Accepts on a socket, from ``start`` to ``stop``; ``listener`` may be replaced meanwhile."""

    def __init__(self, listener: Served, sock: socket.socket) -> None:
        """``sock`` belongs to the acceptor from now on."""
        self.listener: Served = listener
        self._acceptance: Final[Acceptance] = native.acceptance(sock)

    async def start(
        self,
        loop: asyncio.AbstractEventLoop,
        backlog: int,
        take: Callable[["Acceptor", socket.socket], None],
    ) -> None:
        """Accept; ``take`` gets what has to be served by ``take`` below, see ``Acceptance.start``."""
        await self._acceptance.start(
            loop,
            backlog,
            self._new_connection,  # type: ignore[arg-type]  # protocols by shape
            lambda connection: take(self, connection),
        )

    def stop(self) -> list[socket.socket]:
        """Accept no more; the connections that were queued by now."""
        return self._acceptance.stop()

    async def take(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        """Serve a connection that was accepted."""
        try:
            await loop.connect_accepted_socket(  # type: ignore[type-var]
                self._new_connection,  # protocols by shape
                connection,
            )
        except OSError:
            connection.close()

    def _new_connection(self) -> Connection:
        return self.listener.protocol()
