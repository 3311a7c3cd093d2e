"""The service manager of Windows, seen from a service; and what a process there cannot do for another."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import errno
import os
import signal
import socket
from collections.abc import Sequence
from typing import Final

from proxyd.system.contract import ActivatedSocket, Capture, ControlListener, Notifier, PrivateDirectory

SERVICE_MANAGER: Final = "windows"

_NO_UPGRADE: Final = "proxyd cannot be upgraded while it runs on Windows; stop it and start the new one"


class SilentNotifier:
    """Nobody listens."""

    @property
    def watchdog(self) -> float | None:
        return None

    def ready(self, status: str) -> None:
        pass

    def reloading(self) -> None:
        pass

    def stopping(self) -> None:
        pass

    def status(self, text: str) -> None:
        pass

    def alive(self) -> None:
        pass

    def main_process(self, pid: int) -> None:
        pass


_notifiers: Final[list[Notifier]] = []  # the last counts


def notify_by(notifier: Notifier) -> None:
    _notifiers.append(notifier)


def notifier() -> Notifier:
    return _notifiers[-1] if _notifiers else SilentNotifier()


def is_managed() -> bool:
    return bool(_notifiers)


def activated_sockets() -> list[ActivatedSocket]:
    return []


def take_identity(user: str | None, directories: Sequence[tuple[str, str]]) -> None:
    if user is not None:
        raise PermissionError("on Windows proxyd runs as whom it is started by; a service has an account")


def spawn_successor(
    executable: str,
    root: str,
    module: str,
    arguments: Sequence[str],
    channel: socket.socket,
    stderr: Capture,
) -> int:
    raise OSError(errno.ENOTSUP, _NO_UPGRADE)


def end_group(group: int) -> None:
    raise OSError(errno.ENOTSUP, _NO_UPGRADE)


def stay_for(pid: int, pid_file: str) -> None:
    raise OSError(errno.ENOTSUP, _NO_UPGRADE)


def hold_operator_signals() -> None:
    pass


def pass_on(came_as: str, pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except OSError:
        pass


def adopt_control(descriptor: int) -> ControlListener:
    raise OSError(errno.ENOTSUP, _NO_UPGRADE)


def adopt_private_directory(path: str, descriptors: Sequence[int]) -> tuple[PrivateDirectory, int]:
    raise OSError(errno.ENOTSUP, _NO_UPGRADE)
