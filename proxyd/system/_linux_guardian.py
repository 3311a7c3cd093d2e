"""The guardian: what is left of a supervisor that another process has taken over from, where somebody waits
for the process that he has started (a shell, a container engine, a service manager without notifications).

Run as a program with the process id of its child and the path of the instance's pid file. It passes signals
on, and ends as its child ends. A child that has been taken over from in turn leaves its successor to it: it
adopts orphans, and the pid file names the one that counts. Only the standard library, so that it stays small.
"""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import os
import signal
from typing import NoReturn

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def main(watched: int, pid_file: str) -> NoReturn:
    """Guard until there is nobody left."""
    heeded = {*_PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, heeded)  # they are asked for, not delivered
    while True:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                sys.exit(0)  # the one that counted has ended before this one began to wait
            if not pid:
                break
            if pid == watched:
                watched = _successor(pid_file, watched)
                if not watched:
                    _end_as(status)
        received = signal.sigwaitinfo(heeded)
        if received.si_signo in _PASSED_ON:
            try:
                # The child may be about to end, and its successor be the instance already.
                os.kill(_named(pid_file) or watched, received.si_signo)
            except ProcessLookupError:
                pass


def _successor(pid_file: str, ended: int) -> int:
    """Who has taken over from a process that has ended: the child of ours that the pid file names, else 0."""
    pid = _named(pid_file)
    try:
        if pid and pid != ended and os.waitpid(pid, os.WNOHANG) == (0, 0):
            return pid
    except OSError:
        pass
    return 0


def _named(pid_file: str) -> int:
    try:
        with open(pid_file) as file:
            return int(file.read() or 0)
    except (OSError, ValueError):
        return 0


def _end_as(status: int) -> NoReturn:
    """End with the exit code of the child, or by its signal."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0 and -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
        os.kill(os.getpid(), -code)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
