"""The guardian on Windows: what a supervisor is once another process has taken over from it.

Whoever waits for the process that was started first (a console, NSSM, the service manager) goes on having it:
it ends as the instance ends, and passes on a Ctrl-C that only it hears. It holds the job that its successors
are in, so that nothing is left where it is ended by force.
"""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import _winapi
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Final

from proxyd.system import _windows_api as api
from proxyd.system._windows_sockets import processes

CTRL_C: Final = 0
CTRL_C_NAME: Final = "Ctrl-C"
_SYNCHRONIZE: Final = 0x00100000
_QUERY_LIMITED: Final = 0x1000  # its exit code, too

_hearers: Final[list[Callable[[], object]]] = []  # the last counts

# While nobody else deals with it: set where Ctrl-C has come.
_came: Final[list[int]] = []


def _name(pid: int) -> str:
    return f"Local\\proxyd-{pid}-ctrl-c"


def hear_passed_on(tell: Callable[[], object]) -> None:
    """Call ``tell``, on a thread, whenever another process has passed a Ctrl-C on to this one."""
    _hearers.append(tell)
    if len(_hearers) > 1:
        return
    try:
        event = api.create_event(_name(os.getpid()), api.OwnerOnly())
    except OSError:
        return  # a stranger was quicker: what is set there is not to be obeyed

    def run() -> None:
        while True:
            _winapi.WaitForSingleObject(event, _winapi.INFINITE)
            _hearers[-1]()

    threading.Thread(target=run, name="ctrl-c", daemon=True).start()


def pass_on(came_as: str, pid: int) -> None:
    # A successor is on the same console: it hears everything there but Ctrl-C, for it has a group of its own.
    if came_as != CTRL_C_NAME:
        return
    with contextlib.suppress(OSError):
        event = api.open_event(_name(pid))
        try:
            api.set_event(event)
        finally:
            api.close(event)


def hold_operator_signals() -> None:
    if _came:
        return
    event = api.create_event(None, api.OwnerOnly())
    _came.append(event)

    def handle(number: int) -> bool:
        if number == CTRL_C:
            api.set_event(event)
        return number == CTRL_C

    api.handle_console_events(handle)


def stay_for(pid: int, pid_file: str) -> int:
    hold_operator_signals()
    watched = processes[pid]
    while True:
        found = _winapi.WaitForMultipleObjects([watched, *_came], False, _winapi.INFINITE)
        if found != _winapi.WAIT_OBJECT_0:
            pass_on(CTRL_C_NAME, _named(pid_file) or pid)
            continue
        successor = _named(pid_file)
        if not successor or successor == pid:
            return _winapi.GetExitCodeProcess(watched)
        try:
            handle = _winapi.OpenProcess(_SYNCHRONIZE | _QUERY_LIMITED, False, successor)
        except OSError:  # it has ended, too
            return _winapi.GetExitCodeProcess(watched)
        pid, watched = successor, handle


def _named(pid_file: str) -> int:
    """The process that is the instance; 0 where none is any more."""
    try:
        with open(pid_file, encoding="ascii") as file:
            return int(file.read() or 0)
    except (OSError, ValueError):
        return 0
