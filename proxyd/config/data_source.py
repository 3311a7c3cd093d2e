"""Data beside the configuration: files and environment variables, read once, at load."""

import os
import stat
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from proxyd.config.core import DataSource
from proxyd.config.finding import messages
from proxyd.config.look import Looks, look_first
from proxyd.config.message import Message
from proxyd.config.mistakes import is_name
from proxyd.system import native

MAX_BYTES: Final = 16 << 20
# Told without the text, which may be a key or a password: line and column say where it stands.
_NO_NAME: Final = "the text itself is given where the name"


class UnreadableError(Exception):
    """Why a file cannot be read, without its name."""


def load(
    source: DataSource,
    environment: Mapping[str, str],
    looks: Looks | None = None,
    secret: bool = False,
) -> DataSource:
    """The source with ``loaded`` filled in. Relative paths start at the working directory.

    ``looks`` takes what the file was before. Of a ``secret`` a name that nothing has is not told: it may be
    the secret itself.

    Raises ValueError with the words for the operator.
    """
    if source.filename is not None:
        look_first(source.filename, looks)
        try:
            return msgspec.structs.replace(source, loaded=read_file(source.filename))
        except UnreadableError as error:
            if not is_name(source.filename):
                raise ValueError(f"{_NO_NAME} of a file is expected") from None
            shown = source.filename
            if secret and not os.path.exists(shown):
                shown = "the file that is named here"
            raise ValueError(f"{shown}: {error}") from None
    if source.environment_variable is not None:
        value = environment.get(source.environment_variable)
        if value is None and not is_name(source.environment_variable):
            raise ValueError(f"{_NO_NAME} of an environment variable is expected")
        if value is None:
            shown = "that is named here" if secret else source.environment_variable
            raise ValueError(f"the environment variable {shown} is not set")
        return msgspec.structs.replace(source, loaded=os.fsencode(value))
    return source


_Message = TypeVar("_Message", bound=Message)


def files(root: Message) -> set[str]:
    """The paths of all files whose contents ``root`` holds."""
    return {
        message.filename
        for _, message in messages(root)
        if isinstance(message, DataSource) and message.filename is not None
    }


def read_again(root: _Message, looks: Looks | None = None) -> _Message:
    """The message with the present contents of its files; the same object where none has changed.

    ``looks`` as in ``load``.

    Raises ValueError with the words for the operator.
    """
    if isinstance(root, DataSource):
        if root.filename is None:
            return root
        fresh = load(root, {}, looks)
        return root if fresh == root else fresh  # type: ignore[return-value]  # of the same class
    changes: dict[str, Any] = {}
    for name in root.__struct_fields__:
        value = getattr(root, name)
        if isinstance(value, Message):
            fresh_value: Any = read_again(value, looks)
        elif isinstance(value, tuple) and any(isinstance(item, Message) for item in value):
            fresh_value = tuple(
                read_again(item, looks) if isinstance(item, Message) else item for item in value
            )
            if all(new is old for new, old in zip(fresh_value, value, strict=True)):
                continue
        else:
            continue
        if fresh_value is not value:
            changes[name] = fresh_value
    return msgspec.structs.replace(root, **changes) if changes else root


def read_file(path: str) -> bytes:
    """A whole file. Raises UnreadableError: missing, no permission, a directory or a device, too large."""
    try:
        # Asked first what it is, for a pipe would hang and a device may never end.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(f"it is {_kind(status.st_mode)}, not a file")
        if status.st_size > MAX_BYTES:
            raise UnreadableError(f"it is larger than {MAX_BYTES >> 20} MiB")
        with open(path, "rb", opener=native.open_to_read) as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise UnreadableError(f"cannot read it: {native.words(error)}") from None
    except ValueError:
        raise UnreadableError("no path holds a NUL character") from None


def _kind(mode: int) -> str:
    return "a directory" if stat.S_ISDIR(mode) else "a pipe, socket or device"
