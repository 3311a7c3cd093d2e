"""Plays a story step by step: says what happens, waits for Enter or goes on, checks what was seen."""

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_PATIENCE: Final = 60.0  # seconds for something to be seen; a busy machine starts processes slowly
_PAUSE: Final = 0.02  # seconds between two looks

Say = Callable[[str], None]
Numbers = Callable[[], str]


class DemoError(Exception):
    """A step did not show what it should have shown, or could not be played; the text says what and why."""


class Play:
    """The one who tells.

    ``wait`` returns when the next step shall come; it is given what tells the numbers of the moment.
    """

    def __init__(self, say: Say, wait: Callable[[Numbers], None]) -> None:
        self._say: Final = say
        self._wait: Final = wait
        self.numbers: Numbers = str  # a line, empty as long as there is nothing to count
        self._number = 0

    def say(self, text: str) -> None:
        """A paragraph."""
        self._say(text)

    @contextmanager
    def step(self, title: str, story: str) -> Iterator[None]:
        """The body does what ``story`` announces; afterwards the spectator has time to look.

        Raises DemoError that names the step where it does not.
        """
        self._number += 1
        self._say(f"\n== {self._number}. {title}\n\n{story}")
        try:
            yield
        except (DemoError, OSError, http.client.HTTPException) as error:
            words = str(error) if isinstance(error, DemoError) else f"{type(error).__name__}: {error}"
            raise DemoError(f"step {self._number} ({title}): {words}") from None
        self._wait(self.numbers)

    def seen(self, what: str) -> None:
        """Something the step had to show was there."""
        self._say(f"   ok  {what}")

    def look(self, *lines: tuple[str, str]) -> None:
        """What to try by hand, and what it shows."""
        width = max(len(what) for what, _ in lines)
        self._say("\n   Look:\n" + "\n".join(f"     {what.ljust(width)}   {shows}" for what, shows in lines))


def until(what: str, seen: Callable[[], bool]) -> None:
    """Look again and again until it is seen; DemoError when time is up, with what went wrong last."""
    deadline = time.monotonic() + _PATIENCE
    wrong: Exception | None = None
    while True:
        try:
            if seen():
                return
            wrong = None
        except (OSError, http.client.HTTPException) as error:
            wrong = error
        if time.monotonic() > deadline:
            why = f": {type(wrong).__name__}: {wrong}" if wrong else ""
            raise DemoError(f"not seen within {_PATIENCE:.0f} s: {what}{why}")
        time.sleep(_PAUSE)


def expect(what: str, found: object, wanted: object) -> None:
    """DemoError unless they are the same."""
    if found != wanted:
        raise DemoError(f"{what}: expected {wanted!r}, found {found!r}")
