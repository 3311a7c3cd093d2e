"""Frames of the control channels: a 32-bit length, a count of descriptors, msgpack. No I/O here.

The descriptors of a frame are attached to its first byte. More than one message of the system can carry go
ahead in frames without payload. Where a system has descriptors travel inside the bytes, they go ahead in a
frame whose count says so.
"""

import struct
from collections.abc import Sequence
from typing import Final

from proxyd.system import MAX_DESCRIPTORS, native

MAX_PAYLOAD: Final = 16 << 20  # bytes; large things travel as memory, not through the channel
_HEADER: Final = struct.Struct("!IB")
_PACKED: Final = 255  # instead of a count: the payload is what adopt_descriptors() takes


class FrameError(Exception):
    """The other side does not speak this protocol."""


def encode(
    payload: bytes, descriptors: Sequence[int] = (), packed: bytes = b""
) -> list[tuple[bytes, Sequence[int]]]:
    """What to send, piece by piece, each with the descriptors attached to its first byte.

    ``packed`` and ``descriptors`` are what ``lend_descriptors`` has returned.
    """
    pieces: list[tuple[bytes, Sequence[int]]] = []
    if packed:
        pieces.append((_HEADER.pack(len(packed), _PACKED) + packed, ()))
    while len(descriptors) > MAX_DESCRIPTORS:
        pieces.append((_HEADER.pack(0, MAX_DESCRIPTORS), descriptors[:MAX_DESCRIPTORS]))
        descriptors = descriptors[MAX_DESCRIPTORS:]
    pieces.append((_HEADER.pack(len(payload), len(descriptors)) + payload, descriptors))
    return pieces


class FrameReader:
    """Puts frames together from what arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._arrived: list[int] = []  # descriptors not yet counted by a frame
        self._claimed: list[int] = []  # of frames without payload: they belong to the next one with

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> list[tuple[bytes, list[int]]]:
        """The frames complete by now, each with its descriptors. Raises FrameError."""
        self._buffer += data
        self._arrived += descriptors
        frames: list[tuple[bytes, list[int]]] = []
        while len(self._buffer) >= _HEADER.size:
            length, count = _HEADER.unpack_from(self._buffer)
            if length > MAX_PAYLOAD:
                raise FrameError(f"a frame of {length} bytes")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            if count == _PACKED:
                self._claimed += native.adopt_descriptors(bytes(self._buffer[_HEADER.size : end]))
                del self._buffer[:end]
                continue
            if len(self._arrived) < count:
                raise FrameError(f"{count} descriptors announced, {len(self._arrived)} received")
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            self._claimed += self._arrived[:count]
            del self._arrived[:count]
            if payload:
                frames.append((payload, self._claimed))
                self._claimed = []
        return frames
