"""Runs a demonstration from a command line: directory, signals, Enter."""

import contextlib
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proxyd.demo import edge, front
from proxyd.demo.play import Numbers, Play, Say
from proxyd.demo.stage import PROXYD, Program, Stage, opened
from proxyd.system import native

STORIES: Final[dict[str, Callable[[Stage, Play], None]]] = {"front": front.play, "edge": edge.play}
_TICK: Final = 0.5  # seconds; waiting longer at once, some systems would not let Ctrl-C through


class _Enough(Exception):  # noqa: N818 - nothing is wrong
    """The time to look is over."""


def run(
    name: str,
    say: Say,
    *,
    auto: bool,
    own_ports: bool,
    directory: Path | None = None,
    seconds: float | None = None,
    program: Program = PROXYD,
) -> bool:
    """Play a story; False where somebody ended it before its end.

    ``auto`` goes on by itself, else Enter goes on. ``own_ports`` are chosen by the system; else those of the
    files are taken where they are free. The files are laid into ``directory`` and stay there; without it a
    temporary one is used. ``seconds`` is the longest time to wait for Enter, in all.
    Raises DemoError where a step does not show what it should, OSError where ``directory`` cannot be used.
    """
    wait = _nobody if auto else _Spectator(say, seconds).wait
    try:
        with (
            _signals_interrupt(),
            _place(directory) as place,
            opened(place, program, own_ports, say) as stage,
        ):
            say(f"Everything is in {place}; what each proxy says is in its NAME.log there.")
            STORIES[name](stage, Play(say, wait))
            say("\nThat was the whole story.")
    except KeyboardInterrupt:
        return False
    except _Enough:
        pass
    return True


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """What would end or reload a proxy ends the demonstration as Ctrl-C does: in good order."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in native.operator_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="proxyd-demo-") as temporary:
            yield Path(temporary)
        return
    directory.mkdir(parents=True, exist_ok=True)
    yield directory.resolve()


def _nobody(_: Numbers) -> None:
    """Nobody looks: go on."""


class _Spectator:
    """Somebody at the terminal. Where there is none, the first pause lasts until a signal comes."""

    def __init__(self, say: Say, seconds: float | None) -> None:
        self._say: Final = say
        self._until: Final = time.monotonic() + (seconds if seconds is not None else float("inf"))
        self._enters: Final[queue.SimpleQueue[None]] = queue.SimpleQueue()
        # A thread: only so can waiting for Enter end at a time on every system.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # there may be no standard input
            while line := os.read(sys.stdin.fileno(), 4096):
                for _ in range(line.count(b"\n")):
                    self._enters.put(None)

    def wait(self, numbers: Numbers) -> None:
        """Return at Enter; _Enough when the time is over. Meanwhile the numbers are shown as they change."""
        self._say("\n   [Enter: go on; Ctrl-C: stop everything]")
        shown = ""
        while True:
            left = self._until - time.monotonic()
            if left <= 0:
                raise _Enough
            if (now := numbers()) != shown:
                # On a terminal over the last ones.
                self._say(("\x1b[1F\x1b[2K" if shown and sys.stdout.isatty() else "") + f"   {now}")
                shown = now
            with contextlib.suppress(queue.Empty):
                return self._enters.get(timeout=min(left, _TICK))
