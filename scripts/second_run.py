"""Running tests again that failed, for machines that somebody else may be keeping busy: CI's.

A suite of thousands of tests with real processes meets a moment now and then in which one of them is not
given its time. A few that fail are run once more, alone; what passes only then is named and does not count as
a failure. More than a few are no accident, and neither is what fails twice.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import environment as env

MOST = 3

Command = Callable[[Sequence[str]], int]  # runs with more arguments; its exit code


def run(pytest: Command) -> int:
    """Run pytest, up to twice; the exit code of the last run."""
    with tempfile.TemporaryDirectory(prefix="proxyd-failed-") as cache:
        kept = ["-o", f"cache_dir={cache}"]
        code = pytest(kept)
        if code != 1:
            return code
        failed = _failed(Path(cache))
        if not 0 < len(failed) <= MOST:
            return code
        names = "".join(f"\n  {name}" for name in failed)
        env.say(f"\n== once more, alone:{names}")
        code = pytest([*kept, "-n", "0", "--last-failed"])
        if code == 0:
            env.say(f"\nUNSTEADY: passed only when run again:{names}")
        return code


def of_command(command: Sequence[str], folder: Path, variables: dict[str, str]) -> Command:
    """A command of this system, run in a folder with these variables."""

    def run_it(more: Sequence[str]) -> int:
        whole = [*command, *more]
        return subprocess.run(
            whole, cwd=folder, stdin=subprocess.DEVNULL, env=variables, check=False
        ).returncode

    return run_it


def _failed(cache: Path) -> list[str]:
    """The tests that failed, as pytest has written them down."""
    file = cache / "v" / "cache" / "lastfailed"
    return list(json.loads(file.read_text("utf-8"))) if file.exists() else []
