"""systemd, seen from the service: notification (sd_notify(3)) and socket activation (sd_listen_fds(3)).

Both are environment variables and descriptors, so whatever else speaks them (podman, a test) does as well.
"""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import os
import socket
import time
from typing import Final

from proxyd.system.contract import ActivatedSocket, Notifier

SERVICE_MANAGER: Final = "systemd"

_FIRST_DESCRIPTOR: Final = 3  # SD_LISTEN_FDS_START
_SEND_LIMIT: Final = 0.2  # seconds for a manager whose queue is full
_MAX_OWED: Final = 16  # messages that are kept for later


class SystemdNotifier:
    """Datagrams to ``$NOTIFY_SOCKET``; to nobody without an address.

    What a full queue does not take goes ahead of the next message, but for signs of life.
    """

    def __init__(self, address: str | None, watchdog: float | None) -> None:
        self.watchdog: Final = watchdog
        self._address: Final = address
        self._owed: Final[list[str]] = []

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        # Type=notify-reload compares the time with that of its signal.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1", "STATUS=draining")

    def status(self, text: str) -> None:
        self._send(f"STATUS={text}", keep=False)

    def alive(self) -> None:
        self._send("WATCHDOG=1", keep=False)

    def main_process(self, pid: int) -> None:
        self._send(f"MAINPID={pid}")

    def _send(self, *fields: str, keep: bool = True) -> None:
        if self._address is None:
            return
        message = "\n".join(field.replace("\n", " ") for field in fields)
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_SEND_LIMIT)
                while self._owed:
                    sock.sendto(self._owed[0].encode(), path)
                    del self._owed[0]
                sock.sendto(message.encode(), path)
        except OSError:
            if keep and len(self._owed) < _MAX_OWED:
                self._owed.append(message)


def is_managed() -> bool:
    # Process 1 is a container's: when it ends, so does the container, whoever listens to notifications.
    return bool(os.environ.get("NOTIFY_SOCKET")) and os.getpid() != 1


_notifiers: Final[list[Notifier]] = []  # the last counts


def notify_by(notifier: Notifier) -> None:
    _notifiers.append(notifier)


def notifier() -> Notifier:
    if _notifiers:
        return _notifiers[-1]
    return SystemdNotifier(os.environ.get("NOTIFY_SOCKET") or None, _watchdog())


def _watchdog() -> float | None:
    """``$WATCHDOG_USEC`` in seconds, where it is meant for this process.

    The process id goes from the environment: an upgraded instance is another process and is watched as well.
    """
    pid = os.environ.pop("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        os.environ.pop("WATCHDOG_USEC", None)
    try:
        seconds = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def activated_sockets() -> list[ActivatedSocket]:
    pid = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found: list[ActivatedSocket] = []
    for index in range(int(count)):
        try:
            sock = socket.socket(fileno=_FIRST_DESCRIPTOR + index)
        except OSError:  # no socket: a FIFO, a message queue
            continue
        sock.set_inheritable(False)
        sock.setblocking(False)
        found.append(ActivatedSocket(names[index] if index < len(names) else "", sock))
    return found
