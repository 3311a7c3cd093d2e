"""The README's two commands on Windows, as they stand there: they make an environment and do what they say.

Elsewhere whoever runs this suite has run one of them, and ``test_demo.py`` plays the other.
"""

import os
import subprocess
import sys
from pathlib import Path

import environment
import pytest

from tests import windows

pytestmark = pytest.mark.skipif(not windows.HERE, reason=windows.WINDOWS)

# It needs pywin32, which the environment has to bring.
TEST = "tests/e2e/test_windows_service.py::test_what_there_is_not_on_windows_is_refused_by_name"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands") / "venv"


def run(folder: Path, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, f"scripts/{script}", *arguments],
        cwd=environment.ROOT,
        env=os.environ | {"PROXYD_VENV": str(folder), "PIP_NO_COMPILE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


@pytest.mark.skipif(
    "PROXYD_TOOLS" not in os.environ, reason="nox -s windows_tools alone installs all tools there"
)
def test_the_checks_and_tests_run(folder: Path) -> None:
    steps = ("--only", "lint", "--only", "format", "--only", "layers", "--only", "tests")
    done = run(folder, "test.py", *steps, TEST)
    assert done.returncode == 0, done.stdout
    assert "environment: ready in " in done.stdout
    assert "1 passed" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("OK: lint ")


def test_the_demonstration_is_played(folder: Path) -> None:
    done = run(folder, "demo.py", "--auto")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("\n== ") == 6
    assert done.stdout.endswith("stopped, nothing is left running\n")
