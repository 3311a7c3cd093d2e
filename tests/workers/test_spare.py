"""The spare against its dialogue: Hello, a worker in its place, its end with the supervisor."""

import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.encoding import encode as encode_config
from proxyd.net.limits import SIZE as LIMITS_SIZE
from proxyd.stats.block import DEFAULT_SIZE
from proxyd.supervisor.options import DEFAULT_LOG_FORMAT
from proxyd.system import Capture, native
from proxyd.workers.control import (
    PROTOCOL,
    Boot,
    Drain,
    Drained,
    Draining,
    FromWorker,
    FromZygote,
    Hello,
    LogSettings,
    Ready,
    Refused,
    Serve,
    Serving,
    Spawn,
)
from proxyd.workers.frames import FrameReader, encode


class Peer:
    """One end of a channel, in blocking style."""

    def __init__(self, sock: socket.socket, kind: object) -> None:
        self.sock = sock
        sock.settimeout(30)
        self._reader = FrameReader()
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._messages: list[object] = []

    def send(self, message: msgspec.Struct, descriptors: list[int] | None = None) -> None:
        packed, copies = native.lend_descriptors(self.sock, descriptors or [])
        for data, attached in encode(msgspec.msgpack.encode(message), copies, packed):
            if attached:
                native.send_descriptors(self.sock, data, attached)
            else:
                self.sock.sendall(data)
        for copy in copies:
            native.close_descriptor(copy)

    def next(self) -> object:
        """The next message; None at the end."""
        while not self._messages:
            data, descriptors = native.receive_descriptors(self.sock, 1 << 16)
            if not data:
                return None
            frames = self._reader.feed(data, descriptors)
            self._messages += [self._decoder.decode(payload) for payload, _ in frames]
        return self._messages.pop(0)


class Spare:
    def __init__(self) -> None:
        ours, theirs = native.channel_pair()
        self.capture: Capture = native.new_capture()
        with theirs:
            self.pid = native.spawn_python("proxyd.workers.spare", theirs, self.capture)
        self.peer = Peer(ours, FromZygote)

    def spawn(self, configuration: bytes, *lent: socket.socket, **changes: Any) -> Peer:
        """Have it become a worker, by ``BOOT`` with ``changes``: the supervisor's end of its channel."""
        ours, theirs = native.channel_pair()
        memory = native.create_memory("test-stats", DEFAULT_SIZE)
        sealed = native.create_sealed_memory("test-config", configuration)
        limits = native.create_memory("test-limits", LIMITS_SIZE)
        with theirs:
            boot = msgspec.structs.replace(BOOT, **changes)
            listening = [sock.fileno() for sock in lent]
            self.peer.send(Spawn(boot), [theirs.fileno(), memory, sealed, limits, *listening])
        for descriptor in (memory, sealed, limits):
            native.close_descriptor(descriptor)
        return Peer(ours, FromWorker)

    def end(self) -> None:
        native.kill(self.pid)
        native.wait(self.pid)
        self.peer.sock.close()
        self.capture.close()


BOOT = Boot(
    worker_id=1,
    slot=0,
    workers=1,
    generation=1,
    limit_row=1,
    limit_columns={},
    local_address="127.0.0.1",
    listeners=(),
    hosts=(),
    log=LogSettings(None, DEFAULT_LOG_FORMAT, {"": "info"}),
    serve=False,
    drain_close=False,
    ticket_secret=b"s" * 32,
    ticket_epoch=0,
)


@pytest.fixture
def spare() -> Iterator[Spare]:
    made = Spare()
    yield made
    made.end()


def test_a_spare_says_hello_and_ends_with_the_channel(spare: Spare) -> None:
    hello = spare.peer.next()
    assert isinstance(hello, Hello)
    assert hello.protocol == PROTOCOL
    spare.peer.sock.close()
    assert native.wait(spare.pid) == 0


def test_a_spare_becomes_a_worker_and_its_exit_code_is_the_workers(spare: Spare) -> None:
    spare.peer.next()
    worker = spare.spawn(encode_config(Bootstrap()))
    assert spare.peer.next() is None  # it is no spare any more
    assert isinstance(worker.next(), Ready)
    worker.send(Serve())
    assert isinstance(worker.next(), Serving)
    worker.send(Drain(1.0, close_idle=True))
    assert worker.next() == Draining(0)
    assert worker.next() == Drained(0)
    assert native.wait(spare.pid) == 0
    worker.sock.close()


def test_what_a_worker_cannot_run_it_refuses(spare: Spare) -> None:
    worker = spare.spawn(b"nonsense")
    assert isinstance(worker.next(), Refused)
    assert native.wait(spare.pid) == 3
    worker.sock.close()
