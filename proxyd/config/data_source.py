"""Data beside the configuration: files and environment variables, read once, at load."""

import os
import stat
from collections.abc import Mapping
from typing import Final

import msgspec

from proxyd.config.core import DataSource

MAX_BYTES: Final = 16 << 20


class UnreadableError(Exception):
    """Why a file cannot be read, without its name."""


def load(source: DataSource, environment: Mapping[str, str]) -> DataSource:
    """The source with ``loaded`` filled in. Relative paths start at the working directory.

    Raises ValueError with the words for the operator.
    """
    if source.filename is not None:
        try:
            return msgspec.structs.replace(source, loaded=read_file(source.filename))
        except UnreadableError as error:
            raise ValueError(f"{source.filename}: {error}") from None
    if source.environment_variable is not None:
        value = environment.get(source.environment_variable)
        if value is None:
            raise ValueError(f"the environment variable {source.environment_variable} is not set")
        return msgspec.structs.replace(source, loaded=os.fsencode(value))
    return source


def read_file(path: str) -> bytes:
    """A whole file. Raises UnreadableError: missing, no permission, a directory or a device, too large."""
    try:
        # Asked first what it is, for a pipe would hang and a device may never end.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(f"it is {_kind(status.st_mode)}, not a file")
        if status.st_size > MAX_BYTES:
            raise UnreadableError(f"it is larger than {MAX_BYTES >> 20} MiB")
        with open(path, "rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise UnreadableError(f"cannot read it: {error.strerror}") from None
    except ValueError:
        raise UnreadableError("no path holds a NUL character") from None


def _kind(mode: int) -> str:
    return "a directory" if stat.S_ISDIR(mode) else "a pipe, socket or device"
