"""What HTTP/2 connections of clients and to hosts have in common: bytes, frames and streams of one transport.

What is sent in one turn of the loop goes out in one write: whoever sends asks for a flush, and there is one a
turn. Nothing is taken from the engine while the transport is full, so that what waits, waits by stream.
"""

import asyncio
import random
import time
from typing import Final

from proxyd.codec.http2 import (
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    Http2Events,
    Http2Options,
)
from proxyd.codec.http2_engine import new_engine
from proxyd.codec.http2_frames import (
    CONTROL_FRAMES,
    EMPTY_FRAMES,
    HEADER_FRAMES,
    LARGE_FRAME,
    LATE_HEADERS,
    PRIORITY_FRAMES,
    PRIORITY_OF_NONE,
    SKIPPED_STREAM,
    UNREAD_CONTROL_FRAMES,
    WINDOW_UPDATES,
    FrameWatch,
)
from proxyd.errors import (
    CODEC_ERROR,
    CONTROL_FLOOD,
    EMPTY_FRAMES_FLOOD,
    HEADER_FLOOD,
    OUTBOUND_CONTROL_FLOOD,
    OUTBOUND_FLOOD,
    PRIORITY_FLOOD,
    WINDOW_UPDATE_FLOOD,
    Failure,
)
from proxyd.net.bugs import report_bug
from proxyd.net.http2_stream import Http2Stream
from proxyd.net.http2_wire import Http2Wire
from proxyd.net.timers import NEVER, Timed, TimerWheel
from proxyd.stats.http2_scopes import Http2Stats


class Http2Connection(Timed, Http2Events):
    """A protocol of the event loop by shape (no base class: native classes are cheaper without one)."""

    __slots__ = (
        "_blocked", "_blocked_since", "_buffer_limit", "_engine", "_http2_stats", "_listening", "_now",
        "_ping_deadline", "_pings", "_pong_deadline", "_reading", "_scheduled", "_settings", "_transport",
        "_unwritten", "_waiting", "_watch", "_wheel", "_wire", "held",
    )  # fmt: skip

    def __init__(
        self,
        wheel: TimerWheel,
        settings: Http2Options,
        stats: Http2Stats,
        server: bool,
        max_header_bytes: int,
        max_header_count: int,
        buffer_limit: int,
    ) -> None:
        super().__init__()
        now = time.monotonic()
        self._wheel: Final = wheel
        self._settings: Final = settings
        self._http2_stats: Final = stats
        self._engine: Final = new_engine(self, settings, server, max_header_bytes, max_header_count)
        self._watch: Final = FrameWatch(settings, max_header_bytes, server, now)
        self._transport: asyncio.Transport | None = None
        self._now: float = now
        self.held: int = 0  # bytes of paused streams that the peer has not been given back
        self._buffer_limit: Final = buffer_limit  # of what waits, in the transport and of each stream
        self._waiting: Final[list[Http2Stream]] = []  # whose peers have too much to take already
        self._blocked: bool = False  # the transport is full
        self._blocked_since: float = 0.0
        self._reading: bool = False  # inside a callback that will flush itself
        self._scheduled: bool = False
        self._listening: bool = True  # what comes is read, not thrown away
        self._unwritten: int = 0  # frames of ours since the transport was full
        self._pings: bool = settings.keepalive_interval > 0.0
        self._ping_deadline: float = NEVER
        self._pong_deadline: float = NEVER
        self._wire: Http2Wire | None = None  # where the bytes of streams are counted

    # -- what the directions do differently

    def _count_received(self, count: int) -> None:
        raise NotImplementedError

    def _count_sent(self, count: int) -> None:
        raise NotImplementedError

    def _fail(self, code: int, failure: Failure) -> None:
        """The connection cannot go on: tell the peer with GOAWAY, all streams, and close."""
        raise NotImplementedError

    def _count_excess(self) -> None:
        """Perhaps the engine has refused streams that it has not told of: ``FrameWatch.excess`` says so."""

    def _flushed(self) -> bool:
        """All was written that the peer's windows and the transport take. True where there is more now."""
        raise NotImplementedError

    def _check_deadlines(self, now: float) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        raise NotImplementedError

    # -- the event loop's side

    def data_received(self, data: bytes) -> None:
        self._reading = True
        try:
            self._read(data)
        except Exception as error:  # noqa: BLE001 - one broken connection must not take others with it
            report_bug(self._wheel.loop, error, "reading HTTP/2")
            self.abort()
        self._reading = False

    def _read(self, data: bytes) -> None:
        now = time.monotonic()
        self._now = now
        self._count_received(len(data))
        if not self._listening:
            return
        if self._wire is not None:
            self._wire.receive(data)
        flood = self._watch.feed(data, now)
        if flood:
            self._refuse_frames(flood)
        elif not self._engine.receive(data):
            self._give_up()
        else:
            if self._watch.excess:
                self._count_excess()
            if self._watch.late:
                self._refuse_late()
        self._write()

    def _refuse_frames(self, flood: int) -> None:
        """What the watch has found in what was read."""
        if flood in _MISTAKES:
            self._http2_stats.rx_messaging_error.value += 1
            self._fail(_MISTAKES[flood], CODEC_ERROR)
        else:
            self._count_flood(flood)
            self._fail(ENHANCE_YOUR_CALM, _FLOODS[flood])

    def _refuse_late(self) -> None:
        """The peer has sent data for streams that it had ended itself."""
        for stream_id in self._watch.late:
            self._http2_stats.tx_reset.value += 1
            self._engine.refuse_late(stream_id)
        self._watch.late.clear()

    def _give_up(self) -> None:
        """The engine finds that the peer has broken the protocol."""
        if self._listening:
            self._http2_stats.rx_messaging_error.value += 1
            self._fail(PROTOCOL_ERROR, CODEC_ERROR)

    def _count_flood(self, flood: int) -> None:
        stats = self._http2_stats
        if flood == EMPTY_FRAMES:
            stats.inbound_empty_frames_flood.value += 1
        elif flood == PRIORITY_FRAMES:
            stats.inbound_priority_frames_flood.value += 1
        elif flood == WINDOW_UPDATES:
            stats.inbound_window_update_frames_flood.value += 1
        elif flood == HEADER_FRAMES:
            stats.header_overflow.value += 1
        else:
            stats.outbound_control_flood.value += 1

    def pause_writing(self) -> None:
        self._blocked = True
        self._blocked_since = time.monotonic()
        self._unwritten = 0

    def resume_writing(self) -> None:
        self._blocked = False
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - as in data_received
            report_bug(self._wheel.loop, error, "writing HTTP/2")
            self.abort()

    # -- writing

    def request_flush(self) -> None:
        """Something waits in the engine: have it written before the loop waits again."""
        if not self._scheduled and not self._reading:
            self._scheduled = True
            self._wheel.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        self.resume_writing_if_possible()

    def resume_writing_if_possible(self) -> None:
        if not self._blocked and self._transport is not None:
            self.resume_writing()

    def _write(self) -> None:
        transport = self._transport
        if transport is None:
            return
        engine = self._engine
        while True:
            while not self._blocked:
                data = engine.output()
                if not data:
                    self._watch.unread = 0  # the peer takes what it makes us answer
                    break
                self._count_sent(len(data))
                if self._wire is not None:
                    self._wire.send(data)
                transport.write(data)
            if engine.finished() and self._listening:
                self._give_up()
            if not self._flushed() or self._blocked:
                break

    def _measure(self, server: bool) -> Http2Wire | None:
        """Begin to count the bytes of streams, where that has not begun yet; None where it cannot now.

        Only what comes and goes from a frame's beginning on can be told by streams. While the transport is
        full, it is not known where in a frame what was written ends.
        """
        if self._wire is None and not self._blocked:
            self._wire = Http2Wire(self._watch, server)
        return self._wire

    def count_frame(self) -> bool:
        """A frame of ours is to be queued; False, and the end, where the peer takes none of very many."""
        self._watch.sent += 1
        if self._blocked:
            self._unwritten += 1
            if self._unwritten > self._settings.max_outbound_frames and self._listening:
                self._http2_stats.outbound_flood.value += 1
                self._fail(ENHANCE_YOUR_CALM, OUTBOUND_FLOOD)
                return False
        return True

    # -- the streams' side

    def send_data(self, stream: Http2Stream, data: bytes, end: bool) -> bool:
        """Queue it; whether so much waits now that no more should come."""
        if not self.count_frame():
            return False
        self._engine.send_data(stream.stream_id, data, end)
        self.request_flush()
        stream.sent += len(data)
        # The engine need not be asked of a message that is as small as this in all.
        if end or stream.sent <= self._buffer_limit:
            return False
        if self._engine.queued(stream.stream_id) <= self._buffer_limit:
            return False
        self._waiting.append(stream)
        return True

    def end_data(self, stream_id: int) -> None:
        """A message whose data has gone is complete."""
        if self.count_frame():
            self._engine.end(stream_id)
            self.request_flush()

    def send_trailers(self, stream_id: int, trailers: list[tuple[bytes, bytes]]) -> None:
        """A message whose data has gone ends with these."""
        if self.count_frame():
            self._http2_stats.trailers.value += 1
            self._engine.send_trailers(stream_id, trailers)
            self.request_flush()

    def reset(self, stream_id: int, code: int) -> None:
        """Break a stream off."""
        self._http2_stats.tx_reset.value += 1
        self._engine.reset(stream_id, code)
        self.request_flush()

    def consume(self, stream_id: int, count: int) -> None:
        """The peer may send so much more."""
        self._engine.consume(stream_id, count)

    def on_given_back(self, count: int) -> None:
        """So many bytes that were ``held`` are the peer's again to send."""

    def look_at_waiting(self) -> None:
        """Something was written: perhaps streams that waited for it may go on."""
        for stream in list(self._waiting):
            if not stream.look(self._engine.queued(stream.stream_id), self._buffer_limit):
                self._waiting.remove(stream)

    # -- deadlines

    def arm_at(self, deadline: float) -> None:
        """Look after things at ``deadline`` at the latest."""
        if deadline < self.deadline:
            self._wheel.arm(self, deadline)

    def on_deadline(self, now: float) -> None:
        self._now = now
        self._reading = True
        try:
            self._check_deadlines(now)
            self._write()
        except Exception as error:  # noqa: BLE001 - as in data_received
            report_bug(self._wheel.loop, error, "at a deadline")
            self.abort()
        self._reading = False

    def _start_pings(self, now: float) -> None:
        if self._pings:
            interval = self._settings.keepalive_interval
            self._ping_deadline = now + interval * (1.0 + random.random() * self._settings.keepalive_jitter)

    def _check_pings(self, now: float) -> bool:
        """Ask the peer whether it is there, as often as is configured; False where it has not answered."""
        if self._pong_deadline <= now:
            self._pong_deadline = NEVER
            self._http2_stats.keepalive_timeout.value += 1
            return False
        if self._ping_deadline <= now:
            self._start_pings(now)
            self.ping(now)
        return True

    def ping(self, now: float) -> None:
        """Ask the peer whether it is there."""
        if self._pong_deadline == NEVER:
            self._engine.ping()
            self._pong_deadline = now + self._settings.keepalive_timeout

    def on_pong(self) -> None:
        self._pong_deadline = NEVER


_MISTAKES: Final = {
    LARGE_FRAME: FRAME_SIZE_ERROR,
    LATE_HEADERS: STREAM_CLOSED,
    SKIPPED_STREAM: PROTOCOL_ERROR,
    PRIORITY_OF_NONE: PROTOCOL_ERROR,
}
_FLOODS: Final = {
    EMPTY_FRAMES: EMPTY_FRAMES_FLOOD,
    PRIORITY_FRAMES: PRIORITY_FLOOD,
    WINDOW_UPDATES: WINDOW_UPDATE_FLOOD,
    CONTROL_FRAMES: CONTROL_FLOOD,
    HEADER_FRAMES: HEADER_FLOOD,
    UNREAD_CONTROL_FRAMES: OUTBOUND_CONTROL_FLOOD,
}
