"""scripts/test.py, with programs that only pretend to check."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import environment
import pytest
from steps import STEPS


@pytest.fixture
def script() -> ModuleType:
    """The script as a module; its name is taken by the standard library's `test`."""
    spec = importlib.util.spec_from_file_location("test_script", environment.ROOT / "scripts" / "test.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment whose programs print their name and arguments and succeed."""
    made = environment.Environment(tmp_path)
    monkeypatch.setattr(environment, "prepare", lambda group: made)
    made.python.parent.mkdir(parents=True)
    for name in {step.command[0] for step in STEPS}:
        _program(made.program(name), 0)
    return tmp_path


def _program(path: Path, code: int) -> None:
    path.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[0], *sys.argv[1:])\nsys.exit({code})\n")
    path.chmod(0o755)


def test_all_steps_run_and_the_last_line_sums_up(
    script: ModuleType, programs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--compiled", "-k", "router"]) == 0
    out = capfd.readouterr().out
    assert all(f"== {step.name}: passed in " in out for step in STEPS)
    assert "pytest -n 4 -k router\n" in out
    assert "python scripts/compiled.py -k router\n" in out
    assert out.splitlines()[-1].startswith("OK: lint ")


def test_compiling_takes_its_time_and_has_to_be_asked_for(
    script: ModuleType, programs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert script.main([]) == 0
    assert "== compiled" not in capfd.readouterr().out


def test_the_first_failing_step_ends_the_run(
    script: ModuleType, programs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _program(environment.Environment(programs).program("mypy"), 3)
    assert script.main([]) == 1
    out = capfd.readouterr().out
    assert out.splitlines()[-1].startswith("FAILED: step 'types' (types, strict, as on Linux) after ")
    assert "== layers" not in out


def test_quick_leaves_out_end_to_end_tests(
    script: ModuleType, programs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--quick", "--only", "tests"]) == 0
    out = capfd.readouterr().out
    assert "pytest -n 4 -m not e2e\n" in out
    assert "== lint" not in out


def test_without_an_environment_it_says_why(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def prepare(group: str) -> None:
        raise environment.SetupError("the disk is full")

    monkeypatch.setattr(environment, "prepare", prepare)
    assert script.main([]) == 2
    assert capfd.readouterr().out.endswith("FAILED: no environment to test in: the disk is full\n")
