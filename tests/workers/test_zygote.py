"""A real zygote, and workers really forked from it; the worker's own code is the real one too."""

import os
import select
import signal
import socket

import msgspec
import pytest

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.encoding import encode as encode_config
from proxyd.net.limits import SIZE as LIMITS_SIZE
from proxyd.stats.block import DEFAULT_SIZE
from proxyd.system import native
from proxyd.workers.control import (
    PROTOCOL,
    Begin,
    Boot,
    Drain,
    Drained,
    Draining,
    Exited,
    FromWorker,
    FromZygote,
    Hello,
    LogSettings,
    Ready,
    Refused,
    Serve,
    Serving,
    Spawn,
    Spawned,
)
from proxyd.workers.frames import FrameReader, encode

TIMEOUT = 20.0
LOG = LogSettings(None, "[%l] %v", {"": "info"})


class Peer:
    """The supervisor's end of a channel, used blocking."""

    def __init__(self, sock: socket.socket, kind: object) -> None:
        self._sock = sock
        self._reader = FrameReader()
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._messages: list[object] = []

    def send(self, message: object, descriptors: tuple[int, ...] = ()) -> None:
        for data, attached in encode(msgspec.msgpack.encode(message), descriptors):
            if attached:
                assert native.send_descriptors(self._sock, data, attached) == len(data)
            else:
                self._sock.sendall(data)

    def next(self) -> object:
        """The next message, None at the end of the channel."""
        while not self._messages:
            ready, _, _ = select.select([self._sock], [], [], TIMEOUT)
            assert ready, "nothing arrived"
            try:
                data = self._sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._messages += [self._decoder.decode(payload) for payload, _ in self._reader.feed(data)]
        return self._messages.pop(0)

    def close(self) -> None:
        self._sock.close()


def gone(pid: int) -> bool:
    """Wait until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], TIMEOUT)[0])
    finally:
        os.close(descriptor)


@pytest.fixture
def zygote():
    """A zygote that has said Hello, its pid, and the way to it."""
    ours, theirs = native.channel_pair()
    pid = native.spawn_python("proxyd.workers.zygote", theirs, None)
    theirs.close()
    peer = Peer(ours, FromZygote)
    hello = peer.next()
    assert isinstance(hello, Hello)
    assert hello.protocol == PROTOCOL
    peer.send(Begin(), (2,))
    yield pid, peer
    peer.close()
    native.kill(pid)
    native.wait(pid)


def spawn(zygote: Peer, worker_id: int = 1, config: bytes | None = None) -> tuple[int, Peer]:
    """Fork a worker without listeners; its pid and the way to it."""
    ours, theirs = native.channel_pair()
    memory = native.create_memory("test-stats", DEFAULT_SIZE)
    configuration = native.create_sealed_memory("test-config", config or encode_config(Bootstrap()))
    limits = native.create_memory("test-limits", LIMITS_SIZE)
    boot = Boot(
        worker_id=worker_id,
        slot=0,
        workers=1,
        generation=1,
        local_address="127.0.0.1",
        listeners=(),
        limit_row=0,
        limit_columns={},
        hosts=(),
        log=LOG,
        serve=False,
        drain_close=False,
        ticket_secret=bytes(32),
        ticket_epoch=0,
    )
    zygote.send(Spawn(boot), (theirs.fileno(), memory, configuration, limits))
    theirs.close()
    os.close(memory)
    os.close(configuration)
    os.close(limits)
    spawned = zygote.next()
    assert isinstance(spawned, Spawned)
    assert spawned.worker_id == worker_id
    return spawned.pid, Peer(ours, FromWorker)


def test_a_worker_serves_and_drains(zygote):
    _, peer = zygote
    pid, worker = spawn(peer)
    assert worker.next() == Ready()
    worker.send(Serve())
    assert worker.next() == Serving()
    worker.send(Drain(5.0, close_idle=False))
    assert worker.next() == Draining(0)
    assert worker.next() == Drained(0)
    assert worker.next() is None
    assert peer.next() == Exited(1, 0)
    assert gone(pid)
    worker.close()


def test_a_killed_worker_is_reported_and_others_live_on(zygote):
    _, peer = zygote
    first, one = spawn(peer, 1)
    second, two = spawn(peer, 2)
    assert one.next() == Ready()
    assert two.next() == Ready()
    os.kill(first, signal.SIGKILL)
    assert one.next() is None
    assert peer.next() == Exited(1, -signal.SIGKILL)
    two.send(Serve())
    assert two.next() == Serving()
    assert not gone_now(second)
    one.close()
    two.close()


def gone_now(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_terminal_signals_are_ignored(zygote):
    pid, peer = zygote
    child, worker = spawn(peer)
    assert worker.next() == Ready()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
        os.kill(child, number)
    worker.send(Serve())
    assert worker.next() == Serving()
    _, other = spawn(peer, 2)
    assert other.next() == Ready()
    worker.close()
    other.close()


def test_a_worker_that_cannot_start_says_why(zygote):
    _, peer = zygote
    _, worker = spawn(peer, config=b"\xc1 nonsense")
    refused = worker.next()
    assert isinstance(refused, Refused)
    assert "MessagePack" in refused.reason
    assert worker.next() is None
    exited = peer.next()
    assert isinstance(exited, Exited)
    assert exited.status > 0
    worker.close()


def test_the_end_of_the_channel_ends_a_worker(zygote):
    _, peer = zygote
    pid, worker = spawn(peer)
    assert worker.next() == Ready()
    worker.close()
    assert gone(pid)
    assert isinstance(peer.next(), Exited)


def test_the_end_of_its_channel_ends_the_zygote_and_all_workers(zygote):
    pid, peer = zygote
    child, worker = spawn(peer)
    assert worker.next() == Ready()
    peer.close()
    assert native.wait(pid) == 0
    assert gone(child)
    worker.close()


def test_a_killed_zygote_takes_its_workers_along(zygote):
    pid, peer = zygote
    child, worker = spawn(peer)
    assert worker.next() == Ready()
    os.kill(pid, signal.SIGKILL)
    assert native.wait(pid) == -signal.SIGKILL
    assert gone(child)
    worker.close()


def test_files_in_the_working_directory_shadow_nothing(tmp_path, monkeypatch):
    (tmp_path / "msgspec.py").write_text("raise RuntimeError('shadowed')")
    (tmp_path / "proxyd.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(tmp_path)
    ours, theirs = native.channel_pair()
    pid = native.spawn_python("proxyd.workers.zygote", theirs, None)
    theirs.close()
    peer = Peer(ours, FromZygote)
    assert isinstance(peer.next(), Hello)
    peer.close()
    assert native.wait(pid) == 0


def test_what_keeps_a_zygote_from_starting_is_on_its_stderr(tmp_path):
    ours, theirs = native.channel_pair()
    stderr = native.new_capture()
    pid = native.spawn_python("proxyd.workers.no_such_module", theirs, stderr)
    theirs.close()
    assert Peer(ours, FromZygote).next() is None
    assert native.wait(pid) == 1
    assert "no_such_module" in stderr.read()
    stderr.close()
    ours.close()
