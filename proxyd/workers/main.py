"""A worker: one process, one event loop, one core. Forked by the zygote, ruled by the supervisor."""

import asyncio
import gc
import logging
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from proxyd.config.encoding import decode
from proxyd.net.limits import LimitRow
from proxyd.net.server import Server
from proxyd.snapshot.build import SnapshotError, compile_snapshot
from proxyd.snapshot.tickets import TicketSecret
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import ProcessStats
from proxyd.system import native
from proxyd.workers import logs
from proxyd.workers.channel import Channel
from proxyd.workers.control import (
    Abort,
    Boot,
    Commit,
    Done,
    Drain,
    Drained,
    Draining,
    Hosts,
    HostSet,
    Prepare,
    Ready,
    Refused,
    ReopenLogs,
    Serve,
    Serving,
    SetDrainClose,
    SetLogLevels,
    Socket,
    StopListening,
    ToWorker,
)
from proxyd.workers.updates import Committed, Updates

logger = logging.getLogger("main")

TICK: Final = 0.1  # seconds between two rounds of publishing and two heartbeats
REOPEN_TIMEOUT: Final = 5.0  # seconds
IDLE_GRACE: Final = 0.1  # seconds between the order to stop and the end of idle connections
FLUSH_TICKS: Final = 10  # the access logs are flushed once a second

EXIT_REFUSED: Final = 3  # what it was given cannot run; it has said so
EXIT_ORPHANED: Final = 4  # the supervisor has gone


def run(boot: Boot, descriptors: Sequence[int]) -> int:
    """Be the worker that ``boot`` describes; takes the descriptors. Returns the exit code."""
    native.tune_malloc()
    loop = native.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = Worker(loop, boot, descriptors)
    loop.create_task(worker.start())
    try:
        loop.run_forever()
    finally:
        logs.close()
    return worker.exit_code


class Worker:
    """Prepares, serves, drains; see ``control`` for what is said meanwhile."""

    def __init__(self, loop: asyncio.AbstractEventLoop, boot: Boot, descriptors: Sequence[int]) -> None:
        control, memory, self._config, limits, *listening = descriptors
        self.exit_code: int = 0
        self._loop: Final = loop
        self._boot: Final = boot
        self._sockets: list[tuple[Socket, socket.socket]] = [  # not yet accepted on
            (lent, socket.socket(fileno=descriptor))
            for lent, descriptor in zip(boot.listeners, listening, strict=True)
        ]
        self._memory: Final = native.map_memory(memory)
        native.close_descriptor(memory)
        self._limits: Final = native.map_memory(limits)
        native.close_descriptor(limits)
        self._registry: Final = Registry(memoryview(self._memory))
        self._process: Final = ProcessStats(self._registry)
        self._tickets: Final = TicketSecret(boot.ticket_secret, boot.ticket_epoch, boot.ticket_former)
        self._server: Server | None = None
        self._host_numbers: Final[dict[str, int]] = {}
        self._deadline: asyncio.TimerHandle | None = None
        self._next_tick: float = 0.0
        self._ticks: int = 0
        self._ended: bool = False
        self._told_serving: bool = False
        self._early: Final[list[ToWorker]] = []  # said before everything was prepared
        self._attached: Final[deque[list[int]]] = deque()  # the descriptors of each Prepare
        self._updates: Updates | None = None
        self._channel: Final[Channel[ToWorker]] = Channel(
            loop,
            socket.socket(fileno=control),
            msgspec.msgpack.Decoder(ToWorker),
            self._on_message,
            self._on_orphaned,
            self._attached.append,
        )

    async def start(self) -> None:
        """Prepare everything that can fail, say so, and serve at once where that was asked for."""
        boot = self._boot
        try:
            logs.configure(boot.log)
            self._server = self._prepare()
        except (SnapshotError, msgspec.DecodeError, OSError, ValueError) as error:
            self._refuse(str(error))
            return
        except Exception as error:  # whatever it is, the generation must not come up
            logger.exception("worker %d cannot start", boot.slot)
            self._refuse(f"{type(error).__name__}: {error}")
            return
        self._loop.set_exception_handler(self._on_bug)
        gc.collect()
        gc.freeze()  # code and configuration stay; no collection need look at them again
        self._next_tick = self._loop.time()
        self._tick()
        self._channel.send(Ready())
        for message in self._early:
            self._on_message(message)
        if boot.serve:
            await self._serve()

    def _prepare(self) -> Server:
        boot = self._boot
        bootstrap = decode(native.read_memory(self._config))
        native.close_descriptor(self._config)
        snapshot = compile_snapshot(bootstrap, self._registry, boot.slot, self._tickets)
        limits = LimitRow(memoryview(self._limits), boot.limit_row, boot.limit_columns)
        server = Server(self._loop, snapshot, self._registry, self._on_idle, boot.local_address, limits)
        self._updates = Updates(server, self._registry, limits, boot.slot, self._tickets)
        for hosts in boot.hosts:
            self._host_numbers[hosts.cluster] = hosts.number
            server.update_hosts(hosts.cluster, hosts.hosts)
        server.set_drain_close(boot.drain_close)
        return server

    async def _serve(self) -> None:
        assert self._server is not None
        while self._sockets:  # a Drain meanwhile takes away what is left
            lent, sock = self._sockets.pop()
            await self._server.accept(lent.number, lent.listener, sock, lent.backlog)
        if not self._told_serving:
            self._told_serving = True
            self._channel.send(Serving())

    def _tick(self) -> None:
        now = self._loop.time()
        lag = max(0, int((now - self._next_tick) * 1e6))
        self._process.loop_lag_us.value = lag
        if lag > self._process.loop_lag_max_us.value:
            self._process.loop_lag_max_us.value = lag
        self._ticks += 1
        if self._ticks % FLUSH_TICKS == 0 and self._server is not None:
            self._server.flush_logs()
            if self._tickets.advance(time.time()):
                self._server.set_tickets(self._tickets)
        self._registry.publish()
        self._registry.heartbeat(time.monotonic())
        self._next_tick = now + TICK
        self._loop.call_later(TICK, self._tick)

    # -- what the supervisor says

    def _on_message(self, message: ToWorker) -> None:
        server = self._server
        if self._ended:
            return
        if server is None:
            self._early.append(message)
            return
        if isinstance(message, Serve):
            self._loop.create_task(self._serve())
        elif isinstance(message, Hosts):
            self._update_hosts(server, message.set)
        elif isinstance(message, Drain):
            self._drain(server, message)
        elif isinstance(message, StopListening):
            server.stop_accepting(message.listeners)
            self._channel.send(Done(message.number))
        elif isinstance(message, Prepare | Commit | Abort):
            self._update(server, message)
        elif isinstance(message, SetDrainClose):
            server.set_drain_close(message.on)
        elif isinstance(message, SetLogLevels):
            logs.set_levels(message.levels)
        else:
            self._loop.create_task(self._reopen_logs(server, message))

    def _update_hosts(self, server: Server, hosts: HostSet) -> None:
        if hosts.number > self._host_numbers.get(hosts.cluster, -1):
            self._host_numbers[hosts.cluster] = hosts.number
            server.update_hosts(hosts.cluster, hosts.hosts)

    def _update(self, server: Server, message: Prepare | Commit | Abort) -> None:
        updates = self._updates
        assert updates is not None
        reasons: tuple[str, ...] = ()
        if isinstance(message, Prepare):
            reasons = updates.prepare(message, self._attached.popleft())
        elif isinstance(message, Abort):
            updates.abort()
        elif (committed := updates.commit()) is not None:
            for hosts in committed.hosts:
                self._host_numbers[hosts.cluster] = hosts.number
                server.update_hosts(hosts.cluster, hosts.hosts)
            self._move_sockets(committed)
        else:
            # It could not be prepared here alone: whoever takes this worker's place boots what is in force.
            self._refuse("it has nothing to commit")
            return
        self._channel.send(Done(message.number, reasons))

    def _move_sockets(self, committed: Committed) -> None:
        """What is not yet accepted on, and what is new, goes where the change wants it."""
        waiting, self._sockets = self._sockets, committed.sockets
        for lent, sock in waiting:
            if lent.number in committed.placed:
                self._sockets.append((committed.placed[lent.number], sock))
            else:
                sock.close()
        if self._deadline is None:
            self._loop.create_task(self._serve())

    async def _reopen_logs(self, server: Server, message: ReopenLogs) -> None:
        reopening = server.begin_reopen_logs(logs.begin_reopen())
        reasons = await self._loop.run_in_executor(None, reopening.reasons, REOPEN_TIMEOUT)
        self._channel.send(Done(message.number, tuple(reasons)))

    def _drain(self, server: Server, message: Drain) -> None:
        """The first Drain stops accepting; a later one may set another time and close idle connections."""
        if self._deadline is None:
            for _, sock in self._sockets:  # never served
                sock.close()
            self._sockets = []
            server.drain(close_idle=False)
            self._channel.send(Draining(server.connections))
        else:
            self._deadline.cancel()
        if message.close_idle:
            # Not at once: what a connection just accepted has to say may still be unread.
            self._loop.call_later(IDLE_GRACE, self._close_idle, server)
        self._deadline = self._loop.call_later(message.seconds, self._finish)

    def _close_idle(self, server: Server) -> None:
        if not self._ended:
            server.close_idle()

    # -- ends

    def _on_idle(self) -> None:
        self._finish()

    def _finish(self) -> None:
        if self._ended:
            return
        self._ended = True
        assert self._server is not None
        cut = self._server.connections
        self._server.close()
        # Connections that were cut close in the loop's next turn: count them before the last word.
        self._loop.call_soon(self._say_drained, cut)

    def _say_drained(self, cut: int) -> None:
        self._registry.publish()
        self._channel.send(Drained(cut))
        self._loop.stop()

    def _refuse(self, reason: str) -> None:
        self._ended = True
        self._channel.send(Refused(reason))
        self.exit_code = EXIT_REFUSED
        self._loop.stop()

    def _on_orphaned(self) -> None:
        self._registry.publish()
        self.exit_code = EXIT_ORPHANED
        self._loop.stop()

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._process.envoy_bug_failures.value += 1
        exception = context.get("exception")
        logger.error("bug: %s", context.get("message"), exc_info=exception)
