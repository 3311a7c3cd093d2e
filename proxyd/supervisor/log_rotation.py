"""Logs that have grown too large are moved away and opened anew, on request of ``--log-rotate-size``.

The supervisor alone moves files; the workers then open theirs anew as after any other rotation. What they
write between the two goes to the file that was moved, so no line is lost.
"""

import logging
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from proxyd.config.access_log import FileAccessLog
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.finding import messages
from proxyd.system import native

if TYPE_CHECKING:
    from proxyd.supervisor.operations import Operations
    from proxyd.supervisor.supervisor import Supervisor

logger = logging.getLogger("main")

INTERVAL: Final = 1.0  # seconds between two looks at the files


class LogRotation:
    """Moves the logs of an instance: FILE becomes FILE.1, what was that FILE.2, and so on."""

    def __init__(self, supervisor: "Supervisor", operations: "Operations", size: int, keep: int) -> None:
        """``size`` in bytes, from which on a file is moved; ``keep`` of those that were moved stay."""
        self._supervisor: Final = supervisor
        self._operations: Final = operations
        self._size: Final = size
        self._keep: Final = keep
        self._known: list[tuple[Bootstrap, list[str]]] = []
        self._troubles: dict[str, str] = {}  # path to why it cannot be moved, which is told once

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            await anyio.sleep(INTERVAL)
            if self._supervisor.successor:
                return  # they are another process's from now on
            moved, troubles = await anyio.to_thread.run_sync(self._rotate, self._paths())
            for path in troubles.keys() - self._troubles.keys():
                logger.error("the log %s is too large and cannot be rotated: %s", path, troubles[path])
            self._troubles = troubles
            if moved:
                await self._operations.reopen_logs()

    def _paths(self) -> list[str]:
        """Of every log that this instance writes to; what drains still writes to its own."""
        supervisor = self._supervisor
        bootstraps = [generation.bootstrap for generation in supervisor.generations]
        if supervisor.configuration is not None:
            bootstraps.append(supervisor.configuration.bootstrap)
        self._known = [(each, self._paths_of(each)) for each in bootstraps]
        own = [supervisor.log.path] if supervisor.log.path is not None else []
        return list(dict.fromkeys([*own, *(path for _, paths in self._known for path in paths)]))

    def _paths_of(self, bootstrap: Bootstrap) -> list[str]:
        """Found once: a configuration may be large."""
        for known, paths in self._known:
            if known is bootstrap:
                return paths
        return list(access_log_paths(bootstrap))

    def _rotate(self, paths: list[str]) -> tuple[list[str], dict[str, str]]:
        """Move what has grown too large: which were, and which could not be and why. Blocks."""
        moved: list[str] = []
        troubles: dict[str, str] = {}
        for path in paths:
            try:
                # Behind all links: moving a link would leave the file where it is.
                real = os.path.realpath(path)
                found = os.stat(real)
                if stat.S_ISREG(found.st_mode) and found.st_size >= self._size:
                    move_away(real, self._keep)
                    moved.append(path)
            except FileNotFoundError:
                continue  # somebody else has moved it
            except OSError as error:
                troubles[path] = native.words(error)
        return moved, troubles


def access_log_paths(bootstrap: Bootstrap) -> Iterator[str]:
    """The files of a configuration's access logs, the admin API's included; no standard streams."""
    for _, message in messages(bootstrap):
        if isinstance(message, FileAccessLog):
            path = native.log_path(message.path)
            if path not in native.standard_streams:
                yield path


def move_away(path: str, keep: int) -> None:
    """Make ``path`` free: it becomes PATH.1; at most ``keep`` of those before it stay. Raises OSError."""
    names = [path, *(f"{path}.{number}" for number in range(1, keep + 1))]
    # Up to the first name that nobody has, lest a file that cannot be moved lets those behind it go in vain.
    free = next((index for index, name in enumerate(names) if index and not os.path.lexists(name)), keep)
    for index in range(free, 0, -1):
        os.replace(names[index - 1], names[index])
