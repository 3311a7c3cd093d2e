"""The old side of an upgrade: starting the successor, handing everything to it, draining. See ``succession``.

Until the successor serves, whatever goes wrong ends it and nothing has changed here.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from typing import Final, TypeVar

import anyio
import msgspec

from proxyd import __version__
from proxyd.net.limits import COLUMNS, ROWS
from proxyd.supervisor import commands
from proxyd.supervisor.command_server import CommandServer
from proxyd.supervisor.commands import Upgraded
from proxyd.supervisor.handover import TAKE_OVER_LIMIT
from proxyd.supervisor.instance import RunDirectory
from proxyd.supervisor.problems import StartError, explain_resources
from proxyd.supervisor.succession import (
    MODULE,
    PROTOCOL,
    Estate,
    FromSuccessor,
    Hello,
    Inherit,
    Ledger,
    Prepared,
    Refused,
    Serve,
    Serving,
    SocketGroup,
    Taken,
)
from proxyd.supervisor.supervisor import Supervisor
from proxyd.supervisor.zygote import last_words
from proxyd.system import native
from proxyd.workers.channel import Channel

logger = logging.getLogger("main")

HELLO_LIMIT: Final = 60.0  # seconds for the successor to import itself
TELL_INTERVAL: Final = 1.0  # seconds between two reports of numbers while draining

_Message = TypeVar("_Message", Hello, Prepared, Serving, Taken)


class Successor:
    """The process that is to take over, as the old one sees it. Raises OSError where it cannot be started."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, executable: str, root: str, arguments: Sequence[str]
    ) -> None:
        self._messages: Final[list[FromSuccessor]] = []
        self._news = anyio.Event()
        self._gone = False
        self._code: int | None = None  # once it has been waited for
        self._loop: Final = loop
        ours, theirs = native.channel_pair()
        with contextlib.ExitStack() as undo, theirs:
            undo.callback(ours.close)
            # Until it has standard error, what it writes is the reason why it does not say Hello.
            self._stderr: Final = native.new_capture()
            undo.callback(self._stderr.close)
            self._group: Final = native.spawn_successor(
                executable, root, MODULE, arguments, theirs, self._stderr
            )
            undo.pop_all()
        self._channel: Final[Channel[FromSuccessor]] = Channel(
            loop, ours, msgspec.msgpack.Decoder(FromSuccessor), self._on_message, self._on_closed
        )

    def send(self, message: msgspec.Struct, descriptors: "list[int] | None" = None) -> None:
        """Tell it something. Raises OSError where descriptors cannot be duplicated."""
        self._channel.send(message, descriptors or [])

    async def expect(self, kind: type[_Message], seconds: float | None = None) -> _Message:
        """Its next message, which has to be of this kind. Raises StartError, also when it has ended."""
        with anyio.move_on_after(seconds):
            while not self._messages:
                if self._gone:
                    raise StartError(await self._why_it_ended())
                await self._news.wait()
        if not self._messages:
            raise StartError(f"the new process has not answered within {seconds:g} s")
        message = self._messages.pop(0)
        if isinstance(message, Refused):
            raise StartError("\n".join(message.reasons))
        if not isinstance(message, kind):
            raise StartError(f"the new process said {type(message).__name__} instead of {kind.__name__}")
        return message

    async def end(self) -> None:
        """End it by force and be done with it."""
        self._channel.close()
        await self._reap()
        self._stderr.close()

    def let_go(self) -> None:
        """It goes on by itself, once it has been sent everything."""
        self._channel.finish_sending(TAKE_OVER_LIMIT)
        self._stderr.close()

    async def _why_it_ended(self) -> str:
        code = await self._reap()
        return f"the new process ended: {last_words(self._stderr, f'status {code}')}"

    async def _reap(self) -> int:
        if self._code is None:
            native.end_group(self._group)
            self._code = await self._loop.run_in_executor(None, native.wait, self._group)
        return self._code

    def _on_message(self, message: FromSuccessor) -> None:
        self._messages.append(message)
        self._wake()

    def _on_closed(self) -> None:
        self._gone = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()


class Upgrade:
    """What hands this instance over. One at a time, and one that has succeeded is the last."""

    def __init__(self, supervisor: Supervisor, directory: RunDirectory, server: CommandServer) -> None:
        self.successor: Successor | None = None  # once it is the instance
        self._supervisor: Final = supervisor
        self._directory: Final = directory
        self._server: Final = server
        self._ledger: Final = Ledger()
        self._settled: Final = anyio.Event()  # the successor has said that it is the instance, or never will

    async def run(self, command: commands.Upgrade) -> Upgraded:
        """Returns when the new process has taken over. Raises StartError, and then nothing has changed."""
        supervisor = self._supervisor
        async with supervisor.changing:
            if supervisor.stopping:
                raise StartError(supervisor.why_not())
            if supervisor.current is None:
                raise StartError("the instance is still starting; upgrade it when 'proxyd status' says LIVE")
            began = time.monotonic()
            with supervisor.reports.reload(), supervisor.cancellable():
                return await self._hand_over(began, command)
        raise StartError(supervisor.why_not())

    async def _hand_over(self, began: float, command: commands.Upgrade) -> Upgraded:
        supervisor = self._supervisor
        base, name = os.path.split(self._directory.path)
        arguments = ("start", "--name", name, "--run-dir", base)
        try:
            successor = Successor(supervisor.loop, command.executable, command.root, arguments)
        except OSError as error:
            raise StartError(f"{command.executable} cannot be started: {explain_resources(error)}") from None
        try:
            hello = await successor.expect(Hello, HELLO_LIMIT)
            if hello.protocol != PROTOCOL:
                raise StartError(
                    f"proxyd {hello.version} takes over by protocol {hello.protocol}, this one hands over "
                    f"by {PROTOCOL}: restart instead of upgrading"
                )
            logger.info("upgrade: proxyd %s, pid %d, starts", hello.version, hello.pid)
            self._send_estate(successor)
            prepared = await successor.expect(Prepared)
            with anyio.CancelScope(shield=True):
                successor.send(Serve())
                await successor.expect(Serving, TAKE_OVER_LIMIT)
        except OSError as error:
            await successor.end()
            raise StartError(explain_resources(error)) from None
        except BaseException:
            with anyio.CancelScope(shield=True):
                await successor.end()
            raise
        with anyio.CancelScope(shield=True):
            # From here on there is no way back.
            seconds = time.monotonic() - began
            carried = await self._bequeath(successor, hello.pid)
        return Upgraded(
            version=hello.version,
            pid=hello.pid,
            former_version=__version__,
            generation=prepared.generation,
            workers=prepared.workers,
            seconds=seconds,
            carried=carried,
            drained=not supervisor.generations,
        )

    def _send_estate(self, successor: Successor) -> None:
        supervisor = self._supervisor
        assert supervisor.admin is not None
        assert supervisor.current is not None
        groups = supervisor.sockets.groups()
        admin = supervisor.admin.listening
        rows, columns = supervisor.limits.table.lent()
        estate = Estate(
            options=supervisor.options,
            sources=supervisor.sources,
            run_directory=self._directory.path,
            workers=supervisor.workers_wanted,
            runtime=supervisor.runtime,
            log=supervisor.log,
            drain_close=supervisor.drain_close,
            ticket_secret=supervisor.tickets.secret,
            ticket_epoch=supervisor.tickets.epoch,
            ticket_former=supervisor.tickets.former,
            generation=supervisor.current.number,
            pid=os.getpid(),
            born=supervisor.born,
            admin=supervisor.admin.configured if admin is not None else None,
            sockets=tuple(
                SocketGroup(
                    group.key.host,
                    group.key.port,
                    group.key.owner,
                    group.shared,
                    len(group.sockets),
                    group.activated,
                    group.key.udp,
                    group.key.ipv4_compat,
                )
                for group in groups
            ),
            resources=[(key, [*state.resources]) for key, state in supervisor.updates.states.items()],
            resolved=supervisor.current.hosts.resolved(),
            limits=(ROWS, COLUMNS),
            limit_rows=rows,
            limit_columns=columns,
            guarded=supervisor.guarded or not native.is_managed(),
        )
        descriptors = [native.standard_error(), supervisor.limits.descriptor]
        if admin is not None:
            descriptors.append(admin.fileno())
        descriptors += [sock.fileno() for group in groups for sock in group.sockets]
        successor.send(estate, descriptors)

    async def _bequeath(self, successor: Successor, pid: int) -> int:
        """Drain, and give away what makes this process the instance. How many connections it still has."""
        supervisor = self._supervisor
        current = supervisor.current
        assert current is not None
        assert supervisor.admin is not None
        logger.info("upgrade: pid %d serves, this process drains", pid)
        supervisor.hand_over(pid)
        await supervisor.until(lambda: current.stopped_accepting, TAKE_OVER_LIMIT)
        control = self._server.hand_over()
        supervisor.admin.hand_over()
        for message in self._ledger.news(supervisor.totals.estate()):
            successor.send(message)
        supervisor.reports.handed_over(pid)
        successor.send(Inherit(), [*self._directory.estate(), control])
        native.close_descriptor(control)
        self.successor = successor
        supervisor.start_soon(self._tell_numbers)
        try:
            await successor.expect(Taken, TAKE_OVER_LIMIT)
        except StartError as error:
            logger.error("upgrade: %s", error)
        finally:
            self._settled.set()
        return current.carried

    async def _tell_numbers(self) -> None:
        while True:
            await anyio.sleep(TELL_INTERVAL)
            self.tell_numbers()

    def tell_numbers(self) -> None:
        """Tell the successor what has been counted since it was last told."""
        if self.successor is not None:
            for message in self._ledger.news(self._supervisor.totals.estate()):
                self.successor.send(message)

    async def finish(self) -> None:
        """Everything has drained: tell the last numbers, and leave the successor to itself."""
        if self.successor is None:
            return
        await self._settled.wait()  # draining may take less time than being taken over from
        self.tell_numbers()
        self.successor.let_go()
