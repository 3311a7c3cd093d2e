"""What the streams of an HTTP/2 connection cost on the wire, in one direction: Envoy's BytesMeter.

Of a stream count its heads, its data and the trailers, with all framing; of what comes, resets as well, of
what goes, window updates. So Envoy counts.
"""

from typing import Final

from proxyd.codec.http2_frames import FrameWatch

_HEAD: Final = 9
_DATA: Final = 0
_HEADERS: Final = 1
_RST_STREAM: Final = 3
_WINDOW_UPDATE: Final = 8
_CONTINUATION: Final = 9

_RECEIVED: Final = frozenset((_DATA, _HEADERS, _CONTINUATION, _RST_STREAM))
_SENT: Final = frozenset((_DATA, _HEADERS, _CONTINUATION, _WINDOW_UPDATE))


class FrameMeter:
    """Reads the heads of frames. It may begin anywhere in a connection, if it is told where that is."""

    __slots__ = ("_counted", "_partial", "_skip")

    def __init__(self, counted: frozenset[int], skip: int = 0, partial: bytes = b"") -> None:
        """``skip`` bytes and the beginning ``partial`` of a frame's head belong to what was not fed."""
        self._counted: Final = counted
        self._skip: int = skip
        self._partial: bytes = partial

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """Stream and bytes of each frame that begins in ``data`` and counts; it counts as a whole."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        found: list[tuple[int, int]] = []
        place = self._skip
        end = len(data)
        while place + _HEAD <= end:
            length = _HEAD + (data[place] << 16 | data[place + 1] << 8 | data[place + 2])
            if data[place + 3] in self._counted:
                stream = (
                    (data[place + 5] & 0x7F) << 24
                    | data[place + 6] << 16
                    | data[place + 7] << 8
                    | data[place + 8]
                )
                if stream:
                    found.append((stream, length))
            place += length
        if place < end:
            self._partial = data[place:]
            self._skip = 0
        else:
            self._skip = place - end
        return found


def receiving_meter(watch: FrameWatch) -> FrameMeter:
    """For what comes after all that ``watch`` has been fed."""
    return FrameMeter(_RECEIVED, watch.skip, watch.partial)


def sending_meter() -> FrameMeter:
    """For what goes, from the beginning of a frame on."""
    return FrameMeter(_SENT)
