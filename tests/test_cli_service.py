"""What `proxyd service install` makes of its options; nothing is installed here."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import proxyd.service
from proxyd.cli import cli
from proxyd.service.contract import Installation


class Manager:
    """Takes note of what it is to install."""

    wanted: Installation

    def install(self, wanted: Installation) -> list[str]:
        self.wanted = wanted
        return []


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Manager:
    made = Manager()
    monkeypatch.setattr(proxyd.service, "manager", lambda: made)
    monkeypatch.chdir(tmp_path)
    return made


def install(*words: str) -> Result:
    return CliRunner().invoke(cli, ["service", "install", *words])


@pytest.mark.parametrize(
    "words", [("-c", "here.yaml"), ("--", "-c", "here.yaml"), ("--", "--config-path=here.yaml")]
)
def test_the_configuration_has_an_absolute_path(
    manager: Manager, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "here.yaml").touch()
    done = install(*words)
    assert (done.exit_code, done.output) == (0, "")
    assert _last(manager.wanted, "-c") == str(tmp_path / "here.yaml")


def test_other_files_have_one_too(manager: Manager, tmp_path: Path) -> None:
    there = str(tmp_path.parent / "there.log")
    done = install("-c", "x.yaml", "--", "--admin-address-path", "admin", "--log-path", there)
    assert done.exit_code == 0
    assert "x.yaml does not exist yet" in done.output
    assert _last(manager.wanted, "--admin-address-path") == str(tmp_path / "admin")
    assert manager.wanted.start.count("--log-path") == 1
    assert _last(manager.wanted, "--log-path") == there


def _last(wanted: Installation, option: str) -> str:
    """Of an option that is given twice the last counts."""
    start = wanted.start
    return start[len(start) - start[::-1].index(option)]


@pytest.mark.parametrize(
    ("words", "workers"),
    [
        ((), None),
        (("--workers", "3"), 3),
        (("--", "--workers", "3"), 3),
        (("--", "--workers=3"), 3),
        (("--", "--concurrency", "3"), 3),
    ],
)
def test_how_many_workers_there_are_is_known(
    manager: Manager, words: tuple[str, ...], workers: int | None
) -> None:
    assert install(*words).exit_code == 0
    assert manager.wanted.workers == workers


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-c", "a.yaml", "--", "-c", "b.yaml"), "-c is given twice"),
        (("--workers", "1", "--", "--workers", "2"), "--workers is given twice"),
        (("--", "--user", "www-data"), "--user is for proxyd that root starts; give --run-as before"),
        (("--", "--name", "x"), "--name and --run-dir are the service's own"),
        (("--name", "a b"), "'a b' is no name for an instance"),
    ],
)
def test_what_makes_no_sense_is_refused(manager: Manager, words: tuple[str, ...], said: str) -> None:
    done = install(*words)
    assert done.exit_code == 1
    assert done.output.startswith("proxyd: ")
    assert said in done.output
    assert not hasattr(manager, "wanted")
