"""One listening socket at work: what comes is a connection of the listener it serves at that moment."""

import asyncio
import logging
import socket
from typing import Final

from proxyd.net.accepting import Accepting
from proxyd.net.downstream import Http1Downstream
from proxyd.net.served import ServedListener

logger = logging.getLogger("main")


class Acceptor:
    """Accepts on a socket, from ``start`` to ``stop``; ``listener`` may be replaced meanwhile."""

    def __init__(self, listener: ServedListener, sock: socket.socket) -> None:
        """``sock`` is a copy of its own: the loop closes the one it has, what is queued is taken after."""
        self.listener: ServedListener = listener
        self._sock: Final = sock
        self._server: asyncio.AbstractServer | None = None
        self._stopped: bool = False

    async def start(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, backlog: int) -> None:
        """Accept; ``sock`` belongs to the loop from now on, ``backlog`` is set on it for all who share it."""
        server = await loop.create_server(
            self._new_connection,  # type: ignore[arg-type]  # protocols by shape
            sock=sock,
            backlog=backlog,
        )
        self._server = server
        if self._stopped:
            server.close()

    def stop(self) -> list[socket.socket]:
        """Accept no more; the connections that were queued by now."""
        self._stopped = True
        if self._server is not None:
            self._server.close()
        queued: list[socket.socket] = []
        self._sock.setblocking(False)
        try:
            while True:
                connection, _ = self._sock.accept()
                connection.setblocking(False)
                queued.append(connection)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            logger.warning("while the last connections were accepted: %s", error)
        self._sock.close()
        return queued

    async def take(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        """Serve a connection that was queued."""
        try:
            await loop.connect_accepted_socket(  # type: ignore[type-var]
                self._new_connection,  # protocols by shape
                connection,
            )
        except OSError:
            connection.close()

    def _new_connection(self) -> Http1Downstream | Accepting:
        return self.listener.protocol()
