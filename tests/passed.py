"""Going on where a run was cut off: what has passed is not run again (scripts/windows.py)."""

import os
from pathlib import Path
from typing import Final

import pytest

FILE: Final = "PROXYD_TESTS_PASSED"  # names the file, one test a line; it is made where it is missing


class Passed:
    """A plugin: reads the file, leaves out what is in it, and adds to it."""

    def __init__(self, path: Path, writes: bool) -> None:
        self._path: Final = path
        self._writes: Final = writes
        self._before: Final = set(path.read_text("utf-8").splitlines()) if path.exists() else set()
        self._failed: Final[set[str]] = set()  # in one of their phases

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        done = [item for item in items if item.nodeid in self._before]
        if done:
            items[:] = [item for item in items if item.nodeid not in self._before]
            config.hook.pytest_deselected(items=done)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
        elif self._writes and report.when == "teardown" and report.nodeid not in self._failed:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{report.nodeid}\n")


def register(config: pytest.Config) -> None:
    """Where there is such a file. Of several processes the one that hears of all tests writes it."""
    if path := os.environ.get(FILE):
        config.pluginmanager.register(Passed(Path(path), not hasattr(config, "workerinput")))
