import asyncio
import gc
import random
import weakref
from collections.abc import Iterator

import pytest

from proxyd.net.timers import NEVER, TimerWheel
from tests.net.alarm import Alarm
from tests.net.playbook import Clock, StageLoop


class Bell:
    """Makes alarms by name and notes when they ring."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.rung: list[tuple[object, float]] = []

    def alarm(self, name: object = None) -> Alarm:
        return Alarm(lambda now: self.note(name, now))

    def note(self, name: object, now: float) -> None:
        assert now == self._clock.now
        self.rung.append((name, now))


@pytest.fixture
def loop(clock: Clock) -> Iterator[StageLoop]:
    loop = StageLoop(clock)
    yield loop
    loop.close()


def run(loop: StageLoop, clock: Clock, until: float) -> None:
    """Let each timer of the loop run at its time, a little early as real ones may."""
    while loop._scheduled:  # type: ignore[attr-defined]
        when = min(handle.when() for handle in loop._scheduled if not handle.cancelled())  # type: ignore[attr-defined]
        if when > until:
            break
        clock.now = max(clock.now, when - 0.0004)
        loop.turn()
        clock.now = max(clock.now, when)
        loop.turn()
    clock.now = max(clock.now, until)


def test_deadlines_come_in_order_never_early_and_hardly_late(loop: StageLoop, clock: Clock) -> None:
    wheel = TimerWheel(loop)
    bell = Bell(clock)
    chance = random.Random(7)
    deadlines = [
        clock.now + chance.choice([0.0, 0.001, 1, 9.99, 10, 11, 60, 4000]) + chance.random()
        for _ in range(300)
    ]
    for number, deadline in enumerate(deadlines):
        wheel.arm(bell.alarm(number), deadline)
    run(loop, clock, clock.now + 5000)
    assert len(bell.rung) == 300
    for name, when in bell.rung:
        assert isinstance(name, int)
        assert 0.0 <= when - deadlines[name] <= 0.0201
    assert [when for _, when in bell.rung] == sorted(when for _, when in bell.rung)


def test_a_deadline_can_be_moved_both_ways_and_taken_back(loop: StageLoop, clock: Clock) -> None:
    wheel = TimerWheel(loop)
    bell = Bell(clock)
    later, earlier, gone, never = (bell.alarm(name) for name in ("later", "earlier", "gone", "never"))
    start = clock.now
    for alarm in (later, earlier, gone, never):
        wheel.arm(alarm, start + 5)
    wheel.arm(later, start + 20)
    wheel.arm(earlier, start + 1)
    wheel.disarm(gone)
    wheel.arm(never, NEVER)
    run(loop, clock, start + 100)
    assert [(name, round(when - start, 1)) for name, when in bell.rung] == [("earlier", 1.0), ("later", 20.0)]
    assert [alarm.deadline for alarm in (later, earlier, gone, never)] == [NEVER] * 4


def test_a_deadline_that_has_passed_comes_at_once_but_not_inside_the_call(
    loop: StageLoop, clock: Clock
) -> None:
    wheel = TimerWheel(loop)
    bell = Bell(clock)
    wheel.arm(bell.alarm(), clock.now - 5)
    assert bell.rung == []
    run(loop, clock, clock.now + 0.02)
    assert len(bell.rung) == 1


def test_an_alarm_may_arm_itself_and_others_and_disarm_others(loop: StageLoop, clock: Clock) -> None:
    wheel = TimerWheel(loop)
    bell = Bell(clock)
    victim = bell.alarm("victim")

    def ring(now: float) -> None:
        bell.note("busy", now)
        wheel.disarm(victim)
        if len(bell.rung) < 3:
            wheel.arm(busy, now + 1)

    busy = Alarm(ring)
    wheel.arm(busy, clock.now + 1)
    wheel.arm(victim, clock.now + 1)
    run(loop, clock, clock.now + 30)
    names = [name for name, _ in bell.rung if name == "busy"]
    assert len(names) in (2, 3)
    assert [name for name, _ in bell.rung].count("victim") <= 1
    times = [when for name, when in bell.rung if name == "busy"]
    assert times == sorted(times)


def test_one_broken_alarm_does_not_silence_the_others(loop: StageLoop, clock: Clock) -> None:
    wheel = TimerWheel(loop)
    bell = Bell(clock)

    def broken(now: float) -> None:
        raise LookupError("bug")

    for _ in range(3):
        wheel.arm(Alarm(broken), clock.now + 1)
        wheel.arm(bell.alarm(), clock.now + 1)
    wheel.arm(bell.alarm(), clock.now + 2)
    run(loop, clock, clock.now + 3)
    assert len(bell.rung) == 4
    assert [type(bug) for bug in loop.bugs] == [LookupError] * 3


@pytest.mark.parametrize("disarm", [True, False])
def test_the_wheel_holds_nothing_that_is_over(loop: StageLoop, clock: Clock, disarm: bool) -> None:
    wheel = TimerWheel(loop)

    def ring(now: float) -> None:
        raise AssertionError

    alarm = Alarm(ring if disarm else lambda _, ring=ring: None)  # type: ignore[misc]
    wheel.arm(alarm, clock.now + 3600)
    there = weakref.ref(ring)
    if disarm:
        wheel.disarm(alarm)
    else:
        run(loop, clock, clock.now + 3601)
    del alarm, ring
    gc.collect()
    assert there() is None


def test_the_wheel_does_not_grow_with_use(loop: StageLoop, clock: Clock) -> None:
    wheel = TimerWheel(loop)
    alarms = [Alarm(lambda _: None) for _ in range(10)]
    for number in range(100_000):
        alarm = alarms[number % 10]
        wheel.arm(alarm, clock.now + number % 977 / 7)
        if number % 3:
            wheel.disarm(alarm)
        if number % 1000 == 0:
            clock.now += 0.5
            loop.turn()
    assert len(wheel._slots) == len(wheel._ticks) < 2000
    assert sum(len(slot) for slot in wheel._slots.values()) <= 10
    assert len(loop._scheduled) < 200  # type: ignore[attr-defined]


def test_a_closed_wheel_is_still(loop: StageLoop, clock: Clock) -> None:
    wheel = TimerWheel(loop)
    bell = Bell(clock)
    wheel.arm(bell.alarm(), clock.now + 1)
    wheel.close()
    wheel.arm(bell.alarm(), clock.now + 1)
    clock.now += 10
    loop.turn()
    assert bell.rung == []


def test_on_a_real_loop_a_deadline_is_kept() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        wheel = TimerWheel(loop)
        start = loop.time()
        deadline = start + 0.05
        wheel.arm(Alarm(done.set_result), deadline)
        now: float = await done
        wheel.close()
        return now - deadline

    assert 0.0 <= asyncio.run(main()) < 5.0
