"""Configuration that changes while it is in force: files are watched, and what is in them is put in place.

The supervisor makes one configuration out of all resources (``resources``); workers know nothing of where
they come from. Each round of reading (``resource_round``) is carried into all workers or none (``rollout``).
"""

import logging
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from proxyd.snapshot.checks import tls_warnings
from proxyd.supervisor.resource_round import assemble
from proxyd.supervisor.resources import Assembly, Key, State
from proxyd.supervisor.rollout import Rollout, do_all
from proxyd.supervisor.update_report import UpdateReport
from proxyd.supervisor.watcher import FileWatcher

if TYPE_CHECKING:
    from proxyd.supervisor.supervisor import Supervisor

logger = logging.getLogger("config")

# Seconds. What could be read and had to be refused (a worker was not ready in time, a directory is missing, a
# mistake of ours) may be possible a little later; its files will not have changed then, so nothing else asks.
TRIES: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


class Updates:
    """What is known of all subscriptions, and the one who carries changes through. Used on the loop alone."""

    def __init__(self, supervisor: "Supervisor") -> None:
        self.states: dict[Key, State] = {}
        self._supervisor: Final = supervisor
        self._report: Final = UpdateReport(supervisor.registry)
        self._rollout: Final = Rollout(supervisor)
        self._touched: set[str] = set()
        self._change = anyio.Event()
        self._refused: Final = _Refused()
        self._watcher: Final = FileWatcher(
            supervisor.loop, self._on_touched, supervisor.options.watch_in_place
        )

    async def run(self) -> None:
        """Carry changes through as files change, until cancelled."""
        while True:
            with anyio.move_on_at(self._refused.due):
                await self._change.wait()
            self._change = anyio.Event()
            touched, self._touched = frozenset(self._touched), set()
            # What is new goes alone: it can be good whatever becomes of the rest.
            files = touched or self._refused.take()
            try:
                if files:
                    await self._round(files, again=not touched)
            except Exception:
                logger.exception("a round of updates has broken off")

    def close(self) -> None:
        """Watch no more."""
        self._watcher.close()

    def adopt(self, assembly: Assembly) -> None:
        """A reload has put this in force: remember, count, tell, watch."""
        self.hold(assembly)
        self._refused.forget(None)
        self._tell(assembly)

    def hold(self, assembly: Assembly) -> None:
        """This is what is known from now on."""
        self.states = dict(assembly.states)

    def _tell(self, assembly: Assembly) -> None:
        do_all(
            lambda: self._report.tell(assembly.outcomes, self.states),
            lambda: self._watcher.watch(assembly.files(), assembly.looks),
            self._supervisor.contexts_changed,
        )

    # -- one round

    def _on_touched(self, files: set[str]) -> None:
        self._touched |= files
        self._change.set()

    async def _round(self, touched: frozenset[str], again: bool) -> None:
        supervisor = self._supervisor
        async with supervisor.changing:
            present = supervisor.configuration
            generation = supervisor.current
            if supervisor.stopping or present is None or generation is None:
                return
            with supervisor.cancellable():
                self._report.begin()
                known = set(tls_warnings(present.bootstrap))
                assembly: Assembly | None = None
                refusal = ""
                try:
                    assembly = await anyio.to_thread.run_sync(
                        assemble,
                        present.assembly.written,
                        self.states,
                        touched,
                        supervisor.options.allow_empty_updates,
                    )
                    assembly, refusal = await self._rollout.run(generation, assembly, self.states)
                except Exception as error:
                    logger.exception("an update could not be carried through")
                    refusal = f"{type(error).__name__}: {error}"
                if refusal:
                    self._refuse(assembly, refusal, touched, again)
                    return
                assert assembly is not None
                self._refused.forget(touched)
                for warning in tls_warnings(assembly.bootstrap):
                    if warning not in known:
                        logger.warning(warning)
                self._tell(assembly)

    def _refuse(self, assembly: Assembly | None, reason: str, touched: frozenset[str], again: bool) -> None:
        """What was in force stays; try again later."""
        files = touched
        if assembly is not None:
            files = assembly.refused_files(touched) or touched
            refused = assembly.refused(reason, self.states)
            self.hold(refused)
            if not again:
                self._tell(refused)
        self._refused.add(files, again)
        if self._refused.files:
            logger.info("what was refused is tried again in %g s", self._refused.delay)
        elif again:
            logger.warning("what was refused is not tried again before its files change: %s", reason)


class _Refused:
    """Files whose contents had to be refused, and when they are tried again."""

    def __init__(self) -> None:
        self.files: frozenset[str] = frozenset()
        self.delay: float = 0.0
        self.due: float = float("inf")  # by anyio's clock
        self._tried = 0

    def add(self, files: frozenset[str], again: bool) -> None:
        """These have been refused; ``again``: not for the first time."""
        if again:
            self._tried += 1
        else:
            files |= self.files
            self._tried = 0
        if self._tried == len(TRIES):
            files = frozenset()
        self.files = files
        if files:
            self.delay = TRIES[self._tried]
        self.due = anyio.current_time() + self.delay if files else float("inf")

    def take(self) -> frozenset[str]:
        """Those that are to be tried again now; whoever tries says what came of it."""
        self.due = float("inf")
        return self.files

    def forget(self, files: frozenset[str] | None) -> None:
        """These have been read and were not refused, or all have, with None."""
        self.files = frozenset() if files is None else self.files - files
        if not self.files:
            self.due = float("inf")
