"""The supervisor's side of one worker process: its channel, its statistics memory, what it has said."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from proxyd.stats.totals import Totals
from proxyd.supervisor.limits import Limits
from proxyd.supervisor.roster import Member
from proxyd.supervisor.spares import Spares
from proxyd.supervisor.zygote import Zygote
from proxyd.system import native
from proxyd.workers.channel import Channel
from proxyd.workers.control import Boot, FromWorker, ToWorker

_decoder: Final = msgspec.msgpack.Decoder(FromWorker)


class Worker:
    """One worker. ``tell`` is called with each message, ``lost`` when its channel ends.

    Raises OSError where there is no descriptor or memory for it, and then keeps none.

    ``stats_size`` is the length in bytes of its statistics memory.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        member: Member,
        totals: Totals,
        stats_size: int,
        limits: Limits,
        tell: Callable[["Worker", FromWorker], None],
        lost: Callable[["Worker"], None],
    ) -> None:
        self.member: Final = member
        self.serving: bool = False
        self.drain_told: bool = False  # has answered Drain
        self.carried: int = 0  # connections open when it began to drain
        self.done: int = 0  # number of the last message it has carried out
        self.refusal: str = ""
        self.lent: frozenset[int] = frozenset()  # numbers of the listening sockets it has
        self._totals: Final = totals
        self._limits: Final = limits
        with contextlib.ExitStack() as undo:
            ours, self._theirs = native.channel_pair()
            undo.callback(ours.close)
            undo.callback(self._theirs.close)
            memory = native.create_memory(f"proxyd-stats-{member.worker_id}", stats_size)
            undo.callback(native.close_descriptor, memory)
            self._memory: Final = native.map_memory(memory)
            undo.pop_all()
        self.limit_row: Final = limits.table.lend_row()
        self._memory_descriptor: Final = memory
        totals.attach(member.worker_id, memoryview(self._memory))
        self._channel: Final[Channel[FromWorker]] = Channel(
            loop, ours, _decoder, lambda message: tell(self, message), lambda: lost(self)
        )

    def spawn(self, zygote: Zygote | Spares, boot: Boot, configuration: int, sockets: Sequence[int]) -> None:
        """Have the zygote fork it; everything lent is then the worker's own copy.

        Raises OSError, and then it is ``gone``.
        """
        try:
            lent = [self._theirs.fileno(), self._memory_descriptor, configuration, self._limits.descriptor]
            zygote.spawn(boot, [*lent, *sockets])
        except OSError:
            self.gone()
            raise
        finally:
            self._theirs.close()
            native.close_descriptor(self._memory_descriptor)

    def send(self, message: ToWorker, descriptors: Sequence[int] = ()) -> None:
        """Tell it something. Raises OSError where descriptors cannot be duplicated."""
        self._channel.send(message, descriptors)

    def heartbeat(self) -> float:
        """Monotonic seconds of its event loop's last sign of life, 0.0 before the first."""
        return self._totals.heartbeat(self.member.worker_id)

    def kill(self) -> None:
        """End it by force; its exit is reported like any other."""
        self.member.killed = True
        if self.member.pid:
            native.kill(self.member.pid)

    def gone(self) -> None:
        """Its process has ended: hear its last words, keep its counters, let the rest go."""
        self._channel.finish()
        self._totals.retire(self.member.worker_id)
        self._limits.table.take_back_row(self.limit_row)
        self._memory.close()
