"""Processes and signals on Linux: posix_spawn, fork, parent-death signal, SIGCHLD."""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import asyncio
import ctypes
import os
import signal
import socket
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from proxyd.system import contract
from proxyd.system._boot import ROOT, boot_code
from proxyd.system._linux_memory import create_memory, read_memory
from proxyd.system._linux_privileges import lending_capabilities
from proxyd.system._linux_service import is_managed
from proxyd.system.contract import ChildExit

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CRASHED = 70  # EX_SOFTWARE: what a forked child exits with after an exception nobody expected

_OPERATOR_SIGNALS = {
    signal.SIGTERM: "stop",
    signal.SIGINT: "stop",
    signal.SIGHUP: "reload",
    signal.SIGUSR1: "reopen_logs",
}
# They stay blocked until a child ignores or obeys them, else a Ctrl-C while it imports would kill it.
_TERMINAL_SIGNALS = [*_OPERATOR_SIGNALS, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN]

_DETACH = """\
import os
if os.fork():
    os._exit(0)
"""


class Capture:
    """A file in memory."""

    def __init__(self) -> None:
        self.descriptor: Final = create_memory("proxyd-stderr", 0)

    def read(self) -> str:
        return read_memory(self.descriptor).decode(errors="replace")

    def close(self) -> None:
        os.close(self.descriptor)


def new_capture() -> Capture:
    return Capture()


def spawn_python(module: str, channel: socket.socket, stderr: contract.Capture | None) -> int:
    return os.posix_spawn(
        sys.executable,
        # -P keeps the working directory off the module path.
        [sys.executable, "-P", "-c", boot_code(ROOT, module)],
        os.environ,
        file_actions=_streams(channel, stderr),
        setsigmask=_TERMINAL_SIGNALS,
        setsigdef=[signal.SIGPIPE, signal.SIGCHLD],
    )


def apart() -> dict[str, Any]:
    return {"start_new_session": True}


def inherited_channel() -> socket.socket:
    channel = socket.socket(fileno=os.dup(0))
    channel.setblocking(False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel


def standard_error() -> int:
    return 2


def become_standard_error(descriptor: int) -> None:
    os.dup2(descriptor, 2)


def spawn_successor(
    executable: str,
    root: str,
    module: str,
    arguments: Sequence[str],
    channel: socket.socket,
    stderr: contract.Capture,
) -> int:
    # systemd waits for the end of its own children only: there the successor has to be nobody else's.
    code = (_DETACH if is_managed() else "") + boot_code(root, module)
    with lending_capabilities():
        return os.posix_spawn(
            executable,
            [executable, "-P", "-c", code, *arguments],
            os.environ,
            file_actions=_streams(channel, stderr),
            setpgroup=0,
            setsigmask=_TERMINAL_SIGNALS,
            setsigdef=[signal.SIGPIPE, signal.SIGCHLD, *_OPERATOR_SIGNALS],
        )


def _streams(channel: socket.socket, stderr: contract.Capture | None) -> list[tuple[int, int, int]]:
    assert stderr is None or isinstance(stderr, Capture)
    error = standard_error() if stderr is None else stderr.descriptor
    return [(os.POSIX_SPAWN_DUP2, channel.fileno(), 0), (os.POSIX_SPAWN_DUP2, error, 2)]


def stay_for(pid: int, pid_file: str) -> int:
    # The end of the child waits, too, until the guardian is there.
    signal.pthread_sigmask(signal.SIG_BLOCK, [*_OPERATOR_SIGNALS, signal.SIGCHLD])
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER refused")
    guardian = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_linux_guardian.py")
    os.execv(sys.executable, [sys.executable, "-I", "-S", guardian, str(pid), pid_file])  # noqa: S606


def end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def hold_operator_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _OPERATOR_SIGNALS)


def pass_on(came_as: str, pid: int) -> None:
    try:
        os.kill(pid, signal.Signals[came_as])
    except ProcessLookupError:
        pass


def fork(run: Callable[[], int]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = _CRASHED
    try:
        code = run()
    except BaseException:  # noqa: BLE001 - the child must never return into its parent's code
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def wait(pid: int) -> int:
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status)


def reap() -> list[ChildExit]:
    exits: list[ChildExit] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return exits
        if not pid:
            return exits
        exits.append(ChildExit(pid, os.waitstatus_to_exitcode(status)))


def child_exits() -> socket.socket:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    # The handler must exist for the signal to be caught at all; the byte in the socket is what counts.
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader


def forget_child_exits() -> None:
    writer = signal.set_wakeup_fd(-1)
    if writer >= 0:
        os.close(writer)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def die_with_parent(parent: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG refused")
    if os.getppid() != parent:  # it died before the call: no signal will come any more
        os._exit(0)


def new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # PyPy and systems without a wheel
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def operator_signals() -> Mapping[signal.Signals, str]:
    return _OPERATOR_SIGNALS


def hear_operator(loop: asyncio.AbstractEventLoop, tell: Callable[[str, str, float | None], None]) -> None:
    for number, word in _OPERATOR_SIGNALS.items():
        loop.add_signal_handler(number, tell, word, number.name, None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERMINAL_SIGNALS)  # a successor's have waited


def ignore_operator_signals() -> None:
    for number in _TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERMINAL_SIGNALS)
