"""The supervisor: which generation serves, which still drain, and what is in force.

How one generation takes over from another stands in ``handover``, how one changes in place in ``updates``.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from proxyd.admin.context import DRAINING as SERVER_DRAINING
from proxyd.admin.context import INITIALIZING
from proxyd.config.load import Sources
from proxyd.snapshot.tickets import SECRET_BYTES, TicketSecret
from proxyd.stats.metrics import Registry
from proxyd.stats.totals import Totals
from proxyd.supervisor.admin_service import AdminService
from proxyd.supervisor.configuration import Configuration
from proxyd.supervisor.context_updates import ContextUpdates
from proxyd.supervisor.dns import HostSets
from proxyd.supervisor.generation import Generation
from proxyd.supervisor.handover import TAKE_OVER_LIMIT, HandingOver, Handover
from proxyd.supervisor.limits import Limits
from proxyd.supervisor.options import StartOptions
from proxyd.supervisor.problems import StartError
from proxyd.supervisor.resources import Assembly
from proxyd.supervisor.service_reports import ServiceReports
from proxyd.supervisor.sockets import ListenSockets, Wanted, format_address
from proxyd.supervisor.succession import Estate
from proxyd.supervisor.updates import Updates
from proxyd.supervisor.vitals import Vitals
from proxyd.system import native
from proxyd.workers.control import Hosts, HostSet, LogSettings

if TYPE_CHECKING:
    from proxyd.supervisor.heritage import Heritage

logger = logging.getLogger("main")

TICK: Final = 1.0  # seconds between two looks at everything, whatever happens
LATE: Final = 1.0  # seconds; a supervisor this late was itself not running, see Roster.overdue


class Supervisor:
    """One instance. All methods are called on its loop."""

    def __init__(
        self,
        options: StartOptions,
        sources: Sources,
        log: LogSettings,
        tasks: anyio.abc.TaskGroup,
        heritage: "Heritage | None" = None,
    ) -> None:
        """``heritage``: it takes over from another supervisor."""
        self.options: Final = options
        self.loop = asyncio.get_running_loop()
        self.registry: Final = Registry(None)
        self.totals = Totals(self.registry)
        self.limits = heritage.limits() if heritage is not None else Limits()
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
        self.born: float = time.monotonic()
        self.heritage: Final = heritage
        self.successor: int = 0  # pid of the supervisor that has taken over from this one
        self.last_generation: int = 0  # of a predecessor
        self.admin: AdminService | None = None
        self._worker_ids = 0
        self._orders = 0
        self._change = anyio.Event()
        self.changing: Final = anyio.Lock()  # held while sockets and generations change
        self._excused_until = 0.0
        self._cancel_change: anyio.CancelScope | None = None
        self._tasks: Final = tasks
        self._context_updates: Final = ContextUpdates(self.registry)
        self.updates: Final = Updates(self)
        self.reports: Final = ServiceReports(native.notifier(), self)

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
            if self.stopping and not self.generations and not self.predecessor:
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
                raise StartError(self.why_not())
            with self.reports.reload(), self.cancellable():
                return await HandingOver(self, sources or self.sources, workers, runtime).run()
        raise StartError(self.why_not())

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """What a stop cuts short: a change that is not yet in force."""
        with anyio.CancelScope() as scope:
            self._cancel_change = scope
            yield

    def in_force(self, assembly: Assembly, wanted: list[Wanted]) -> None:
        """A change in place has come to this; ``wanted`` are the addresses of its listeners."""
        present = self.configuration
        assert present is not None
        if assembly.written is not present.assembly.written:
            self.loaded_at = time.time()
        present.assembly = assembly
        self.wanted = wanted
        self.updates.hold(assembly)

    def contexts_changed(self) -> None:
        """Show the TLS contexts and certificates that are in force now."""
        present = self.configuration
        if present is not None:
            self.vitals.certificates_used(present.tls_contexts)
            self._context_updates.show(present.bootstrap)

    def listening(self) -> list[tuple[str, list[tuple[str, int]]]]:
        """The listeners in force: name, and addresses as bound, or as written where they are not."""
        found: dict[int, tuple[str, list[tuple[str, int]]]] = {}
        for each in self.wanted:
            address = self.sockets.address(each.key)
            if address is not None:
                found.setdefault(each.listener, (each.name, []))[1].append(address)
        present = self.configuration
        for index, listener in enumerate(present.bootstrap.static_resources.listeners if present else ()):
            if listener.bind_to_port is False:
                more = [each.address for each in listener.additional_addresses]
                addresses = [(each.host, each.port) for each in (listener.address, *more)]
                found[index] = (listener.name or format_address(*addresses[0]), addresses)
        return [found[index] for index in sorted(found)]

    # -- names

    def follow_hosts(self, generation: Generation) -> None:
        """From now on tell its workers of other hosts."""
        self.start_soon(self._follow_hosts, generation)

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

    # -- another supervisor instead of this one, see ``succession``

    @property
    def predecessor(self) -> int:
        """Process id of the supervisor that this one has taken over from, while that drains; else 0."""
        return self.heritage.predecessor if self.heritage is not None else 0

    @property
    def guarded(self) -> bool:
        """Whether somebody else stays for whoever waits for this instance's first process."""
        return self.heritage is not None and self.heritage.estate.guarded

    def inherit(self, estate: Estate) -> None:
        """Go on where a predecessor has been."""
        self.workers_wanted = estate.workers
        self.runtime = estate.runtime
        self.drain_close = estate.drain_close
        self.tickets = TicketSecret(estate.ticket_secret, estate.ticket_epoch, estate.ticket_former)
        self.born = estate.born
        self.last_generation = estate.generation

    def why_not(self) -> str:
        """Why nothing can be changed any more."""
        if self.successor:
            return f"process {self.successor} has taken over; say it again, and it will hear it"
        return "the server is stopping"

    def hand_over(self, successor: int) -> None:
        """The process ``successor`` serves: drain, as after a reload, and end."""
        self.successor = successor
        self.stopping = True
        self.state = SERVER_DRAINING
        for generation in list(self.generations):
            if not generation.draining:
                generation.drain(self.options.drain_time_s, close_idle=False)
        self.changed()

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
        self.reports.stopping()
        if self._cancel_change is not None:
            self._cancel_change.cancel()
        self.abandon()

    def _drain(self, seconds: float) -> None:
        self.stopping = True
        self.state = SERVER_DRAINING
        self.reports.stopping()
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
