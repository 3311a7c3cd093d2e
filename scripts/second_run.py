"""Running tests again that failed, for machines that somebody else may be keeping busy: CI's.

A suite of thousands of tests with real processes meets a moment now and then in which one of them is not
given its time. A few that fail are run once more, alone; what passes only then is named and does not count as
a failure. More than a few are no accident, and neither is what fails twice.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import environment as env

MOST = 3


def run(command: list[str], folder: Path, variables: dict[str, str]) -> int:
    """Run pytest by `command` in `folder`; its exit code, that of the second run where there is one."""
    with tempfile.TemporaryDirectory(prefix="proxyd-failed-") as cache:
        first = [*command, "-o", f"cache_dir={cache}"]
        code = _code(first, folder, variables)
        if code != 1:
            return code
        failed = _failed(Path(cache))
        if not 0 < len(failed) <= MOST:
            return code
        names = "".join(f"\n  {name}" for name in failed)
        env.say(f"\n== once more, alone:{names}")
        code = _code([*first, "-n", "0", "--last-failed"], folder, variables)
        if code == 0:
            env.say(f"\nUNSTEADY: passed only when run again:{names}")
        return code


def _code(command: list[str], folder: Path, variables: dict[str, str]) -> int:
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, env=variables, check=False)
    return done.returncode


def _failed(cache: Path) -> list[str]:
    """The tests that failed, as pytest has written them down."""
    file = cache / "v" / "cache" / "lastfailed"
    return list(json.loads(file.read_text("utf-8"))) if file.exists() else []
