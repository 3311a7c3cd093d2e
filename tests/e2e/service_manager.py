"""A stand-in for systemd: it hears what a service notifies, and starts one with sockets that it has bound.

It speaks the protocols (sd_notify(3), sd_listen_fds(3)) and nothing else: it neither checks who notifies, nor
draws consequences from what it hears.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DEADLINE = 90.0  # seconds; several processes start, on a machine that does other things as well

# Becomes a command, with descriptors from 3 on and LISTEN_PID its own; the first argument names the others.
_LAUNCHER = """\
import os, sys
count = int(sys.argv[1])
for number, given in enumerate(sys.argv[2 : 2 + count]):
    os.dup2(int(given), 100 + number)
for number in range(count):
    os.dup2(100 + number, 3 + number)
    os.close(100 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=sys.argv[2 + count])
os.execv(sys.argv[3 + count], sys.argv[3 + count :])
"""


class ServiceManager:
    """Set NOTIFY_SOCKET to ``address``; ``heard`` has the fields of every message, in order."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.heard: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def wait_for(self, field: str, value: str = "") -> dict[str, str]:
        """The next message that has this field, with ``value`` in it; the ones before it are passed over."""
        deadline = time.monotonic() + _DEADLINE
        while True:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                text = self._socket.recv(4096).decode()
            except TimeoutError:
                raise AssertionError(f"never heard {field}={value}: {self.heard[-10:]}") from None
            message = dict(line.split("=", 1) for line in text.splitlines())
            self.heard.append(message)
            if field in message and value in message[field]:
                return message

    def pending(self) -> list[dict[str, str]]:
        """What has come by now."""
        found = []
        self._socket.setblocking(False)
        try:
            while True:
                text = self._socket.recv(4096).decode()
                found.append(dict(line.split("=", 1) for line in text.splitlines()))
        except BlockingIOError:
            return found

    def close(self) -> None:
        self._socket.close()


def launcher(names: str, *sockets: socket.socket) -> tuple[str, ...]:
    """The command that starts another with these sockets, and tells it their names (``a:b``)."""
    return (
        sys.executable,
        "-c",
        _LAUNCHER,
        str(len(sockets)),
        *(str(sock.fileno()) for sock in sockets),
        names,
    )


@contextmanager
def suspended(pids: list[int]) -> Iterator[None]:
    """Processes that do not run meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
