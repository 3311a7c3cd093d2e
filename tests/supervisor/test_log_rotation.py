"""Logs are moved away at their size. Who writes them is played; tests/e2e/test_access_log.py has it real."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from proxyd.config.load import Text, load_text
from proxyd.supervisor import log_rotation
from proxyd.supervisor.log_rotation import LogRotation, access_log_paths, move_away

FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def bootstrap(*paths: str) -> Any:
    logs = [{"name": "file", "typed_config": {"@type": FILE, "path": path}} for path in paths]
    manager = {
        "@type": HCM,
        "stat_prefix": "in",
        "route_config": {},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        "access_log": logs[1:],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    source = {"admin": {"access_log": logs[:1]}, "static_resources": {"listeners": [listener]}}
    return load_text(Text("test", json.dumps(source)))


class Instance:
    """As much of a supervisor and its operations as there is to see."""

    def __init__(self, own: Path | None = None, *bootstraps: Any) -> None:
        self.successor = 0
        self.generations = [Generation(each) for each in bootstraps]
        self.configuration = None
        self.log = Log(None if own is None else str(own))
        self.reopened = asyncio.Event()

    async def reopen_logs(self) -> list[str]:
        self.reopened.set()
        return []


class Generation:
    def __init__(self, made: Any) -> None:
        self.bootstrap = made


class Log:
    def __init__(self, path: str | None) -> None:
        self.path = path


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_rotation, "INTERVAL", 0.001)


def play(instance: Instance, size: int, keep: int) -> None:
    """Until logs have been opened anew."""

    async def main() -> None:
        running = asyncio.ensure_future(LogRotation(instance, instance, size, keep).run())  # type: ignore[arg-type]
        await asyncio.wait_for(instance.reopened.wait(), 20)
        running.cancel()

    asyncio.run(main())


def contents(folder: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in sorted(folder.iterdir())}


def test_names_move_up_and_the_last_one_goes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for text in "abcd":
        log.write_text(text)
        move_away(str(log), 2)
    assert contents(tmp_path) == {"log.1": "d", "log.2": "c"}


def test_only_up_to_the_first_free_name(tmp_path: Path) -> None:
    for name in ("log", "log.2", "log.3"):
        (tmp_path / name).write_text(name)
    move_away(str(tmp_path / "log"), 3)
    assert contents(tmp_path) == {"log.1": "log", "log.2": "log.2", "log.3": "log.3"}


def test_all_logs_of_an_instance_that_are_too_large(tmp_path: Path) -> None:
    names = ["admin", "access", "small", "own", "draining"]
    paths = {name: tmp_path / name for name in names}
    for name, path in paths.items():
        path.write_text("x" * (9 if name == "small" else 10))
    made = bootstrap(*(str(paths[name]) for name in names[:3]), "/dev/stdout")
    play(Instance(paths["own"], made, bootstrap(str(paths["draining"]))), 10, 3)
    assert set(contents(tmp_path)) == {"admin.1", "access.1", "small", "own.1", "draining.1"}


def test_streams_and_what_is_no_file_stay(tmp_path: Path) -> None:
    assert list(access_log_paths(bootstrap("/dev/stderr", "/dev/stdout"))) == []
    (tmp_path / "log").write_text("x")
    (tmp_path / "folder").mkdir()
    play(Instance(tmp_path / "log", bootstrap(str(tmp_path / "folder"), os.devnull)), 0, 1)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder", "log.1"]


def test_what_cannot_be_moved_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, free = tmp_path / "stuck", tmp_path / "free"
    stuck.write_text("x")
    tries = []

    def move(path: str, keep: int) -> None:
        if path == os.path.realpath(stuck):
            tries.append(path)
            if len(tries) == 3:
                free.write_text("x")
            raise PermissionError(13, "no")
        move_away(path, keep)

    monkeypatch.setattr(log_rotation, "move_away", move)
    play(Instance(None, bootstrap(str(stuck), str(free))), 1, 1)
    (record,) = caplog.records
    assert record.getMessage() == f"the log {stuck} is too large and cannot be rotated: Permission denied"
    assert len(tries) >= 3


def test_who_has_handed_over_moves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x")

    async def main() -> None:
        instance = Instance(log)
        instance.successor = 1
        await asyncio.wait_for(LogRotation(instance, instance, 1, 1).run(), 20)  # type: ignore[arg-type]

    asyncio.run(main())
    assert log.exists()
