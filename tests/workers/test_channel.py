import asyncio
import socket

import msgspec

from proxyd.system import native
from proxyd.workers import channel as channel_module
from proxyd.workers.channel import Channel
from proxyd.workers.control import Drained, FromWorker, Ready, Refused, Serve, ToWorker
from tests.turns import settle


class End:
    """One end of a channel and what happened at it."""

    def __init__(self, loop, sock, kind):
        self.messages = []
        self.closed = asyncio.Event()
        self.drained = asyncio.Event()
        self.channel = Channel(loop, sock, msgspec.msgpack.Decoder(kind), self.hear, self.closed.set)

    def hear(self, message):
        self.messages.append(message)
        if isinstance(message, Drained):
            self.drained.set()


def pair():
    loop = asyncio.get_running_loop()
    left, right = native.channel_pair()
    return End(loop, left, FromWorker), End(loop, right, ToWorker)


def test_messages_arrive_in_order_and_the_end_is_noticed():
    async def talk():
        supervisor, worker = pair()
        worker.channel.send(Ready())
        worker.channel.send(Drained(3))
        supervisor.channel.send(Serve())
        await settle()
        assert worker.messages == [Serve()]
        worker.channel.close()
        await asyncio.wait_for(supervisor.closed.wait(), 5)
        assert supervisor.messages == [Ready(), Drained(3)]
        assert not worker.closed.is_set()  # it closed by itself
        supervisor.channel.send(Serve())  # into the void, quietly

    asyncio.run(talk())


def test_what_does_not_fit_now_follows_later():
    async def talk():
        supervisor, worker = pair()
        sent = [Refused("x" * 100_000 + str(number)) for number in range(20)]
        for message in sent:
            worker.channel.send(message)
        worker.channel.send(Drained(0))
        await asyncio.wait_for(supervisor.drained.wait(), 5)
        assert supervisor.messages.pop() == Drained(0)
        assert supervisor.messages == sent
        worker.channel.close()
        supervisor.channel.close()

    asyncio.run(talk())


def test_a_peer_that_does_not_read_is_given_up(monkeypatch):
    monkeypatch.setattr(channel_module, "MAX_QUEUED", 1_000_000)

    async def talk():
        loop = asyncio.get_running_loop()
        left, right = native.channel_pair()
        worker = End(loop, left, ToWorker)
        sent = 0
        while not worker.channel.closed and sent < 1000:  # the system takes some megabytes
            worker.channel.send(Refused("x" * 100_000))
            sent += 1
        assert 10 < sent < 1000
        await asyncio.wait_for(worker.closed.wait(), 5)
        right.close()

    asyncio.run(talk())


def test_nonsense_closes_the_channel():
    async def talk():
        loop = asyncio.get_running_loop()
        left, right = native.channel_pair()
        end = End(loop, left, FromWorker)
        right.send(b"\x00\x00\x00\x03\x00abc")
        await asyncio.wait_for(end.closed.wait(), 5)
        assert end.messages == []
        right.close()

    asyncio.run(talk())


def test_last_words_of_a_process_that_has_ended_are_heard():
    async def talk():
        supervisor, worker = pair()
        worker.channel.send(Refused("cannot"))
        worker.channel.close()
        supervisor.channel.finish()
        assert supervisor.messages == [Refused("cannot")]
        await settle()
        assert not supervisor.closed.is_set()

    asyncio.run(talk())


def test_unexpected_descriptors_do_not_leak():
    async def talk():
        supervisor, worker = pair()
        reader, writer = socket.socketpair()
        worker.channel.send(Ready(), [writer.fileno()])
        writer.close()
        await settle()
        assert supervisor.messages == [Ready()]
        reader.settimeout(5)
        assert reader.recv(1) == b""  # nobody holds the other side
        reader.close()
        worker.channel.close()
        supervisor.channel.close()

    asyncio.run(talk())
