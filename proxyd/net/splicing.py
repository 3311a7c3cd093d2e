"""Bulk data from one connection to another without copying it through the process.

A direction of a connection begins as two transports. Once much has gone that way it is spliced: the source is
read, and the target written to, by the kernel alone (see the system's Pipe), while the source's transport
does not read. Where it ends, or the connection does, what is in the pipe goes back to the target's
transport, which is the one that closes: so everything about ends is said in one place, the protocols.
"""

import asyncio
import os
from typing import Final

from mypy_extensions import trait

from proxyd.net.bugs import report_bug
from proxyd.system import native
from proxyd.system.contract import Pipe

# A direction is spliced once so many bytes have come in reads of at least so many.
_MUCH: Final = 1 << 20
LARGE: Final = 8 << 10
# It is not any more once so many reads, one behind the other, were smaller: two system calls each, as
# reading and writing, and descriptors besides.
_SMALL_READS: Final = 64
# How often one turn of the loop fills the pipe: others have a turn, too.
_ROUNDS: Final = 4

_PLAIN: Final = 0  # the transports carry it
_WAITING: Final = 1  # until the target's transport has written what it has
_SPLICING: Final = 2
_NEVER: Final = 3  # these sockets are not spliced


@trait
class SplicedConnection:
    """Whose bytes are spliced. ``upward``: from the client to the host."""

    __slots__ = ()

    def on_spliced(self, upward: bool, count: int) -> None:
        """So many bytes have been taken from the source."""
        raise NotImplementedError

    def on_splice_blocked(self, upward: bool) -> None:
        """The target takes no more for now."""
        raise NotImplementedError

    def on_splice_writable(self, upward: bool) -> None:
        raise NotImplementedError

    def on_splice_end(self, upward: bool, rest: bytes) -> None:
        """The transports carry on: ``rest`` first, then what the source, whose end it may be, has to say."""
        raise NotImplementedError

    def on_splice_failure(self, upward: bool, of_target: bool, error: OSError) -> None:
        """The connection of the target, or the source, has broken."""
        raise NotImplementedError

    def on_bug(self) -> None:
        raise NotImplementedError


class Flow:
    """One direction of a connection, which drops it at its end: they know each other."""

    __slots__ = (
        "_blocked", "_carried", "_connection", "_from", "_held", "_loop", "_pipe", "_small", "_source",
        "_state", "_target", "_to", "_upward",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: SplicedConnection,
        upward: bool,
        source: asyncio.Transport,
        target: asyncio.Transport,
    ) -> None:
        self._loop: Final = loop
        self._from: Final = source
        self._to: Final = target
        self._connection: Final = connection
        self._upward: Final = upward
        self._state: int = _PLAIN
        self._carried: int = 0  # by the transports, in large reads
        self._pipe: Pipe | None = None
        self._held: int = 0  # bytes in the pipe
        self._small: int = 0  # reads, one behind the other
        # Copies of the transports' descriptors: the loop watches those themselves for the transports, and
        # what a number stands for changes once they have closed.
        self._source: int = -1
        self._target: int = -1
        self._blocked: bool = False  # the target takes nothing

    @property
    def busy(self) -> bool:
        """Whether the transport of the source is not to read."""
        return self._state == _WAITING or self._state == _SPLICING

    @property
    def waiting(self) -> bool:
        """Whether ``start`` is to be called once the target's transport has written everything."""
        return self._state == _WAITING

    def carried(self, count: int) -> bool:
        """The transports have carried a large piece; whether it should be spliced from now on."""
        self._carried += count
        return self._carried >= _MUCH and self._state == _PLAIN

    def forbid(self) -> None:
        """One of the two sides is not a bare socket."""
        self._state = _NEVER

    def prepare(self) -> None:
        """Splice as soon as the target's transport is empty; it says so by ``resume_writing``.

        The caller calls ``start`` then.
        """
        self._state = _WAITING
        self._from.pause_reading()
        self._to.set_write_buffer_limits(0)
        if not self._to.get_write_buffer_size():
            self.start()

    def start(self) -> None:
        """Splice. Where that cannot be, the connection hears of an end."""
        pipe = native.new_pipe()
        if pipe is None:
            self._end(_PLAIN)  # there may be one later
            return
        try:
            self._source = os.dup(self._from.get_extra_info("socket").fileno())
            self._target = os.dup(self._to.get_extra_info("socket").fileno())
        except OSError:  # no descriptors are left
            pipe.close()
            self._close_copies()
            self._end(_PLAIN)
            return
        self._pipe = pipe
        self._small = 0
        self._state = _SPLICING
        self._loop.add_reader(self._source, self._on_readable)

    def stop(self) -> bytes:
        """Give up; what was taken from the source and is still to be written to the target."""
        if self._state != _NEVER:
            self._state = _PLAIN
        pipe = self._pipe
        if pipe is None:
            return b""
        self._pipe = None
        if self._blocked:
            self._blocked = False
            self._loop.remove_writer(self._target)
        else:
            self._loop.remove_reader(self._source)
        self._close_copies()
        rest = pipe.read() if self._held else b""
        self._held = 0
        pipe.close()
        return rest

    def _close_copies(self) -> None:
        for copy in (self._source, self._target):
            if copy >= 0:
                os.close(copy)
        self._source = self._target = -1

    def _end(self, state: int) -> None:
        rest = self.stop()
        self._state = state
        self._carried = 0
        self._connection.on_splice_end(self._upward, rest)

    # -- the event loop's side

    def _on_readable(self) -> None:
        try:
            for _ in range(_ROUNDS):
                if not self._move():
                    return
        except Exception as error:  # noqa: BLE001 - one broken connection must not take others with it
            self._on_bug(error)

    def _on_writable(self) -> None:
        try:
            if self._push():
                self._blocked = False
                self._loop.remove_writer(self._target)
                self._loop.add_reader(self._source, self._on_readable)
                self._connection.on_splice_writable(self._upward)
        except Exception as error:  # noqa: BLE001 - as in _on_readable
            self._on_bug(error)

    def _on_bug(self, error: Exception) -> None:
        report_bug(self._loop, error, "splicing")
        self._connection.on_bug()

    def _move(self) -> bool:
        """Take what there is, and pass it on; whether there may be more to do now."""
        pipe = self._pipe
        if pipe is None:
            return False
        try:
            count = pipe.fill(self._source)
        except BlockingIOError:
            return False
        except OSError as error:
            self._broke(error, False)
            return False
        if count == 0:
            self._end(_PLAIN)
            return False
        self._held = count
        self._connection.on_spliced(self._upward, count)
        if count >= LARGE:
            self._small = 0
        else:
            self._small += 1
        if self._pipe is None:  # a limit was reached
            return False
        if not self._push():
            if self._pipe is not None:
                self._wait_to_write()
            return False
        if self._small >= _SMALL_READS:
            self._end(_PLAIN)
            return False
        return count >= LARGE

    def _push(self) -> bool:
        """Write what is in the pipe; whether that was all of it."""
        pipe = self._pipe
        while pipe is not None and self._held:
            try:
                self._held -= pipe.empty(self._target, self._held)
            except BlockingIOError:
                return False
            except OSError as error:
                self._broke(error, True)
                return False
        return self._pipe is not None

    def _wait_to_write(self) -> None:
        self._blocked = True
        self._loop.remove_reader(self._source)
        self._loop.add_writer(self._target, self._on_writable)
        self._connection.on_splice_blocked(self._upward)

    def _broke(self, error: OSError, of_target: bool) -> None:
        if native.cannot_splice(error):
            self._end(_NEVER)
            return
        self.stop()
        self._connection.on_splice_failure(self._upward, of_target, error)
