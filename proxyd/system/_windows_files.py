"""Files and directories on Windows: the run directory, logs that can be moved while open, devices."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import msvcrt
import os
import stat
import time
from collections.abc import Mapping, Sequence
from typing import Final

from proxyd.system import _windows_api as api
from proxyd.system._windows_control import PipeListener
from proxyd.system._windows_directory import file_number

_SYSTEM: Final = "S-1-5-18"
_PATIENCE: Final = 2.0  # seconds for another program to let go of a file
_PAUSE: Final = 0.02  # seconds between two tries
_ADMINISTRATORS: Final = "S-1-5-32-544"

standard_streams: Final[Mapping[str, int]] = {"/dev/stdout": 1, "/dev/stderr": 2}

# Devices by the names that Envoy's configurations and Windows have for them; letters of any case.
_DEVICES: Final = {
    "/dev/stdout": "/dev/stdout",
    "/dev/stderr": "/dev/stderr",
    "/dev/null": "NUL",
    "con": "/dev/stdout",
    "con:": "/dev/stdout",
    "conout$": "/dev/stdout",
    "nul": "NUL",
    "nul:": "NUL",
}


def system_config_path() -> str:
    return os.path.join(_program_data(), "proxyd", "proxyd.yaml")


def run_bases() -> list[str]:
    bases = [os.path.join(_program_data(), "proxyd", "run")]  # of services
    local = os.environ.get("LOCALAPPDATA")
    if local:
        bases.insert(0, os.path.join(local, "proxyd", "run"))
    return bases


def _program_data() -> str:
    return os.environ.get("PROGRAMDATA") or "C:\\ProgramData"


class PrivateDirectory:
    """By its path: what stands there can only be changed by whom we let."""

    def __init__(self, path: str) -> None:
        self._path: Final = path

    def lock(self, name: str) -> int | None:
        try:
            handle = api.open_for_one_writer(os.path.join(self._path, name), api.OwnerOnly())
        except OSError as error:
            if error.winerror == api.ERROR_SHARING_VIOLATION:
                return None
            raise
        return msvcrt.open_osfhandle(handle, os.O_RDWR | os.O_BINARY | os.O_NOINHERIT)

    def listen(self, name: str) -> PipeListener:
        return PipeListener(os.path.join(self._path, name))

    def estate(self, lock: int) -> list[int]:
        return [msvcrt.get_osfhandle(lock)]

    def remove(self, names: Sequence[str], lock: int | None) -> None:
        if lock is not None:
            os.close(lock)  # what is open cannot be removed; and what the next instance has locked is open
        for name in names:
            try:
                os.unlink(os.path.join(self._path, name))
            except OSError:
                pass
        try:
            os.rmdir(self._path)
        except OSError:
            pass

    def close(self) -> None:
        """It never was open."""


def open_private_directory(base: str, name: str) -> PrivateDirectory:
    os.makedirs(base, exist_ok=True)
    path = os.path.join(base, name)
    for each in (base, path):
        os.makedirs(each, exist_ok=True)
        found = os.lstat(each)
        if found.st_file_attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT or not stat.S_ISDIR(found.st_mode):
            raise PermissionError(f"{each} is a link or a file where a directory was expected")
    allowed = api.OwnerOnly("FA")
    owner = api.owner(path)
    if owner not in (allowed.user, _SYSTEM, _ADMINISTRATORS):
        raise PermissionError(f"{path} belongs to {owner}, not to the user proxyd runs as")
    allowed.restrict(path)
    return PrivateDirectory(path)


def adopt_private_directory(path: str, descriptors: Sequence[int]) -> tuple[PrivateDirectory, int]:
    (lock,) = descriptors
    return PrivateDirectory(path), msvcrt.open_osfhandle(lock, os.O_RDWR | os.O_BINARY | os.O_NOINHERIT)


def log_path(path: str) -> str:
    return _DEVICES.get(path.lower(), path)


def open_log(path: str) -> int:
    return msvcrt.open_osfhandle(api.open_to_append(path), os.O_WRONLY | os.O_BINARY | os.O_NOINHERIT)


def lacks_reader(path: str) -> bool:
    return False  # pipes are no files there


def look(path: str) -> tuple[str, int, int, int, int, int]:
    # By the entry of its directory: a file that is open, if only to be looked at, cannot be replaced.
    real = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(path))), os.path.basename(path))
    entry = api.find_entry(real)
    if entry.attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT:
        real = os.path.realpath(real)
        entry = api.find_entry(real)
    return real, file_number(real), entry.created, entry.size, entry.written, 0


def open_to_read(path: str, flags: int) -> int:
    # Who has just written or moved it may have it for himself yet (envoyproxy/envoy#14413), as may a scanner.
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            handle = api.open_to_read(path)
            break
        except OSError as error:
            if error.winerror != api.ERROR_SHARING_VIOLATION or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)
    return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)
