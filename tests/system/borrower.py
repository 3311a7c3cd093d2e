"""A process that borrows memory and a listening socket, and shows that it has both."""

import select
import socket
import sys
from collections.abc import Sequence

from proxyd.system import native
from proxyd.workers.frames import FrameReader, encode


def lend(channel: socket.socket, descriptors: Sequence[int]) -> None:
    packed, copies = native.lend_descriptors(channel, descriptors)
    for data, attached in encode(b"take", copies, packed):
        if attached:
            native.send_descriptors(channel, data, attached)
        else:
            channel.sendall(data)
    for copy in copies:
        native.close_descriptor(copy)


def main() -> int:
    channel = native.inherited_channel()
    reader = FrameReader()
    frames: list[tuple[bytes, list[int]]] = []
    while not frames:
        select.select([channel], [], [], 30)
        frames = reader.feed(*native.receive_descriptors(channel, 1 << 16))
    ((_, (memory, listening)),) = frames
    with native.map_memory(memory) as mapped, socket.socket(fileno=listening) as server:
        native.close_descriptor(memory)
        server.setblocking(True)
        connection, _ = server.accept()
        with connection:
            connection.sendall(mapped[:5])
        mapped[15] = 1
    channel.setblocking(True)
    return len(channel.recv(1))


if __name__ == "__main__":
    sys.exit(main())
