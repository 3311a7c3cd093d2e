"""What can be done to a running instance, whoever asks: command line, admin API, signal."""

import logging
import os
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import anyio
import anyio.to_thread
import msgspec

from proxyd import __version__
from proxyd.admin.context import DRAINING, LIVE, AdminContext
from proxyd.admin.messages import AdminRequest
from proxyd.admin.stats_pages import stats
from proxyd.config.core import TrafficDirection
from proxyd.config.load import ConfigErrors
from proxyd.snapshot.build import listener_key
from proxyd.supervisor import commands
from proxyd.supervisor.commands import (
    Command,
    Done,
    FileStatus,
    ListenerStatus,
    Refused,
    Reload,
    Reloaded,
    ReopenLogs,
    Reply,
    Stats,
    StatsPage,
    Status,
    StatusReport,
    Stop,
    WorkerStatus,
)
from proxyd.supervisor.generation import Generation
from proxyd.supervisor.problems import StartError, counted
from proxyd.supervisor.resources import Key, State
from proxyd.supervisor.sockets import format_address
from proxyd.supervisor.supervisor import Supervisor
from proxyd.supervisor.upgrade import Upgrade
from proxyd.supervisor.worker_views import worker_views
from proxyd.workers import control, logs

logger = logging.getLogger("main")

REOPEN_LIMIT: Final = 10.0  # seconds for all workers to reopen their logs
OWN_REOPEN_LIMIT: Final = 5.0  # seconds for the supervisor to


class Operations:
    """The verbs. Each returns when what it says has happened."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor: Final = supervisor
        self.upgrade: Upgrade | None = None  # once the instance serves

    # -- the command line

    async def answer(self, command: Command, context: AdminContext) -> Reply:
        """Carry out a command."""
        if isinstance(command, Reload):
            return await self.reload(command)
        if isinstance(command, Stop):
            return await self.stop(command.now)
        if isinstance(command, commands.Upgrade):
            return await self._upgrade(command)
        if isinstance(command, Status):
            return self.status()
        if isinstance(command, Stats):
            return await self._stats(command, context)
        assert isinstance(command, ReopenLogs)
        reasons = await self.reopen_logs()
        return Refused(tuple(reasons)) if reasons else Done()

    async def reload(self, command: Reload) -> Reply:
        """Reload, log what came of it, and tell."""
        supervisor = self._supervisor
        if supervisor.current is None:
            return Refused(("the instance is still starting; reload it when 'proxyd status' says LIVE",))
        sources = supervisor.sources
        if command.config_path is not None or command.config_yaml is not None:
            if command.config_path is not None:
                sources = msgspec.structs.replace(
                    sources, config_path=command.config_path, listen=None, upstreams=()
                )
            if command.config_yaml is not None:
                sources = msgspec.structs.replace(sources, config_yaml=command.config_yaml)
        try:
            handover = await supervisor.reload(sources, command.workers)
        except (ConfigErrors, StartError) as error:
            reasons = tuple(str(error).splitlines())
            supervisor.last_reload = f"refused: {reasons[0]}"
            logger.error("reload refused, nothing has changed:\n  %s", "\n  ".join(reasons))
            return Refused(reasons)
        except Exception as bug:
            reason = f"reload refused by a bug of proxyd: {type(bug).__name__}; nothing has changed"
            supervisor.last_reload = f"refused: {reason}"
            logger.exception(reason)
            return Refused((reason,))
        older = [each for each in supervisor.draining if each.number < handover.generation]
        supervisor.last_reload = (
            f"generation {handover.generation} in {handover.seconds:.3f} s, "
            f"connections carried through: {handover.carried}"
        )
        logger.info("reloaded: %s", supervisor.last_reload)
        if command.wait:
            await supervisor.until(lambda: all(each.over for each in older))
        return Reloaded(
            generation=handover.generation,
            workers=handover.workers,
            seconds=handover.seconds,
            carried=handover.carried,
            drained=all(each.over for each in older),
        )

    async def _upgrade(self, command: commands.Upgrade) -> Reply:
        """Let another process take over, log what came of it, and tell."""
        supervisor = self._supervisor
        if self.upgrade is None:
            return Refused(("the instance is still starting; upgrade it when 'proxyd status' says LIVE",))
        try:
            done = await self.upgrade.run(command)
        except StartError as error:
            reasons = tuple(str(error).splitlines())
            logger.error("upgrade refused, nothing has changed:\n  %s", "\n  ".join(reasons))
            return Refused(reasons)
        if command.wait:
            await supervisor.until(lambda: not supervisor.generations)
        return msgspec.structs.replace(done, drained=not supervisor.generations)

    async def stop(self, now: bool) -> Reply:
        """Stop; answered when all workers have gone."""
        supervisor = self._supervisor
        supervisor.stop(now)
        await supervisor.until(lambda: not supervisor.generations)
        return Done()

    def status(self) -> StatusReport:
        supervisor = self._supervisor
        now = time.monotonic()
        workers = [
            WorkerStatus(
                worker=view.slot,
                pid=view.pid,
                generation=view.generation,
                state=view.state,
                connections=view.connections,
                requests=view.requests_total,
                uptime_s=view.uptime,
                cpu_percent=view.cpu_percent,
                memory_bytes=view.memory,
                loop_lag_s=view.loop_lag,
            )
            for view in worker_views(supervisor)
        ]
        present = supervisor.configuration
        return StatusReport(
            name=supervisor.options.name,
            pid=os.getpid(),
            version=__version__,
            state=supervisor.state,
            uptime_s=now - supervisor.born,
            generation=supervisor.current.number if supervisor.current is not None else 0,
            config=present.origin if present is not None else "",
            admin=supervisor.admin.address if supervisor.admin is not None else None,
            listeners=tuple(
                ListenerStatus(name=name, addresses=tuple(format_address(*each) for each in addresses))
                for name, addresses in supervisor.listening()
            ),
            workers=tuple(workers),
            last_reload=supervisor.last_reload,
            predecessor=supervisor.predecessor,
            files=tuple(_file_status(key, state) for key, state in supervisor.updates.states.items()),
        )

    async def _stats(self, command: Stats, context: AdminContext) -> Reply:
        query = {"format": command.format}
        if command.pattern:
            query["filter"] = command.pattern
        if command.used_only:
            query["usedonly"] = ""
        reply = await stats(context, AdminRequest("GET", "/stats", urlencode(query)))
        text = reply.body.decode("utf-8", "replace")
        return StatsPage(text) if reply.status == 200 else Refused((text.strip(),))

    # -- the admin API and signals

    async def reopen_logs(self) -> list[str]:
        """Open all logs anew; the reasons why some could not be, which stay in use as they were."""
        supervisor = self._supervisor
        assert supervisor.admin is not None
        number = supervisor.new_order()
        asked = [
            (generation, generation.ask(control.ReopenLogs(number))) for generation in supervisor.generations
        ]
        ours = supervisor.admin.begin_reopen_logs(logs.begin_reopen())
        who: dict[str, list[str]] = {}  # reason to those who have it: often it is the same for all
        for reason in await anyio.to_thread.run_sync(ours.reasons, OWN_REOPEN_LIMIT):
            who.setdefault(reason, []).append("supervisor")
        if not await supervisor.until(
            lambda: all(generation.done(told, number) for generation, told in asked), REOPEN_LIMIT
        ):
            who[f"not all workers have answered within {REOPEN_LIMIT:g} s"] = []
        for generation, _ in asked:
            for _, slot, reason in sorted(each for each in generation.undone if each[0] == number):
                who.setdefault(reason, []).append(f"worker {slot}")
            generation.undone[:] = [each for each in generation.undone if each[0] > number]
        reasons = [f"{reason} ({', '.join(names)})" if names else reason for reason, names in who.items()]
        if reasons:
            logger.error("not all logs were reopened: %s", "; ".join(reasons))
        else:
            logger.info("logs reopened")
        return reasons

    async def set_log_levels(self, levels: Mapping[str, str]) -> None:
        """Set loggers to levels here and in every worker, also those that are yet to come."""
        supervisor = self._supervisor
        supervisor.log = msgspec.structs.replace(supervisor.log, levels={**supervisor.log.levels, **levels})
        logs.set_levels(levels)
        for generation in supervisor.generations:
            generation.broadcast(control.SetLogLevels(dict(levels)))

    async def modify_runtime(self, values: Mapping[str, str]) -> None:
        """Set keys of the admin layer, an empty value removes one; new workers take over with them.

        Workers compile runtime values at their start, so this is a reload of the configuration in force.
        """
        supervisor = self._supervisor
        runtime = {key: value for key, value in {**supervisor.runtime, **values}.items() if value}
        await supervisor.reload(runtime=runtime)
        supervisor.vitals.runtime_overridden(len(runtime))

    async def set_health(self, healthy: bool) -> None:
        """Say LIVE or DRAINING, and whether responses ask clients to leave."""
        supervisor = self._supervisor
        if supervisor.stopping:
            return
        supervisor.state = LIVE if healthy else DRAINING
        supervisor.drain_close = not healthy
        for generation in supervisor.generations:
            if not generation.draining:
                generation.broadcast(control.SetDrainClose(not healthy or generation.leaving))

    async def drain_listeners(self, graceful: bool, skip_exit: bool, inbound_only: bool) -> None:
        """Stop accepting, see AdminContext. A graceful drain goes on after this returns.

        It is of the listeners that there are now, as Envoy's is: a reload puts fresh ones in their place, and
        /healthcheck/ok does not end it.
        """
        supervisor = self._supervisor
        generation = supervisor.current
        if generation is None:
            return
        if not graceful:
            async with supervisor.changing:
                await self._stop_listeners(generation, inbound_only)
            return
        generation.leave()

        async def later() -> None:
            await anyio.sleep(supervisor.options.drain_time_s)
            if not skip_exit:
                async with supervisor.changing:
                    await self._stop_listeners(generation, inbound_only)

        supervisor.start_soon(later)

    async def _stop_listeners(self, generation: Generation, inbound_only: bool) -> None:
        supervisor = self._supervisor
        if generation is not supervisor.current:
            return  # a reload was quicker, and these listeners drain
        listeners = {
            index: listener_key(listener, index)
            for index, listener in enumerate(generation.bootstrap.static_resources.listeners)
            if listener_key(listener, index) not in generation.stopped_listeners
            and (not inbound_only or listener.traffic_direction == TrafficDirection.INBOUND)
        }
        generation.stopped_listeners.update(listeners.values())
        number = supervisor.new_order()
        told = generation.ask(control.StopListening(number, tuple(listeners)))
        await supervisor.until(lambda: generation.done(told, number), REOPEN_LIMIT)
        supervisor.sockets.give_up(each for each in supervisor.wanted if each.listener in listeners)
        supervisor.vitals.listeners_stopped(len(listeners))
        verb = "accepts" if len(listeners) == 1 else "accept"
        logger.info("%s %s no more", counted(len(listeners), "listener"), verb)


def _file_status(key: Key, state: State) -> FileStatus:
    return FileStatus(
        kind=key.kind,
        file=key.file,
        name=key.name,
        result=state.result,
        age_s=time.time() - state.updated if state.updated else -1.0,
        version=state.version_info,
        resources=len(state.resources),
        reasons=state.reasons(),
    )
