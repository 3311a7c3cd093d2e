"""Processes and console events on Windows: no fork, a job that ends workers with their supervisor."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import asyncio
import contextlib
import functools
import msvcrt
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from proxyd.system import _windows_api as api
from proxyd.system import contract
from proxyd.system._boot import ROOT, boot_code
from proxyd.system._windows_guardian import CTRL_C, CTRL_C_NAME, hear_passed_on
from proxyd.system._windows_service import for_successor, is_service
from proxyd.system._windows_sockets import hand_over, processes
from proxyd.system.contract import ChildExit

_OPERATOR_SIGNALS: Final = {signal.SIGINT: "stop", signal.SIGBREAK: "stop"}

# Console events, and for those after which Windows ends the process: when it does (less a moment of our own).
_CTRL_BREAK: Final = 1
_EVENTS: Final[dict[int, tuple[str, float | None]]] = {
    CTRL_C: (CTRL_C_NAME, None),
    _CTRL_BREAK: ("Ctrl-Break", None),
    2: ("console closed", 4.0),
    5: ("logoff", 4.0),
    6: ("shutdown", 4.0),
}

_LAUNCHER: Final = "__PYVENV_LAUNCHER__"  # by which a Python knows whose virtual environment it is to be
_SUCCEEDED: Final = "PROXYD_SUCCESSOR"  # in the environment of a process that has taken over from another

_children: Final[dict[int, "subprocess.Popen[bytes]"]] = {}


class Capture:
    """A temporary file that goes with its last handle."""

    def __init__(self) -> None:
        self.file: Final = tempfile.TemporaryFile(prefix="proxyd-")  # noqa: SIM115 - closed by close()

    def read(self) -> str:
        self.file.seek(0)
        return self.file.read().decode(errors="replace")

    def close(self) -> None:
        self.file.close()


def new_capture() -> Capture:
    return Capture()


@functools.cache
def _job() -> int:
    """One for the life of this process; that it is closed when this process ends is its purpose."""
    return api.create_job()


def spawn_python(module: str, channel: socket.socket, stderr: contract.Capture | None) -> int:
    return _spawn(sys.executable, ROOT, module, (), channel, stderr, dict(os.environ), _job())


def spawn_successor(
    executable: str,
    root: str,
    module: str,
    arguments: Sequence[str],
    channel: socket.socket,
    stderr: contract.Capture,
) -> int:
    # The job of the process that was started first has all of its successors: it is to end last.
    job = None if _SUCCEEDED in os.environ else _job()
    environment = {**os.environ, **for_successor(), _SUCCEEDED: "1"}
    return _spawn(executable, root, module, arguments, channel, stderr, environment, job)


def _spawn(
    executable: str,
    root: str,
    module: str,
    arguments: Sequence[str],
    channel: socket.socket,
    stderr: contract.Capture | None,
    environment: dict[str, str],
    job: int | None,
) -> int:
    assert stderr is None or isinstance(stderr, Capture)
    # In a virtual environment an executable is a launcher, whose child would be the process that counts.
    interpreter = _interpreter(executable)
    environment.pop(_LAUNCHER, None)
    if interpreter != executable:
        environment[_LAUNCHER] = executable
    child = subprocess.Popen(  # noqa: S603 - a command line of our own
        [interpreter, "-P", "-c", boot_code(root, module), *arguments],
        stdin=subprocess.PIPE,
        stderr=None if stderr is None else stderr.file,
        env=environment,
        **apart(),
    )
    handle = int(child._handle)  # type: ignore[attr-defined]  # Popen has no other way to it
    _children[child.pid] = child
    processes[child.pid] = handle
    try:
        if job is not None:
            api.assign_to_job(job, handle)
        assert child.stdin is not None
        with (
            contextlib.suppress(OSError),
            child.stdin as stdin,
        ):  # where it has ended already, its end says so
            stdin.write(hand_over(channel, child.pid))
    except OSError:
        kill(child.pid)
        wait(child.pid)
        raise
    return child.pid


def _interpreter(executable: str) -> str:
    """The Python behind an executable: that of a virtual environment starts the one that made it."""
    if executable == sys.executable:
        return getattr(sys, "_base_executable", executable)
    folder, name = os.path.split(executable)
    try:
        with open(os.path.join(os.path.dirname(folder), "pyvenv.cfg"), encoding="utf-8") as file:
            written = dict(line.partition("=")[::2] for line in file)
    except OSError:
        return executable
    home = next((value.strip() for key, value in written.items() if key.strip().lower() == "home"), "")
    return os.path.join(home, name) if home else executable


def apart() -> dict[str, Any]:
    # Ctrl-C does not reach the members of a new group: not even before they ignore it.
    return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}


def inherited_channel() -> socket.socket:
    channel = socket.fromshare(sys.stdin.buffer.read())
    channel.setblocking(False)
    return channel


def standard_error() -> int:
    try:
        return msvcrt.get_osfhandle(2)
    except OSError:  # a process without standard streams
        return _nowhere()


@functools.cache
def _nowhere() -> int:
    return msvcrt.get_osfhandle(os.open(os.devnull, os.O_WRONLY))


def become_standard_error(descriptor: int) -> None:
    handle = _copy(descriptor)
    number = msvcrt.open_osfhandle(handle, os.O_APPEND)
    os.dup2(number, 2)
    os.close(number)


def _copy(handle: int) -> int:
    import _winapi

    ours = _winapi.GetCurrentProcess()
    return _winapi.DuplicateHandle(ours, handle, ours, 0, False, _winapi.DUPLICATE_SAME_ACCESS)


def fork(run: Callable[[], int]) -> int:
    raise NotImplementedError("Windows cannot fork")


def wait(pid: int) -> int:
    child = _children.get(pid)
    if child is None:
        return 0
    status = child.wait()
    _children.pop(pid, None)
    processes.pop(pid, None)
    return status


def reap() -> list[ChildExit]:
    raise NotImplementedError("processes are waited for one by one here")


def child_exits() -> socket.socket:
    raise NotImplementedError("processes are waited for one by one here")


def forget_child_exits() -> None:
    """Nothing was asked for."""


def die_with_parent(parent: int) -> None:
    """The job that the parent has put this process into sees to it."""


def kill(pid: int) -> None:
    child = _children.get(pid)
    if child is not None:
        with contextlib.suppress(OSError):
            child.kill()


def end_group(group: int) -> None:
    kill(group)  # what it has started is in its job


def operator_signals() -> Mapping[signal.Signals, str]:
    return _OPERATOR_SIGNALS


def hear_operator(loop: asyncio.AbstractEventLoop, tell: Callable[[str, str, float | None], None]) -> None:
    def handle(event: int) -> bool:
        if event not in _EVENTS:
            return False
        if is_service() and event not in (CTRL_C, _CTRL_BREAK):
            return True  # others log off; and of a shutdown the service manager tells
        came_as, limit = _EVENTS[event]
        try:
            loop.call_soon_threadsafe(tell, "stop", came_as, limit)
        except RuntimeError:  # the loop has ended, and so does the process
            return limit is None
        if limit is not None:
            _wait_for_the_end()  # Windows ends the process when this returns
        return True

    api.handle_console_events(handle)
    hear_passed_on(lambda: handle(CTRL_C))


def ignore_operator_signals() -> None:
    def handle(event: int) -> bool:
        if event in (CTRL_C, _CTRL_BREAK):
            return True
        if event in _EVENTS:
            _wait_for_the_end()  # the supervisor drains; only when Windows' time is over does this end
        return False

    api.handle_console_events(handle)


def _wait_for_the_end() -> None:
    threading.Event().wait()
