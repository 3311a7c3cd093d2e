"""Whole numbers as text. Most that a response or a log line tells are small, and those are written once."""

from typing import Final

_SMALL: Final = [b"%d" % number for number in range(1024)]


def decimal(number: int) -> bytes:
    """The decimal digits of ``number``."""
    return _SMALL[number] if 0 <= number < 1024 else b"%d" % number
