"""Configuration that changes while it is in force: files are watched, and what is in them is put in place.

The supervisor makes one configuration out of all resources (``resources``); workers know nothing of where
they come from. A change has two phases: every worker prepares it, and only when all have is it put in force.
"""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import Cluster
from proxyd.config.filled import listener_as_written, managers
from proxyd.config.listener import Listener
from proxyd.snapshot.build import listener_key
from proxyd.stats.scopes import escape
from proxyd.stats.server_scopes import SubscriptionStats
from proxyd.supervisor.dns import HostSets
from proxyd.supervisor.generation import Generation, Pending
from proxyd.supervisor.problems import counted, explain_bind, explain_resources
from proxyd.supervisor.resource_round import assemble
from proxyd.supervisor.resources import (
    CDS,
    EDS,
    FAILURE,
    LDS,
    RDS,
    REFRESH,
    REJECTED,
    ROTATION,
    SDS,
    STATIC,
    SUCCESS,
    Assembly,
    Key,
    Outcome,
    State,
    version_number,
)
from proxyd.supervisor.sockets import BindError, Prepared, Wanted, format_address, wanted_addresses
from proxyd.supervisor.watcher import FileWatcher
from proxyd.system import native

if TYPE_CHECKING:
    from proxyd.supervisor.supervisor import Supervisor

logger = logging.getLogger("config")

PREPARE_LIMIT: Final = 30.0  # seconds for all workers to be ready for a change
COMMIT_LIMIT: Final = 10.0  # seconds for all workers to have it in force


class Updates:
    """What is known of all subscriptions, and the one who carries changes through. Used on the loop alone."""

    def __init__(self, supervisor: "Supervisor") -> None:
        self.states: dict[Key, State] = {}
        self._supervisor: Final = supervisor
        self._stats: Final[dict[str, SubscriptionStats]] = {}  # by scope
        self._touched: set[str] = set()
        self._change = anyio.Event()
        self._began = time.monotonic()  # the last round
        self._watcher: Final = FileWatcher(
            supervisor.loop, self._on_touched, supervisor.options.watch_in_place
        )

    async def run(self) -> None:
        """Carry changes through as files change, until cancelled."""
        while True:
            await self._change.wait()
            self._change = anyio.Event()
            touched, self._touched = self._touched, set()
            try:
                await self._round(frozenset(touched))
            except Exception:
                logger.exception("an update could not be carried through")

    def close(self) -> None:
        """Watch no more."""
        self._watcher.close()

    def adopt(self, assembly: Assembly) -> None:
        """This is in force, or all that came of an attempt: count, tell, remember, watch."""
        self.states = dict(assembly.states)
        for outcome in assembly.outcomes:
            self._count(outcome)
            self._tell(outcome)
        scopes = {key.scope for key in self.states}
        for scope in self._stats.keys() - scopes:
            self._stats.pop(scope).forget()
        self._watcher.watch(assembly.files(), assembly.looks)

    # -- one round

    def _on_touched(self, files: set[str]) -> None:
        self._touched |= files
        self._change.set()

    async def _round(self, touched: frozenset[str]) -> None:
        supervisor = self._supervisor
        async with supervisor.changing:
            present = supervisor.configuration
            generation = supervisor.current
            if supervisor.stopping or present is None or generation is None:
                return
            with supervisor.cancellable():
                self._began = time.monotonic()
                assembly = await anyio.to_thread.run_sync(
                    assemble,
                    present.assembly.written,
                    self.states,
                    touched,
                    supervisor.options.allow_empty_updates,
                )
                await self._apply(generation, assembly)

    async def _apply(self, generation: Generation, assembly: Assembly) -> None:
        supervisor = self._supervisor
        while True:
            wanted = self._wanted(generation, assembly.bootstrap)
            try:
                prepared = supervisor.sockets.prepare(wanted, generation.roster.size)
                break
            except BindError as error:
                supervisor.vitals.listener_failed()
                reason = await anyio.to_thread.run_sync(explain_bind, error)
                smaller = assembly.without_listener(error.wanted.name, reason, self.states)
                if smaller is None:
                    self._give_up(assembly, reason)
                    return
                assembly = smaller
        if assembly.bootstrap.static_resources == generation.bootstrap.static_resources:
            prepared.abandon()
            await self._assign_hosts(generation, assembly)
            self.adopt(assembly)
            supervisor.configuration_updated(assembly)
            return
        clusters = assembly.bootstrap.static_resources.clusters
        hosts = HostSets(clusters, supervisor.registry, generation.hosts, assigned=assembly.hosts)
        try:
            await hosts.first()
            refusal = await self._prepare(generation, assembly.bootstrap, prepared, hosts)
        except BaseException:
            generation.abort(supervisor.new_order())
            prepared.abandon()
            raise
        if refusal:
            supervisor.totals.hide(_scopes(assembly.bootstrap) - _scopes(generation.bootstrap))
            prepared.abandon()
            self._give_up(assembly, refusal)
            return
        with anyio.CancelScope(shield=True):
            await self._commit(generation, assembly, wanted, hosts)

    async def _assign_hosts(self, generation: Generation, assembly: Assembly) -> None:
        """Other hosts of EDS clusters need no compiling; said to be in force when all workers have them."""
        supervisor = self._supervisor
        if generation.hosts.assign(assembly.hosts):
            number = supervisor.new_order()
            asked = generation.abort(number)  # of nothing: answered behind the hosts
            await supervisor.until(lambda: generation.done(asked, number), COMMIT_LIMIT)

    def _give_up(self, assembly: Assembly, reason: str) -> None:
        self.adopt(assembly.refused(reason, self.states))

    def _wanted(self, generation: Generation, bootstrap: Bootstrap) -> list[Wanted]:
        """The addresses, but for those of listeners that were told to stop."""
        listeners = bootstrap.static_resources.listeners
        return [
            each
            for each in wanted_addresses(bootstrap, native.default_backlog())
            if listener_key(listeners[each.listener], each.listener) not in generation.stopped_listeners
        ]

    async def _prepare(
        self, generation: Generation, bootstrap: Bootstrap, prepared: Prepared, hosts: HostSets
    ) -> str:
        """Have all workers get ready; why they are not, else nothing. Then the change is off."""
        supervisor = self._supervisor
        number = supervisor.new_order()
        try:
            asked = generation.prepare(
                number, Pending(bootstrap, prepared, hosts), supervisor.options.drain_time_s
            )
        except OSError as error:
            return explain_resources(error)

        def refusals() -> list[str]:
            return [reason for of, _, reason in generation.undone if of == number]

        done = await supervisor.until(
            lambda: bool(refusals()) or generation.done(asked, number), PREPARE_LIMIT
        )
        refused = refusals()
        generation.undone[:] = [each for each in generation.undone if each[0] > number]
        reason = refused[0] if refused else ""
        if not done:
            reason = f"not all workers were ready for it within {PREPARE_LIMIT:g} s"
        if not reason:
            try:
                supervisor.sockets.commit(prepared)
            except BindError as error:
                reason = explain_bind(error)
        if reason:
            generation.abort(supervisor.new_order())
        return reason

    async def _commit(
        self, generation: Generation, assembly: Assembly, wanted: list[Wanted], hosts: HostSets
    ) -> None:
        supervisor = self._supervisor
        before, former = generation.bootstrap, generation.hosts
        number = supervisor.new_order()
        asked = generation.commit(number)
        supervisor.wanted = wanted
        hosts.adopt(former)
        hosts.assign(assembly.hosts)
        supervisor.changed()  # whoever follows the hosts follows the new ones
        if not await supervisor.until(lambda: generation.done(asked, number), COMMIT_LIMIT):
            logger.error("not all workers have said within %g s that an update is in force", COMMIT_LIMIT)
        supervisor.sockets.retire()
        supervisor.totals.hide(_scopes(before) - _scopes(assembly.bootstrap))
        supervisor.totals.show(_scopes(assembly.bootstrap))
        self._log(before, assembly.bootstrap)
        supervisor.vitals.updated(before, assembly.bootstrap, generation.roster.size)
        self.adopt(assembly)
        supervisor.configuration_updated(assembly)

    # -- what is told

    def _count(self, outcome: Outcome) -> None:
        key = outcome.key
        if key.kind == STATIC:
            return
        stats = self._stats.get(key.scope)
        if stats is None:
            stats = self._stats[key.scope] = SubscriptionStats(self._supervisor.registry, key.scope, key.kind)
        if outcome.result in (ROTATION, REFRESH):
            if outcome.result == ROTATION and stats.key_rotation_failed is not None:
                stats.key_rotation_failed.value += 1
            stats.update_error.value = "; ".join(outcome.reasons)
            return
        stats.update_attempt.value += 1
        stats.update_duration.record(int((time.monotonic() - self._began) * 1e6))
        if outcome.empty and stats.update_empty is not None:
            stats.update_empty.value += 1
        if outcome.result == FAILURE:
            stats.update_failure.value += 1
        elif outcome.result == REJECTED:
            stats.update_rejected.value += 1
        else:
            state = self.states[key]
            stats.update_success.value += 1
            stats.version.value = version_number(state.version_info)
            stats.version_text.value = state.version_info
            stats.update_time.value = int(state.updated * 1000)
            if outcome.reloaded:
                stats.reloaded(int(time.time() * 1000))
        stats.update_error.value = "; ".join(outcome.reasons)

    def _tell(self, outcome: Outcome) -> None:
        key = outcome.key
        if outcome.reasons:
            which = f"{key.kind} {key.name}".strip()
            what = "cannot be read" if outcome.result == FAILURE else "rejected"
            rest = "the rest of it is in force" if outcome.changed else "what was in force stays"
            logger.warning("%s: update %s, %s:\n  %s", which, what, rest, "\n  ".join(outcome.reasons))
        elif outcome.result == REFRESH:
            logger.info("%s: files of %s updated", key.kind, key.name or key.file)
        elif outcome.result == SUCCESS and outcome.changed and key.kind in (RDS, EDS, SDS, STATIC):
            what = {
                RDS: "routes",
                EDS: "hosts of cluster",
                SDS: "secret",
                STATIC: "files of static resources",
            }[key.kind]
            logger.info("%s: %s %s updated", key.kind, what, key.name)

    def _log(self, before: Bootstrap, now: Bootstrap) -> None:
        for listener in _gone(before.static_resources.listeners, now.static_resources.listeners):
            logger.info("%s: remove listener '%s'", LDS, listener)
        for listener in _new(before.static_resources.listeners, now.static_resources.listeners):
            logger.info("%s: add/update listener '%s'", LDS, listener)
        removed = _gone(before.static_resources.clusters, now.static_resources.clusters)
        added = _new(before.static_resources.clusters, now.static_resources.clusters)
        if added or removed:
            logger.info(
                "%s: added/updated %s, removed %s",
                CDS,
                counted(len(added), "cluster"),
                counted(len(removed), "cluster"),
            )


_Resources = Sequence[Listener] | Sequence[Cluster]


def _keyed(resources: _Resources) -> dict[str, Listener | Cluster]:
    """By name, routes of files left out: they are no part of the listener."""
    found: dict[str, Listener | Cluster] = {}
    every: list[Listener | Cluster] = [*resources]
    for index, each in enumerate(every):
        if isinstance(each, Listener):
            found[listener_key(each, index)] = listener_as_written(each)
        else:
            found[each.name] = each
    return found


def _new(before: _Resources, now: _Resources) -> list[str]:
    """The names of those that are new or have changed."""
    old = _keyed(before)
    return [name for name, each in _keyed(now).items() if old.get(name) != each]


def _gone(before: _Resources, now: _Resources) -> list[str]:
    present = _keyed(now)
    return [name for name in _keyed(before) if name not in present]


def _scopes(bootstrap: Bootstrap) -> set[str]:
    """Where the statistics of clusters, listeners and connection managers stand."""
    resources = bootstrap.static_resources
    found = {f"cluster.{escape(each.alt_stat_name or each.name)}" for each in resources.clusters}
    for listener in resources.listeners:
        address = listener.address.socket_address
        where = listener.stat_prefix or format_address(address.address, address.port_value)
        found.add(f"listener.{escape(where)}")
        found.update(f"http.{escape(manager.stat_prefix)}" for manager in managers(listener))
    return found
