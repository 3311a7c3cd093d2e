"""``proxyd start``: one instance from its first breath to its last, in the foreground."""

import logging
import os
import sys
import time
from typing import Final

import anyio

from proxyd import __version__
from proxyd.config.load import ConfigErrors, Sources
from proxyd.supervisor.admin_context import SupervisorContext
from proxyd.supervisor.admin_service import AdminService
from proxyd.supervisor.command_server import CommandServer
from proxyd.supervisor.commands import Reload
from proxyd.supervisor.instance import InstanceError, RunDirectory
from proxyd.supervisor.operations import Operations
from proxyd.supervisor.options import StartOptions
from proxyd.supervisor.problems import StartError, counted, explain_resources
from proxyd.supervisor.sockets import format_address
from proxyd.supervisor.supervisor import Supervisor
from proxyd.system import native
from proxyd.workers import logs
from proxyd.workers.control import LogSettings
from proxyd.workers.log_handler import unread

logger = logging.getLogger("main")

LISTENERS_TOLD: Final = 5  # in the line that says that proxyd serves
STATS_FLUSH_INTERVAL: Final = 5.0  # seconds; Envoy's default of stats_flush_interval


def run(options: StartOptions) -> int:
    """Run an instance until it is stopped. Returns the exit code.

    Raises ConfigErrors and InstanceError for what keeps it from starting; nothing is left behind then.
    """
    log = _log_settings(options)
    try:
        logs.configure(log)
    except (OSError, ValueError) as error:
        raise StartError(f"the log cannot be written: {error}") from None
    if log.path is not None and unread(log.path):
        sys.stderr.write(f"proxyd: nobody reads {log.path}; the log waits there for a reader\n")
    directory = RunDirectory.claim(options.name, options.run_dir)
    try:
        # Expected failures come back as values: a task group would wrap what is raised.
        failure = anyio.run(
            _main, options, log, directory, backend_options={"loop_factory": native.new_event_loop}
        )
    finally:
        directory.close()
        logs.close()
    if failure is not None:
        raise failure
    return 0


async def _main(
    options: StartOptions, log: LogSettings, directory: RunDirectory
) -> ConfigErrors | InstanceError | None:
    sources = Sources(
        config_path=options.config_path,
        config_yaml=options.config_yaml,
        listen=options.listen,
        upstreams=options.upstreams,
        system_path=native.system_config_path(),
    )
    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(options, sources, log, tasks)
        operations = Operations(supervisor)
        context = SupervisorContext(supervisor, operations)
        supervisor.admin = AdminService(supervisor.loop, supervisor.registry, context)
        commands = CommandServer(lambda command: operations.answer(command, context))
        start = Start(supervisor, commands, directory)
        _obey_operator(supervisor, operations)
        tasks.start_soon(_look, supervisor)
        tasks.start_soon(supervisor.updates.run)
        tasks.start_soon(start.run)
        await supervisor.run()
        supervisor.updates.close()
        supervisor.sockets.close()
        await commands.close()
        supervisor.admin.close()
        tasks.cancel_scope.cancel()
    if start.failure is None:
        logger.info("ended")
    return start.failure


class Start:
    """The first generation, and what an operator is told of it."""

    def __init__(self, supervisor: Supervisor, commands: CommandServer, directory: RunDirectory) -> None:
        self.failure: ConfigErrors | InstanceError | None = None
        self._supervisor: Final = supervisor
        self._commands: Final = commands
        self._directory: Final = directory

    async def _listen(self) -> None:
        try:
            await self._commands.listen(self._directory.listen())
        except OSError as error:
            raise StartError(f"the control socket cannot be had: {explain_resources(error)}") from None

    async def run(self) -> None:
        supervisor = self._supervisor
        logger.info("proxyd %s, instance %r, pid %d", __version__, supervisor.options.name, os.getpid())
        try:
            # Before the first generation: whoever asks meanwhile hears that it starts, and can stop it.
            await self._listen()
            handover = await supervisor.reload()
        except (ConfigErrors, InstanceError) as error:
            if not supervisor.stopping:
                self.failure = error
                supervisor.abandon()
            return
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


def _obey_operator(supervisor: Supervisor, operations: Operations) -> None:
    def obey(word: str, came_as: str, limit: float | None) -> None:
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
