"""Timestamps as ``%START_TIME(...)%`` writes them: strftime with digits of the second and seconds since 1970.

The part that strftime writes is kept for as long as the second lasts; a request only adds its digits.
"""

import re
import time
from typing import Final

DEFAULT_TIME: Final = "%Y-%m-%dT%H:%M:%E3SZ"
DEFAULT_LOCAL_TIME: Final = "%Y-%m-%dT%H:%M:%E3S%z"

_SPECIFIER: Final = re.compile(r"%(E4Y|ET|E\*z|Ez|E\*S|E\*f|E[0-9]+S|E[0-9]+f|[1-9]f|.?)", re.DOTALL)
_STRFTIME: Final = frozenset("aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%")
# Digits of a piece: a positive number is how many, these are the exceptions
_WHOLE: Final = 0  # no digits, strftime's text
_TRIMMED: Final = -1  # as many as say something, after a point
_ALL_TRIMMED: Final = -2  # the same without the point, "0" for none


class TimeFormat:
    """A compiled time format; give ``format`` wall-clock seconds since the epoch."""

    __slots__ = ("_digits", "_local", "_second", "_texts", "_written")

    def __init__(self, spec: str, local: bool = False) -> None:
        """Raises ValueError, naming the specifier, for one that is not known."""
        self._local: Final = local
        self._texts: Final[list[str]] = []  # what strftime gets; empty where digits stand
        self._digits: Final[list[int]] = []
        self._written: list[str] = []
        self._second: int = -1
        self._compile(spec)

    def format(self, seconds: float) -> str:
        """``seconds`` in this format; digits beyond microseconds are zeros."""
        second, micros = divmod(round(seconds * 1_000_000), 1_000_000)
        if second != self._second:
            self._write(second)
        written = self._written
        digits = self._digits
        pieces: list[str] = []
        for index in range(len(digits)):
            count = digits[index]
            if count == _WHOLE:
                pieces.append(written[index])
            elif count > 0:
                pieces.append(f"{micros * 1000:09d}".ljust(count, "0")[:count])
            else:
                trimmed = f"{micros:06d}".rstrip("0")
                if count == _TRIMMED:
                    pieces.append("." + trimmed if trimmed else "")
                else:
                    pieces.append(trimmed or "0")
        return "".join(pieces)

    def _write(self, second: int) -> None:
        moment = time.localtime(second) if self._local else time.gmtime(second)
        zone = time.strftime("%z", moment) if self._local else "+0000"
        colon_zone = zone[:3] + ":" + zone[3:]
        written: list[str] = []
        for text in self._texts:
            text = text.replace("\0s", str(second)).replace("\0c", colon_zone).replace("\0z", zone)
            written.append(time.strftime(text, moment) if "%" in text else text)
        self._written = written
        self._second = second

    def _compile(self, spec: str) -> None:
        # NUL cannot stand in a configured format, so it marks what strftime must not see.
        text = ""
        last = 0
        for found in _SPECIFIER.finditer(spec):
            text += spec[last : found.start()]
            last = found.end()
            name = found.group(1)
            if name == "s":
                text += "\0s"
            elif name in ("z", "Ez", "E*z"):
                text += "\0z" if name == "z" else "\0c" if name == "Ez" else "\0c:00"
            elif name == "Z" and not self._local:
                text += "UTC"
            elif name == "E4Y":
                text += "%Y"
            elif name == "ET":
                text += "T"
            elif name == "E*S":
                self._add(text + "%S", _TRIMMED)
                text = ""
            elif name == "E*f":
                self._add(text, _ALL_TRIMMED)
                text = ""
            elif name == "f" or name[-1:] == "f":
                self._add(text, int(name.strip("Ef") or 9))
                text = ""
            elif name[:1] == "E" and name[-1:] == "S":
                digits = int(name[1:-1])
                self._add(text + ("%S." if digits else "%S"), digits)
                text = ""
            elif name in _STRFTIME and name:
                text += "%" + name
            else:
                raise ValueError(f"%{name} is no time specifier")
        self._add(text + spec[last:], _WHOLE)

    def _add(self, text: str, digits: int) -> None:
        if text:
            self._texts.append(text)
            self._digits.append(_WHOLE)
        if digits != _WHOLE:
            self._texts.append("")
            self._digits.append(digits)
