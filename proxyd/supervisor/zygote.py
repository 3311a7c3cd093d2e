"""The supervisor's side of one zygote: starting it, talking to it, noticing its end."""

import asyncio
import contextlib
import logging
from typing import Final

import msgspec

from proxyd.supervisor.problems import explain_resources
from proxyd.system import Capture, native
from proxyd.workers.channel import Channel
from proxyd.workers.control import (
    PROTOCOL,
    Begin,
    Boot,
    Exited,
    FromZygote,
    Hello,
    Spawn,
    Spawned,
)

logger = logging.getLogger("main")

_MODULE: Final = "proxyd.workers.zygote"
_REASON_LINES: Final = 3


def other_protocol(message: Hello) -> str:
    """Why a process of another version is of no use."""
    return (
        f"proxyd {message.version}, which is installed now, speaks control protocol "
        f"{message.protocol}, this one {PROTOCOL}: restart instead of reloading"
    )


def last_words(stderr: Capture, otherwise: str) -> str:
    """The end of what a process has written before it ended, as one line."""
    lines = stderr.read().strip().splitlines()
    return " / ".join(line.strip() for line in lines[-_REASON_LINES:]) or otherwise


class ZygoteOwner:
    """What a zygote tells."""

    def on_hello(self) -> None:
        """Workers can be spawned."""

    def on_spawned(self, worker_id: int, pid: int) -> None:
        """A worker has been forked."""

    def on_exited(self, worker_id: int, status: int, reason: str) -> None:
        """A worker's process has ended, or could not be forked at all (then ``reason`` says why)."""

    def on_zygote_gone(self, reason: str) -> None:
        """The zygote has ended and with it every worker it had."""


class Zygote:
    """One zygote process. Must be made on the main thread: its end would be the zygote's (parent-death).

    Raises OSError where it cannot be started, and then leaves nothing behind.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: ZygoteOwner) -> None:
        self._loop: Final = loop
        self._owner: Final = owner
        self._refusal = ""
        self.ready: bool = False
        ours, theirs = native.channel_pair()
        with contextlib.ExitStack() as undo, theirs:
            undo.callback(ours.close)
            # Until it says Hello, what it writes is the reason why it does not.
            self._stderr: Final = native.new_capture()
            undo.callback(self._stderr.close)
            self.pid: Final = native.spawn_python(_MODULE, theirs, self._stderr)
            undo.pop_all()
        self._channel: Final[Channel[FromZygote]] = Channel(
            loop, ours, msgspec.msgpack.Decoder(FromZygote), self._on_message, self._on_closed
        )

    def spawn(self, boot: Boot, descriptors: list[int]) -> None:
        """Fork a worker; the descriptors (see ``control.Boot``) may be closed at once. Raises OSError."""
        self._channel.send(Spawn(boot), descriptors)

    def end(self, why: str) -> None:
        """Let it go, with all its workers; ``on_zygote_gone`` follows, with the reason if there is one."""
        if not self._channel.closed:
            self._refusal = why
            self._channel.close()
            self._on_closed()

    def _on_message(self, message: FromZygote) -> None:
        if isinstance(message, Hello):
            if message.protocol != PROTOCOL:
                self.end(other_protocol(message))
                return
            try:
                self._channel.send(Begin(), [native.standard_error()])
            except OSError as error:
                self.end(explain_resources(error))
                return
            self.ready = True
            self._owner.on_hello()
        elif isinstance(message, Spawned):
            self._owner.on_spawned(message.worker_id, message.pid)
        elif isinstance(message, Exited):
            self._owner.on_exited(message.worker_id, message.status, "")
        else:
            self._owner.on_exited(message.worker_id, 0, message.reason)

    def _on_closed(self) -> None:
        native.kill(self.pid)
        ended = self._loop.run_in_executor(None, native.wait, self.pid)
        ended.add_done_callback(self._on_ended)

    def _on_ended(self, ended: "asyncio.Future[int]") -> None:
        reason = self._refusal or last_words(self._stderr, f"the zygote ended (status {ended.result()})")
        self._stderr.close()
        self._owner.on_zygote_gone(reason)
