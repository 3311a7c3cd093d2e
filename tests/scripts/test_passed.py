"""tests/passed.py, on a suite of a few lines."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import passed

ROOT = Path(__file__).resolve().parents[2]

CONFTEST = """
import pytest
from tests import passed

def pytest_configure(config):
    passed.register(config)

@pytest.fixture
def spoilt():
    yield
    assert False
"""

SUITE = """
from pathlib import Path

def test_passes():
    pass

def test_fails_at_first():
    mark = Path("mark")
    failed, _ = mark.exists(), mark.touch()
    assert failed

def test_fails_behind(spoilt):
    pass
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_what_has_passed_is_not_run_again_and_nothing_else_is_left_out(
    tmp_path: Path, processes: str
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(SUITE)
    variables = os.environ | {passed.FILE: str(tmp_path / "passed"), "PYTHONPATH": str(ROOT)}
    said = [
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", processes],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.splitlines()[-1]
        for _ in range(3)
    ]
    counted = [re.findall(r"\d+ (?:passed|failed|error)", line) for line in said]
    assert counted == [["1 failed", "2 passed", "1 error"], ["2 passed", "1 error"], ["1 passed", "1 error"]]
