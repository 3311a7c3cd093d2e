"""A change in place on its way into every worker: all of them prepare it, and only then is it put in force.

Up to the commit everything may fail and nothing has happened. From the commit on nothing is undone, and what
is left to do is done whatever becomes of the rest.
"""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
import anyio.to_thread

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.filled import managers
from proxyd.snapshot.build import listener_key
from proxyd.stats.scopes import escape
from proxyd.supervisor.certificates import stat_name
from proxyd.supervisor.dns import HostSets
from proxyd.supervisor.generation import Generation
from proxyd.supervisor.problems import explain_bind, explain_resources
from proxyd.supervisor.resources import Assembly, Key, State
from proxyd.supervisor.sockets import BindError, Prepared, Wanted, wanted_addresses
from proxyd.supervisor.update_report import log_resources
from proxyd.system import native

if TYPE_CHECKING:
    from proxyd.supervisor.supervisor import Supervisor

logger = logging.getLogger("config")

PREPARE_LIMIT: Final = 30.0  # seconds for all workers to be ready for a change
COMMIT_LIMIT: Final = 10.0  # seconds for all workers to have it in force


class _Bound(NamedTuple):
    """A change whose addresses can be had: without those listeners whose cannot."""

    assembly: Assembly
    wanted: list[Wanted]
    prepared: Prepared


class Result(NamedTuple):
    """What became of a change: ``refusal`` is empty where ``assembly`` is in force."""

    assembly: Assembly
    refusal: str


class Rollout:
    """Carries one change at a time through."""

    def __init__(self, supervisor: "Supervisor") -> None:
        self._supervisor: Final = supervisor

    async def run(self, generation: Generation, assembly: Assembly, before: Mapping[Key, State]) -> Result:
        """Put it in force in the workers of the generation that serves; ``before`` is what was known."""
        supervisor = self._supervisor
        bound = await self._bind(generation, assembly, before)
        if isinstance(bound, str):
            return Result(assembly, bound)
        assembly = bound.assembly
        if assembly.bootstrap.static_resources == generation.bootstrap.static_resources:
            bound.prepared.abandon()
            supervisor.in_force(assembly, bound.wanted)
            await self._assign_hosts(generation, assembly)
            return Result(assembly, "")
        clusters = assembly.bootstrap.static_resources.clusters
        hosts = HostSets(clusters, supervisor.registry, generation.hosts, assigned=assembly.hosts)
        try:
            await hosts.first()
            refusal = await self._prepare(generation, bound, hosts)
        except BaseException:
            generation.abort(supervisor.new_order())
            self._call_off(generation, bound)
            raise
        if refusal:
            self._call_off(generation, bound)
            return Result(assembly, refusal)
        with anyio.CancelScope(shield=True):
            await self._commit(generation, bound, hosts)
        return Result(assembly, "")

    async def _bind(
        self, generation: Generation, assembly: Assembly, before: Mapping[Key, State]
    ) -> _Bound | str:
        """Bind what is missing. A dynamic listener whose address cannot be had is left out, as in Envoy."""
        supervisor = self._supervisor
        while True:
            wanted = _wanted(generation, assembly.bootstrap)
            try:
                return _Bound(assembly, wanted, supervisor.sockets.prepare(wanted, generation.roster.size))
            except BindError as error:
                supervisor.vitals.listener_failed()
                # Who has the port is looked up in all processes: not on the loop.
                reason = await anyio.to_thread.run_sync(explain_bind, error)
                smaller = assembly.without_listener(error.wanted.name, reason, before)
                if smaller is None:
                    return reason
                assembly = smaller

    async def _assign_hosts(self, generation: Generation, assembly: Assembly) -> None:
        """Other hosts of EDS clusters need no compiling; this returns when all workers have them."""
        supervisor = self._supervisor
        if generation.hosts.assign(assembly.hosts):
            number = supervisor.new_order()
            asked = generation.abort(number)  # of nothing: answered behind the hosts
            await supervisor.until(lambda: generation.done(asked, number), COMMIT_LIMIT)

    async def _prepare(self, generation: Generation, bound: _Bound, hosts: HostSets) -> str:
        """Have all workers get ready; why they are not, else nothing. Then the change is off."""
        supervisor = self._supervisor
        number = supervisor.new_order()
        seconds = supervisor.options.drain_time_s
        try:
            asked = generation.prepare(number, bound.assembly.bootstrap, bound.prepared, hosts, seconds)
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
                supervisor.sockets.commit(bound.prepared)
            except BindError as error:
                reason = explain_bind(error)
        if reason:
            generation.abort(supervisor.new_order())
        return reason

    def _call_off(self, generation: Generation, bound: _Bound) -> None:
        """What was bound for it goes, and what workers have begun to count for it is not shown."""
        bound.prepared.abandon()
        self._supervisor.totals.hide(_scopes(bound.assembly.bootstrap) - _scopes(generation.bootstrap))

    async def _commit(self, generation: Generation, bound: _Bound, hosts: HostSets) -> None:
        supervisor = self._supervisor
        assembly = bound.assembly
        before, former, now = generation.bootstrap, generation.hosts, assembly.bootstrap
        number = supervisor.new_order()
        asked = generation.commit(number)
        supervisor.in_force(assembly, bound.wanted)
        do_all(
            lambda: hosts.adopt(former),
            lambda: hosts.assign(assembly.hosts),
            supervisor.changed,  # whoever follows the hosts follows the new ones
        )
        if not await supervisor.until(lambda: generation.done(asked, number), COMMIT_LIMIT):
            logger.error("not all workers have said within %g s that an update is in force", COMMIT_LIMIT)
        do_all(
            supervisor.sockets.retire,
            lambda: supervisor.totals.hide(_scopes(before) - _scopes(now)),
            lambda: supervisor.totals.show(_scopes(now)),
            lambda: supervisor.vitals.updated(
                before, now, generation.roster.size, supervisor.options.drain_time_s
            ),
            lambda: log_resources(before, now),
        )


def do_all(*steps: Callable[[], object]) -> None:
    """What has to be done once a change is in force: all of it, whatever becomes of one step."""
    for step in steps:
        try:
            step()
        except Exception:
            logger.exception("a change is in force, and not all that follows from it could be done")


def _wanted(generation: Generation, bootstrap: Bootstrap) -> list[Wanted]:
    """The addresses, but for those of listeners that were told to stop."""
    listeners = bootstrap.static_resources.listeners
    return [
        each
        for each in wanted_addresses(bootstrap, native.default_backlog())
        if listener_key(listeners[each.listener], each.listener) not in generation.stopped_listeners
    ]


def _scopes(bootstrap: Bootstrap) -> set[str]:
    """Where the statistics of clusters, listeners and connection managers stand."""
    resources = bootstrap.static_resources
    found = {f"cluster.{escape(each.alt_stat_name or each.name)}" for each in resources.clusters}
    for listener in resources.listeners:
        found.add(f"listener.{escape(stat_name(listener))}")
        found.update(f"http.{escape(manager.stat_prefix)}" for manager in managers(listener))
    return found
