import logging
import os
import threading

import pytest

from proxyd.system import native
from proxyd.workers import logs
from proxyd.workers.control import LogSettings
from proxyd.workers.log_handler import QUEUE_BYTES


@pytest.fixture
def _logging_kept():
    """Give pytest its handlers and levels back."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    for name in logs.COMPONENTS:
        logs_of = [logging.getLogger(name), logging.getLogger(f"proxyd.{name}")]
        for logger in logs_of:
            logger.setLevel(logging.NOTSET)


def settings(path, levels=None):
    return LogSettings(str(path), "[%Y-%m-%d %T.%e][%P][%l][%n] %v 100%%", levels or {"": "info"})


@pytest.mark.usefixtures("_logging_kept")
def test_lines_look_like_envoys(tmp_path):
    logs.configure(settings(tmp_path / "log"))
    logging.getLogger("main").info("hello %s", "world")
    logging.getLogger("proxyd.stats.totals").warning("careful")
    logging.getLogger("main").debug("not shown")
    assert logs.flush(10)
    first, second = (tmp_path / "log").read_text().splitlines()
    stamp, _, rest = first.partition("]")
    assert len(stamp) == len("[2026-11-22 10:11:12.123")
    assert rest == f"[{os.getpid()}][info][main] hello world 100%"
    assert second.endswith("[warning][stats] careful 100%")


@pytest.mark.usefixtures("_logging_kept")
def test_levels_of_components(tmp_path):
    logs.configure(settings(tmp_path / "log", {"": "off", "stats": "debug"}))
    logging.getLogger("main").critical("no")
    logging.getLogger("proxyd.stats.totals").debug("yes")
    logs.set_levels({"main": "trace"})
    logging.getLogger("main").log(logs.TRACE, "deep")
    assert logs.flush(10)
    words = [line.split()[2] for line in (tmp_path / "log").read_text().splitlines()]
    assert words == ["yes", "deep"]


@pytest.mark.usefixtures("_logging_kept")
def test_reopening_writes_to_a_new_file(tmp_path):
    path = tmp_path / "log"
    logs.configure(settings(path))
    logging.getLogger("main").info("old")
    path.rename(tmp_path / "moved")
    (request,) = logs.begin_reopen()
    logging.getLogger("main").info("new")
    assert logs.flush(10)
    assert request.reason == ""
    assert "old" in (tmp_path / "moved").read_text()
    assert "new" in path.read_text()


@pytest.mark.usefixtures("_logging_kept")
def test_a_log_that_cannot_be_reopened_stays_in_use(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    logs.configure(settings(folder / "log"))
    folder.rename(tmp_path / "moved")
    (request,) = logs.begin_reopen()
    logging.getLogger("main").info("still here")
    assert logs.flush(10)
    assert request.reason == f"cannot open {folder / 'log'}: No such file or directory"
    assert "still here" in (tmp_path / "moved" / "log").read_text()


@pytest.mark.usefixtures("_logging_kept")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
def test_a_full_disk_disturbs_nobody():
    logs.configure(settings("/dev/full"))
    logging.getLogger("main").info("lost")
    (request,) = logs.begin_reopen()
    logging.getLogger("main").info("lost too")
    assert logs.flush(10)
    assert request.reason == ""


@pytest.mark.usefixtures("_logging_kept")
def test_a_stalled_sink_holds_up_nobody_and_drops_are_told(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert native.lacks_reader(str(fifo))
    logs.configure(settings(fifo))
    handler = logging.getLogger().handlers[0]
    for number in range(QUEUE_BYTES // 1000 + 100):
        logging.getLogger("main").info("%d %s", number, "x" * 1000)
    assert handler.dropped >= 100
    assert not logs.flush(0.01)
    with fifo.open("rb") as reader:
        got = b""
        while f"{QUEUE_BYTES // 1100} x".encode() not in got:  # the queue has room again
            got += reader.read1(1 << 16)
        logging.getLogger("main").info("again")
        while b"again" not in got:
            got += reader.read1(1 << 16)
        logs.close()
    assert b"lines were dropped: the log could not be written fast enough" in got


@pytest.mark.usefixtures("_logging_kept")
def test_no_thread_before_the_first_line(tmp_path):
    before = threading.active_count()
    logs.configure(settings(tmp_path / "log"))
    assert threading.active_count() == before


@pytest.mark.usefixtures("_logging_kept")
def test_a_log_that_was_closed_is_not_asked_to_be_opened_again(tmp_path):
    logs.configure(settings(tmp_path / "log"))
    logging.getLogger("main").info("a line")
    assert len(logs.begin_reopen()) == 1
    logs.close()
    assert logs.begin_reopen() == []


def test_a_pattern_we_do_not_have_is_refused():
    with pytest.raises(ValueError, match="%q is not supported"):
        logs.LineFormatter("%v %q")
