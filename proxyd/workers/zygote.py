"""The zygote: ``python -m proxyd.workers.zygote``, the process that workers are forked from.

It imports the worker's code once and then only waits and forks. It has one thread and never runs an event
loop, which is what makes forking safe; a worker is ready a few milliseconds after it is asked for. There is
one zygote a generation: a new generation runs the code that is installed when it starts.

Its standard input is the channel to the supervisor. When that ends, so do the zygote and, by the system's
parent-death signal, all its workers.
"""

import gc
import os
import select
import socket
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

import proxyd
from proxyd.system import native
from proxyd.workers import main as worker_main
from proxyd.workers.control import (
    PROTOCOL,
    Begin,
    Boot,
    Exited,
    FromZygote,
    Hello,
    Spawned,
    SpawnFailed,
    ToZygote,
)
from proxyd.workers.frames import FrameReader, encode

_READ_SIZE: Final = 1 << 16


class Zygote:
    """Serves one channel until it ends."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel: Final = channel
        self._exits: Final = native.child_exits()
        self._reader: Final = FrameReader()
        self._encoder: Final = msgspec.msgpack.Encoder()
        self._decoder: Final = msgspec.msgpack.Decoder[ToZygote](ToZygote)
        self._workers: Final[dict[int, int]] = {}  # pid to worker id

    def run(self) -> int:
        """Fork whenever asked to; returns when the supervisor has gone."""
        self._send(Hello(PROTOCOL, proxyd.__version__))
        while True:
            # A handful of descriptors, all below 10: select() does.
            ready, _, _ = select.select([self._channel, self._exits], [], [])
            if self._exits in ready:
                self._exits.recv(_READ_SIZE)
                self._report_exits()
            if self._channel in ready and not self._receive():
                return 0

    def _receive(self) -> bool:
        data, descriptors = native.receive_descriptors(self._channel, _READ_SIZE)
        if not data:
            return False
        for payload, attached in self._reader.feed(data, descriptors):
            message = self._decoder.decode(payload)
            if isinstance(message, Begin):
                native.become_standard_error(attached[0])
            else:
                self._spawn(message.boot, attached)
            for descriptor in attached:
                native.close_descriptor(descriptor)
        return True

    def _spawn(self, boot: Boot, descriptors: Sequence[int]) -> None:
        zygote = os.getpid()

        def run() -> int:
            native.die_with_parent(zygote)
            self._leave()
            return worker_main.run(boot, descriptors)

        try:
            pid = native.fork(run)
        except OSError as error:
            self._send(SpawnFailed(boot.worker_id, f"fork failed: {error.strerror}"))
            return
        self._workers[pid] = boot.worker_id
        self._send(Spawned(boot.worker_id, pid))

    def _leave(self) -> None:
        """In a worker just forked: let go of what belongs to the zygote."""
        native.forget_child_exits()
        self._exits.close()
        self._channel.close()

    def _report_exits(self) -> None:
        for child in native.reap():
            self._send(Exited(self._workers.pop(child.pid), child.status))

    def _send(self, message: FromZygote) -> None:
        # Waiting for the supervisor is right here: without it there is nothing to do.
        for data, _ in encode(self._encoder.encode(message)):
            view = memoryview(data)
            while view:
                select.select([], [self._channel], [])
                view = view[self._channel.send(view) :]


def main() -> int:
    """Become a zygote. Returns the exit code."""
    native.ignore_operator_signals()
    native.die_with_parent(os.getppid())  # had it died before, the channel would say so
    channel = native.inherited_channel()
    # What is imported by now lives as long as the process: leave its pages alone, so that workers share them.
    gc.collect()
    gc.freeze()
    try:
        return Zygote(channel).run()
    except (BrokenPipeError, ConnectionResetError):
        return 0


if __name__ == "__main__":
    sys.exit(main())
