"""A reload: from the operator's sources to a generation that serves in place of another.

It has two halves. Up to the commit everything may fail and nothing has happened: configuration, addresses,
names, and a whole generation of workers that has said Ready. From the commit on nothing is undone: new
sockets listen, the new generation accepts, then the old one stops accepting.

At most two generations drain at a time. A further reload waits for the older of them rather than cutting its
requests; it can wait for as long as the drain time at most.
"""

import logging
import os
import time
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
import msgspec

from proxyd.admin.context import LIVE
from proxyd.config.load import Sources
from proxyd.supervisor import configuration
from proxyd.supervisor.configuration import Configuration
from proxyd.supervisor.dns import HostSets
from proxyd.supervisor.generation import Generation
from proxyd.supervisor.problems import StartError, check_descriptors, explain_bind, explain_resources
from proxyd.supervisor.rollout import do_all
from proxyd.supervisor.sockets import BindError, Prepared, Wanted, wanted_addresses
from proxyd.system import native

if TYPE_CHECKING:
    from proxyd.supervisor.supervisor import Supervisor

logger = logging.getLogger("main")

MAX_DRAINING: Final = 2
TAKE_OVER_LIMIT: Final = 10.0  # seconds for workers to begin, and old ones to end, accepting


class Handover(msgspec.Struct, frozen=True):
    """What a change of configuration came to."""

    generation: int
    workers: int
    seconds: float  # of work until the new generation served; without waiting for other changes
    carried: int  # connections of older generations still open at that moment


class HandingOver:
    """One reload of a supervisor, which lets no other change happen meanwhile."""

    def __init__(
        self,
        supervisor: "Supervisor",
        sources: Sources,
        workers: int | None,
        runtime: dict[str, str] | None,
    ) -> None:
        """With ``runtime`` the configuration stays as it was loaded and only those values are set."""
        self._supervisor: Final = supervisor
        self._sources: Final = sources
        self._workers: Final = workers or supervisor.workers_wanted
        self._runtime: Final = runtime
        self._began = time.monotonic()

    async def run(self) -> Handover:
        """Carry it through. Raises ConfigErrors, StartError."""
        supervisor = self._supervisor
        count = self._workers or native.cpu_count()
        candidate = await self._read()
        for warning in candidate.warnings:
            logger.warning("%s", warning)
        wanted, prepared = await self._prepare_sockets(candidate, count)
        assert supervisor.admin is not None
        admin = None
        generation = None
        try:
            admin = supervisor.admin.prepare(candidate.admin_address, candidate.admin_logs)
            before = supervisor.current.hosts if supervisor.current is not None else None
            clusters = candidate.bootstrap.static_resources.clusters
            hosts = HostSets(clusters, supervisor.registry, before, assigned=candidate.assembly.hosts)
            if supervisor.heritage is not None and supervisor.current is None:
                hosts.remember(supervisor.heritage.estate.resolved)
            await hosts.first()
            waited = time.monotonic()
            await supervisor.until(lambda: len(supervisor.draining) < MAX_DRAINING)
            self._began += time.monotonic() - waited
            generation = self._new_generation(candidate, count, prepared, hosts)
            await self._until_ready(generation)
            try:
                supervisor.sockets.commit(prepared)
            except BindError as error:
                raise StartError(explain_bind(error)) from None
            if supervisor.heritage is not None:
                await supervisor.heritage.prepared(candidate.assembly, generation.number, count)
        except BaseException:
            if generation is not None:
                generation.fail()
            prepared.abandon()
            if admin is not None:
                admin.abandon()
            raise
        with anyio.CancelScope(shield=True):
            # From here on there is no way back, and none is needed.
            handover = await self._commit(candidate, generation, wanted)
            if supervisor.heritage is not None:
                await supervisor.heritage.take_over()
            await supervisor.admin.commit(admin)
            await self._tell_admin_address()
        return handover

    async def _read(self) -> Configuration:
        supervisor = self._supervisor
        known = supervisor.updates.states
        present = supervisor.configuration
        if self._runtime is not None and present is not None:
            return await anyio.to_thread.run_sync(
                Configuration, present.now_written, present.origin, self._runtime, known, frozenset()
            )
        options = supervisor.options
        return await anyio.to_thread.run_sync(
            configuration.read,
            self._sources,
            options.admin_address,
            supervisor.runtime,
            known,
            options.allow_empty_updates,
        )

    async def _prepare_sockets(self, candidate: Configuration, workers: int) -> tuple[list[Wanted], Prepared]:
        """Bind what is missing. A dynamic listener whose address cannot be had is left out, as in Envoy."""
        supervisor = self._supervisor
        while True:
            wanted = wanted_addresses(candidate.bootstrap, native.default_backlog())
            limit = native.raise_descriptor_limit()
            warning = check_descriptors(limit, candidate.bootstrap, workers, len(wanted))
            if warning:
                logger.warning("%s", warning)
            try:
                return wanted, supervisor.sockets.prepare(wanted, workers)
            except BindError as error:
                supervisor.vitals.listener_failed()
                # Who has the port is looked up in all processes: not on the loop.
                reason = await anyio.to_thread.run_sync(explain_bind, error)
                known = supervisor.updates.states
                smaller = candidate.assembly.without_listener(error.wanted.name, reason, known)
                if smaller is None:
                    raise StartError(reason) from None
                candidate.assembly = smaller

    def _new_generation(
        self, candidate: Configuration, workers: int, prepared: Prepared, hosts: HostSets
    ) -> Generation:
        supervisor = self._supervisor
        # What never was in force leaves no gap, but while it still ends its number is taken.
        numbers = [each.number for each in supervisor.generations]
        number = 1 + max(numbers, default=supervisor.last_generation)
        try:
            generation = Generation(number, candidate.bootstrap, workers, prepared, hosts, supervisor)
        except OSError as error:
            raise StartError(f"no new workers can be started: {explain_resources(error)}") from None
        supervisor.generations.append(generation)
        generation.start()
        return generation

    async def _until_ready(self, generation: Generation) -> None:
        await self._supervisor.until(lambda: generation.ready or bool(generation.failure))
        if generation.failure:
            raise StartError(f"the new workers cannot start: {generation.failure}")

    async def _commit(
        self, candidate: Configuration, generation: Generation, wanted: list[Wanted]
    ) -> Handover:
        supervisor = self._supervisor
        old, supervisor.current = supervisor.current, generation
        previous, supervisor.configuration = supervisor.configuration, candidate
        supervisor.loaded_at = time.time()
        supervisor.sources, supervisor.workers_wanted = self._sources, self._workers
        supervisor.wanted = wanted
        if self._runtime is not None:
            supervisor.runtime = self._runtime
        generation.serve()
        await supervisor.until(lambda: generation.serving or supervisor.stopping, TAKE_OVER_LIMIT)
        seconds = time.monotonic() - self._began
        carried = 0
        if old is not None:
            old.drain(supervisor.options.drain_time_s, close_idle=False)
            await supervisor.until(lambda: old.stopped_accepting, TAKE_OVER_LIMIT)
            carried = old.carried + sum(
                supervisor.totals.worker(worker_id).connections
                for each in supervisor.draining
                if each is not old
                for worker_id in each.workers
            )
        do_all(
            lambda: generation.hosts.adopt(old.hosts if old is not None else None),
            lambda: generation.hosts.assign(candidate.assembly.hosts),
            lambda: supervisor.updates.adopt(candidate.assembly),
            supervisor.sockets.retire,
            supervisor.sockets.tell_unused,
            lambda: supervisor.vitals.taken_over(
                generation.number,
                None if previous is None else previous.bootstrap,
                candidate.bootstrap,
                generation.roster.size,
            ),
            lambda: supervisor.follow_hosts(generation),
        )
        if not supervisor.stopping and not supervisor.drain_close:
            supervisor.state = LIVE
        return Handover(generation.number, generation.roster.size, seconds, carried)

    async def _tell_admin_address(self) -> None:
        path = self._supervisor.options.admin_address_path
        admin = self._supervisor.admin
        if path is not None and admin is not None and admin.address is not None:
            try:
                await anyio.to_thread.run_sync(_write, path, admin.address)
            except OSError as error:
                logger.error("cannot write the admin address to %s: %s", path, error.strerror)


def _write(path: str, text: str) -> None:
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)
