import logging
import os

import pytest

from proxyd.workers import logs
from proxyd.workers.control import LogSettings


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
    words = [line.split()[2] for line in (tmp_path / "log").read_text().splitlines()]
    assert words == ["yes", "deep"]


@pytest.mark.usefixtures("_logging_kept")
def test_reopening_writes_to_a_new_file(tmp_path):
    path = tmp_path / "log"
    logs.configure(settings(path))
    logging.getLogger("main").info("old")
    path.rename(tmp_path / "moved")
    logs.reopen()
    logging.getLogger("main").info("new")
    assert "old" in (tmp_path / "moved").read_text()
    assert "new" in path.read_text()


def test_a_pattern_we_do_not_have_is_refused():
    with pytest.raises(ValueError, match="%q is not supported"):
        logs.LineFormatter("%v %q")
