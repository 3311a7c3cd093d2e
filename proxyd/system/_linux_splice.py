"""Pipes that bytes go through from one socket to another without passing the process, on Linux: splice(2)."""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import contextlib
import errno
import fcntl
import os
from typing import Final

# What an unprivileged process may have of one pipe, and as much as a buffer of Envoy's.
_CAPACITY: Final = 1 << 20
# Of one process: each takes two descriptors, and who uses it up to two more.
_MOST: Final = 512
_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK

_open = 0


class LinuxPipe:
    """See the contract's Pipe."""

    __slots__ = ("_reading", "_writing", "capacity")

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.capacity: int = fcntl.fcntl(self._writing, fcntl.F_SETPIPE_SZ, _CAPACITY)
        except OSError:  # what all pipes of a user may have together is used up
            self.capacity = fcntl.fcntl(self._writing, fcntl.F_GETPIPE_SZ)

    def fill(self, source: int) -> int:
        return os.splice(source, self._writing, self.capacity, flags=_FLAGS)

    def empty(self, target: int, count: int) -> int:
        return os.splice(self._reading, target, count, flags=_FLAGS)

    def read(self) -> bytes:
        parts: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._reading, self.capacity):
                parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        global _open
        _open -= 1
        os.close(self._reading)
        os.close(self._writing)


def new_pipe() -> LinuxPipe | None:
    global _open
    if _open >= _MOST:
        return None
    try:
        pipe = LinuxPipe()
    except OSError:  # no descriptors are left
        return None
    _open += 1
    return pipe


def cannot_splice(error: OSError) -> bool:
    return error.errno in (errno.EINVAL, errno.ENOSYS, errno.EPERM)
