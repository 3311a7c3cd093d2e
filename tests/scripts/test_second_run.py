"""scripts/second_run.py, on suites of a few lines."""

import os
import sys
from pathlib import Path

import pytest
import second_run

UNSTEADY = """
from pathlib import Path

def test_unsteady():
    mark = Path("mark")
    failed, _ = mark.exists(), mark.touch()
    assert failed

def test_steady():
    with Path("count").open("a") as count:
        count.write("x")
"""


@pytest.fixture
def run(tmp_path: Path):
    def run(text: str) -> int:
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        (tmp_path / "test_it.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-n", "0"]
        return second_run.run(second_run.of_command(command, tmp_path, dict(os.environ)))

    return run


def test_what_passes_when_run_again_is_named(run, tmp_path, capfd) -> None:
    assert run(UNSTEADY) == 0
    out = capfd.readouterr().out
    assert out.endswith("UNSTEADY: passed only when run again:\n  test_it.py::test_unsteady\n")
    assert (tmp_path / "count").read_text() == "x", "what has passed is not run again"


def test_what_fails_twice_fails(run, capfd) -> None:
    assert run("def test_broken():\n    assert False\n") == 1
    out = capfd.readouterr().out
    assert out.count("= 1 failed in") == 2
    assert "UNSTEADY" not in out


def test_many_are_no_accident(run, capfd) -> None:
    several = "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n):\n    assert False\n"
    assert run(several) == 1
    assert capfd.readouterr().out.count("failed in") == 1


def test_what_is_not_even_collected_fails_at_once(run, capfd) -> None:
    assert run("import nowhere_to_be_found\n") != 0
    assert "once more" not in capfd.readouterr().out


def test_nothing_is_run_again_where_all_is_well(run, capfd) -> None:
    assert run("def test_fine():\n    pass\n") == 0
    assert capfd.readouterr().out.count("1 passed") == 1
