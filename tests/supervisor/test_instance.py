import errno
import os
import socket
import struct
import threading

import msgspec
import pytest

from proxyd.supervisor import commands
from proxyd.supervisor.instance import Instance, InstanceError, NotRunning, RunDirectory, find

LENGTH = struct.Struct("!I")


def frame(message: object) -> bytes:
    payload = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(payload)) + payload


def answer(listener: socket.socket, *frames: bytes) -> threading.Thread:
    """Serve one call in a thread: read a request, send the frames, close."""
    listener.setblocking(True)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            for each in frames:
                connection.sendall(each)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_second_instance_of_the_same_name_is_refused(tmp_path):
    first = RunDirectory.claim("one", str(tmp_path))
    with pytest.raises(InstanceError, match=rf"'one' already runs \(pid {os.getpid()}\)"):
        RunDirectory.claim("one", str(tmp_path))
    first.close()
    RunDirectory.claim("one", str(tmp_path)).close()
    assert os.listdir(tmp_path) == []


def test_leftovers_of_a_killed_instance_are_taken_over(tmp_path):
    directory = tmp_path / "one"
    directory.mkdir(mode=0o700)
    (directory / "pid").write_text("1\n")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(directory / "control.sock"))
    dead.close()
    with pytest.raises(NotRunning):
        find("one", str(tmp_path))
    claimed = RunDirectory.claim("one", str(tmp_path))
    with claimed.listen():
        assert find("one", str(tmp_path)).pid == os.getpid()
    claimed.close()


def test_a_full_disk_is_told_as_such_and_nothing_is_left(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(InstanceError, match=r"one cannot be used: No space left on device; choose another"):
        RunDirectory.claim("one", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_control_socket_and_directory_are_for_the_owner_only(tmp_path):
    claimed = RunDirectory.claim("one", str(tmp_path))
    with claimed.listen():
        assert os.stat(claimed.path).st_mode & 0o777 == 0o700
        assert os.stat(os.path.join(claimed.path, "control.sock")).st_mode & 0o777 == 0o600
    claimed.close()


def test_a_link_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "one").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InstanceError, match="is a link or a file"):
        RunDirectory.claim("one", str(tmp_path))


def test_a_base_that_others_may_write_to_is_refused(tmp_path):
    os.chmod(tmp_path, 0o777)
    with pytest.raises(InstanceError, match=r"written to by other users.*--run-dir"):
        RunDirectory.claim("one", str(tmp_path))


def test_names_that_leave_the_base_are_refused(tmp_path):
    for name in ("..", "a/b", "", ".hidden"):
        with pytest.raises(InstanceError, match="is no name for an instance"):
            RunDirectory.claim(name, str(tmp_path))


def test_find_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("PROXYD_RUN_DIR", str(tmp_path))
    with pytest.raises(NotRunning, match="no running instance of proxyd found"):
        find(None)
    one = RunDirectory.claim("one", None)
    with one.listen():
        assert find(None).name == "one"
        two = RunDirectory.claim("two", None)
        with two.listen(), pytest.raises(InstanceError, match=r"several instances .*: one, two"):
            find(None)
        two.close()
    one.close()


def test_a_path_longer_than_a_socket_address_works(tmp_path):
    base = tmp_path / ("d" * 120)
    claimed = RunDirectory.claim("one", str(base))
    with claimed.listen():
        assert find("one", str(base)).path == claimed.path
    claimed.close()


def test_call_skips_progress_and_returns_the_reply(tmp_path):
    claimed = RunDirectory.claim("one", str(tmp_path))
    with claimed.listen() as listener:
        thread = answer(listener, frame(commands.Progress("draining")), frame(commands.Done()))
        assert Instance("one", claimed.path).call(commands.Stop()) == commands.Done()
        thread.join()
    claimed.close()


def test_call_tells_hung_dead_and_foreign_apart(tmp_path):
    claimed = RunDirectory.claim("one", str(tmp_path))
    instance = Instance("one", claimed.path)
    with claimed.listen() as listener:
        with pytest.raises(InstanceError, match=r"has not answered for 0\.05 s"):
            instance.call(commands.Status(), timeout=0.05)
        listener.accept()[0].close()
        thread = answer(listener)
        with pytest.raises(InstanceError, match="ended before it answered"):
            instance.call(commands.Status())
        thread.join()
        thread = answer(listener, frame({"type": "Novelty"}))
        with pytest.raises(InstanceError, match="another version"):
            instance.call(commands.Status())
        thread.join()
    claimed.close()
    with pytest.raises(NotRunning):
        instance.call(commands.Status())


def test_a_supervisor_that_takes_no_more_commands_is_told(tmp_path):
    claimed = RunDirectory.claim("one", str(tmp_path))
    waiting = []
    with claimed.listen() as listener:
        listener.listen(0)
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            waiting.append(client)
            try:
                client.connect(os.path.join(claimed.path, "control.sock"))
            except BlockingIOError:
                break
        with pytest.raises(InstanceError, match="is too busy to take a command"):
            find("one", str(tmp_path)).call(commands.Status())
    for client in waiting:
        client.close()
    claimed.close()
