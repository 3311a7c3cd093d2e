"""One end of a control channel on an event loop: sends without waiting, calls back with what arrives."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from proxyd.system import native
from proxyd.workers.frames import FrameError, FrameReader, encode

MAX_QUEUED: Final = 32 << 20  # bytes; a peer this far behind is stuck, and the channel is closed
_READ_SIZE: Final = 1 << 16

Incoming = TypeVar("Incoming")


class Channel(Generic[Incoming]):
    """Messages over one stream socket, which belongs to the channel.

    ``on_message`` gets each message; descriptors that come with one go to ``on_descriptors`` just before it,
    and are closed where that is None. ``on_closed`` is called once when the other side has gone, speaks
    nonsense or is stuck, and not for ``close``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        decoder: "msgspec.msgpack.Decoder[Incoming]",
        on_message: Callable[[Incoming], None],
        on_closed: Callable[[], None],
        on_descriptors: Callable[[list[int]], None] | None = None,
    ) -> None:
        self._loop: Final = loop
        self._sock: Final = sock
        self._decoder: Final = decoder
        self._encoder: Final = msgspec.msgpack.Encoder()
        self._on_message: Final = on_message
        self._on_closed: Final = on_closed
        self._on_descriptors: Final = on_descriptors or _close_all
        self._reader: Final = FrameReader()
        self._queue: Final[deque[tuple[bytes, list[int]]]] = deque()
        self._queued: int = 0
        self.closed: bool = False
        loop.add_reader(sock.fileno(), self._readable)

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Send or queue a message. The descriptors are copied: the caller may close its own at once.

        After the channel has closed this does nothing. Raises OSError where they cannot be copied, and then
        nothing is sent.
        """
        if self.closed:
            return
        idle = not self._queue
        packed, copies = native.lend_descriptors(self._sock, descriptors)
        for data, attached in encode(self._encoder.encode(message), copies, packed):
            self._queue.append((data, list(attached)))
            self._queued += len(data)
        if self._queued > MAX_QUEUED:
            self._fail()
        elif idle:
            self._writable()

    def finish_sending(self, seconds: float) -> None:
        """Send what is queued and close; blocking, for a process that ends. That nobody reads is no error."""
        if self.closed:
            return
        self._sock.settimeout(seconds)
        try:
            for data, attached in self._queue:
                assert not attached
                self._sock.sendall(data)
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        """Stop; what is still queued is dropped."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        for _, attached in self._queue:
            _close_all(attached)
        self._queue.clear()
        self._sock.close()

    def finish(self) -> None:
        """The other process has ended: deliver what it has still sent, then close, without ``on_closed``."""
        try:
            while not self.closed and self._receive():
                pass
        except (BlockingIOError, InterruptedError):
            pass
        self.close()

    def _fail(self) -> None:
        self.close()
        self._loop.call_soon(self._on_closed)  # never from inside a caller's send()

    def _writable(self) -> None:
        try:
            while self._queue:
                data, attached = self._queue[0]
                if attached:
                    sent = native.send_descriptors(self._sock, data, attached)
                    _close_all(attached)
                else:
                    sent = self._sock.send(data)
                self._queued -= sent
                if sent < len(data):
                    self._queue[0] = (data[sent:], [])
                else:
                    self._queue.popleft()
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._sock.fileno(), self._writable)
        except OSError:
            self._fail()
        else:
            self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        try:
            if not self._receive():
                self._fail()
        except (BlockingIOError, InterruptedError):
            pass

    def _receive(self) -> bool:
        """Deliver what has arrived; False at the end, and for what cannot be understood."""
        try:
            data, descriptors = native.receive_descriptors(self._sock, _READ_SIZE)
            frames = self._reader.feed(data, descriptors)
            messages = [self._decoder.decode(payload) for payload, _ in frames]
        except (BlockingIOError, InterruptedError):
            raise
        except (OSError, FrameError, msgspec.DecodeError):
            return False
        for message, (_, attached) in zip(messages, frames, strict=True):
            if self.closed:  # by the one before
                _close_all(attached)
                continue
            if attached:
                self._on_descriptors(attached)
            self._on_message(message)
        return bool(data)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        native.close_descriptor(descriptor)
