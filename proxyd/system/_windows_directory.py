"""What a directory knows of a file, found without opening the file: what is open cannot be replaced."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import ctypes
import os
import struct
from ctypes import wintypes
from typing import Final

from proxyd.system import _windows_api as api

_BOTH: Final = 37  # FileIdBothDirectoryInformation
_NUMBER: Final = struct.Struct("@q")
_NUMBER_AT: Final = 96  # FileId in FILE_ID_BOTH_DIR_INFORMATION
_SIZE: Final = 104 + 2 * 512  # of that with a name of at most 255 characters, and room to spare

_NOTHING: Final = (None, None, None)  # no event, no callback: it is waited for

_ntdll: Final = ctypes.WinDLL("ntdll")


class _Name(ctypes.Structure):
    """UNICODE_STRING; lengths in bytes."""

    _fields_ = [("length", wintypes.USHORT), ("most", wintypes.USHORT), ("text", wintypes.LPWSTR)]


class _Outcome(ctypes.Structure):
    """IO_STATUS_BLOCK."""

    _fields_ = [("status", ctypes.c_void_p), ("information", ctypes.c_size_t)]


_query: Final = _ntdll.NtQueryDirectoryFile
_query.restype = ctypes.c_long
_query.argtypes = (
    ctypes.c_void_p,  # the directory
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.POINTER(_Outcome),
    ctypes.c_void_p,  # where to
    wintypes.ULONG,
    ctypes.c_int,  # what
    ctypes.c_ubyte,  # a single one
    ctypes.POINTER(_Name),
    ctypes.c_ubyte,  # from the beginning
)


def file_number(path: str) -> int:
    """The number of the file at ``path`` on its volume; 0 where there is none or the file system has none.

    Another file in its place has another one, whatever its times are: NTFS gives a file that takes the name
    of one that has just gone that one's time of creation.
    """
    folder, name = os.path.split(path)
    length = len(name.encode("utf-16-le"))
    try:
        directory = api.open_directory(folder)
    except OSError:
        return 0
    try:
        found = ctypes.create_string_buffer(_SIZE)
        wanted = _Name(length, length, name)
        outcome = _Outcome()
        status = _query(
            directory,
            None,
            None,
            None,
            ctypes.byref(outcome),
            found,
            _SIZE,
            _BOTH,
            1,
            ctypes.byref(wanted),
            1,
        )
    finally:
        api.close(directory)
    number: int = _NUMBER.unpack_from(found, _NUMBER_AT)[0]
    return number if status == 0 else 0
