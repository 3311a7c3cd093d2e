"""Which stats of a view to print: Envoy's ``filter``, ``usedonly`` and ``type``."""

import re
from typing import Final

from proxyd.stats.view import StatsView

ALL: Final = "All"
COUNTERS: Final = "Counters"
GAUGES: Final = "Gauges"
HISTOGRAMS: Final = "Histograms"
TEXT_READOUTS: Final = "TextReadouts"
TYPES: Final = (ALL, COUNTERS, HISTOGRAMS, GAUGES, TEXT_READOUTS)

_MAX_PATTERN: Final = 500
_MAX_REPEATS: Final = 6
# Groups that RE2 does not have either.
_REFUSED_GROUPS: Final = ("(?=", "(?!", "(?<=", "(?<!", "(?>", "(?(", "(?P=")


class PatternError(ValueError):
    """The text is no regular expression, or one that could keep the process busy for ever."""


def compile_pattern(text: str) -> re.Pattern[str]:
    """A regular expression to search names with; raises PatternError.

    Envoy's is RE2, whose time is linear. This one is the standard library's, so what could backtrack without
    end is refused: repeats inside repeats, many repeats, and the groups that RE2 refuses as well.
    """
    if len(text) > _MAX_PATTERN:
        raise PatternError(f"pattern longer than {_MAX_PATTERN} characters")
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternError(f"{error}: {text}") from None
    _refuse_endless(text)
    return pattern


def _refuse_endless(text: str) -> None:
    """Walk over a valid pattern and refuse what has no bound on its time."""
    outer: list[bool] = []  # for each open group: was there a repeat before it, beside it
    repeated = False  # is there a repeat in the present group
    closed_with_repeat = False  # was the last item a group with a repeat inside
    repeats = 0
    index = 0
    while index < len(text):
        char = text[index]
        after_group = closed_with_repeat
        closed_with_repeat = False
        if char == "\\":
            if text[index + 1 : index + 2].isdigit() and text[index + 1] != "0":
                raise PatternError(f"invalid escape sequence: \\{text[index + 1]}")
            index += 1
        elif char == "[":
            index = _end_of_class(text, index)
        elif char == "(":
            if text.startswith(_REFUSED_GROUPS, index):
                raise PatternError(f"invalid perl operator: {text[index : index + 3]}")
            outer.append(repeated)
            repeated = False
        elif char == ")":
            closed_with_repeat = repeated
            repeated = outer.pop() or repeated
        elif char in "*+{" and (char != "{" or re.match(r"\{\d*,?\d*\}", text[index:])):
            if after_group:
                raise PatternError(f"repeat inside a repeat: {text}")
            repeated = True
            repeats += 1
            if repeats > _MAX_REPEATS:
                raise PatternError(f"more than {_MAX_REPEATS} repeats: {text}")
        index += 1


def _end_of_class(text: str, start: int) -> int:
    """The index of the bracket that closes the character class opened at ``start``."""
    index = start + 1
    if text[index] == "^":
        index += 1
    if text[index] == "]":
        index += 1
    while text[index] != "]":
        index += 2 if text[index] == "\\" else 1
    return index


class Selection:
    """What to keep of a view; by default everything."""

    def __init__(
        self,
        pattern: re.Pattern[str] | None = None,
        *,
        invert: bool = False,
        used_only: bool = False,
        kind: str = ALL,
    ) -> None:
        assert kind in TYPES
        self._pattern: Final = pattern
        self._invert: Final = invert
        self._used_only: Final = used_only
        self._kind: Final = kind

    def apply(self, view: StatsView) -> StatsView:
        """A view of only what is selected. Nothing hidden is in it."""
        result = StatsView()
        result.used.update(view.used)
        if self._kind in (ALL, COUNTERS):
            result.counters.update((name, n) for name, n in view.counters.items() if self._keeps(name, view))
        if self._kind in (ALL, GAUGES):
            result.gauges.update((name, n) for name, n in view.gauges.items() if self._keeps(name, view))
        if self._kind in (ALL, HISTOGRAMS):
            result.histograms.update(
                (name, h) for name, h in view.histograms.items() if self._keeps(name, view)
            )
        if self._kind in (ALL, TEXT_READOUTS):
            result.texts.update((name, t) for name, t in view.texts.items() if self._keeps(name, view))
        return result

    def _keeps(self, name: str, view: StatsView) -> bool:
        if self._used_only and name not in view.used:
            return False
        return self._pattern is None or (self._pattern.search(name) is None) == self._invert
