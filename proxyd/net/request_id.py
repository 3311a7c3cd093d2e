"""Request ids: random UUIDs (RFC 9562 version 4), made in bulk because each request wants one."""

import os
from typing import Final

_BATCH: Final = 256


class RequestIds:
    """A supply of ``x-request-id`` values."""

    def __init__(self) -> None:
        self._digits: bytes = b""
        self._place: int = 0

    def next(self) -> bytes:
        """A new id, 36 bytes of text."""
        place = self._place
        if place >= len(self._digits):
            self._digits = os.urandom(16 * _BATCH).hex().encode()
            place = 0
        self._place = place + 32
        digits = self._digits[place : place + 32]
        # 13th digit: the version; 17th: the variant, whose two free bits stay random.
        return b"%b-%b-4%b-%b%b-%b" % (
            digits[:8],
            digits[8:12],
            digits[13:16],
            _VARIANT[digits[16] & 3],
            digits[17:20],
            digits[20:],
        )


_VARIANT: Final = (b"8", b"9", b"a", b"b")
