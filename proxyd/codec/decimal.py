"""Whole numbers as text. Most that a response or a log line tells are small, and those are written once."""

from typing import Final

SMALL: Final = 1024
DIGITS: Final = [b"%d" % number for number in range(SMALL)]  # of the numbers from 0 up to SMALL
