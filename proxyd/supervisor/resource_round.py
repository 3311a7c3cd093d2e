"""One round of reading files of resources: what is good in them, and what is wrong with the rest.

A round is pure but for reading, and blocks: it runs on a thread, and what it has found may still be given up.
Resources are judged one by one: of a mixed file the good ones are taken, and for each bad one the last good
one of its name stays.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import Cluster, ClusterLoadAssignment
from proxyd.config.discovery_file import Found, WrongKindError, read_response
from proxyd.config.filled import managers
from proxyd.config.listener import Listener
from proxyd.config.look import Looks
from proxyd.config.message import Message
from proxyd.config.mistakes import ConfigErrors, Mistake, quote
from proxyd.config.route import RouteConfiguration
from proxyd.config.tls import Secret
from proxyd.config.tls_checks import secrets_of_files
from proxyd.supervisor.resource_contents import Contents
from proxyd.supervisor.resource_judge import Judge
from proxyd.supervisor.resource_view import View
from proxyd.supervisor.resources import (
    CDS,
    EDS,
    FAILURE,
    LDS,
    RDS,
    REJECTED,
    SDS,
    SUCCESS,
    Assembly,
    Key,
    Outcome,
    Problem,
    Resource,
    State,
    cds_key,
    compose,
    eds_key,
    lds_key,
    of_kind,
    rds_key,
    sds_key,
)


def assemble(
    bootstrap: Bootstrap,
    before: Mapping[Key, State],
    touched: frozenset[str] | None = None,
    allow_empty: bool = False,
    looks: Looks | None = None,
) -> Assembly:
    """Read what has changed and put everything in its place; blocking.

    ``bootstrap`` is the one of static resources, ``before`` what was known. ``touched`` are the files that
    have changed, None for all. ``looks``: what the files were that have been read for ``bootstrap``.
    """
    return _Round(View(bootstrap, before, dict(looks or {})), touched, allow_empty).run()


class _Round:
    """One round. Its order is Envoy's: static resources, clusters, their hosts, listeners, their routes."""

    def __init__(self, view: View, touched: frozenset[str] | None, allow_empty: bool) -> None:
        self._view: Final = view
        self._touched: Final = touched
        self._allow_empty: Final = allow_empty
        self._outcomes: Final[list[Outcome]] = []
        self._judge: Final = Judge(view, self._fetch_secrets)
        self._contents: Final = Contents(view, touched, self._outcomes)

    def run(self) -> Assembly:
        view, judge = self._view, self._judge
        # What refers to them is compiled with what they are now.
        self._fetch_secrets(view.written.static_resources)
        self._contents.refresh_static()
        dynamic = view.written.dynamic_resources
        if dynamic is not None and dynamic.cds_config is not None:
            self._fetch(cds_key(dynamic.cds_config), Cluster, judge.clusters)
        static = view.written.static_resources
        clusters = [*static.clusters, *of_kind(view.states, CDS, Cluster)]
        for cluster in clusters:
            if (key := eds_key(cluster)) is not None:
                self._fetch(key, ClusterLoadAssignment, judge.assignment)
        judge.cluster_names = dict.fromkeys(cluster.name for cluster in clusters)
        for listener in static.listeners:
            self._fetch_routes(listener)
        if dynamic is not None and dynamic.lds_config is not None:
            self._fetch(lds_key(dynamic.lds_config), Listener, judge.listeners)
        for listener in of_kind(view.states, LDS, Listener):
            self._fetch_routes(listener)
        bootstrap, hosts = compose(view.written, view.states)
        return Assembly(view.written, bootstrap, hosts, view.states, tuple(self._outcomes), view.looks)

    def _fetch_secrets(self, root: Message) -> None:
        for use in secrets_of_files(root):
            judge = functools.partial(self._judge.secret, use.kind)
            self._fetch(sds_key(use.config, use.source), Secret, judge)

    def _fetch_routes(self, listener: Listener) -> None:
        for manager in managers(listener):
            if manager.rds is not None:
                self._fetch(rds_key(manager, manager.rds), RouteConfiguration, self._judge.routes)

    def _fetch(
        self, key: Key, wanted: type[Message], judge: Callable[[Key, tuple[Found, ...]], list[Found]]
    ) -> None:
        """Read a file where that is called for; what can be used of it replaces what was known."""
        view = self._view
        if key in view.states:
            return  # several ask for it
        before = view.before.get(key)
        if before is not None and self._touched is not None and key.file not in self._touched:
            for resource in before.resources.values():
                self._fetch_secrets(resource.message)
            view.states[key] = self._contents.refresh(key, before)
            return
        before = before or State()
        try:
            response = read_response(key.file, wanted, looks=view.looks)
        except ConfigErrors as errors:
            result = REJECTED if isinstance(errors, WrongKindError) else FAILURE
            self._failed(key, before, result, _texts(errors.mistakes))
            return
        if key.kind == SDS and not response.found:  # Envoy forgives this of routes and hosts alone
            self._failed(
                key, before, REJECTED, (f"{key.file}: it holds no secret, expected {quote(key.name)}",)
            )
            return
        found = judge(key, response.found)
        self._take(key, before, response.version_info, found)

    def _failed(self, key: Key, before: State, result: str, reasons: tuple[str, ...]) -> None:
        problem = Problem(None, "", self._view.now, reasons)
        for resource in before.resources.values():
            self._fetch_secrets(resource.message)
        self._view.states[key] = msgspec.structs.replace(before, problems={"": problem}, result=result)
        self._outcomes.append(Outcome(key, result, reasons, False, False))

    def _take(self, key: Key, before: State, version: str, found: list[Found]) -> None:
        now = self._view.now
        resources: dict[str, Resource] = {}
        problems: dict[str, Problem] = {}
        single = key.kind in (RDS, EDS, SDS)
        if single and not found:
            resources = before.resources
        for each in found:
            former = before.resources.get(each.name)
            if each.mistakes:
                problems[each.name] = Problem(each.message, version, now, _texts(each.mistakes))
                kept = before.resources if single else {each.name: former} if former is not None else {}
                for name, resource in kept.items():
                    self._fetch_secrets(resource.message)
                    resources.setdefault(name, resource)
            elif former is not None and former.message == each.message:
                resources[each.name] = former
            else:
                resources[each.name] = Resource(each.message, version, now)
        reasons = tuple(reason for problem in problems.values() for reason in problem.reasons)
        if before.resources and not resources and not self._allow_empty:
            what = "listeners" if key.kind == LDS else "clusters"
            reason = (
                f"{key.file}: it has none to keep and would remove all {len(before.resources)} {what}; "
                "start with --allow-empty-updates to permit that"
            )
            self._failed(key, before, REJECTED, (*reasons, reason))
            return
        changed = resources != before.resources
        more = any(before.resources.get(name) != resource for name, resource in resources.items())
        if problems:
            state = msgspec.structs.replace(before, resources=resources, problems=problems, result=REJECTED)
        else:
            state = State(version, now, resources, {}, SUCCESS)
        self._view.states[key] = state
        result = REJECTED if problems else SUCCESS
        self._outcomes.append(Outcome(key, result, reasons, changed, single and not found, more))


def _texts(mistakes: Iterable[Mistake]) -> tuple[str, ...]:
    return tuple(map(str, mistakes))
