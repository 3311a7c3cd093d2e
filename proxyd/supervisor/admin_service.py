"""The admin API's address: bound before a configuration is in force, kept while it stays the same."""

import asyncio
import logging
import socket
from typing import Final

from proxyd.admin.api import handle
from proxyd.admin.context import AdminContext
from proxyd.admin.messages import AdminRequest
from proxyd.net.access_log import AccessLogger, AccessLogs, Reopening, open_loggers
from proxyd.net.http_service import HttpService, LocalReply, LocalRequest
from proxyd.net.log_writer import Request
from proxyd.snapshot.http_connection_manager import AccessLogSnapshot
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import AccessLogStats
from proxyd.supervisor.problems import StartError, explain_address
from proxyd.supervisor.sockets import format_address
from proxyd.system import native

logger = logging.getLogger("admin")

_BACKLOG: Final = 128
_LAST_ANSWERS: Final = 1.0  # seconds


class PreparedAdmin:
    """What the admin API of a new configuration needs: a socket where the address is new, its access logs."""

    def __init__(
        self, configured: tuple[str, int] | None, sock: socket.socket | None, loggers: list[AccessLogger]
    ) -> None:
        self.configured: Final = configured
        self.sock: Final = sock
        self.loggers: Final = loggers

    def abandon(self) -> None:
        if self.sock is not None:
            self.sock.close()


class AdminService:
    """At most one address at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, registry: Registry, context: AdminContext) -> None:
        self.bound: tuple[str, int] | None = None  # the real address, once it answers
        self._loop: Final = loop
        self._registry: Final = registry
        self._context: Final = context
        self._logs: Final = AccessLogs(AccessLogStats(registry))
        self._configured: tuple[str, int] | None = None
        self._service: HttpService | None = None
        self._socket: socket.socket | None = None  # one of our own: the service closes its own
        self._inherited: tuple[tuple[str, int], socket.socket] | None = None
        self._retired = False  # handed over

    def inherit(self, configured: tuple[str, int], sock: socket.socket) -> None:
        """Use the socket of another process for this address, if the first configuration wants it."""
        self._inherited = configured, sock

    def hand_over(self) -> None:
        """Leave the address to another process; whoever has been accepted by now is still answered."""
        if self._service is not None:
            self._service.retire()
            self._retired = True
        self._close_socket()

    @property
    def configured(self) -> tuple[str, int] | None:
        """The address in force, as configured."""
        return self._configured

    @property
    def listening(self) -> socket.socket | None:
        """What listens there."""
        return self._socket

    def prepare(
        self, configured: tuple[str, int] | None, access_logs: list[AccessLogSnapshot]
    ) -> PreparedAdmin:
        """Bind the address where it is new, and open the logs. Raises StartError."""
        sock = None
        if configured is not None and configured != self._configured:
            host, port = configured
            try:
                sock = self._take_inherited(configured) or native.bind(host, port, shared=False)
                sock.listen(_BACKLOG)
            except OSError as error:
                if sock is not None:
                    sock.close()
                raise StartError(explain_address("admin API", host, port, error)) from None
        try:
            return PreparedAdmin(configured, sock, open_loggers(self._logs, access_logs))
        except OSError as error:
            if sock is not None:
                sock.close()
            raise StartError(f"admin API: cannot open the access log: {error}") from None

    async def commit(self, prepared: PreparedAdmin) -> None:
        """Answer as prepared; an address that stays the same keeps its connections."""
        if self._service is not None and prepared.configured == self._configured:
            self._service.access_loggers[:] = prepared.loggers
            return
        self.close()
        self._configured = prepared.configured
        if prepared.sock is None:
            return
        self.bound = prepared.sock.getsockname()[:2]
        self._socket = prepared.sock.dup()
        self._service = HttpService(self._loop, self._answer, self._registry, "admin", prepared.loggers)
        await self._service.listen(prepared.sock)
        logger.info("admin API on http://%s", self.address)

    @property
    def address(self) -> str | None:
        """``ip:port`` as bound."""
        return None if self.bound is None else format_address(*self.bound)

    def flush_logs(self) -> None:
        self._logs.flush_all()

    def begin_reopen_logs(self, others: list[Request]) -> Reopening:
        """Does not block; see AccessLogs.begin_reopen()."""
        return self._logs.begin_reopen(others)

    async def finish(self) -> None:
        """Close; where it was handed over, with the answers that come soon."""
        if self._service is not None and self._retired:
            await self._service.drained(_LAST_ANSWERS)
        self.close()

    def close(self) -> None:
        if self._service is not None:
            self._service.close()
            self._service = None
        self._close_socket()
        self.bound = None

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _take_inherited(self, configured: tuple[str, int]) -> socket.socket | None:
        inherited, self._inherited = self._inherited, None
        if inherited is None:
            return None
        address, sock = inherited
        if address == configured:
            return sock
        sock.close()
        return None

    async def _answer(self, request: LocalRequest) -> LocalReply:
        reply = await handle(
            self._context,
            AdminRequest(request.method, request.path, request.query, request.body, request.headers),
        )
        return LocalReply(reply.status, [("content-type", reply.content_type), *reply.headers], reply.body)
