"""The process that takes over from a running supervisor: ``python -m proxyd.supervisor.successor``.

That one starts it and is on its standard input; ``succession`` has what they say to each other.
"""

import os
import select
import socket
import sys
from typing import Final

import msgspec

from proxyd import __version__
from proxyd.config.load import ConfigErrors
from proxyd.supervisor.instance import InstanceError
from proxyd.supervisor.main import succeed
from proxyd.supervisor.succession import PROTOCOL, Estate, FromPredecessor, Hello
from proxyd.system import native
from proxyd.workers.frames import FrameReader, encode

_READ_SIZE: Final = 1 << 16


def main() -> int:
    """Take over. Returns the exit code."""
    channel = native.inherited_channel()
    _say_hello(channel)
    received = _receive_estate(channel)
    if received is None:
        return 1
    estate, descriptors = received
    native.become_standard_error(descriptors[0])
    native.close_descriptor(descriptors[0])
    try:
        return succeed(channel, estate, descriptors[1:])
    except (ConfigErrors, InstanceError):
        return 1  # it has been told


def _say_hello(channel: socket.socket) -> None:
    for data, _ in encode(msgspec.msgpack.encode(Hello(PROTOCOL, __version__, os.getpid()))):
        channel.send(data)  # the first bytes ever sent: there is room


def _receive_estate(channel: socket.socket) -> tuple[Estate, list[int]] | None:
    """What the old process hands over; None where it has given up."""
    reader = FrameReader()
    decoder = msgspec.msgpack.Decoder[FromPredecessor](FromPredecessor)
    while True:
        select.select([channel], [], [])
        data, descriptors = native.receive_descriptors(channel, _READ_SIZE)
        if not data:
            return None
        for payload, attached in reader.feed(data, descriptors):
            estate = decoder.decode(payload)
            assert isinstance(estate, Estate)
            return estate, list(attached)


if __name__ == "__main__":
    sys.exit(main())
