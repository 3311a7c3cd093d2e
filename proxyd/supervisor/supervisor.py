"""The supervisor: which generation serves, which still drain, and how one takes over from another.

A change of configuration has two halves. Up to the commit everything may fail and nothing has happened:
configuration, addresses, names, and a whole generation of workers that has said Ready. From the commit on
nothing is undone: new sockets listen, the new generation accepts, then the old one stops accepting.

At most two generations drain at a time. A further reload waits for the older of them rather than cutting its
requests; it can wait for as long as the drain time at most.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec

from proxyd.admin.context import DRAINING as SERVER_DRAINING
from proxyd.admin.context import INITIALIZING, LIVE
from proxyd.config.load import Sources
from proxyd.snapshot.tickets import SECRET_BYTES, TicketSecret
from proxyd.stats.metrics import Registry
from proxyd.stats.totals import Totals
from proxyd.supervisor import configuration
from proxyd.supervisor.admin_service import AdminService
from proxyd.supervisor.configuration import Configuration
from proxyd.supervisor.dns import HostSets
from proxyd.supervisor.generation import Generation
from proxyd.supervisor.limits import Limits
from proxyd.supervisor.options import StartOptions
from proxyd.supervisor.problems import StartError, check_descriptors, explain_bind, explain_resources
from proxyd.supervisor.resources import Assembly
from proxyd.supervisor.sockets import BindError, ListenSockets, Prepared, Wanted, wanted_addresses
from proxyd.supervisor.updates import Updates
from proxyd.supervisor.vitals import Vitals
from proxyd.system import native
from proxyd.workers.control import Hosts, HostSet, LogSettings

logger = logging.getLogger("main")

MAX_DRAINING: Final = 2
TICK: Final = 1.0  # seconds between two looks at everything, whatever happens
LATE: Final = 1.0  # seconds; a supervisor this late was itself not running, see Roster.overdue
TAKE_OVER_LIMIT: Final = 10.0  # seconds for workers to begin, and old ones to end, accepting


class Handover(msgspec.Struct, frozen=True):
    """What a change of configuration came to."""

    generation: int
    workers: int
    seconds: float  # of work until the new generation served; without waiting for other changes
    carried: int  # connections of older generations still open at that moment


class Supervisor:
    """One instance. All methods are called on its loop."""

    def __init__(
        self, options: StartOptions, sources: Sources, log: LogSettings, tasks: anyio.abc.TaskGroup
    ) -> None:
        self.options: Final = options
        self.loop = asyncio.get_running_loop()
        self.registry: Final = Registry(None)
        self.totals = Totals(self.registry)
        self.limits = Limits()
        self.vitals: Final = Vitals(self.registry)
        self.sockets: Final = ListenSockets()
        self.sources: Sources = sources
        self.workers_wanted: int | None = options.workers
        self.log: LogSettings = log
        self.drain_close: bool = False  # /healthcheck/fail
        self.tickets = TicketSecret(os.urandom(SECRET_BYTES), 0)
        self.tickets.advance(time.time())
        self.runtime: dict[str, str] = {}  # set by /runtime_modify
        self.state: str = INITIALIZING
        self.generations: Final[list[Generation]] = []  # oldest first; all that are not over
        self.current: Generation | None = None
        self.configuration: Configuration | None = None
        self.wanted: list[Wanted] = []
        self.loaded_at: float = 0.0
        self.last_reload: str = ""
        self.stopping: bool = False
        self.born: Final = time.monotonic()
        self.admin: AdminService | None = None
        self._worker_ids = 0
        self._orders = 0
        self._change = anyio.Event()
        self.changing: Final = anyio.Lock()  # held while sockets and generations change
        self._excused_until = 0.0
        self._cancel_change: anyio.CancelScope | None = None
        self._tasks: Final = tasks
        self.updates: Final = Updates(self)

    # -- what generations ask

    def new_worker_id(self) -> int:
        self._worker_ids += 1
        return self._worker_ids

    def new_order(self) -> int:
        """A number for a message that is answered by Done; higher than all before."""
        self._orders += 1
        return self._orders

    def changed(self) -> None:
        change, self._change = self._change, anyio.Event()
        change.set()

    def replaced(self, slot: int) -> None:
        self.vitals.worker_hung(slot)

    # -- the loop

    async def run(self) -> None:
        """Keep what is in line with what is wanted, until a stop has ended everything."""
        expected = time.monotonic()
        while True:
            change = self._change
            now = time.monotonic()
            if now - expected > LATE:
                self._excused_until = now
            wake = self._reconcile(now)
            if self.stopping and not self.generations:
                return
            expected = min(now + TICK, wake) if wake else now + TICK
            with anyio.move_on_after(max(0.0, expected - now)):
                await change.wait()
                expected = time.monotonic()

    def look(self) -> None:
        """Take the measure of all processes; to be called about once a second."""
        workers = [worker for generation in self.generations for worker in generation.workers.values()]
        numbers = [self.totals.worker(worker.member.worker_id) for worker in workers]
        connections = sum(each.connections for each in numbers)
        self.vitals.stats_overflow(max((each.dropped for each in numbers), default=0))
        pids = {worker.member.pid for worker in workers if worker.member.pid}
        self.tickets.advance(time.time())
        self.vitals.look({os.getpid(), *pids}, self.state, connections)
        if self.configuration is not None:
            self.vitals.certificates_expire(self.configuration.tls_contexts)
        if self.admin is not None:
            self.admin.flush_logs()

    def _reconcile(self, now: float) -> float:
        wakes = [generation.reconcile(now, self._excused_until) for generation in self.generations]
        over = [generation for generation in self.generations if generation.over]
        for generation in over:
            self.generations.remove(generation)
        if over:
            if not self.stopping and self.current is not None and self.current.ready:
                self.totals.forget_removed()
            self.changed()  # for who waits for it
        self.vitals.listeners_draining(
            sum(len(old.bootstrap.static_resources.listeners) for old in self.draining)
        )
        return min((wake for wake in wakes if wake), default=0.0)

    async def until(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until something holds; False if it did not within the time."""
        with anyio.move_on_after(seconds):
            while not condition():
                await self._change.wait()
        return condition()

    def start_soon(self, run: Callable[..., Coroutine[Any, Any, Any]], *arguments: object) -> None:
        """Run something beside everything else; it is cancelled when all has ended."""
        self._tasks.start_soon(run, *arguments)

    @property
    def draining(self) -> list[Generation]:
        """Those that have served and end; not those that never came to it."""
        return [each for each in self.generations if each.draining and not each.failed]

    # -- changing the configuration

    async def reload(
        self,
        sources: Sources | None = None,
        workers: int | None = None,
        runtime: dict[str, str] | None = None,
    ) -> Handover:
        """Put a configuration in force: the first, or another. One at a time; what fails changes nothing.

        With ``runtime`` the configuration stays as it was loaded and only those values are set.
        Raises ConfigErrors, and StartError, also when a stop comes in between.
        """
        async with self.changing:
            if self.stopping:
                raise StartError("the server is stopping")
            began = time.monotonic()
            with self.cancellable():
                return await self._hand_over(began, sources or self.sources, workers, runtime)
        raise StartError("the server is stopping")

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """What a stop cuts short: a change that is not yet in force."""
        with anyio.CancelScope() as scope:
            self._cancel_change = scope
            yield

    async def _hand_over(
        self, began: float, sources: Sources, workers: int | None, runtime: dict[str, str] | None
    ) -> Handover:
        workers_wanted = workers or self.workers_wanted
        count = workers_wanted or native.cpu_count()
        candidate = await self._read(sources, runtime)
        for warning in candidate.warnings:
            logger.warning("%s", warning)
        wanted, prepared = await self._prepare_sockets(candidate, count)
        assert self.admin is not None
        admin = None
        generation = None
        try:
            admin = self.admin.prepare(candidate.admin_address, candidate.admin_logs)
            before = self.current.hosts if self.current is not None else None
            clusters = candidate.bootstrap.static_resources.clusters
            hosts = HostSets(clusters, self.registry, before, assigned=candidate.assembly.hosts)
            await hosts.first()
            waited = time.monotonic()
            await self.until(lambda: len(self.draining) < MAX_DRAINING)
            began += time.monotonic() - waited
            generation = self._new_generation(candidate, count, prepared, hosts)
            await self._until_ready(generation)
            try:
                self.sockets.commit(prepared)
            except BindError as error:
                raise StartError(explain_bind(error)) from None
        except BaseException:
            if generation is not None:
                generation.fail()
            prepared.abandon()
            if admin is not None:
                admin.abandon()
            raise
        with anyio.CancelScope(shield=True):
            # From here on there is no way back, and none is needed.
            handover = await self._commit(began, candidate, generation)
            await self.admin.commit(admin)
            await self._tell_admin_address()
        self.sources, self.workers_wanted = sources, workers_wanted
        if runtime is not None:
            self.runtime = runtime
        self.wanted = wanted
        self.start_soon(self._follow_hosts, generation)
        return handover

    async def _read(self, sources: Sources, runtime: dict[str, str] | None) -> Configuration:
        if runtime is not None and self.configuration is not None:
            present = self.configuration
            return await anyio.to_thread.run_sync(
                Configuration, present.written, present.origin, runtime, self.updates.states, frozenset()
            )
        options = self.options
        return await anyio.to_thread.run_sync(
            configuration.read,
            sources,
            options.admin_address,
            self.runtime,
            self.updates.states,
            options.allow_empty_updates,
        )

    async def _prepare_sockets(self, candidate: Configuration, workers: int) -> tuple[list[Wanted], Prepared]:
        """Bind what is missing. A dynamic listener whose address cannot be had is left out, as in Envoy."""
        while True:
            wanted = wanted_addresses(candidate.bootstrap, native.default_backlog())
            limit = native.raise_descriptor_limit()
            warning = check_descriptors(limit, candidate.bootstrap, workers, len(wanted))
            if warning:
                logger.warning("%s", warning)
            try:
                return wanted, self.sockets.prepare(wanted, workers)
            except BindError as error:
                self.vitals.listener_failed()
                # Who has the port is looked up in all processes: not on the loop.
                reason = await anyio.to_thread.run_sync(explain_bind, error)
                known = self.updates.states
                smaller = candidate.assembly.without_listener(error.wanted.name, reason, known)
                if smaller is None:
                    raise StartError(reason) from None
                candidate.assembly = smaller

    def _new_generation(
        self, candidate: Configuration, workers: int, prepared: Prepared, hosts: HostSets
    ) -> Generation:
        # What never was in force leaves no gap, but while it still ends its number is taken.
        number = 1 + max((each.number for each in self.generations), default=0)
        try:
            generation = Generation(number, candidate.bootstrap, workers, prepared, hosts, self)
        except OSError as error:
            raise StartError(f"no new workers can be started: {explain_resources(error)}") from None
        self.generations.append(generation)
        generation.start()
        return generation

    async def _until_ready(self, generation: Generation) -> None:
        await self.until(lambda: generation.ready or bool(generation.failure))
        if generation.failure:
            raise StartError(f"the new workers cannot start: {generation.failure}")

    async def _commit(self, began: float, candidate: Configuration, generation: Generation) -> Handover:
        old, self.current = self.current, generation
        previous = self.configuration
        self.configuration = candidate
        self.loaded_at = time.time()
        generation.serve()
        await self.until(lambda: generation.serving or self.stopping, TAKE_OVER_LIMIT)
        seconds = time.monotonic() - began
        carried = 0
        if old is not None:
            old.drain(self.options.drain_time_s, close_idle=False)
            await self.until(lambda: old.stopped_accepting, TAKE_OVER_LIMIT)
            carried = old.carried + sum(
                self.totals.worker(worker_id).connections
                for each in self.draining
                if each is not old
                for worker_id in each.workers
            )
        generation.hosts.adopt(old.hosts if old is not None else None)
        generation.hosts.assign(candidate.assembly.hosts)
        self.updates.adopt(candidate.assembly)
        self.sockets.retire()
        if not self.stopping and not self.drain_close:
            self.state = LIVE
        self.vitals.certificates_used(candidate.tls_contexts)
        self.vitals.taken_over(
            generation.number,
            None if previous is None else previous.bootstrap,
            candidate.bootstrap,
            generation.roster.size,
        )
        return Handover(generation.number, generation.roster.size, seconds, carried)

    def configuration_updated(self, assembly: Assembly) -> None:
        """A change in place has come to this."""
        assert self.configuration is not None
        self.configuration.assembly = assembly
        self.vitals.certificates_used(self.configuration.tls_contexts)
        self.loaded_at = time.time()

    async def _tell_admin_address(self) -> None:
        path = self.options.admin_address_path
        if path is not None and self.admin is not None and self.admin.address is not None:
            try:
                await anyio.to_thread.run_sync(_write, path, self.admin.address)
            except OSError as error:
                logger.error("cannot write the admin address to %s: %s", path, error.strerror)

    def listening(self) -> list[tuple[str, list[tuple[str, int]]]]:
        """The listeners in force: name, and addresses as bound."""
        found: dict[int, tuple[str, list[tuple[str, int]]]] = {}
        for each in self.wanted:
            address = self.sockets.address(each.key)
            if address is not None:
                found.setdefault(each.listener, (each.name, []))[1].append(address)
        return list(found.values())

    # -- names

    async def _follow_hosts(self, generation: Generation) -> None:
        """Keep a generation's hosts up to date as long as it has workers, the draining ones included."""

        while generation in self.generations:
            await self._follow_host_sets(generation, generation.hosts)

    async def _follow_host_sets(self, generation: Generation, hosts: HostSets) -> None:
        """The same until a change in place brings others."""

        def tell(found: HostSet) -> None:
            if generation.hosts is hosts:
                generation.broadcast(Hosts(found))

        async with anyio.create_task_group() as group:
            group.start_soon(hosts.follow, tell)
            await self.until(lambda: generation not in self.generations or generation.hosts is not hosts)
            group.cancel_scope.cancel()

    # -- ending

    def stop_or_end(self, limit: float | None = None) -> None:
        """What a signal asks for: the first drains, a second one ends at once.

        After ``limit`` seconds the system ends this process, drained or not.
        """
        self.stop(now=self.stopping, limit=limit)

    def stop(self, now: bool, limit: float | None = None) -> None:
        """Drain everything and end; ``now``: without draining. Again, it can only become shorter.

        ``limit``: drain no longer than that, in seconds.
        """
        if now:
            self._end()
        elif not self.stopping:
            seconds = self.options.drain_time_s
            self._drain(seconds if limit is None else min(seconds, limit))

    def abandon(self) -> None:
        """The first generation could not be put in force: end without a word."""
        self.stopping = True
        for generation in list(self.generations):
            generation.end()
        self.changed()

    def _end(self) -> None:
        logger.warning("ending at once")
        self.state = SERVER_DRAINING
        if self._cancel_change is not None:
            self._cancel_change.cancel()
        self.abandon()

    def _drain(self, seconds: float) -> None:
        self.stopping = True
        self.state = SERVER_DRAINING
        logger.info("draining, for up to %g s", seconds)
        if self._cancel_change is not None:
            self._cancel_change.cancel()
        for generation in list(self.generations):
            if generation is self.current or generation in self.draining:
                generation.drain(seconds, close_idle=True)
            else:
                generation.fail()
        self.start_soon(self._close_sockets)
        self.changed()

    async def _close_sockets(self) -> None:
        await self.until(
            lambda: all(generation.stopped_accepting for generation in self.generations), TAKE_OVER_LIMIT
        )
        self.sockets.close()


def _write(path: str, text: str) -> None:
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)
