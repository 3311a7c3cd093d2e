"""Who should work in a generation and who does: bookkeeping and decisions, without processes or clocks.

The supervisor asks after every event what is missing or overdue (level-triggered): no event can be lost, for
none carries a decision.
"""

from typing import Final

from proxyd.supervisor.backoff import Backoff
from proxyd.workers.control import DIED, DRAINING, READY, STARTING, STOPPED, TRANSITIONS

HEARTBEAT_LIMIT: Final = 10.0  # seconds without a heartbeat after which a worker counts as hung
START_LIMIT: Final = 60.0  # seconds a worker may take until it is ready
DRAIN_GRACE: Final = 2.0  # seconds beyond its drain time before a worker is ended by force


class Member:
    """One worker process, from the order to fork it until it has gone."""

    def __init__(self, worker_id: int, slot: int, now: float) -> None:
        self.worker_id: Final = worker_id
        self.slot: Final = slot
        self.born: Final = now
        self.state: str = STARTING
        self.since: float = now  # of the state
        self.pid: int = 0  # 0 until the zygote has forked it
        self.heartbeat: float = 0.0
        self.deadline: float = 0.0  # of the drain
        self.killed: bool = False  # by the supervisor: its end is awaited


class Roster:
    """The workers of one generation: one for each slot while ``filled``, else only those that remain."""

    def __init__(self, size: int) -> None:
        self.size: Final = size
        self.members: Final[dict[int, Member]] = {}
        self.filled: bool = False  # whether a slot whose worker died is filled again
        self._backoffs: Final = [Backoff() for _ in range(size)]

    def add(self, worker_id: int, slot: int, now: float) -> Member:
        """A worker is being made for a slot."""
        member = self.members[worker_id] = Member(worker_id, slot, now)
        return member

    def move(self, worker_id: int, state: str, now: float) -> None:
        """A worker has changed its state; ``control.TRANSITIONS`` says which changes there are."""
        member = self.members[worker_id]
        assert state in TRANSITIONS[member.state], f"{member.state} -> {state}"
        member.state = state
        member.since = now

    def gone(self, worker_id: int, status: int, now: float) -> tuple[Member, float]:
        """A worker's process has ended. The member, and for how many seconds its slot stays empty."""
        told = self.members[worker_id].state == DRAINING and status == 0
        self.move(worker_id, STOPPED if told else DIED, now)
        member = self.members.pop(worker_id)
        delay = 0.0
        if self.filled and not told:
            delay = self._backoffs[member.slot].died(now, now - member.born)
        return member, delay

    def count(self, state: str) -> int:
        return sum(member.state == state for member in self.members.values())

    @property
    def complete(self) -> bool:
        """Whether every slot has a worker that is ready."""
        return self.count(READY) == self.size

    def vacancies(self, now: float) -> list[int]:
        """Slots to make a worker for now."""
        if not self.filled:
            return []
        taken = {member.slot for member in self.members.values()}
        return [
            slot for slot in range(self.size) if slot not in taken and self._backoffs[slot].not_before <= now
        ]

    def overdue(self, now: float, excused_until: float) -> list[tuple[Member, str]]:
        """Workers to end by force, and why.

        ``excused_until``: the last moment at which the supervisor itself was late. What happened until then
        says nothing about workers: the machine, not they, had stopped.
        """
        found: list[tuple[Member, str]] = []
        for member in self.members.values():
            if member.killed:
                continue
            silent = now - max(member.heartbeat, member.since, excused_until)
            if member.state == STARTING:
                if now - max(member.since, excused_until) > START_LIMIT:
                    found.append((member, f"not ready after {START_LIMIT:g} s"))
            elif silent > HEARTBEAT_LIMIT:
                found.append((member, f"its event loop has been hanging for {silent:.0f} s"))
            elif member.state == DRAINING and now > max(member.deadline + DRAIN_GRACE, excused_until):
                found.append((member, "still there after its drain time"))
        return found

    def wake_at(self) -> float:
        """When a slot may be filled that may not be filled yet; 0 where there is none."""
        taken = {member.slot for member in self.members.values()}
        waiting = [backoff.not_before for slot, backoff in enumerate(self._backoffs) if slot not in taken]
        return min(waiting, default=0.0) if self.filled else 0.0
