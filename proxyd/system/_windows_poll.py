"""Which of many sockets are ready, on Windows: ``select`` takes 512 there and no more."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import ctypes
import struct
from collections.abc import Sequence
from ctypes import wintypes
from typing import Any, Final

# winsock2.h
_READABLE: Final = 0x0100  # POLLRDNORM
_WRITABLE: Final = 0x0010  # POLLWRNORM
_FAILED: Final = 0x0003  # POLLERR, POLLHUP: also where nobody has asked for them
_WATCHED: Final = struct.Struct("=Qhh4x")  # WSAPOLLFD: socket, what is asked, what was found
_FOUND: Final = slice(5, None, 8)  # of the 16-bit numbers of many

_FOREVER: Final = -1

_poll: Final[Any] = ctypes.WinDLL("ws2_32").WSAPoll
_poll.restype = ctypes.c_int
_poll.argtypes = (ctypes.c_void_p, wintypes.ULONG, ctypes.c_int)


def poll(readers: Sequence[int], writers: Sequence[int]) -> tuple[list[int], list[int]]:
    """Wait until one of them can be read or written, or has failed; which ones.

    There must be one. A socket that was closed ends the waiting, and is in neither list.
    """
    watched = bytearray().join(
        [_WATCHED.pack(number, _READABLE, 0) for number in readers]
        + [_WATCHED.pack(number, _WRITABLE, 0) for number in writers]
    )
    place = (ctypes.c_char * len(watched)).from_buffer(watched)
    if _poll(place, len(readers) + len(writers), _FOREVER) <= 0:
        return [], []
    found = memoryview(watched).cast("h")[_FOUND].tolist()
    wanted = _READABLE | _FAILED
    readable = [number for number, each in zip(readers, found, strict=False) if each & wanted]
    wanted = _WRITABLE | _FAILED
    writable = [number for number, each in zip(writers, found[len(readers) :], strict=True) if each & wanted]
    return readable, writable
