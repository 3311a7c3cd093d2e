"""Signals that come before the supervisor obeys any: while the command still imports what it needs."""

import signal
import subprocess
import sys

import pytest

# Interrupts itself at the first import that the command makes.
EARLY = """\
import os, runpy, signal, sys

# A test run in the background of a shell has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "proxyd.cli":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Interrupting())
sys.argv = ["proxyd", "start", "--help"]
runpy.run_module("proxyd", run_name="__main__", alter_sys=True)
"""


def early(number: signal.Signals) -> subprocess.CompletedProcess[str]:
    program = EARLY.format(signal=number.name)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_early_stop_is_one_line(number: signal.Signals) -> None:
    done = early(number)
    assert (done.returncode, done.stderr) == (1, "proxyd: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_other_early_signals_have_no_effect(number: signal.Signals) -> None:
    done = early(number)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Start proxyd in the foreground" in done.stdout
