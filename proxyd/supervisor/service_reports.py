"""What the service manager hears of an instance: that it is ready, reloads, ends; numbers; signs of life.

A sign of life says that connections are being served, not that the supervisor's loop turns: it is given while
at least one worker in service has a fresh heartbeat. A single worker that hangs is the supervisor's business,
which replaces it; when none is left, the manager is told so and hears no more signs until one is.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import anyio

from proxyd.supervisor.problems import counted
from proxyd.supervisor.roster import HEARTBEAT_LIMIT
from proxyd.system import Notifier
from proxyd.workers.control import READY

if TYPE_CHECKING:
    from proxyd.supervisor.supervisor import Supervisor

STATUS_INTERVAL: Final = 2.0  # seconds


class ServiceReports:
    """Reports of one supervisor to whoever manages it."""

    def __init__(self, notifier: Notifier, supervisor: "Supervisor") -> None:
        self._notifier: Final = notifier
        self._supervisor: Final = supervisor
        self._ready = False
        self._over = False  # another process speaks
        self._told = ""
        self._requests: dict[int, int] = {}  # worker id to what it had answered at the last look
        self._looked = time.monotonic()

    async def run(self) -> None:
        """Tell numbers and give signs of life, until cancelled or another process does."""
        watchdog = self._notifier.watchdog
        interval = min(STATUS_INTERVAL, watchdog / 2) if watchdog else STATUS_INTERVAL
        next_status = 0.0
        while not self._over:
            now = time.monotonic()
            if watchdog and (self._supervisor.stopping or self._served(now)):
                self._notifier.alive()
            if self._ready and now >= next_status:
                next_status = now + STATUS_INTERVAL
                self._tell(self._status(now))
            await anyio.sleep(interval)

    @contextmanager
    def reload(self) -> Iterator[None]:
        """Around a change of the whole configuration, the first one included.

        A reload that fails ends with ``ready`` as well: what served before still serves.
        """
        if self._ready:
            self._notifier.reloading()
        done = False
        try:
            yield
            done = True
        finally:
            if (done or self._ready) and not self._supervisor.stopping:
                self._ready = True
                self._notifier.ready(self._status(time.monotonic()))

    def stopping(self) -> None:
        """The supervisor drains, or ends."""
        self._notifier.stopping()

    def handed_over(self, pid: int) -> None:
        """Another process is the instance now, and speaks for it."""
        self._notifier.main_process(pid)
        self._ready = False
        self._over = True

    def _tell(self, status: str) -> None:
        # While it drains, the manager of Windows wants to hear that it goes on even if nothing has changed.
        if status != self._told or self._supervisor.stopping:
            self._told = status
            self._notifier.status(status)

    def _served(self, now: float) -> bool:
        """Whether at least one worker in service has a fresh heartbeat."""
        return now - self._last_heartbeat() <= min(
            HEARTBEAT_LIMIT, self._notifier.watchdog or HEARTBEAT_LIMIT
        )

    def _last_heartbeat(self) -> float:
        generation = self._supervisor.current
        if generation is None:
            return 0.0
        ready = [worker for worker in generation.workers.values() if worker.member.state == READY]
        return max((worker.heartbeat() for worker in ready), default=0.0)

    def _status(self, now: float) -> str:
        """`2 workers, 10 connections, 55 requests/s, generation 3`."""
        supervisor = self._supervisor
        workers = [worker for each in supervisor.generations for worker in each.workers.values()]
        numbers = {
            worker.member.worker_id: supervisor.totals.worker(worker.member.worker_id) for worker in workers
        }
        connections = sum(each.connections for each in numbers.values())
        requests = {id_: each.requests_total for id_, each in numbers.items()}
        answered = sum(total - self._requests.get(id_, 0) for id_, total in requests.items())
        rate = answered / max(now - self._looked, 0.001)
        self._requests, self._looked = requests, now
        if supervisor.stopping:
            return f"draining: {counted(len(workers), 'worker')}, {counted(connections, 'connection')}"
        generation = supervisor.current
        ready = generation.roster.count(READY) if generation is not None else 0
        text = (
            f"{counted(ready, 'worker')}, {counted(connections, 'connection')}, {rate:.0f} requests/s, "
            f"generation {generation.number if generation is not None else 0}"
        )
        if self._served(now):
            return text
        return f"no worker serves; {text}"
