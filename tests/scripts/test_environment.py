import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import environment
import pytest


def test_an_old_python_is_refused_in_one_sentence() -> None:
    with pytest.raises(SystemExit) as refused:
        environment.require_python((3, 10, 4))
    assert str(refused.value).startswith("proxyd needs Python 3.11 or newer, and this is Python 3.10.4 (")


def test_a_supported_python_is_not_refused() -> None:
    environment.require_python((3, 11, 0))
    environment.require_python((3, 14, 0))


def test_every_script_asks_the_version_before_it_uses_anything_newer() -> None:
    """An old Python has to get as far as the question: through parsing, and through the imports before it."""
    for script in ("test.py", "demo.py"):
        source = (environment.ROOT / "scripts" / script).read_text("utf-8")
        ours = source.index("import environment")
        assert "tomllib" not in source[:ours]
        assert script == "demo.py" or source.index("from steps") > ours


def test_groups_are_read_with_the_groups_they_include() -> None:
    pyproject = {"dependency-groups": {"test": ["pytest", {"include-group": "lint"}], "lint": ["ruff"]}}
    assert environment.requirements(pyproject, "test") == ["pytest", "ruff"]


def test_a_python_without_venv_is_told_which_package_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(environment.SetupError, match="apt-get install python3-venv"):
        environment._maker()


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_virtualenv_is_made_do_with_where_venv_is_missing(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        environment.importlib.util, "find_spec", lambda name: None if name == missing else name
    )
    assert environment._maker()[0] == "virtualenv"


def test_programs_of_windows_are_found_where_its_environments_have_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By what sysconfig says there; that scripts/test.py runs on Windows this does not show."""
    get_path = sysconfig.get_path

    def on_windows(name: str, scheme: str = "", **more: dict[str, str]) -> str:
        return get_path(name, f"nt_{scheme}", **more) if scheme else get_path(name)

    monkeypatch.setattr(sysconfig, "get_path", on_windows)
    monkeypatch.setattr(sysconfig, "get_config_var", {"EXE": ".exe"}.get)
    made = environment.Environment(tmp_path)
    assert made.python == tmp_path / "Scripts" / "python.exe"
    assert made.program("lint-imports") == tmp_path / "Scripts" / "lint-imports.exe"


def test_no_index_is_told_as_such() -> None:
    output = (
        "WARNING: Retrying (Retry(total=0)) after connection broken by "
        "'NewConnectionError: Failed to establish a new connection: [Errno 111]'\n"
        "ERROR: No matching distribution found for click"
    )
    said = environment.explain("pip could not install", output)
    assert "pip cannot reach a package index" in said
    assert "No matching distribution found for click" in said


def test_a_folder_that_is_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "letter.txt").write_text("dear")
    monkeypatch.setenv("PROXYD_VENV", str(tmp_path / "venv"))
    with pytest.raises(environment.SetupError, match="is no virtual environment"):
        environment.prepare()
    assert (tmp_path / "venv" / "letter.txt").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROXYD_VENV", str(tmp_path / "file" / "venv"))
    with pytest.raises(environment.SetupError, match="Name a folder that can be written with PROXYD_VENV"):
        environment.prepare()


def test_an_environment_is_made_once_and_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed: list[str | None] = []
    monkeypatch.setenv("PROXYD_VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(environment, "_install", lambda _, group, __: installed.append(group))
    first = environment.prepare("test")
    assert subprocess.run([first.python, "-c", "import pip"], check=False).returncode == 0
    environment.prepare("test")
    environment.prepare()  # the test environment has all that the runtime needs
    assert installed == ["test"]
    assert "is up to date" in capsys.readouterr().out

    (tmp_path / "venv" / "proxyd-test.stamp").write_text("made from something else")
    environment.prepare("test")
    assert installed == ["test", "test"]


def test_a_broken_environment_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "venv"
    commands: list[list[str]] = []
    monkeypatch.setattr(environment, "run", lambda command, *_: commands.append(command))
    folder.mkdir()
    (folder / "pyvenv.cfg").write_text("home = /nowhere\n")
    environment._make(environment.Environment(folder))
    assert commands == [[sys.executable, "-m", *environment._maker(), str(folder)]]
    assert not folder.exists()


def test_the_callers_python_variables_do_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    variables = environment.Environment(Path(sys.prefix)).variables()
    assert "PYTHONPATH" not in variables
    assert "PIP_USER" not in variables
    assert "PYTHONDONTWRITEBYTECODE" not in variables
    assert variables["PATH"] == os.environ["PATH"]
