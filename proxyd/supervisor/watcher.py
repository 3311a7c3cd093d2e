"""Which files have become others: found by looking at them again and again, on a thread of its own.

A path is followed through all its links, so a file moved onto it from anywhere and a link that is swapped are
seen alike, on every file system. A file that was moved there is complete and is told of at once; one that is
written in place, when it has not changed for a while.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from proxyd.config.look import Look, look

logger = logging.getLogger("config")

INTERVAL: Final = 0.05  # seconds between two looks
_SECONDS_PER_FILE: Final = 50e-6  # so that looking, at a few microseconds a file, takes a twentieth of a core
SETTLED: Final = 0.25  # seconds without a change make a file that is written in place complete


class _File:
    """One file that is watched."""

    __slots__ = ("known", "seen", "since")

    def __init__(self, known: Look | None) -> None:
        self.known = known  # what has been told, or was there at the beginning
        self.seen: Look | None = None  # another one that may not be complete
        self.since = 0.0


class Changes:
    """Decides by looks. ``in_place``: whether a file that is written to is another one."""

    def __init__(self, in_place: bool) -> None:
        self._in_place: Final = in_place
        self._files: Final[dict[str, _File]] = {}

    @property
    def paths(self) -> list[str]:
        return list(self._files)

    def watch(self, paths: Iterable[str], known: Mapping[str, Look | None]) -> None:
        """Watch these and no others. ``known`` is what those were that have been read meanwhile."""
        wanted = set(paths)
        for path in self._files.keys() - wanted:
            del self._files[path]
        for path in wanted:
            if path not in self._files:
                self._files[path] = _File(known[path] if path in known else look(path))

    def take(self, looks: Mapping[str, Look | None], now: float) -> set[str]:
        """The files that have become others by these looks, taken at ``now`` (monotonic seconds)."""
        return {path for path, found in looks.items() if path in self._files and self._take(path, found, now)}

    def _take(self, path: str, found: Look | None, now: float) -> bool:
        file = self._files[path]
        known = file.known
        if found is None or found[:5] == (known and known[:5]):
            file.seen = None
            return False
        other = known is None or found.identity != known.identity
        if not other and not self._in_place:
            return False
        if file.seen is None or found[:5] != file.seen[:5]:
            file.seen, file.since = found, now
        if not (other and found.moved) and now - file.since < SETTLED:
            return False
        file.known, file.seen = found, None
        return True


class FileWatcher:
    """Looks on a thread and tells on the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tell: Callable[[set[str]], None], in_place: bool
    ) -> None:
        self._loop: Final = loop
        self._tell: Final = tell
        self._changes: Final = Changes(in_place)
        self._lock: Final = threading.Lock()
        self._wake: Final = threading.Event()
        self._ended: bool = False
        self._thread: threading.Thread | None = None

    def watch(self, paths: Iterable[str], known: Mapping[str, Look | None]) -> None:
        """Watch these and no others; see ``Changes.watch``. Does not block for long: few files are new."""
        with self._lock:
            self._changes.watch(paths, known)
            some = bool(self._changes.paths)
        if some and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._ended = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(1.0)  # a file system may hang; the thread is a daemon

    def _run(self) -> None:
        while not self._ended:
            with self._lock:
                paths = self._changes.paths
            looks = {path: look(path) for path in paths}
            with self._lock:
                changed = self._changes.take(looks, time.monotonic())
            if changed:
                try:
                    self._loop.call_soon_threadsafe(self._tell, changed)
                except RuntimeError:  # the loop has ended
                    return
            self._wake.wait(max(INTERVAL, len(paths) * _SECONDS_PER_FILE))
