"""Data beside the configuration: files and environment variables, read once, at load."""

import os
import stat
from collections.abc import Mapping
from typing import Final

import msgspec

from proxyd.config.core import DataSource

MAX_BYTES: Final = 16 << 20


def load(source: DataSource, environment: Mapping[str, str]) -> DataSource:
    """The source with ``loaded`` filled in. A relative path starts at the working directory, as in Envoy.

    Raises ValueError with the words for the operator.
    """
    if source.filename is not None:
        return msgspec.structs.replace(source, loaded=read_file(source.filename))
    if source.environment_variable is not None:
        value = environment.get(source.environment_variable)
        if value is None:
            raise ValueError(f"the environment variable {source.environment_variable} is not set")
        return msgspec.structs.replace(source, loaded=os.fsencode(value))
    return source


def read_file(path: str) -> bytes:
    """A whole regular file. Raises ValueError: missing, no permission, a directory or device, too large."""
    try:
        # Not to hang on a pipe or read a device without end, what the path is, is asked first.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is {_kind(status.st_mode)}, not a file")
        if status.st_size > MAX_BYTES:
            raise ValueError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
        with open(path, "rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def _kind(mode: int) -> str:
    return "a directory" if stat.S_ISDIR(mode) else "a pipe, socket or device"
