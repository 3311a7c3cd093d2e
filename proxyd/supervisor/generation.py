"""One generation: a configuration in force, its zygote, its workers, until the last of them has gone."""

import logging
import time
from typing import Final

from proxyd.config.bootstrap import Bootstrap
from proxyd.stats.block import LayoutMismatchError
from proxyd.supervisor.backoff import Backoff
from proxyd.supervisor.dns import HostSets
from proxyd.supervisor.equipment import Equipment, Pending
from proxyd.supervisor.machine import local_address
from proxyd.supervisor.problems import explain_resources
from proxyd.supervisor.roster import START_LIMIT, Roster
from proxyd.supervisor.sockets import Prepared
from proxyd.supervisor.spares import Spares
from proxyd.supervisor.surroundings import Surroundings
from proxyd.supervisor.worker import Worker
from proxyd.supervisor.zygote import Zygote, ZygoteOwner
from proxyd.system import native
from proxyd.workers.control import (
    DRAINING,
    READY,
    STARTING,
    Abort,
    Boot,
    Commit,
    Done,
    Drain,
    Drained,
    Draining,
    FromWorker,
    Ready,
    Refused,
    ReopenLogs,
    Serve,
    Serving,
    SetDrainClose,
    Socket,
    StopListening,
    ToWorker,
)

logger = logging.getLogger("main")


class Generation(ZygoteOwner):
    """``start``, then either ``serve`` or ``fail``; then ``drain``; ``over`` once nothing is left of it.

    Raises OSError where there is no memory or descriptor for the configuration.
    """

    def __init__(
        self,
        number: int,
        bootstrap: Bootstrap,
        workers: int,
        sockets: Prepared,
        hosts: HostSets,
        around: Surroundings,
    ) -> None:
        self.number: Final = number
        self.born: Final = time.monotonic()
        self.roster: Final = Roster(workers)
        self.workers: Final[dict[int, Worker]] = {}
        self.failure: str = ""  # why it cannot start
        self.failed: bool = False  # given up before it served
        self.over: bool = False
        self.draining: bool = False
        self.leaving: bool = False  # each response asks its client to leave
        self.stopped_listeners: Final[set[str]] = set()  # keys of those stopped by /drain_listeners
        self.carried: int = 0  # connections open when it began to drain
        self.undone: Final[list[tuple[int, int, str]]] = []  # number asked, slot, why it could not be done
        self._around: Final = around
        self._equipment = Equipment(bootstrap, sockets, hosts, around.limits)
        self._pending: Pending | None = None
        self._serving = False
        self._zygote: Zygote | Spares | None = None
        self._zygote_backoff: Final = Backoff()
        self._zygote_born = 0.0

    # -- what the supervisor asks

    def start(self) -> None:
        """Start the zygote and, through it, all workers."""
        self.roster.filled = True
        self.reconcile(time.monotonic(), 0.0)

    @property
    def bootstrap(self) -> Bootstrap:
        """The configuration in force."""
        return self._equipment.bootstrap

    @property
    def hosts(self) -> HostSets:
        """The hosts of its clusters."""
        return self._equipment.hosts

    @property
    def ready(self) -> bool:
        return self.roster.complete

    @property
    def serving(self) -> bool:
        """Whether every worker accepts connections."""
        return self.ready and all(worker.serving for worker in self.workers.values())

    @property
    def stopped_accepting(self) -> bool:
        """Whether no worker accepts any more."""
        return self.draining and all(worker.drain_told for worker in self.workers.values())

    def serve(self) -> None:
        """Accept connections; from now on workers that die are replaced rather than a reason to give up."""
        self._serving = True
        self.broadcast(Serve())

    def drain(self, seconds: float, close_idle: bool) -> None:
        """Accept no more, finish, end. Again: with another time, or closing idle connections after all."""
        now = time.monotonic()
        self.draining = True
        self.roster.filled = False
        for worker in self.workers.values():
            if worker.member.state == READY:
                self.roster.move(worker.member.worker_id, DRAINING, now)
            if worker.member.state == DRAINING:
                worker.member.deadline = now + seconds
                worker.send(Drain(seconds, close_idle))
            else:
                worker.kill()
        self._settle()

    def leave(self) -> None:
        """Go on accepting, and end each connection with its next response."""
        self.leaving = True
        self.broadcast(SetDrainClose(True))

    def end(self) -> None:
        """End everything at once."""
        self.draining = True
        self.roster.filled = False
        for worker in self.workers.values():
            worker.kill()
        self._settle()

    def fail(self) -> None:
        """Give up a generation that has not served."""
        self.failed = True
        self.end()

    # -- changes in place

    def prepare(
        self, number: int, bootstrap: Bootstrap, sockets: Prepared, hosts: HostSets, drain_seconds: float
    ) -> set[int]:
        """Have every worker get ready for a change; the ids of those that will answer Done.

        ``commit`` or ``abort`` has to follow. Raises OSError, and then nothing has begun.
        """
        equipment = Equipment(bootstrap, sockets, hosts, self._around.limits)
        self._pending = Pending(number, equipment, drain_seconds)
        for worker in self.workers.values():
            self._tell_pending(worker)
        return set(self.workers)

    def _tell_pending(self, worker: Worker) -> None:
        """Each worker has to hear of a change on its way, also one that has just come."""
        if self._pending is None:
            return
        try:
            self._pending.tell(worker, self.stopped_listeners)
        except OSError as error:
            self.undone.append((self._pending.number, worker.member.slot, explain_resources(error)))

    def commit(self, number: int) -> set[int]:
        """Put in force what was prepared, for these workers and all to come; those that will answer Done."""
        pending, self._pending = self._pending, None
        assert pending is not None
        former, self._equipment = self._equipment, pending.equipment
        for worker in self.workers.values():
            worker.lent = pending.lent.get(worker.member.worker_id, frozenset())
            worker.send(Commit(number))
        former.close()
        return set(self.workers)

    def abort(self, number: int) -> set[int]:
        """Forget what was prepared; the ids of those that will answer Done."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.equipment.close()
        self.broadcast(Abort(number))
        return set(self.workers)

    def ask(self, message: StopListening | ReopenLogs) -> set[int]:
        """Tell every worker; the ids of those that will answer Done."""
        self.broadcast(message)
        return set(self.workers)

    def done(self, asked: set[int], number: int) -> bool:
        """Whether of those all that still live have carried out the message of that number."""
        return all(self.workers[id_].done >= number for id_ in asked if id_ in self.workers)

    def broadcast(self, message: ToWorker) -> None:
        """Tell every worker."""
        for worker in self.workers.values():
            worker.send(message)

    def reconcile(self, now: float, excused_until: float) -> float:
        """Bring what is to what is wanted; returns when to look again, 0 where only events matter."""
        for worker in self.workers.values():
            worker.member.heartbeat = worker.heartbeat()
        for member, why in self.roster.overdue(now, excused_until):
            logger.error("worker %d (pid %d) is ended: %s", member.slot, member.pid, why)
            self.workers[member.worker_id].kill()
            self._around.replaced(member.slot)
            if member.state == STARTING and not self._serving:
                self._cannot_start(why)
        if not self.roster.filled or self.failure:
            return 0.0
        if self._zygote is None:
            if now < self._zygote_backoff.not_before:
                return self._zygote_backoff.not_before
            self._start_zygote(now)
        elif not self._zygote.ready:
            if now - max(self._zygote_born, excused_until) > START_LIMIT:
                self._zygote.end(f"not ready after {START_LIMIT:g} s")
        else:
            for slot in self.roster.vacancies(now):
                try:
                    self._spawn(self._zygote, slot, now)
                except OSError as error:
                    self._not_spawned(slot, explain_resources(error), now)
                    if not self._serving:
                        break
        return self.roster.wake_at()

    # -- what the zygote tells

    def on_hello(self) -> None:
        self._around.changed()

    def on_spawned(self, worker_id: int, pid: int) -> None:
        worker = self.workers[worker_id]
        worker.member.pid = pid
        if worker.member.killed:  # before it had a pid
            worker.kill()

    def on_exited(self, worker_id: int, status: int, reason: str) -> None:
        worker = self.workers.pop(worker_id, None)
        if worker is None:
            return
        worker.gone()  # may still hear Refused or Drained
        now = time.monotonic()
        member, delay = self.roster.gone(worker_id, status, now)
        how = reason or worker.refusal or _ended(status)
        if member.state == "died":
            again = f"; again in {delay:g} s" if delay else ""
            if not self.draining:
                logger.error("worker %d (pid %d) has died: %s%s", member.slot, member.pid, how, again)
            elif not member.killed:
                logger.warning("draining worker %d (pid %d) has died: %s", member.slot, member.pid, how)
            if not self._serving:
                self._cannot_start(f"worker {member.slot}: {how}")
        self._settle()

    def on_zygote_gone(self, reason: str) -> None:
        now = time.monotonic()
        self._zygote = None
        for worker_id in list(self.workers):
            self.on_exited(worker_id, 0, "its zygote has ended")
        if not self._serving:
            self._cannot_start(reason)
        elif self.roster.filled:
            self._zygote_backoff.died(now, now - self._zygote_born)
            logger.error("generation %d: %s; it is started again", self.number, reason)
        self._settle()

    # -- what workers tell

    def _on_message(self, worker: Worker, message: FromWorker) -> None:
        now = time.monotonic()
        member = worker.member
        if isinstance(message, Ready):
            self._on_ready(worker, now)
        elif isinstance(message, Serving):
            worker.serving = True
        elif isinstance(message, Refused):
            worker.refusal = message.reason
        elif isinstance(message, Draining):
            worker.drain_told = True
            self.carried += message.connections
        elif isinstance(message, Drained):
            if message.cut:
                logger.warning(
                    "worker %d (pid %d): %s cut at the end of the drain time",
                    member.slot,
                    member.pid,
                    "1 connection was" if message.cut == 1 else f"{message.cut} connections were",
                )
        else:
            assert isinstance(message, Done)
            worker.done = message.number
            self.undone.extend((message.number, member.slot, reason) for reason in message.reasons)
        self._around.changed()

    def _on_ready(self, worker: Worker, now: float) -> None:
        member = worker.member
        if member.state != STARTING:
            return
        try:
            self._around.totals.check(member.worker_id)
        except LayoutMismatchError as error:
            worker.refusal = str(error)
            worker.kill()
            return
        self.roster.move(member.worker_id, READY, now)
        if self._serving:
            logger.info(
                "worker %d (pid %d) is ready after %.3f s", member.slot, member.pid, now - member.born
            )

    def _on_lost(self, worker: Worker) -> None:
        """Its channel has ended. Nearly always so has the process; in any case it is of no use now."""
        worker.kill()

    # -- inner works

    def _start_zygote(self, now: float) -> None:
        self._zygote_born = now
        try:
            loop = self._around.loop
            self._zygote = Zygote(loop, self) if native.forks else Spares(loop, self, self.roster.size)
        except OSError as error:
            self._zygote_backoff.died(now, 0.0)
            why = f"no process can be started: {explain_resources(error)}"
            logger.error("%s", why)
            if not self._serving:
                self._cannot_start(why)

    def _spawn(self, zygote: Zygote | Spares, slot: int, now: float) -> None:
        around = self._around
        member = self.roster.add(around.new_worker_id(), slot, now)
        equipment = self._equipment
        lent = equipment.lent(slot, self.stopped_listeners)
        worker = Worker(
            around.loop,
            member,
            around.totals,
            equipment.stats_size,
            around.limits,
            self._on_message,
            self._on_lost,
        )
        boot = Boot(
            worker_id=member.worker_id,
            slot=slot,
            workers=self.roster.size,
            generation=self.number,
            local_address=local_address(),
            limit_row=worker.limit_row,
            limit_columns=equipment.limit_columns,
            listeners=tuple(Socket(sock.number, wanted.listener, wanted.backlog) for wanted, sock in lent),
            hosts=equipment.hosts.sets(),
            log=around.log,
            serve=self._serving,
            drain_close=around.drain_close or self.leaving,
            ticket_secret=around.tickets.secret,
            ticket_epoch=around.tickets.epoch,
            ticket_former=around.tickets.former,
        )
        worker.spawn(zygote, boot, equipment.configuration, [sock.fileno() for _, sock in lent])
        worker.lent = frozenset(sock.number for _, sock in lent)
        self.workers[member.worker_id] = worker
        self._tell_pending(worker)

    def _not_spawned(self, slot: int, why: str, now: float) -> None:
        """The supervisor itself lacks what a worker needs: as if it had died of its start."""
        (member,) = [each for each in self.roster.members.values() if each.slot == slot]
        _, delay = self.roster.gone(member.worker_id, 1, now)
        again = f"; again in {delay:g} s" if delay else ""
        logger.error("worker %d cannot be started: %s%s", slot, why, again)
        if not self._serving:
            self._cannot_start(f"worker {slot}: {why}")

    def _cannot_start(self, why: str) -> None:
        if not self.failure:
            self.failure = why

    def _settle(self) -> None:
        """After something has ended: is all over?"""
        if self.draining and not self.workers and not self.over:
            if self._zygote is not None:
                self._zygote.end("")  # its end brings us here again
                return
            self.over = True
            if self._pending is not None:
                self._pending.equipment.close()
                self._pending = None
            self._equipment.close()
        self._around.changed()


def _ended(status: int) -> str:
    if status < 0:
        return f"killed by signal {-status}"
    return f"it exited with status {status}"
