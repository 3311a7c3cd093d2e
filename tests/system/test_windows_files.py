"""Files that other programs have to themselves, as on Windows they may, and what files are called there."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from proxyd.config.look import look
from proxyd.supervisor.watcher import FileWatcher
from proxyd.system import native
from tests import windows

if not windows.HERE:
    pytest.skip(windows.WINDOWS, allow_module_level=True)

import _winapi

_NOT_SHARED = 0


class Held:
    """A file that somebody has just moved into place and has not let go of yet."""

    def __init__(self, path: Path) -> None:
        self._handle = _winapi.CreateFile(
            str(path), _winapi.GENERIC_WRITE, _NOT_SHARED, 0, _winapi.OPEN_EXISTING, 0, 0
        )

    def let_go(self) -> None:
        _winapi.CloseHandle(self._handle)


def test_a_file_that_cannot_be_opened_yet_is_seen_and_waited_for(tmp_path: Path) -> None:
    """envoyproxy/envoy#14413: a change was told of before the new file could be read, and was lost."""
    path = tmp_path / "file"
    path.write_text("content")
    held = Held(path)
    with pytest.raises(PermissionError):
        path.read_text()
    found = look(str(path))
    assert found is not None
    assert found.size == 7
    reading = threading.Event()
    contents: list[str] = []

    def read() -> None:
        reading.set()
        with open(path, encoding="utf-8", opener=native.open_to_read) as file:
            contents.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(10)
    thread.join(0.1)
    assert thread.is_alive()
    held.let_go()
    thread.join(10)
    assert contents == ["content"]


def test_a_file_that_is_never_let_go_of_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from proxyd.system import _windows_files

    monkeypatch.setattr(_windows_files, "_PATIENCE", 0.05)
    path = tmp_path / "file"
    path.write_text("content")
    held = Held(path)
    with pytest.raises(PermissionError):
        open(path, opener=native.open_to_read)  # noqa: SIM115 - it is not opened
    held.let_go()


@pytest.mark.parametrize("name", ["/dev/stdout", "CON", "con", "CONOUT$"])
def test_standard_output_has_the_names_of_both_systems(name: str) -> None:
    assert native.standard_streams[native.log_path(name)] == 1


@pytest.mark.parametrize("name", ["/dev/null", "NUL", "nul"])
def test_nothing_has_the_names_of_both_systems(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    descriptor = native.open_log(native.log_path(name))
    assert os.write(descriptor, b"nowhere\n") == 8
    os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


def test_a_path_may_have_slashes_of_either_kind(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "file"
    path.parent.mkdir()
    path.write_text("content")
    assert look(path.as_posix()) == look(str(path))
    extended = f"\\\\?\\{path}"
    assert look(extended)._replace(path=str(path)) == look(str(path))
    with open(extended, opener=native.open_to_read) as file:
        assert file.read() == "content"
    log = native.open_log(native.log_path(f"\\\\?\\{path.with_name('log')}"))
    os.write(log, b"line\n")
    os.close(log)
    assert path.with_name("log").read_bytes() == b"line\n"


def test_a_file_with_an_extended_path_is_watched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "new").write_text("new one")
    file = f"\\\\?\\{tmp_path / 'file'}"

    async def watch() -> set[str]:
        told: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
        watcher = FileWatcher(asyncio.get_running_loop(), told.set_result, in_place=True)
        try:
            watcher.watch([file], {})
            os.replace(tmp_path / "new", tmp_path / "file")
            return await asyncio.wait_for(told, 10)
        finally:
            watcher.close()

    assert asyncio.run(watch()) == {file}
