"""Watching more sockets than Windows' `select` takes."""

import asyncio
import contextlib
import socket
import sys

import pytest

from proxyd.system import native
from tests import windows

if sys.platform != "win32":
    pytest.skip(windows.WINDOWS, allow_module_level=True)

_MANY = 700  # select takes 512


def test_a_loop_watches_as_many_sockets_as_there_are_sessions():
    async def main(socks: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        heard: list[int] = []
        done = asyncio.Event()

        def read(index: int) -> None:
            assert socks[index].recv(100) == b"x"
            heard.append(index)
            if len(heard) == 3:
                done.set()

        for index, sock in enumerate(socks):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            loop.add_reader(sock, read, index)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for index in (0, 600, _MANY - 1):
                client.sendto(b"x", socks[index].getsockname())
            async with asyncio.timeout(60):
                await done.wait()
        assert sorted(heard) == [0, 600, _MANY - 1]
        for sock in socks:
            loop.remove_reader(sock)

    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(_MANY)]
        with asyncio.Runner(loop_factory=native.new_event_loop) as runner:
            runner.run(main(socks))
