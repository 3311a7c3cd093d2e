"""Request ids: random UUIDs (RFC 9562 version 4), made in bulk because each request wants one."""

import os
import struct
from typing import Final

_BATCH: Final = 256


class RequestIds:
    """A supply of ``x-request-id`` values."""

    def __init__(self) -> None:
        self._batch: bytes = b""
        self._place: int = 0

    def next(self) -> bytes:
        """A new id, 36 bytes of text."""
        place = self._place
        if place >= len(self._batch):
            self._batch = _make_batch()
            place = 0
        self._place = place + _LENGTH
        return self._batch[place : place + _LENGTH]


def _make_batch() -> bytes:
    digits = bytearray(os.urandom(16 * _BATCH).hex().encode())
    digits[12::32] = b"4" * _BATCH  # the version
    digits[16::32] = digits[16::32].translate(_VARIANT)  # the variant, whose two free bits stay random
    return _TEXTS % struct.unpack(_PIECES, digits)


_LENGTH: Final = 36
_PIECES: Final = "8s4s4s4s12s" * _BATCH
_TEXTS: Final = b"%b-%b-%b-%b-%b" * _BATCH
_VARIANT: Final = bytes(b"89ab"[code & 3] for code in range(256))
