"""How much an HTTP/2 peer may ask of us: its frames are counted before an engine sees them.

Each limit is of one connection and, where Envoy has it, Envoy's. What a frame says is not looked at but for
its head; the engine does the rest. What engines let pass of the order in which a client's frames may come is
found here as well, by the streams that clients have not ended.
"""

from typing import Final

from proxyd.codec.http2 import LAST_STREAM_ID, PREFACE, Http2Options

# What a peer can do too much of.
NO_FLOOD: Final = 0
EMPTY_FRAMES: Final = 1
PRIORITY_FRAMES: Final = 2
WINDOW_UPDATES: Final = 3
CONTROL_FRAMES: Final = 4  # SETTINGS, PING and such as nobody knows
HEADER_FRAMES: Final = 5  # a head in too many pieces, or too large as it is
UNREAD_CONTROL_FRAMES: Final = 6  # the peer does not read the answers
LARGE_FRAME: Final = 7  # larger than the peer has been told that frames may be
# What engines let pass and RFC 9113 does not (sections 5.1, 5.1.1, 6.3).
LATE_HEADERS: Final = 8  # of a stream that the client itself has ended
SKIPPED_STREAM: Final = 9  # which the client has begun after one with a higher number
PRIORITY_OF_NONE: Final = 10

_HEAD: Final = 9
_DATA: Final = 0
_HEADERS: Final = 1
_PRIORITY: Final = 2
_RST_STREAM: Final = 3
_SETTINGS: Final = 4
_PING: Final = 6
_GOAWAY: Final = 7
_WINDOW_UPDATE: Final = 8
_CONTINUATION: Final = 9
_MAX_FRAME_SIZE: Final = 0x5  # the setting
_ACK: Final = 0x1
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4
_PADDED: Final = 0x8

# Not Envoy's, which answers as many as come as long as the answers are read.
_CONTROL_BURST: Final = 1000.0
_CONTROL_PER_SECOND: Final = 100.0
# Beside as many as a head of the permitted size needs.
_MORE_CONTINUATIONS: Final = 8
_FRAME_SIZE: Final = 16384
# Room for the first window updates, as Envoy leaves it.
_FIRST_WINDOW_UPDATES: Final = 5
# How much is remembered of streams that are over.
_MOST_GIVEN_UP: Final = 1000
_MOST_SKIPPED: Final = 100


class FrameWatch:
    """Counts what one peer sends. ``unread`` is set to 0 by whoever knows that answers were taken."""

    __slots__ = (
        "_acknowledged",
        "_block",
        "_continuations",
        "_control",
        "_control_time",
        "_empty",
        "_given_up",
        "_last_stream",
        "_max_block",
        "_max_continuations",
        "_max_frame",
        "_max_sending",
        "_options",
        "_priorities",
        "_server",
        "_skipped",
        "_window_updates",
        "excess",
        "in_head",
        "late",
        "partial",
        "sending",
        "sent",
        "skip",
        "streams",
        "unread",
    )  # fmt: skip

    def __init__(self, options: Http2Options, max_header_bytes: int, server: bool, now: float) -> None:
        self._options: Final = options
        self._max_frame: Final = options.custom_settings.get(_MAX_FRAME_SIZE, _FRAME_SIZE)
        self._max_block: Final = max_header_bytes + _FRAME_SIZE
        self._max_continuations: Final = _MORE_CONTINUATIONS + 2 * max_header_bytes // _FRAME_SIZE
        self._block: int = 0  # bytes of the head of a message under way
        self._continuations: int = 0
        self._empty: int = 0
        self._priorities: int = 0
        self._window_updates: int = 0
        self._last_stream: int = 0 if server else LAST_STREAM_ID  # what is higher is a stream of its own
        self._server: bool = server  # and who sends what is followed
        self.sending: Final[set[int]] = set()  # streams whose client has not ended its side
        self._max_sending: Final[int] = 2 * options.max_concurrent_streams + 1000
        self._given_up: Final[dict[int, None]] = {}  # the same, and we have; more may be on its way
        self._skipped: Final[list[tuple[int, int]]] = []  # numbers of which streams never were
        self.late: Final[list[int]] = []  # streams of DATA that came after their clients had ended them
        self._control: float = _CONTROL_BURST
        self._control_time: float = now
        self._acknowledged: bool = not server  # the peer knows how many streams it may open
        self.skip: int = len(PREFACE) if server else 0  # bytes that belong to what was counted already
        self.partial: bytes = b""  # of a frame's head
        self.streams: int = 0  # opened by the peer, or by us
        self.excess: bool = False  # the peer has opened very many before it knew how many it may
        self.in_head: bool = False  # a message's head has begun and is not complete
        self.sent: int = 0  # frames of data that we have sent, about
        self.unread: int = 0  # frames that want an answer, since the peer was seen reading

    def count_stream(self) -> None:
        """We have opened a stream."""
        self.streams += 1

    def give_up(self, stream: int) -> None:
        """A stream is over. If its client has not ended it, what is on its way for it is no mistake."""
        if stream in self.sending:
            self.sending.discard(stream)
            self._given_up[stream] = None
            if len(self._given_up) > _MOST_GIVEN_UP:
                del self._given_up[next(iter(self._given_up))]

    def feed(self, data: bytes, now: float) -> int:
        """Count the frames that begin in ``data``; which limit is passed, NO_FLOOD for none."""
        if self.partial:
            data = self.partial + data
            self.partial = b""
        place = self.skip
        end = len(data)
        while place + _HEAD <= end:
            length = data[place] << 16 | data[place + 1] << 8 | data[place + 2]
            if length > self._max_frame:
                return LARGE_FRAME
            kind = data[place + 3]
            flags = data[place + 4]
            if kind == _DATA:
                flood = self._count_empty(data, place, length, flags)
                if self._server and not flood:
                    flood = self._follow_data(_stream(data, place), flags, now)
            elif kind in (_HEADERS, _CONTINUATION):
                flood = self._count_head(data, place, kind, length, flags)
            elif kind == _WINDOW_UPDATE:
                flood = self._count_window_update()
            elif kind in (_RST_STREAM, _GOAWAY):
                flood = NO_FLOOD  # of resets, whoever knows what they cost keeps count
                if kind == _RST_STREAM and self.sending:
                    self.sending.discard(_stream(data, place))
            elif kind == _PRIORITY:
                flood = self._count_priority(_stream(data, place))
            else:
                flood = self._count_control(kind, flags, now)
            if flood:
                return flood
            place += _HEAD + length
        if place < end:
            self.partial = data[place:]
            self.skip = 0
        else:
            self.skip = place - end
        return NO_FLOOD

    def unfinished(self) -> bool:
        """Whether the peer is in the middle of a frame, or of the head of a message."""
        return self.in_head or self.skip > 0 or bool(self.partial)

    def _count_empty(self, data: bytes, place: int, length: int, flags: int) -> int:
        if flags & _PADDED and length > 0 and place + _HEAD < len(data):
            length -= 1 + data[place + _HEAD]
        if length > 0 or flags & _END_STREAM:
            self._empty = 0
            return NO_FLOOD
        self._empty += 1
        return EMPTY_FRAMES if self._empty > self._options.max_empty_frames else NO_FLOOD

    def _count_head(self, data: bytes, place: int, kind: int, length: int, flags: int) -> int:
        if kind == _HEADERS:
            self._block = 0
            self._continuations = 0
            stream = _stream(data, place)
            if stream > self._last_stream:
                self._begin(stream, flags)
            elif self._server:
                mistake = self._follow_head(stream, flags)
                if mistake:
                    return mistake
        else:
            self._continuations += 1
        self.in_head = not flags & _END_HEADERS
        self._block += length
        if self._block > self._max_block or self._continuations > self._max_continuations:
            return HEADER_FRAMES
        if kind == _CONTINUATION and length == 0 and self.in_head:
            self._empty += 1
            return EMPTY_FRAMES if self._empty > self._options.max_empty_frames else NO_FLOOD
        self._empty = 0
        return NO_FLOOD

    def _begin(self, stream: int, flags: int) -> None:
        if stream > self._last_stream + 2 and len(self._skipped) < _MOST_SKIPPED:
            self._skipped.append((self._last_stream, stream))
        self._last_stream = stream
        self.streams += 1
        if not self._acknowledged and self.streams > self._options.max_concurrent_streams:
            self.excess = True
        if self._server and not flags & _END_STREAM:
            self.sending.add(stream)
            if len(self.sending) > self._max_sending:  # streams that were refused, and nobody ends
                self._server = False
                self.sending.clear()

    def _follow_head(self, stream: int, flags: int) -> int:
        """A head that begins no stream: trailers, where the client may still send any."""
        if stream in self.sending:
            if flags & _END_STREAM:
                self.sending.discard(stream)
            return NO_FLOOD
        if not self._is_late(stream):
            return NO_FLOOD
        if any(low < stream < high for low, high in self._skipped):
            return SKIPPED_STREAM
        return LATE_HEADERS

    def _follow_data(self, stream: int, flags: int, now: float) -> int:
        if stream in self.sending:
            if flags & _END_STREAM:
                self.sending.discard(stream)
        elif self._is_late(stream):
            self.late.append(stream)
            return self._count_control(_DATA, flags, now)  # for it is answered
        return NO_FLOOD

    def _is_late(self, stream: int) -> bool:
        """Whether the client has ended this stream itself, as far as that is remembered."""
        return stream <= self._last_stream and bool(stream & 1) and stream not in self._given_up

    def _count_priority(self, stream: int) -> int:
        if not stream:
            return PRIORITY_OF_NONE
        self._priorities += 1
        most = self._options.max_priority_frames_per_stream * (1 + self.streams)
        return PRIORITY_FRAMES if self._priorities > most else NO_FLOOD

    def _count_window_update(self) -> int:
        self._window_updates += 1
        per_frame = self._options.max_window_updates_per_data_frame
        most = _FIRST_WINDOW_UPDATES + 2 * (self.streams + per_frame * self.sent)
        return WINDOW_UPDATES if self._window_updates > most else NO_FLOOD

    def _count_control(self, kind: int, flags: int, now: float) -> int:
        if kind in (_SETTINGS, _PING):
            if flags & _ACK:
                if kind == _SETTINGS:
                    self._acknowledged = True
                return NO_FLOOD
            self.unread += 1
            if self.unread > self._options.max_outbound_control_frames:
                return UNREAD_CONTROL_FRAMES
        control = self._control + (now - self._control_time) * _CONTROL_PER_SECOND
        self._control_time = now
        self._control = min(control, _CONTROL_BURST) - 1.0
        return CONTROL_FRAMES if self._control < 0.0 else NO_FLOOD


def _stream(data: bytes, place: int) -> int:
    """The number in the head of the frame that begins there."""
    return (data[place + 5] & 0x7F) << 24 | data[place + 6] << 16 | data[place + 7] << 8 | data[place + 8]


def goaway_frame(last_stream_id: int, code: int) -> bytes:
    """A GOAWAY frame, for where an engine is past writing one."""
    return (
        b"\0\0\x08\x07\0\0\0\0\0" + (last_stream_id & 0x7FFFFFFF).to_bytes(4, "big") + code.to_bytes(4, "big")
    )


def reset_frame(stream_id: int, code: int) -> bytes:
    """A RST_STREAM frame, for where an engine does not write one."""
    return b"\0\0\x04\x03\0" + stream_id.to_bytes(4, "big") + code.to_bytes(4, "big")
