"""A generation with a scripted zygote; the tests play the workers at the other end of real channels."""

import asyncio
import errno
import os
import socket

import msgspec
import psutil
import pytest

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.encoding import decode
from proxyd.snapshot.tickets import PERIOD_S, TicketSecret
from proxyd.stats.metrics import Registry
from proxyd.stats.totals import Totals
from proxyd.supervisor import generation as generation_module
from proxyd.supervisor.dns import HostSets
from proxyd.supervisor.generation import Generation
from proxyd.supervisor.limits import Limits
from proxyd.supervisor.sockets import ListenSockets
from proxyd.system import native
from proxyd.workers.channel import Channel
from proxyd.workers.control import (
    DRAINING,
    READY,
    Done,
    Drain,
    Drained,
    Draining,
    LogSettings,
    Ready,
    Refused,
    ReopenLogs,
    Serve,
    Serving,
    ToWorker,
)
from tests import windows
from tests.turns import settle


def copies(descriptors):
    """As another process would get them."""
    left, right = native.channel_pair()
    with left, right:
        packed, beside = native.lend_descriptors(left, descriptors)
    return native.adopt_descriptors(packed) if packed else beside


class PlayedWorker:
    """A worker as the zygote would have forked it; pid 0, so that nobody can be killed by mistake."""

    def __init__(self, boot, descriptors):
        self.boot = boot
        self.heard = []
        control, self.memory, configuration, limits = descriptors
        self.bootstrap = decode(native.read_memory(configuration))
        native.close_descriptor(configuration)
        native.close_descriptor(limits)
        self.channel = Channel(
            asyncio.get_running_loop(),
            socket.socket(fileno=control),
            msgspec.msgpack.Decoder(ToWorker),
            self.heard.append,
            lambda: None,
        )

    def say(self, message):
        self.channel.send(message)

    def end(self):
        self.channel.close()
        native.close_descriptor(self.memory)


class PlayedZygote:
    made: list["PlayedZygote"] = []

    def __init__(self, loop, owner):
        self.owner = owner
        self.ready = False
        self.workers = []
        self.ended = ""
        PlayedZygote.made.append(self)

    def hello(self):
        self.ready = True
        self.owner.on_hello()

    def spawn(self, boot, descriptors):
        self.workers.append(PlayedWorker(boot, copies(descriptors)))

    def end(self, why):
        self.ended = why or "ended"
        self.owner.on_zygote_gone(why)

    def exit(self, index, status):
        worker = self.workers[index]
        worker.end()
        self.owner.on_exited(worker.boot.worker_id, status, "")


class Around:
    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.totals = Totals(Registry(None))
        self.limits = Limits()
        self.log = LogSettings(None, "%v", {"": "info"})
        self.drain_close = False
        self.tickets = TicketSecret(bytes(32), 0)
        self.hung = []
        self._ids = 0

    def new_worker_id(self):
        self._ids += 1
        return self._ids

    def changed(self):
        pass

    def replaced(self, slot):
        self.hung.append(slot)


@pytest.fixture(autouse=True)
def killed(monkeypatch):
    """Every generation gets played zygotes; the pids it would have killed."""
    monkeypatch.setattr(native, "forks", True)
    monkeypatch.setattr(generation_module, "Zygote", PlayedZygote)
    PlayedZygote.made = []
    pids = []
    monkeypatch.setattr(native, "kill", pids.append)
    return pids


def test_rows_and_columns_of_the_limits_are_given_back():
    async def play():
        around, generation, zygote = await serving()
        assert [worker.boot.limit_row for worker in zygote.workers] == [1, 2]
        zygote.exit(0, -9)
        assert around.limits.table.lend_row() == 1
        generation.end()
        zygote.exit(1, -9)
        assert generation.over
        assert around.limits.table.lend_row() == 2

    asyncio.run(play())


def test_workers_get_the_secret_of_tickets_as_it_is_when_they_start():
    async def play():
        around, generation, zygote = await serving()
        first = around.tickets.secret
        assert around.tickets.advance(PERIOD_S)
        zygote.exit(0, -9)
        generation.reconcile(around.loop.time() + 60, 0.0)
        boots = [worker.boot for worker in zygote.workers]
        assert [boot.ticket_secret for boot in boots] == [first, first, around.tickets.secret]
        assert [boot.ticket_former for boot in boots] == [b"", b"", first]
        assert [boot.ticket_epoch for boot in boots] == [0, 0, 1]
        end(zygote)

    asyncio.run(play())


def new(workers=2):
    around = Around()
    sockets = ListenSockets().prepare([], workers)
    generation = Generation(3, Bootstrap(), workers, sockets, HostSets([], Registry(None)), around)
    generation.start()
    (zygote,) = PlayedZygote.made
    return around, generation, zygote


async def serving(workers=2):
    around, generation, zygote = new(workers)
    zygote.hello()
    generation.reconcile(around.loop.time(), 0.0)
    for worker in zygote.workers:
        worker.say(Ready())
    await settle()
    generation.serve()
    await settle()
    for worker in zygote.workers:
        worker.say(Serving())
    await settle()
    return around, generation, zygote


def end(zygote):
    for worker in zygote.workers:
        if not worker.channel.closed:
            worker.end()


def test_ready_when_every_worker_is_and_serving_only_when_told():
    async def play():
        _, generation, zygote = new()
        generation.reconcile(1.0, 0.0)
        assert zygote.workers == []  # the zygote has not said Hello
        zygote.hello()
        generation.reconcile(1.0, 0.0)
        one, two = zygote.workers
        assert [worker.boot.slot for worker in zygote.workers] == [0, 1]
        assert not one.boot.serve
        assert one.bootstrap == Bootstrap()
        one.say(Ready())
        await settle()
        assert not generation.ready
        two.say(Ready())
        await settle()
        assert generation.ready
        assert one.heard == []
        generation.serve()
        await settle()
        assert one.heard == [Serve()]
        assert not generation.serving
        one.say(Serving())
        two.say(Serving())
        await settle()
        assert generation.serving
        end(zygote)

    asyncio.run(play())


def test_a_worker_that_refuses_fails_the_generation_with_its_reason():
    async def play():
        _, generation, zygote = new(1)
        zygote.hello()
        generation.reconcile(1.0, 0.0)
        zygote.workers[0].say(Refused("no such file: x"))
        zygote.exit(0, 3)  # may be known before its last words were read
        assert generation.failure == "worker 0: no such file: x"
        generation.reconcile(2.0, 0.0)
        assert len(zygote.workers) == 1  # nothing is tried again
        generation.fail()
        assert generation.over
        assert zygote.ended

    asyncio.run(play())


def test_a_zygote_that_cannot_start_fails_the_generation():
    async def play():
        _, generation, zygote = new(1)
        zygote.end("ImportError: no module named x")
        assert generation.failure == "ImportError: no module named x"
        generation.fail()
        assert generation.over

    asyncio.run(play())


def test_a_worker_that_dies_in_service_is_replaced_at_once_and_serves_at_once():
    async def play():
        around, generation, zygote = await serving()
        zygote.exit(1, -9)
        generation.reconcile(around.loop.time(), 0.0)
        successor = zygote.workers[2]
        assert successor.boot.slot == 1
        assert successor.boot.serve
        assert successor.boot.worker_id == 3
        assert not generation.failure
        end(zygote)

    asyncio.run(play())


def test_a_zygote_that_dies_in_service_is_replaced_and_then_its_workers():
    async def play():
        around, generation, zygote = await serving()
        zygote.end("killed")
        assert generation.workers == {}
        generation.reconcile(around.loop.time(), 0.0)
        _, second = PlayedZygote.made
        second.hello()
        generation.reconcile(around.loop.time() + 1, 0.0)
        assert [worker.boot.slot for worker in second.workers] == [0, 1]
        end(zygote)
        end(second)

    asyncio.run(play())


def test_draining_ends_when_the_last_worker_has_gone():
    async def play():
        _, generation, zygote = await serving()
        generation.drain(30.0, close_idle=False)
        await settle()
        one, two = zygote.workers
        assert one.heard[-1] == Drain(30.0, close_idle=False)
        assert not generation.stopped_accepting
        one.say(Draining(4))
        two.say(Draining(1))
        await settle()
        assert generation.stopped_accepting
        assert generation.carried == 5
        for index, worker in enumerate((one, two)):
            assert not generation.over
            worker.say(Drained(0))
            await settle()
            zygote.exit(index, 0)
        assert generation.over
        assert zygote.ended

    asyncio.run(play())


def test_a_worker_killed_while_it_drains_is_not_replaced():
    async def play():
        around, generation, zygote = await serving(1)
        generation.drain(30.0, close_idle=False)
        zygote.exit(0, -9)
        generation.reconcile(around.loop.time(), 0.0)
        assert len(zygote.workers) == 1
        assert generation.over

    asyncio.run(play())


def test_a_hung_worker_is_killed_once(killed):
    async def play():
        around, generation, zygote = await serving(1)
        generation.on_spawned(1, 4242)
        late = around.loop.time() + 11
        generation.reconcile(late, 0.0)
        generation.reconcile(late + 1, 0.0)
        assert killed == [4242]
        assert around.hung == [0]
        end(zygote)

    asyncio.run(play())


def test_questions_are_answered_when_all_asked_have_or_have_gone():
    async def play():
        _, generation, zygote = await serving()
        asked = generation.ask(ReopenLogs(7))
        await settle()
        assert zygote.workers[0].heard[-1] == ReopenLogs(7)
        zygote.workers[0].say(Done(7))
        await settle()
        assert not generation.done(asked, 7)
        zygote.exit(1, -9)
        assert generation.done(asked, 7)
        assert generation.roster.count(READY) == 1
        assert generation.roster.count(DRAINING) == 0
        end(zygote)

    asyncio.run(play())


@pytest.fixture
def descriptors(monkeypatch):
    """``take()`` makes every further descriptor fail, ``give()`` lets them be had again."""

    def refuse(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    class Descriptors:
        def take(self, name="channel_pair"):
            monkeypatch.setattr(native, name, refuse)

        def give(self):
            monkeypatch.undo()

    return Descriptors()


def open_descriptors():
    return windows.descriptors(psutil.Process())


@pytest.mark.parametrize("lacking", ["channel_pair", "create_memory", "map_memory"])
def test_without_a_free_descriptor_a_new_generation_fails(descriptors, lacking):
    async def play():
        around, generation, zygote = new()
        zygote.hello()
        before = open_descriptors()
        descriptors.take(lacking)
        generation.reconcile(around.loop.time(), 0.0)
        assert "too few file descriptors; raise the limit" in generation.failure
        assert open_descriptors() <= before
        generation.fail()
        assert generation.over

    asyncio.run(play())


def test_without_a_free_descriptor_a_dead_worker_is_replaced_later(monkeypatch, caplog):
    async def play():
        around, generation, zygote = await serving(1)
        zygote.exit(0, -9)
        before = open_descriptors()
        really = PlayedZygote.spawn

        def refuse(*_):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(PlayedZygote, "spawn", refuse)
        caplog.clear()
        now = around.loop.time()
        wake = generation.reconcile(now, 0.0)
        assert wake > now
        (record,) = caplog.records
        assert record.getMessage() == (
            "worker 0 cannot be started: too few file descriptors; raise the limit (ulimit -n, LimitNOFILE= "
            "in systemd); again in 0.1 s"
        )
        assert open_descriptors() <= before
        monkeypatch.setattr(PlayedZygote, "spawn", really)
        generation.reconcile(wake, 0.0)
        assert zygote.workers[1].boot.serve
        assert not generation.failure
        end(zygote)

    asyncio.run(play())


def test_a_generation_needs_memory_for_its_configuration(descriptors):
    async def play():
        descriptors.take("create_sealed_memory")
        with pytest.raises(OSError, match="Too many open files"):
            new()

    asyncio.run(play())
