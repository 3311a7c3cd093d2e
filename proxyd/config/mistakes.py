"""What an operator is told: every mistake of a configuration, each with its place."""

import difflib
import functools
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

NOT_SUPPORTED: Final = "not supported by proxyd"
_PEM: Final = "-----BEGIN"  # what each part of a PEM text begins with, keys among them
MAX_KNOWN: Final = 2000  # among more words, looking for the nearest takes longer than reading the file


class Mistake(NamedTuple):
    """One mistake. Lines and columns count from 1; ``line`` is 0 when it is about a file as a whole.

    ``unreadable``: the text itself is wrong (no YAML, a word for a number), not what it says. Envoy counts
    the two differently where files change.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    unreadable: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigErrors(Exception):  # noqa: N818 - it holds several
    """A configuration that cannot run. ``mistakes`` holds all of them in the order of the file."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


def is_name(text: str) -> bool:
    """Whether the text may be a name; where one is expected a whole key is pasted now and then."""
    return "\n" not in text and _PEM not in text


def quote(text: str) -> str:
    """Text as a message shows it: in double quotes, on one line, not longer than a line should be.

    PEM is not shown: it may be a private key, wherever it stands.
    """
    if _PEM in text:
        return "a text in PEM form"
    shown = text if len(text) <= 60 else text[:57] + "..."
    return '"' + shown.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`` (did you mean "x"?)`` for the known word nearest to this one, nothing when none is near."""
    near = nearest(word, tuple(known)) if len(known) <= MAX_KNOWN else ""
    return f" (did you mean {quote(near)}?)" if near else ""


@functools.lru_cache(maxsize=256)
def nearest(word: str, known: tuple[str, ...]) -> str:
    """The known word nearest to this one, or nothing."""
    # Case is folded: "http1" is as near to "HTTP1" as can be.
    folded = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(word[:200].lower(), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else ""
