"""One stream of an HTTP/2 connection: how a message is sent and how the peer's data is taken.

What is sent is held back until it is known whether it is the end, so that no empty frame has to say so.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxyd.net.http2_connection import Http2Connection


class Http2Stream:
    """``left`` and ``done`` are for the direction's own class; nothing is sent once ``done``."""

    __slots__ = (
        "_blocked", "_connection", "_data", "_fields", "_held", "_paused", "done", "left", "sent",
        "stream_id",
    )  # fmt: skip

    def __init__(self, connection: "Http2Connection", stream_id: int) -> None:
        self._connection: Final = connection
        self.stream_id: int = stream_id
        self.done: bool = False  # nothing more is to be sent
        self.sent: int = 0  # bytes of the body, handed to the engine
        self.left: int = -1  # bytes of the peer's body of known length that are still to come
        self._fields: list[tuple[bytes, bytes]] | None = None  # a head held back to go out with what follows
        self._data: bytes = b""  # held back, for it may be the end
        self._paused: bool = False
        self._held: int = 0  # bytes received while paused
        self._blocked: bool = False

    # -- what the directions do differently

    def send_fields(self, fields: list[tuple[bytes, bytes]], end: bool) -> None:
        """Begin the message."""
        raise NotImplementedError

    def on_blocked(self) -> None:
        """More than the buffer limit waits to be written to the peer."""
        raise NotImplementedError

    def on_writable(self) -> None:
        """The peer has taken enough of it."""
        raise NotImplementedError

    # -- sending

    def queue_data(self, data: bytes) -> None:
        """A part of the body."""
        if self._data:
            self.submit(False)
        self._data = data

    def flush(self) -> None:
        """Nothing more follows for now: write what was held back."""
        if self._fields is not None or self._data:
            self.submit(False)

    def submit(self, end: bool) -> None:
        """Hand over what was held back, as the ``end`` of the message or not."""
        if self.done:
            return
        connection = self._connection
        fields = self._fields
        data = self._data
        if fields is not None:
            self._fields = None
            self.send_fields(fields, end and not data)
            if end and not data:
                return
        if data:
            self._data = b""
            if connection.send_data(self, data, end) and not end and not self._blocked:
                self._blocked = True
                self.on_blocked()
        elif end:
            connection.end_data(self.stream_id)

    def submit_trailers(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """Hand over what was held back, and the trailers that end the message."""
        self.submit(False)
        if not self.done:
            self._connection.send_trailers(self.stream_id, trailers)

    def stop_sending(self) -> None:
        """Nothing of what was held back goes out any more."""
        self.done = True
        self._fields = None
        self._data = b""

    def look(self, queued: int, limit: int) -> bool:
        """So many bytes wait for the peer now. Whether it still has to take some before more may come."""
        if queued > limit // 2 and not self.done:
            return True
        self._blocked = False
        if not self.done:
            self.on_writable()
        return False

    # -- receiving

    def is_within_length(self, count: int) -> bool:
        """Whether so many bytes more are no more than was announced."""
        if self.left >= 0:
            self.left -= count
            return self.left >= 0
        return True

    def received(self, count: int) -> None:
        """So many bytes were handed on: the peer may send as many more, unless it is to wait."""
        if self._paused:
            self._held += count
            self._connection.held += count
        else:
            self._connection.consume(self.stream_id, count)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._held:
                self.give_back()
                self._connection.request_flush()

    def give_back(self) -> None:
        """What was held back from the peer's windows is theirs again."""
        held = self._held
        if held:
            self._held = 0
            self._connection.consume(self.stream_id, held)
            self._connection.held -= held
            self._connection.on_given_back(held)
