"""The new side of an upgrade: what a supervisor takes over from the one that runs. See ``succession``."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Final, TypeVar

import anyio
import msgspec

from proxyd.net.limits import COLUMNS, ROWS
from proxyd.stats.sums import Sum
from proxyd.supervisor.command_server import CommandServer
from proxyd.supervisor.instance import RunDirectory
from proxyd.supervisor.limits import Limits
from proxyd.supervisor.problems import StartError
from proxyd.supervisor.resources import Assembly
from proxyd.supervisor.sockets import Group, Key
from proxyd.supervisor.succession import (
    Counted,
    Estate,
    FromPredecessor,
    Inherit,
    Prepared,
    Refused,
    Serve,
    Serving,
    Taken,
)
from proxyd.supervisor.supervisor import Supervisor
from proxyd.system import native
from proxyd.workers.channel import Channel

logger = logging.getLogger("main")

_Message = TypeVar("_Message", Serve, Inherit)


class Heritage:
    """What there is to take over, and the steps of taking it.

    ``descriptors`` are those of the estate, but for standard error.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: socket.socket,
        estate: Estate,
        descriptors: Sequence[int],
    ) -> None:
        self.estate: Final = estate
        self.predecessor: int = estate.pid  # process id, 0 once it has ended
        self.directory: RunDirectory | None = None  # once this process is the instance
        self._limits_descriptor: Final = descriptors[0]
        rest = [socket.socket(fileno=descriptor) for descriptor in descriptors[1:]]
        self.admin: Final = rest.pop(0) if estate.admin is not None else None
        self._sockets: Final = rest
        self._supervisor: Supervisor | None = None
        self._commands: CommandServer | None = None
        self._messages: Final[list[Serve | Inherit]] = []
        self._descriptors: list[int] = []
        self._news = anyio.Event()
        self._done = False
        self._channel: Final[Channel[FromPredecessor]] = Channel(
            loop,
            channel,
            msgspec.msgpack.Decoder(FromPredecessor),
            self._on_message,
            self._on_closed,
            self._descriptors.extend,
        )

    def limits(self) -> Limits:
        """The memory of the connection limits: theirs, where it is laid out alike."""
        if self.estate.limits != (ROWS, COLUMNS):
            native.close_descriptor(self._limits_descriptor)
            return Limits()
        limits = Limits(self._limits_descriptor)
        limits.table.inherit(self.estate.limit_rows, self.estate.limit_columns)
        return limits

    def give(self, supervisor: Supervisor, commands: CommandServer) -> None:
        """Let a supervisor go on from here."""
        self._supervisor, self._commands = supervisor, commands
        estate = self.estate
        supervisor.inherit(estate)
        sockets = iter(self._sockets)
        supervisor.sockets.inherit(
            Group(
                Key(each.host, each.port, each.owner, each.udp, each.ipv4_compat),
                each.shared,
                each.activated,
                [next(sockets) for _ in range(each.count)],
            )
            for each in estate.sockets
        )
        if self.admin is not None and estate.admin is not None:
            assert supervisor.admin is not None
            supervisor.admin.inherit(estate.admin, self.admin)

    async def prepared(self, assembly: Assembly, generation: int, workers: int) -> None:
        """The workers are ready: returns when they may serve. Raises StartError, if they never will."""
        if not self._done:
            self._refuse_less(assembly)
            self._channel.send(Prepared(generation, workers))
            await self._expect(Serve)

    async def take_over(self) -> None:
        """The workers serve: become the instance."""
        if self._done:
            return
        self._done = True
        self._channel.send(Serving())
        await self._expect(Inherit)
        *directory, control = self._descriptors
        self.directory = RunDirectory.adopt(self.estate.run_directory, directory)
        assert self._commands is not None
        await self._commands.listen(native.adopt_control(control, self.directory.control_path))
        self._channel.send(Taken())

    def _refuse_less(self, assembly: Assembly) -> None:
        """Raise StartError where what the old process has of files could not be read again."""
        missing = {
            f"{key.file}: {name or key.name}"
            for key, names in self.estate.resources
            for name in names
            if (state := assembly.states.get(key)) is not None and name not in state.resources
        }
        if missing:
            reasons = [reason for outcome in assembly.outcomes for reason in outcome.reasons]
            raise StartError(
                "\n".join([f"in force and not to be had again: {', '.join(sorted(missing))}", *reasons])
            )

    def refuse(self, reasons: Sequence[str]) -> None:
        """This process cannot take over."""
        self._channel.send(Refused(tuple(reasons)))

    async def _expect(self, kind: type[_Message]) -> _Message:
        while not self._messages:
            if not self.predecessor:
                raise StartError("the old process has given the upgrade up")
            await self._news.wait()
        message = self._messages.pop(0)
        assert isinstance(message, kind)
        return message

    def _on_message(self, message: FromPredecessor) -> None:
        if isinstance(message, Counted):
            assert self._supervisor is not None
            self._supervisor.totals.inherit(Sum.of(message.counters, message.gauges, message.histograms))
        elif isinstance(message, Serve | Inherit):
            self._messages.append(message)
            self._wake()

    def _on_closed(self) -> None:
        """The old process has ended: drained, or it has given up."""
        self.predecessor = 0
        self._wake()
        supervisor = self._supervisor
        if supervisor is None:
            return
        if self.directory is None:
            supervisor.abandon()
            return
        logger.info("upgrade: the old process has ended")
        supervisor.totals.bequeathed()
        table = supervisor.limits.table
        if self.estate.limits == (ROWS, COLUMNS):
            for row in self.estate.limit_rows:
                table.take_back_row(row)
            table.take_back_columns(self.estate.limit_columns)
        supervisor.changed()

    def _wake(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()
