import pytest

from proxyd.supervisor.roster import DRAIN_GRACE, HEARTBEAT_LIMIT, START_LIMIT, Roster
from proxyd.workers.control import DIED, DRAINING, READY, STARTING, STOPPED


def filled(size: int, now: float = 0.0) -> Roster:
    """A roster with a ready worker in each slot; worker ids are slots."""
    roster = Roster(size)
    roster.filled = True
    for slot in roster.vacancies(now):
        roster.add(slot, slot, now)
        roster.move(slot, READY, now)
    return roster


def test_every_slot_is_filled_once():
    roster = Roster(2)
    assert roster.vacancies(0.0) == []  # nothing is wanted yet
    roster.filled = True
    assert roster.vacancies(0.0) == [0, 1]
    roster.add(7, 0, 0.0)
    assert roster.vacancies(0.0) == [1]
    roster.move(7, READY, 0.1)
    assert not roster.complete
    roster.add(8, 1, 0.2)
    roster.move(8, READY, 0.3)
    assert roster.complete


def test_a_dead_worker_is_replaced_at_once_the_first_time_and_later_with_patience():
    roster = filled(1)
    member, delay = roster.gone(0, -9, 1.0)
    assert (member.state, delay) == (DIED, 0.0)
    assert roster.vacancies(1.0) == [0]
    roster.add(1, 0, 1.0)
    _, delay = roster.gone(1, 1, 1.5)
    assert delay == 0.1
    assert roster.vacancies(1.55) == []
    assert roster.wake_at() == 1.6
    assert roster.vacancies(1.6) == [0]


def test_a_worker_that_leaves_by_itself_without_being_told_has_died():
    roster = filled(1)
    assert roster.gone(0, 0, 1.0)[0].state == DIED


def test_a_drained_worker_has_stopped_and_is_not_replaced():
    roster = filled(1)
    roster.filled = False
    roster.move(0, DRAINING, 1.0)
    assert roster.gone(0, 0, 2.0)[0].state == STOPPED
    assert roster.vacancies(99.0) == []
    assert roster.wake_at() == 0.0


def test_changes_that_the_table_does_not_have_are_bugs():
    roster = filled(1)
    with pytest.raises(AssertionError, match="ready -> starting"):
        roster.move(0, STARTING, 1.0)


def test_a_worker_without_heartbeat_is_overdue():
    roster = filled(2)
    roster.members[0].heartbeat = 5.0
    roster.members[1].heartbeat = 9.0
    ((member, why),) = roster.overdue(5.0 + HEARTBEAT_LIMIT + 0.5, 0.0)
    assert member.slot == 0
    assert "hanging for 10 s" in why
    member.killed = True
    assert roster.overdue(5.0 + HEARTBEAT_LIMIT + 0.5, 0.0) == []


def test_a_supervisor_that_was_late_itself_blames_nobody():
    roster = filled(1)
    roster.members[0].heartbeat = 5.0
    assert roster.overdue(100.0, excused_until=100.0) == []
    assert roster.overdue(109.0, excused_until=100.0) == []
    assert len(roster.overdue(110.5, excused_until=100.0)) == 1


def test_a_worker_may_take_its_time_to_start_but_not_forever():
    roster = Roster(1)
    roster.filled = True
    roster.add(0, 0, 0.0)
    assert roster.overdue(START_LIMIT - 1, 0.0) == []
    ((_, why),) = roster.overdue(START_LIMIT + 1, 0.0)
    assert "not ready after 60 s" in why


def test_a_worker_that_does_not_leave_after_its_drain_time_is_overdue():
    roster = filled(1)
    roster.move(0, DRAINING, 1.0)
    roster.members[0].deadline = 31.0
    roster.members[0].heartbeat = 40.0
    assert roster.overdue(31.0 + DRAIN_GRACE, 0.0) == []
    assert len(roster.overdue(31.1 + DRAIN_GRACE, 0.0)) == 1
