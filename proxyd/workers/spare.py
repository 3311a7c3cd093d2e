"""A spare: ``python -m proxyd.workers.spare``, a process that has imported the code and waits to be a worker.

It is to a system without fork what the zygote is to one with: told Spawn, it does not fork but is the worker
itself from then on. The dialogue is the same; the end of its process is seen by the supervisor, which started
it. When the channel ends before that, so does the spare.
"""

import select
import socket
import sys
from typing import Final

import msgspec

import proxyd
from proxyd.system import native
from proxyd.workers import main as worker_main
from proxyd.workers.control import PROTOCOL, Begin, Hello, Spawn, ToZygote
from proxyd.workers.frames import FrameReader, encode

_READ_SIZE: Final = 1 << 16


def await_spawn(channel: socket.socket) -> tuple[Spawn, list[int]] | None:
    """Say Hello and wait for Spawn with its descriptors; None where the supervisor has gone instead."""
    decoder: msgspec.msgpack.Decoder[ToZygote] = msgspec.msgpack.Decoder(ToZygote)
    reader = FrameReader()
    ((data, _),) = encode(msgspec.msgpack.encode(Hello(PROTOCOL, proxyd.__version__)))
    channel.sendall(data)
    while True:
        select.select([channel], [], [])
        data, descriptors = native.receive_descriptors(channel, _READ_SIZE)
        if not data:
            return None
        for payload, attached in reader.feed(data, descriptors):
            message = decoder.decode(payload)
            if isinstance(message, Spawn):
                return message, attached
            assert isinstance(message, Begin)
            native.become_standard_error(attached[0])
            native.close_descriptor(attached[0])


def main() -> int:
    """Wait, then be a worker. Returns the exit code."""
    native.ignore_operator_signals()
    channel = native.inherited_channel()
    try:
        spawn = await_spawn(channel)
    except ConnectionError:
        return 0
    finally:
        channel.close()
    return 0 if spawn is None else worker_main.run(spawn[0].boot, spawn[1])


if __name__ == "__main__":
    sys.exit(main())
