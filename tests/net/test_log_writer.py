"""The writer's thread against real files: full disks, torn lines, pipes without and with readers."""

import errno
import os
import threading
from pathlib import Path

import pytest

from proxyd.net import log_writer
from proxyd.net.log_writer import CLOSE, PIPE_BUF, REOPEN, SYNC, WRITE, LogWriter, Request


def ask(writer: LogWriter, kind: int) -> Request:
    """Let the writer do everything up to a request of this kind."""
    request = Request(kind)
    writer.put(request)
    assert request.done is not None
    assert request.done.wait(10)
    return request


def write(writer: LogWriter, *lines: bytes) -> None:
    writer.put(Request(WRITE, list(lines), sum(map(len, lines))))
    ask(writer, SYNC)


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    writer = LogWriter(str(path))
    write(writer, b"a\n", b"b\n")
    write(writer, b"c\n")
    ask(writer, CLOSE)
    assert path.read_bytes() == b"old\na\nb\nc\n"
    assert (writer.completed, writer.failed, writer.dropped, writer.done_bytes) == (2, 0, 0, 6)


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        LogWriter(str(tmp_path / "nowhere" / "log"))


def test_a_full_disk_drops_and_counts() -> None:
    writer = LogWriter("/dev/full")
    write(writer, b"a\n", b"b\n")
    assert (writer.completed, writer.failed, writer.dropped, writer.done_bytes) == (0, 1, 2, 4)
    ask(writer, CLOSE)


def test_a_torn_line_is_ended_and_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    room = [3, 0, 100]  # the disk takes three bytes, then none, then has room again

    def filling(descriptor: int, data: bytes) -> int:
        left = room.pop(0)
        if not left:
            raise OSError(errno.ENOSPC, "full")
        return real(descriptor, data[:left])

    path = tmp_path / "log"
    writer = LogWriter(str(path))
    monkeypatch.setattr(log_writer.os, "write", filling)
    write(writer, b"a\n", b"bcd\n")
    write(writer, b"e\n")
    ask(writer, CLOSE)
    assert path.read_bytes() == b"a\nb\ne\n"
    assert (writer.failed, writer.dropped) == (1, 1)


def test_a_short_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    room = [3, 100]
    path = tmp_path / "log"
    writer = LogWriter(str(path))
    monkeypatch.setattr(log_writer.os, "write", lambda fd, data: real(fd, data[: room.pop(0)]))
    write(writer, b"a\n", b"bcd\n")
    ask(writer, CLOSE)
    assert path.read_bytes() == b"a\nb\nbcd\n"
    assert (writer.failed, writer.dropped) == (0, 0)


def test_reopening_follows_a_rename(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LogWriter(str(path))
    writer.put(Request(WRITE, [b"before\n"], 7))
    path.rename(tmp_path / "log.1")
    assert not ask(writer, REOPEN).failed
    assert (tmp_path / "log.1").read_bytes() == b"before\n"
    write(writer, b"after\n")
    assert path.read_bytes() == b"after\n"
    ask(writer, CLOSE)


def test_a_failed_reopening_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    writer = LogWriter(str(folder / "log"))
    folder.rename(tmp_path / "moved")
    assert ask(writer, REOPEN).failed
    assert writer.reopen_failed == 1
    write(writer, b"a\n")
    assert (tmp_path / "moved" / "log").read_bytes() == b"a\n"
    ask(writer, CLOSE)


def test_a_fifo_waits_for_its_reader_without_holding_up_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = LogWriter(str(path))
    writer.put(Request(WRITE, [b"a\n"], 2))
    assert writer.done_bytes == 0
    with path.open("rb", buffering=0) as reader:
        assert reader.read(2) == b"a\n"
        ask(writer, SYNC)
    # The reader has gone: what comes now is lost, the next reader gets what follows.
    write(writer, b"b\n")
    assert (writer.failed, writer.dropped) == (1, 1)
    writer.put(Request(WRITE, [b"c\n"], 2))
    with path.open("rb", buffering=0) as reader:
        assert reader.read(2) == b"c\n"
    ask(writer, CLOSE)


def test_pipes_get_whole_lines_of_at_most_pipe_buf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    sizes: list[int] = []
    real = os.write

    def watched(descriptor: int, data: bytes) -> int:
        assert data.endswith(b"\n")
        sizes.append(len(data))
        return real(descriptor, data)

    monkeypatch.setattr(log_writer.os, "write", watched)
    lines = [b"x" * (100 + number) + b"\n" for number in range(200)]
    received: list[bytes] = []
    thread = threading.Thread(target=lambda: received.append(path.read_bytes()))
    thread.start()
    writer = LogWriter(str(path))
    write(writer, *lines)
    ask(writer, CLOSE)
    thread.join(10)
    assert received == [b"".join(lines)]
    assert max(sizes) <= PIPE_BUF
    assert len(sizes) > 1


def test_a_stream_made_non_blocking_by_others_is_waited_for(tmp_path: Path) -> None:
    reader, descriptor = os.pipe()
    os.set_blocking(descriptor, False)
    writer = LogWriter("pipe", descriptor)
    data = b"x" * 1023 + b"\n"
    writer.put(Request(WRITE, [data] * 200, len(data) * 200))
    with os.fdopen(reader, "rb") as stream:
        assert stream.read(len(data) * 200) == data * 200
        ask(writer, SYNC)
    ask(writer, CLOSE)
    os.close(descriptor)
    assert (writer.failed, writer.dropped) == (0, 0)
