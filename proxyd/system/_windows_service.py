"""The service manager of Windows, seen from a service."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import os
from collections.abc import Sequence
from typing import Final

from proxyd.system.contract import ActivatedSocket, Notifier

SERVICE_MANAGER: Final = "windows"

# In the environment of a process that has taken over from a service: the manager does not know it.
_SUCCESSOR: Final = "PROXYD_SUCCESSOR_OF_SERVICE"


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
    return False  # the manager has the process that it has started, and no other


def is_service() -> bool:
    """Whether this process is one of a service."""
    return bool(_notifiers) or _SUCCESSOR in os.environ


def for_successor() -> dict[str, str]:
    """What the environment of a successor tells it of that."""
    return {_SUCCESSOR: "1"} if is_service() else {}


def activated_sockets() -> list[ActivatedSocket]:
    return []


def take_identity(user: str | None, directories: Sequence[tuple[str, str]]) -> None:
    if user is not None:
        raise PermissionError("on Windows proxyd runs as whom it is started by; a service has an account")
