"""Counts what each request costs on the wire of an HTTP/2 connection, where a log asks for it."""

from typing import Final

from proxyd.codec.http2_frames import FrameWatch
from proxyd.codec.http2_meter import FrameMeter, receiving_meter, sending_meter
from proxyd.filters.stream_info import WireBytes


class Http2Wire:
    """The meters of one connection, and for whom they count."""

    __slots__ = ("_counted", "_early", "_incoming", "_outgoing", "_server", "_watch")

    def __init__(self, watch: FrameWatch, server: bool) -> None:
        """``watch`` has been fed all that came so far, and all that was to be written has been."""
        self._watch: Final = watch
        self._server: Final = server
        self._incoming: Final[FrameMeter] = receiving_meter(watch)
        self._outgoing: Final[FrameMeter] = sending_meter()
        self._counted: Final[dict[int, WireBytes]] = {}
        self._early: Final[dict[int, int]] = {}  # what came of requests before their heads were complete

    def count(self, stream_id: int, wire: WireBytes) -> int:
        """The frames of this stream are for ``wire`` until it is forgotten; the bytes that came before."""
        self._counted[stream_id] = wire
        return self._early.pop(stream_id, 0)

    def forget(self, stream_id: int) -> None:
        self._counted.pop(stream_id, None)

    def receive(self, data: bytes) -> None:
        """Before the watch is fed with it."""
        if self._early:
            self._keep_newest()
        for stream_id, count in self._incoming.feed(data):
            wire = self._counted.get(stream_id)
            if wire is None:
                self._early[stream_id] = self._early.get(stream_id, 0) + count
            elif self._server:
                wire.downstream_received += count
            else:
                wire.upstream_received += count

    def _keep_newest(self) -> None:
        """Of what came before, the head that is not complete may be asked for; it is the newest stream's."""
        newest = max(self._early)
        early = self._early[newest]
        self._early.clear()
        if self._watch.unfinished():
            self._early[newest] = early

    def send(self, data: bytes) -> None:
        for stream_id, count in self._outgoing.feed(data):
            wire = self._counted.get(stream_id)
            if wire is None:
                continue
            if self._server:
                wire.downstream_sent += count
            else:
                wire.upstream_sent += count
