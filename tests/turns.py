"""Waiting until what has been sent between processes of ours has been read, on any loop."""

import asyncio

from proxyd.system import native

_TURNS = 5


async def settle() -> None:
    """Return when what channels hold by now has been read, and what follows from it at once has been done.

    A message of our own goes behind all others; some loops hear of a channel from a thread.
    """
    loop = asyncio.get_running_loop()
    left, right = native.channel_pair()
    with left, right:
        for _ in range(2):  # messages and what they are answered by
            read = asyncio.Event()
            loop.add_reader(right, read.set)
            left.send(b".")
            await read.wait()
            loop.remove_reader(right)
            right.recv(1)
            for _ in range(_TURNS):
                await asyncio.sleep(0)
