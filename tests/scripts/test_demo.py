import os
import signal
import subprocess
import sys
from pathlib import Path

import environment
import psutil
import pytest

_PREPARED = (
    "import sys, pathlib, environment, demo\n"
    "environment.prepare = lambda: environment.Environment(pathlib.Path(sys.prefix))\n"
    "sys.exit(demo.main(sys.argv[1:]))\n"
)


def _script(*arguments: str) -> "subprocess.Popen[str]":
    """scripts/demo.py in this Python's environment, with a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", _PREPARED, *arguments],
        cwd=environment.ROOT / "scripts",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.e2e
def test_the_first_demonstration_is_played_to_its_end() -> None:
    with _script("--auto") as process:
        output = process.communicate(timeout=55)[0]
    assert process.returncode == 0, output
    # Who refuses whom, with the reason and what counts it: first the front, then the dog's sidecar.
    *_, front, back, sidecar, end = output.split("\n== ")
    assert front.startswith("3. An invalid certificate\n")
    assert "CERTIFICATE_VERIFY_FAILED" in front
    assert "statistics count it: cluster.dog.ssl.fail_verify_error is" in front
    assert sidecar.startswith("5. A client certificate for foo\n")
    assert "ALERT_CERTIFICATE_UNKNOWN" in sidecar
    assert "the dog's sidecar's statistics count it: ssl.fail_verify_san is" in sidecar
    for heading, step in (("4. And back\n", back), ("6. And back\n", end)):
        assert step.startswith(heading)
        assert "ok  the dog answers again, and 20 requests in a row do not fail" in step
    assert output.endswith("stopped, nothing is left running\n")


@pytest.mark.e2e
def test_ctrl_c_ends_it_and_all_that_it_started(tmp_path: Path) -> None:
    with _script("--free-ports", "--directory", str(tmp_path)) as process:
        assert process.stdout is not None
        output = ""
        while "[Enter: go on" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        started = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        output += process.communicate(timeout=30)[0]
    assert process.returncode == 0, output
    assert output.endswith("stopped, nothing is left running\n")
    assert len(started) > 3
    assert [left for left in started if left.is_running()] == []
    assert (tmp_path / "certs" / "front.key").stat().st_mode & 0o077 == 0
