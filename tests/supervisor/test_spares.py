"""Processes kept ready for workers: they tell of themselves, become workers, and are replaced."""

import asyncio

import msgspec

from proxyd.net.limits import SIZE as LIMITS_SIZE
from proxyd.stats.block import DEFAULT_SIZE
from proxyd.supervisor import spares as spares_module
from proxyd.supervisor.spares import Spares
from proxyd.supervisor.zygote import ZygoteOwner
from proxyd.system import native
from proxyd.workers.main import EXIT_REFUSED
from tests.workers.test_spare import BOOT


class Owner(ZygoteOwner):
    def __init__(self):
        self.hello = asyncio.Event()
        self.gone = asyncio.Event()
        self.reason = ""
        self.told: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()

    def on_hello(self):
        self.hello.set()

    def on_spawned(self, worker_id, pid):
        self.told.put_nowait(("spawned", worker_id, pid))

    def on_exited(self, worker_id, status, reason):
        self.told.put_nowait(("exited", worker_id, status, reason))

    def on_zygote_gone(self, reason):
        self.reason = reason
        self.gone.set()


def play(scene):
    async def main():
        owner = Owner()
        spares = Spares(asyncio.get_running_loop(), owner, 1)
        await asyncio.wait_for(scene(owner, spares), 60)
        if not owner.gone.is_set():
            spares.end("over")
            await asyncio.wait_for(owner.gone.wait(), 30)

    asyncio.run(main())


def spawn(spares, worker_id):
    """A worker whose configuration is nonsense; our end of its channel."""
    ours, theirs = native.channel_pair()
    memory = native.create_memory("test-stats", DEFAULT_SIZE)
    sealed = native.create_sealed_memory("test-config", b"nonsense")
    limits = native.create_memory("test-limits", LIMITS_SIZE)
    boot = msgspec.structs.replace(BOOT, worker_id=worker_id)
    with theirs:
        spares.spawn(boot, [theirs.fileno(), memory, sealed, limits])
    for descriptor in (memory, sealed, limits):
        native.close_descriptor(descriptor)
    return ours


def test_they_say_hello_and_go_when_let_go():
    async def scene(owner, spares):
        await owner.hello.wait()
        assert spares.ready
        spares.end("no longer needed")
        await owner.gone.wait()
        assert owner.reason == "no longer needed"

    play(scene)


def test_code_that_cannot_be_imported_is_the_reason(monkeypatch):
    monkeypatch.setattr(spares_module, "MODULE", "proxyd.workers.no_such_module")

    async def scene(owner, spares):
        await owner.gone.wait()
        assert "No module named proxyd.workers.no_such_module" in owner.reason

    play(scene)


def test_another_protocol_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(spares_module, "PROTOCOL", 99)

    async def scene(owner, spares):
        await owner.gone.wait()
        assert "restart instead of reloading" in owner.reason
        assert not owner.hello.is_set()

    play(scene)


def test_a_spare_becomes_a_worker_whose_end_is_told_with_its_status():
    async def scene(owner, spares):
        await owner.hello.wait()
        channel = spawn(spares, 7)
        what, worker_id, pid = await owner.told.get()
        assert (what, worker_id) == ("spawned", 7)
        assert pid > 0
        assert await owner.told.get() == ("exited", 7, EXIT_REFUSED, "")
        channel.close()

    play(scene)


def test_more_workers_than_spares_can_be_had_and_killed_ones_are_told():
    async def scene(owner, spares):
        await owner.hello.wait()
        channels = [spawn(spares, number) for number in (1, 2)]
        spawned, ended = set(), set()
        while len(ended) < 2:  # the first may end while the second is being started
            what, worker_id, *more = await owner.told.get()
            if what == "spawned":
                spawned.add(worker_id)
                if worker_id == 2:
                    native.kill(more[0])
            else:
                ended.add(worker_id)
        assert spawned == ended == {1, 2}
        for channel in channels:
            channel.close()

    play(scene)
