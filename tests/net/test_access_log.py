import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from proxyd.config.access_log_filter import AccessLogFilter
from proxyd.filters.stream_info import StreamInfo
from proxyd.net.access_log import BATCH_BYTES, BUFFER_BYTES, AccessLogger, AccessLogs
from proxyd.snapshot.access_log_filter import compile_filter
from proxyd.snapshot.formatter import compile_text
from proxyd.snapshot.runtime import Runtime
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import AccessLogStats


def logs() -> tuple[AccessLogs, AccessLogStats]:
    stats = AccessLogStats(Registry(None))
    return AccessLogs(stats), stats


def test_lines_wait_for_the_flush(tmp_path: Path) -> None:
    sinks, stats = logs()
    path = tmp_path / "log"
    file = sinks.open_file(str(path))
    AccessLogger(compile_text("%RESPONSE_CODE%\n"), file).log(StreamInfo())
    assert path.read_bytes() == b""
    assert file.waiting == 2
    sinks.flush_all()
    assert stats.flushed_by_timer.value == 1
    assert sinks.flush_now(10)
    assert path.read_bytes() == b"0\n"
    assert file.waiting == 0
    assert stats.write_buffered.value == stats.write_completed.value == 1
    assert stats.write_total_buffered.value == 0
    assert sinks.close(10)


def test_a_full_batch_does_not_wait(tmp_path: Path) -> None:
    sinks, _ = logs()
    path = tmp_path / "log"
    file = sinks.open_file(str(path))
    line = b"x" * 1023 + b"\n"
    for _ in range(BATCH_BYTES // 1024):
        file.write(line)
    file.write(b"not yet\n")
    assert file._lines == [b"not yet\n"]
    assert sinks.close(10)
    assert path.stat().st_size == BATCH_BYTES + 8


def test_one_file_for_all_who_name_it(tmp_path: Path) -> None:
    sinks, _ = logs()
    path = str(tmp_path / "log")
    assert sinks.open_file(path) is sinks.open_file(path)
    assert sinks.open_standard(1) is sinks.open_file("/dev/stdout")
    assert sinks.open_standard(2) is sinks.open_file("/dev/stderr")
    assert sinks.close(10)


def test_standard_streams(tmp_path: Path) -> None:
    program = (
        "from tests.net.test_access_log import logs\n"
        "sinks, stats = logs()\n"
        "sinks.open_standard(1).write(b'out\\n')\n"
        "sinks.open_file('/dev/stderr').write(b'err\\n')\n"
        "assert sinks.reopen(10)\n"
        "sinks.open_standard(1).write(b'more\\n')\n"
        "assert sinks.close(10)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == (b"out\nmore\n", b"err\n")


def test_a_stalled_sink_is_bounded_drops_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    sinks, stats = logs()
    file = sinks.open_file(str(path))
    line = b"x" * 1023 + b"\n"
    for _ in range(3 * BUFFER_BYTES // 1024):
        file.write(line)
    sinks.flush_all()
    assert BUFFER_BYTES - BATCH_BYTES <= file.waiting <= BUFFER_BYTES + BATCH_BYTES
    assert stats.write_total_buffered.value == file.waiting
    dropped = stats.write_dropped.value
    assert dropped == (3 * BUFFER_BYTES - file.waiting) // 1024
    assert not sinks.reopen(0.01)
    assert not sinks.close(0.01)
    with path.open("rb") as reader:  # lets the thread go
        assert reader.read().count(b"\n") == 3 * BUFFER_BYTES // 1024 - dropped


def test_a_full_disk_drops_and_counts() -> None:
    sinks, stats = logs()
    file = sinks.open_file("/dev/full")
    file.write(b"a\n")
    file.write(b"b\n")
    assert sinks.flush_now(10)
    assert (stats.write_failed.value, stats.write_dropped.value, stats.write_completed.value) == (1, 2, 0)
    assert sinks.close(10)


def test_rotation_loses_no_line(tmp_path: Path) -> None:
    sinks, _ = logs()
    path = tmp_path / "log"
    file = sinks.open_file(str(path))
    expected = []
    for turn in range(5):
        for number in range(3000):
            file.write(b"%d %d\n" % (turn, number))
        expected.append([b"%d %d" % (turn, number) for number in range(3000)])
        rotated = tmp_path / f"log.{turn}"
        path.rename(rotated)
        assert sinks.reopen(10)
        assert rotated.read_bytes().splitlines() == expected[turn]
    assert sinks.close(10)
    assert path.read_bytes() == b""


def test_a_failed_reopening_is_told_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    sinks, stats = logs()
    sinks.open_file(str(folder / "log"))
    folder.rename(tmp_path / "moved")
    assert not sinks.reopen(10)
    assert stats.reopen_failed.value == 1
    assert sinks.close(10)


WRITER = """
import sys
from tests.net.test_access_log import logs
name, path = sys.argv[1].encode(), sys.argv[2]
sinks, stats = logs()
file = sinks.open_file(path)
for number in range(5000):
    file.write(b"%s %d %s\\n" % (name, number, name * (number % 300)))
    if number % 100 == 0:
        sinks.flush_all()
assert sinks.close(30)
assert stats.write_dropped.value == 0
"""


@pytest.mark.parametrize("kind", ["file", "fifo"])
def test_several_processes_share_a_sink_without_tearing_lines(tmp_path: Path, kind: str) -> None:
    fifo = kind == "fifo"
    path = tmp_path / "log"
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    if fifo:
        os.mkfifo(path)
        holder = os.open(path, os.O_RDWR)  # the reader sees no end while processes come and go
        reader.start()
    names = ["a", "b", "c"]
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, name, str(path)], stderr=subprocess.PIPE)
        for name in names
    ]
    for process in processes:
        assert (process.communicate(timeout=50)[1], process.returncode) == (b"", 0)
    if fifo:
        os.close(holder)
        reader.join(10)
    content = received[0] if fifo else path.read_bytes()
    lines = content.splitlines(keepends=True)
    for name in map(str.encode, names):
        own = [line for line in lines if line.startswith(name)]
        assert own == [b"%s %d %s\n" % (name, number, name * (number % 300)) for number in range(5000)]
    assert len(lines) == len(names) * 5000


def test_a_filter_decides_what_is_logged(tmp_path: Path) -> None:
    sinks, _ = logs()
    path = tmp_path / "log"
    source = {"header_filter": {"header": {"name": "x-log", "present_match": True}}}
    log_filter = compile_filter(msgspec.convert(source, AccessLogFilter), Runtime([]))
    logger = AccessLogger(compile_text("%PATH%\n"), sinks.open_file(str(path)), log_filter)
    for name, fields in ((b"/a", []), (b"/b", [(b"x-log", b"1")])):
        info = StreamInfo()
        info.path = name
        info.request_headers.items = fields
        logger.log(info)
    assert sinks.flush_now(10)
    assert path.read_bytes() == b"/b\n"
