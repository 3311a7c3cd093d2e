"""``proxyd start``: one instance from its first breath to its last, in the foreground."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
import anyio.abc
import msgspec

from proxyd import __version__
from proxyd.config.load import ConfigErrors, Sources
from proxyd.supervisor.admin_context import SupervisorContext
from proxyd.supervisor.admin_service import AdminService
from proxyd.supervisor.command_server import CommandServer
from proxyd.supervisor.commands import Reload
from proxyd.supervisor.heritage import Heritage
from proxyd.supervisor.instance import InstanceError, RunDirectory, bases
from proxyd.supervisor.log_rotation import LogRotation
from proxyd.supervisor.operations import Operations
from proxyd.supervisor.options import StartOptions
from proxyd.supervisor.problems import StartError, counted, explain_resources
from proxyd.supervisor.sockets import format_address
from proxyd.supervisor.succession import Estate
from proxyd.supervisor.supervisor import Supervisor
from proxyd.supervisor.upgrade import Upgrade
from proxyd.system import ActivatedSocket, native
from proxyd.workers import logs
from proxyd.workers.control import LogSettings

logger = logging.getLogger("main")

LISTENERS_TOLD: Final = 5  # in the line that says that proxyd serves
STATS_FLUSH_INTERVAL: Final = 5.0  # seconds; Envoy's default of stats_flush_interval


def run(options: StartOptions) -> int:
    """Run an instance until it is stopped. Returns the exit code.

    Raises ConfigErrors and InstanceError for what keeps it from starting; nothing is left behind then.
    """
    activated = native.activated_sockets()
    options = _take_identity(options)
    log = _log_settings(options)
    _configure_logs(log)
    life = Life()
    life.directory = RunDirectory.claim(options.name, options.run_dir)
    return life.run(lambda: _begin(life, options, log, activated))


def succeed(channel: socket.socket, estate: Estate, descriptors: Sequence[int]) -> int:
    """The same for a process that takes over from another one, see ``succession``."""
    native.take_identity(None, ())
    _configure_logs(estate.log)
    life = Life()
    return life.run(lambda: _go_on(life, channel, estate, descriptors))


def _take_identity(options: StartOptions) -> StartOptions:
    """Become whom the options name, with a run directory that is theirs."""
    directories: list[tuple[str, str]] = []
    if options.user is not None:
        os.environ.pop("XDG_RUNTIME_DIR", None)  # it belongs to who starts
        base = bases(options.run_dir)[0]
        directories.append((base, options.name))
        options = msgspec.structs.replace(options, run_dir=base)
    try:
        native.take_identity(options.user, directories)
    except OSError as error:
        raise StartError(f"--user {options.user}: {error.strerror or error}") from None
    return options


def _configure_logs(log: LogSettings) -> None:
    try:
        logs.configure(log)
    except (OSError, ValueError) as error:
        raise StartError(f"the log cannot be written: {error}") from None
    if log.path is not None and native.lacks_reader(log.path):
        sys.stderr.write(f"proxyd: nobody reads {log.path}; the log waits there for a reader\n")


class Life:
    """What this process has of the instance, and how it ends."""

    def __init__(self) -> None:
        self.directory: RunDirectory | None = None  # while this process is the instance
        self.failure: ConfigErrors | InstanceError | None = None
        self.successor: int = 0  # pid of the process that the instance is now
        self.guarded: bool = False  # somebody else stays for whoever waits for the first process

    def run(self, main: Callable[[], Awaitable[None]]) -> int:
        """Run to the end. Returns the exit code, raises what has kept it from serving."""
        pid_file = ""
        try:
            # Expected failures come back as values: a task group would wrap what is raised.
            anyio.run(main, backend_options={"loop_factory": native.new_event_loop})
        finally:
            if self.directory is not None:
                pid_file = self.directory.pid_file
                if self.successor:
                    self.directory.leave()
                else:
                    self.directory.close()
            logs.close()
        if self.failure is not None:
            raise self.failure
        if self.successor and not self.guarded and not native.is_managed():
            return native.stay_for(self.successor, pid_file)
        return 0


async def _begin(
    life: Life, options: StartOptions, log: LogSettings, activated: list[ActivatedSocket]
) -> None:
    sources = Sources(
        config_path=options.config_path,
        config_yaml=options.config_yaml,
        listen=options.listen,
        upstreams=options.upstreams,
        system_path=native.system_config_path(),
    )
    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(options, sources, log, tasks)
        supervisor.sockets.activate(activated)
        await _live(life, supervisor, tasks)


async def _go_on(life: Life, channel: socket.socket, estate: Estate, descriptors: Sequence[int]) -> None:
    heritage = Heritage(asyncio.get_running_loop(), channel, estate, descriptors)
    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(estate.options, estate.sources, estate.log, tasks, heritage)
        await _live(life, supervisor, tasks)


async def _live(life: Life, supervisor: Supervisor, tasks: anyio.abc.TaskGroup) -> None:
    operations = Operations(supervisor)
    context = SupervisorContext(supervisor, operations)
    supervisor.admin = AdminService(supervisor.loop, supervisor.registry, context)
    commands = CommandServer(lambda command: operations.answer(command, context))
    if supervisor.heritage is not None:
        supervisor.heritage.give(supervisor, commands)
    _obey_operator(life, supervisor, operations)
    tasks.start_soon(_look, supervisor)
    tasks.start_soon(supervisor.reports.run)
    tasks.start_soon(supervisor.updates.run)
    options = supervisor.options
    if options.log_rotate_size is not None:
        rotation = LogRotation(supervisor, operations, options.log_rotate_size, options.log_rotate_keep)
        tasks.start_soon(rotation.run)
    tasks.start_soon(Start(supervisor, operations, commands, life).run)
    await supervisor.run()
    supervisor.updates.close()
    supervisor.sockets.close()
    if operations.upgrade is not None:
        await operations.upgrade.finish()
    await commands.close()
    await supervisor.admin.finish()
    if supervisor.successor:
        native.hold_operator_signals()
    tasks.cancel_scope.cancel()
    life.successor, life.guarded = supervisor.successor, supervisor.guarded
    if life.successor:
        logger.info("drained; pid %d goes on", life.successor)
    elif life.failure is None:
        logger.info("ended")


class Start:
    """The first generation, and what an operator is told of it."""

    def __init__(
        self, supervisor: Supervisor, operations: Operations, commands: CommandServer, life: Life
    ) -> None:
        self._supervisor: Final = supervisor
        self._operations: Final = operations
        self._commands: Final = commands
        self._life: Final = life

    async def _listen(self) -> None:
        assert self._life.directory is not None
        try:
            await self._commands.listen(self._life.directory.listen())
        except OSError as error:
            raise StartError(f"the control socket cannot be had: {explain_resources(error)}") from None

    async def run(self) -> None:
        supervisor = self._supervisor
        heritage = supervisor.heritage
        logger.info("proxyd %s, instance %r, pid %d", __version__, supervisor.options.name, os.getpid())
        try:
            if heritage is None:
                # Before the first generation: whoever asks meanwhile hears that it starts, and can stop it.
                await self._listen()
            handover = await supervisor.reload()
        except (ConfigErrors, InstanceError) as error:
            if not supervisor.stopping:
                if heritage is not None:
                    heritage.refuse(str(error).splitlines())
                self._life.failure = error
                supervisor.abandon()
            return
        if heritage is not None:
            self._life.directory = heritage.directory
        assert self._life.directory is not None
        self._operations.upgrade = Upgrade(supervisor, self._life.directory, self._commands)
        present = supervisor.configuration
        listening = [
            f"{name} on {format_address(*address)}"
            for name, addresses in supervisor.listening()
            for address in addresses
        ]
        logger.info(
            "serving after %.3f s: %s; %s, configuration: %s",
            handover.seconds,
            _shortened(listening) or "no listeners",
            counted(handover.workers, "worker"),
            present.origin if present is not None else "",
        )


def _shortened(listening: list[str]) -> str:
    """The first of them; `proxyd status` has all."""
    more = len(listening) - LISTENERS_TOLD
    return ", ".join(listening[:LISTENERS_TOLD]) + (f" and {more} more" if more > 0 else "")


def _obey_operator(life: Life, supervisor: Supervisor, operations: Operations) -> None:
    def obey(word: str, came_as: str, limit: float | None) -> None:
        if supervisor.successor:
            pid = (life.directory.pid if life.directory is not None else 0) or supervisor.successor
            logger.info("%s is passed on to pid %d", came_as, pid)
            native.pass_on(came_as, pid)
            return
        logger.info("%s: %s", came_as, word.replace("_", " "))
        if word == "stop":
            supervisor.stop_or_end(limit)
        elif word == "reload":
            supervisor.start_soon(operations.reload, Reload())
        else:
            supervisor.start_soon(operations.reopen_logs)

    native.hear_operator(supervisor.loop, obey)


async def _look(supervisor: Supervisor) -> None:
    """Once a second: what the processes use; now and then: an interval of the histograms ends."""
    next_flush = time.monotonic() + STATS_FLUSH_INTERVAL
    while True:
        await anyio.sleep(1.0)
        supervisor.look()
        if time.monotonic() >= next_flush:
            supervisor.totals.tick()
            next_flush = time.monotonic() + _flush_interval(supervisor)


def _flush_interval(supervisor: Supervisor) -> float:
    present = supervisor.configuration
    configured = present.bootstrap.stats_flush_interval if present is not None else None
    return configured or STATS_FLUSH_INTERVAL


def _log_settings(options: StartOptions) -> LogSettings:
    path = os.path.abspath(options.log_path) if options.log_path is not None else None
    return LogSettings(
        path, options.log_format, {"": options.log_level, **dict(options.component_log_levels)}
    )
