import asyncio
import os
import struct

import msgspec
import pytest

from proxyd.supervisor import command_server
from proxyd.supervisor.command_server import CommandServer
from proxyd.supervisor.commands import (
    VERSION,
    Done,
    Progress,
    Refused,
    Reload,
    Reloaded,
    Request,
    Status,
    Stop,
)
from proxyd.supervisor.instance import InstanceError, RunDirectory, find
from proxyd.system import native

LENGTH = struct.Struct("!I")


class Served:
    """A command server in a run directory, on the running loop."""

    def __init__(self, tmp_path, answer):
        self.directory = RunDirectory.claim("one", str(tmp_path))
        self.server = CommandServer(answer)

    async def __aenter__(self):
        await self.server.listen(self.directory.listen())
        return find("one", os.path.dirname(self.directory.path))

    async def __aexit__(self, *_):
        await self.server.close()
        self.directory.close()


async def call(instance, command, **more):
    return await asyncio.to_thread(instance.call, command, **more)


def test_a_command_gets_its_reply(tmp_path):
    commands = []

    async def answer(command):
        commands.append(command)
        return Reloaded(generation=2, workers=4, seconds=0.5, carried=7, drained=False)

    async def talk():
        async with Served(tmp_path, answer) as instance:
            reply = await call(instance, Reload(wait=True, workers=4))
        assert reply == Reloaded(generation=2, workers=4, seconds=0.5, carried=7, drained=False)
        assert commands == [Reload(wait=True, workers=4)]

    asyncio.run(talk())


def test_a_command_that_fails_by_a_bug_is_refused_as_that(tmp_path):
    async def answer(command):
        raise RuntimeError("of ours")

    async def talk():
        async with Served(tmp_path, answer) as instance:
            refused = Refused(("a bug of proxyd: RuntimeError; its log has more",))
            assert await call(instance, Stop()) == refused

    asyncio.run(talk())


def test_signs_of_life_keep_a_slow_command_from_looking_hung(tmp_path, monkeypatch):
    monkeypatch.setattr(command_server, "PROGRESS_INTERVAL", 0.02)

    async def answer(command):
        await asyncio.sleep(0.5)
        return Done()

    async def talk():
        async with Served(tmp_path, answer) as instance:
            assert await call(instance, Stop(), timeout=0.25) == Done()

    asyncio.run(talk())


def test_a_hung_supervisor_is_told_from_a_slow_one(tmp_path, monkeypatch):
    monkeypatch.setattr(command_server, "PROGRESS_INTERVAL", 60.0)
    hung = asyncio.Event()

    async def answer(command):
        await hung.wait()
        return Done()

    async def talk():
        async with Served(tmp_path, answer) as instance:
            with pytest.raises(InstanceError, match="has not answered"):
                await call(instance, Stop(), timeout=0.05)
            hung.set()

    asyncio.run(talk())


def connect(instance):
    """A blocking connection to whatever serves commands there."""
    return native.connect_control(os.path.join(instance.path, "control.sock"), 10.0)


def exchange(instance, payload):
    with connect(instance) as client, client.makefile("rb") as reader:
        client.sendall(payload)
        (length,) = LENGTH.unpack(reader.read(4))
        return reader.read(length)


async def raw(instance, payload):
    """Send bytes as they are; the reply."""
    reply = await asyncio.to_thread(exchange, instance, payload)
    return msgspec.msgpack.decode(reply, type=Refused | Done | Progress)


def test_other_versions_nonsense_and_floods_are_refused(tmp_path):
    async def answer(command):
        return Done()

    async def talk():
        async with Served(tmp_path, answer) as instance:
            other = msgspec.msgpack.encode(Request(VERSION + 1, Status()))
            refused = await raw(instance, LENGTH.pack(len(other)) + other)
            assert "another version of proxyd" in refused.reasons[0]
            refused = await raw(instance, LENGTH.pack(3) + b"\xc1\xc1\xc1")
            assert "another version of proxyd" in refused.reasons[0]
            refused = await raw(instance, LENGTH.pack(2**31))
            assert "too many" in refused.reasons[0]
            assert await call(instance, Stop()) == Done()

    asyncio.run(talk())


def test_a_client_that_says_nothing_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(command_server, "REQUEST_TIMEOUT", 0.01)

    async def answer(command):
        return Done()

    async def talk():
        async with Served(tmp_path, answer) as instance:
            client = await asyncio.to_thread(connect, instance)
            with client:
                assert await asyncio.to_thread(client.recv, 1) == b""

    asyncio.run(talk())


def test_what_a_client_began_goes_on_when_it_leaves(tmp_path):
    async def talk():
        begun, released, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def answer(command):
            begun.set()
            await released.wait()
            ended.set()
            return Done()

        async with Served(tmp_path, answer) as instance:
            payload = msgspec.msgpack.encode(Request(VERSION, Reload()))
            client = await asyncio.to_thread(connect, instance)
            with client:
                client.sendall(LENGTH.pack(len(payload)) + payload)
                await asyncio.wait_for(begun.wait(), 5)
            released.set()
            await asyncio.wait_for(ended.wait(), 5)

    asyncio.run(talk())
