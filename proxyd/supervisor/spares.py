"""Workers on a system without fork: processes that wait, all imports done, to become one.

To a generation this is a zygote: it says when workers can be had, makes them and tells of their ends. One
process more than there are workers is kept ready, so that a worker that has died is replaced as quickly as by
forking. A new generation starts processes of its own, which run the code that is installed then.
"""

import asyncio
import contextlib
import logging
import threading
from typing import Final

import msgspec

from proxyd.supervisor.backoff import Backoff
from proxyd.supervisor.problems import explain_resources
from proxyd.supervisor.zygote import ZygoteOwner, last_words, other_protocol
from proxyd.system import native
from proxyd.workers.channel import Channel
from proxyd.workers.control import PROTOCOL, Begin, Boot, FromZygote, Hello, Spawn

logger = logging.getLogger("main")

MODULE: Final = "proxyd.workers.spare"
# Seconds after a worker was made until its spare is replaced: what else starts then is to be over before.
_SPARE_DELAY: Final = 5.0


class Spare:
    """One process, from its start to its end, whatever has become of it. Raises OSError."""

    def __init__(self, spares: "Spares") -> None:
        self.worker_id: int | None = None
        self.refusal: str = ""
        self.said_hello: bool = False
        self._spares: Final = spares
        self._loop: Final = spares.loop
        ours, theirs = native.channel_pair()
        with contextlib.ExitStack() as undo, theirs:
            undo.callback(ours.close)
            # Until it says Hello, what it writes is the reason why it does not.
            self._stderr: Final = native.new_capture()
            undo.callback(self._stderr.close)
            self.pid: Final = native.spawn_python(MODULE, theirs, self._stderr)
            undo.pop_all()
        self._channel: Final[Channel[FromZygote]] = Channel(
            self._loop, ours, msgspec.msgpack.Decoder(FromZygote), self._on_message, self._on_closed
        )
        threading.Thread(target=self._wait, name=f"wait for {self.pid}", daemon=True).start()

    def spawn(self, boot: Boot, descriptors: list[int]) -> None:
        """Be this worker. Raises OSError."""
        self._channel.send(Spawn(boot), descriptors)
        self.worker_id = boot.worker_id

    def end(self, why: str = "") -> None:
        """End the process, because of ``why``."""
        self.refusal = self.refusal or why
        native.kill(self.pid)

    def last_words(self, status: int) -> str:
        """Why it has ended."""
        return self.refusal or last_words(self._stderr, f"a process for workers ended (status {status})")

    def _on_message(self, message: FromZygote) -> None:
        assert isinstance(message, Hello)
        if message.protocol != PROTOCOL:
            self.end(other_protocol(message))
            return
        try:
            self._channel.send(Begin(), [native.standard_error()])
        except OSError as error:
            self.end(explain_resources(error))
            return
        self.said_hello = True
        self._spares.on_hello()

    def _on_closed(self) -> None:
        """It has become a worker, or it has ended or soon will: its end is awaited elsewhere."""

    def _wait(self) -> None:
        status = native.wait(self.pid)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._on_ended, status)

    def _on_ended(self, status: int) -> None:
        self._channel.close()
        self._spares.on_ended(self, status)
        self._stderr.close()


class Spares:
    """The processes of one generation. Raises OSError where none can be started."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: ZygoteOwner, workers: int) -> None:
        """``workers``: how many will be wanted at once; they start together."""
        self.loop: Final = loop
        self.ready: bool = False
        self._owner: Final = owner
        self._all: Final[set[Spare]] = set()
        self._idle: Final[list[Spare]] = []
        self._ending = False
        self._refusal = ""
        self._backoff: Final = Backoff()
        for _ in range(workers):
            self._start()

    def spawn(self, boot: Boot, descriptors: list[int]) -> None:
        """Have a worker; the descriptors (see ``control.Boot``) may be closed at once. Raises OSError."""
        if not self._idle:
            self._start()
        spare = self._idle.pop(0)
        try:
            spare.spawn(boot, descriptors)
        except OSError:
            spare.end()
            raise
        self.loop.call_soon(self._owner.on_spawned, boot.worker_id, spare.pid)
        self.loop.call_later(_SPARE_DELAY, self._refill)

    def end(self, why: str) -> None:
        """Let all processes go; ``on_zygote_gone`` follows, with the reason if there is one."""
        if not self._ending:
            self._ending = True
            self._refusal = why
            for spare in self._all:
                spare.end()
            if not self._all:
                self.loop.call_soon(self._owner.on_zygote_gone, why)

    def _start(self) -> None:
        spare = Spare(self)
        self._all.add(spare)
        self._idle.append(spare)

    def _refill(self) -> None:
        if self._ending or self._idle:
            return
        try:
            self._start()
        except OSError as error:
            logger.error("no process can be started: %s", explain_resources(error))

    # -- what the processes tell

    def on_hello(self) -> None:
        if not self.ready:
            self.ready = True
            self._owner.on_hello()

    def on_ended(self, spare: Spare, status: int) -> None:
        self._all.discard(spare)
        if spare in self._idle:
            self._idle.remove(spare)
        if spare.worker_id is not None:
            reason = "" if spare.said_hello else spare.last_words(status)
            self._owner.on_exited(spare.worker_id, status, reason)
        elif not self._ending:
            self._on_spare_lost(spare, status)
        if self._ending and not self._all:
            self._owner.on_zygote_gone(self._refusal)

    def _on_spare_lost(self, spare: Spare, status: int) -> None:
        reason = spare.last_words(status)
        if not self.ready:
            self._ending = True
            self._refusal = reason
            return
        logger.error("a process kept ready for the next worker has ended: %s", reason)
        now = self.loop.time()
        self.loop.call_later(self._backoff.died(now, 0.0) + _SPARE_DELAY, self._refill)
