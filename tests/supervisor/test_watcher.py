"""When a file is another one: looks are made up, time is passed in, and real files tell the looks apart."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxyd.config.look import Look, look
from proxyd.supervisor.watcher import SETTLED, Changes, FileWatcher
from proxyd.system import native

PATH = "/etc/file"


def made(inode: int = 1, size: int = 10, modified: int = 100, changed: int = 100, path: str = PATH) -> Look:
    return Look(path, 0, inode, size, modified, changed)


def changes(in_place: bool = True, known: Look | None = made()) -> Changes:  # noqa: B008 - frozen
    watched = Changes(in_place)
    watched.watch([PATH], {PATH: known})
    return watched


def test_what_stays_the_same_is_not_told() -> None:
    watched = changes()
    assert not watched.take({PATH: made()}, 0.0)
    assert not watched.take({PATH: made(changed=200)}, 9.0)  # its permissions have changed


def test_a_file_moved_into_place_is_told_at_once_and_once() -> None:
    watched = changes()
    moved = made(inode=2, modified=50, changed=200)
    assert watched.take({PATH: moved}, 0.0) == {PATH}
    assert not watched.take({PATH: moved}, 9.0)


def test_a_file_that_is_written_is_told_when_it_has_settled() -> None:
    watched = changes()
    assert not watched.take({PATH: made(size=11, modified=101)}, 0.0)
    assert not watched.take({PATH: made(size=12, modified=102)}, SETTLED)  # still being written
    assert not watched.take({PATH: made(size=12, modified=102)}, SETTLED * 1.9)
    assert watched.take({PATH: made(size=12, modified=102)}, SETTLED * 2.1) == {PATH}


def test_a_file_just_made_in_the_others_place_has_to_settle_as_well() -> None:
    watched = changes()
    fresh = made(inode=2, modified=300, changed=300)
    assert not watched.take({PATH: fresh}, 0.0)
    assert watched.take({PATH: fresh}, SETTLED) == {PATH}


def test_what_is_written_back_as_it_was_is_nothing_new() -> None:
    watched = changes()
    assert not watched.take({PATH: made(size=11)}, 0.0)
    assert not watched.take({PATH: made()}, 0.1)
    assert not watched.take({PATH: made(size=11)}, 5.0)  # and waits anew


def test_a_file_that_is_gone_is_told_when_there_is_one_again() -> None:
    watched = changes()
    assert not watched.take({PATH: None}, 0.0)
    assert not watched.take({PATH: None}, 9.0)
    assert not watched.take({PATH: made()}, 9.1)
    assert watched.take({PATH: made(inode=3, changed=200)}, 9.2) == {PATH}


def test_without_in_place_only_another_file_counts() -> None:
    watched = changes(in_place=False)
    for now in (0.0, 9.0, 18.0):
        assert not watched.take({PATH: made(size=11, modified=400)}, now)
    assert watched.take({PATH: made(path="/other", changed=200)}, 20.0) == {PATH}


def test_files_not_watched_any_more_are_not_told() -> None:
    watched = changes()
    watched.watch(["/other"], {"/other": None})
    assert watched.paths == ["/other"]
    assert not watched.take({PATH: made(inode=2, changed=200)}, 0.0)


def test_looks_tell_moves_and_writes_apart(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("a")
    first = look(str(file))
    other.write_text("b")
    os.utime(other, (0, 0))
    os.replace(other, file)
    second = look(str(file))
    assert first is not None
    assert second is not None
    assert first.identity != second.identity
    assert second.moved is native.forks  # only there the system tells
    file.write_text("longer")
    third = look(str(file))
    assert third is not None
    assert third[:5] != second[:5]
    assert look(str(tmp_path / "none")) is None
    assert look("nul\0") is None


def test_nothing_but_the_file_has_to_be_another_one(tmp_path: Path) -> None:
    """As with what comes out of archives: of the same size and as old as what it replaces."""
    looks = []
    for text in ("one", "two"):
        (tmp_path / "new").write_text(text)
        os.utime(tmp_path / "new", (0, 0))
        os.replace(tmp_path / "new", tmp_path / "file")
        looks.append(look(str(tmp_path / "file")))
    one, two = looks
    assert one is not None
    assert two is not None
    assert one.size == two.size
    assert one.identity != two.identity
    assert look(str(tmp_path / "file")) == two


def test_a_file_that_is_written_stays_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    first = look(str(file))
    file.write_text("longer")
    second = look(str(file))
    assert first is not None
    assert second is not None
    assert first.identity == second.identity


def test_looks_go_through_links(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "f").write_text("same")
    (tmp_path / "data").symlink_to("one")
    before = look(str(tmp_path / "data" / "f"))
    (tmp_path / "new").symlink_to("two")
    os.replace(tmp_path / "new", tmp_path / "data")
    after = look(str(tmp_path / "data" / "f"))
    assert before is not None
    assert after is not None
    assert before.identity != after.identity


def move_file(folder: Path) -> None:
    os.replace(folder / "new" / "f", folder / "used" / "f")


def swap_folders(folder: Path) -> None:
    os.replace(folder / "used", folder / "old")
    os.replace(folder / "new", folder / "used")


def move_beside(folder: Path) -> None:
    os.replace(folder / "new" / "f", folder / "used" / "other")
    os.replace(folder / "used" / "other", folder / "used" / "f")


@pytest.mark.parametrize("replace", [move_file, swap_folders, move_beside])
def test_the_watcher_tells_on_the_loop(tmp_path: Path, replace: Callable[[Path], None]) -> None:
    """Wherever the new one comes from (envoyproxy/envoy#30016: from elsewhere it was not seen on Windows)."""
    for name in ("used", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("same")
    os.utime(tmp_path / "new" / "f", (0, 0))
    file = tmp_path / "used" / "f"

    async def watch() -> set[str]:
        told: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
        watcher = FileWatcher(asyncio.get_running_loop(), told.set_result, in_place=True)
        try:
            watcher.watch([str(file)], {})
            replace(tmp_path)
            return await asyncio.wait_for(told, 10)
        finally:
            watcher.close()

    assert asyncio.run(watch()) == {str(file)}


def test_what_changes_between_reading_and_watching_is_not_missed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    before = look(str(file))
    other = tmp_path / "other"
    other.write_text("b")
    os.utime(other, (0, 0))
    os.replace(other, file)
    watched = Changes(in_place=True)
    watched.watch([str(file)], {str(file): before})
    found = look(str(file))
    assert watched.take({str(file): found}, 0.0) | watched.take({str(file): found}, SETTLED) == {str(file)}
