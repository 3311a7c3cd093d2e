"""One round of reading files of resources: what is good in them, and what is wrong with the rest.

A round is pure but for reading, and blocks: it runs on a thread, and what it has found may still be given up.
Resources are judged one by one: of a mixed file the good ones are taken, and for each bad one the last good
one of its name stays.
"""

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from proxyd.config import data_source
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.checks import addresses, check_addresses, check_listener, check_sources
from proxyd.config.cluster import Cluster, ClusterLoadAssignment
from proxyd.config.cluster_checks import check_assignment, check_cluster
from proxyd.config.core import Address
from proxyd.config.discovery_file import Found, WrongKindError, duplicates, read_response
from proxyd.config.filled import managers
from proxyd.config.listener import Listener
from proxyd.config.message import Message
from proxyd.config.mistakes import ConfigErrors, Mistake, quote
from proxyd.config.route import RouteConfiguration
from proxyd.config.route_checks import check_routes
from proxyd.config.tls import Secret
from proxyd.config.tls_checks import check_secret_files, check_tls, secrets_of_files
from proxyd.snapshot.build import Compiler, SnapshotError
from proxyd.snapshot.checks import check_resource, compile_secret
from proxyd.snapshot.formatter import FormatError
from proxyd.snapshot.router import RouterError, compile_router
from proxyd.snapshot.runtime import compile_runtime
from proxyd.stats.metrics import Registry
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
from proxyd.supervisor.watcher import Look, look


def assemble(
    bootstrap: Bootstrap,
    before: Mapping[Key, State],
    touched: frozenset[str] | None = None,
    allow_empty: bool = False,
) -> Assembly:
    """Read what has changed and put everything in its place; blocking.

    ``bootstrap`` is the one of static resources, ``before`` what was known. ``touched`` are the files that
    have changed, None for all.
    """
    return _Round(bootstrap, before, touched, allow_empty).run()


class _Round:
    """One round. Its order is Envoy's: clusters, their hosts, listeners, their routes."""

    def __init__(
        self,
        bootstrap: Bootstrap,
        before: Mapping[Key, State],
        touched: frozenset[str] | None,
        allow_empty: bool,
    ) -> None:
        self._written = bootstrap
        self._before: Final = before
        self._touched: Final = touched
        self._allow_empty: Final = allow_empty
        self._runtime: Final = compile_runtime(bootstrap)
        self._now: Final = time.time()
        self._states: Final[dict[Key, State]] = {}
        self._outcomes: Final[list[Outcome]] = []
        self._looks: Final[dict[str, Look | None]] = {}

    def run(self) -> Assembly:
        self._refresh_static()
        dynamic = self._written.dynamic_resources
        if dynamic is not None and dynamic.cds_config is not None:
            self._fetch(cds_key(dynamic.cds_config), Cluster, self._judge_clusters)
        static = self._written.static_resources
        self._fetch_secrets(static)
        clusters = [*static.clusters, *of_kind(self._states, CDS, Cluster)]
        for cluster in clusters:
            if (key := eds_key(cluster)) is not None:
                self._fetch(key, ClusterLoadAssignment, self._judge_assignment)
        self._names = dict.fromkeys(cluster.name for cluster in clusters)
        for listener in static.listeners:
            self._fetch_routes(listener)
        if dynamic is not None and dynamic.lds_config is not None:
            self._fetch(lds_key(dynamic.lds_config), Listener, self._judge_listeners)
        for listener in of_kind(self._states, LDS, Listener):
            self._fetch_routes(listener)
        written, states = self._written, self._states
        bootstrap, hosts = compose(written, states)
        return Assembly(written, bootstrap, hosts, states, tuple(self._outcomes), self._looks)

    def _fetch_secrets(self, root: Message) -> None:
        for _, message, source in secrets_of_files(root):
            self._fetch(sds_key(message, source), Secret, self._judge_secret)

    def _secrets(self) -> tuple[Secret, ...]:
        return (*self._written.static_resources.secrets, *of_kind(self._states, SDS, Secret))

    def _fetch_routes(self, listener: Listener) -> None:
        for manager in managers(listener):
            if manager.rds is not None:
                self._fetch(rds_key(manager, manager.rds), RouteConfiguration, self._judge_routes)

    # -- one file

    def _fetch(
        self, key: Key, wanted: type[Message], judge: Callable[[Key, tuple[Found, ...]], list[Found]]
    ) -> None:
        """Read a file where that is called for; what can be used of it replaces what was known."""
        if key in self._states:
            return  # several ask for it
        before = self._before.get(key)
        if before is not None and self._touched is not None and key.file not in self._touched:
            for resource in before.resources.values():
                self._fetch_secrets(resource.message)
            self._states[key] = self._refresh(key, before)
            return
        before = before or State()
        self._looks[key.file] = look(key.file)
        try:
            response = read_response(key.file, wanted)
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
        problem = Problem(None, "", self._now, reasons)
        for resource in before.resources.values():
            self._fetch_secrets(resource.message)
        self._states[key] = msgspec.structs.replace(before, problems={"": problem}, result=result)
        self._outcomes.append(Outcome(key, result, reasons, False, False))

    def _take(self, key: Key, before: State, version: str, found: list[Found]) -> None:
        resources: dict[str, Resource] = {}
        problems: dict[str, Problem] = {}
        single = key.kind in (RDS, EDS, SDS)
        if single and not found:
            resources = before.resources
        for each in found:
            former = before.resources.get(each.name)
            if each.mistakes:
                problems[each.name] = Problem(each.message, version, self._now, _texts(each.mistakes))
                kept = before.resources if single else {each.name: former} if former is not None else {}
                for name, resource in kept.items():
                    self._fetch_secrets(resource.message)
                    resources.setdefault(name, resource)
            elif former is not None and former.message == each.message:
                resources[each.name] = former
            else:
                resources[each.name] = Resource(each.message, version, self._now)
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
            state = State(version, self._now, resources, {}, SUCCESS)
        self._states[key] = state
        result = REJECTED if problems else SUCCESS
        self._outcomes.append(Outcome(key, result, reasons, changed, single and not found, more))

    # -- whether it can be used

    def _judge_clusters(self, key: Key, found: tuple[Found, ...]) -> list[Found]:
        static = {cluster.name for cluster in self._written.static_resources.clusters}
        judged = []
        for each in duplicates(found, "cluster"):
            cluster = each.message
            assert isinstance(cluster, Cluster)
            if each.name in static:
                each = each.refused(f"{quote(each.name)} is a static cluster", "name")
            each = each.blamed(check_cluster(each.path, cluster))
            each = self._checked(key, each)
            judged.append(self._compiled(key, each, self._compile_cluster))
        return judged

    def _judge_assignment(self, key: Key, found: tuple[Found, ...]) -> list[Found]:
        judged = self._one(key, found, "cluster_name", "an EDS file holds one ClusterLoadAssignment")
        return [
            each.blamed(check_assignment(each.path, each.message))
            for each in judged
            if isinstance(each.message, ClusterLoadAssignment)
        ]

    def _judge_secret(self, key: Key, found: tuple[Found, ...]) -> list[Found]:
        judged = []
        for each in self._one(key, found, "name", "an SDS file holds one Secret"):
            each = self._checked(key, each)
            judged.append(self._compiled(key, each, self._compile_secret))
        return judged

    def _judge_listeners(self, key: Key, found: tuple[Found, ...]) -> list[Found]:
        static = self._written.static_resources.listeners
        names = {listener.name for listener in static}
        judged = []
        for each in duplicates(found, "listener"):
            listener = each.message
            assert isinstance(listener, Listener)
            if not each.name:
                each = each.refused("is required: a listener is updated by its name", "name")
            elif each.name in names:
                each = each.refused(f"{quote(each.name)} is a static listener", "name")
            each = each.blamed(check_listener(each.path, listener, self._names))
            each = self._checked(key, each)
            judged.append(self._compiled(key, each, self._compile_listener))
        return self._judge_addresses(key, judged)

    def _judge_addresses(self, key: Key, judged: list[Found]) -> list[Found]:
        """No address twice, those of static listeners and of bad ones that stay as they were included."""
        admin = self._written.admin
        taken: list[tuple[str, Address]] = []
        if admin is not None and admin.address is not None:
            taken.append(("the admin API", admin.address))
        for index, static in enumerate(self._written.static_resources.listeners):
            taken += addresses(f"listener {static.name or index}: ", static)
        for each in judged:
            former = self._before.get(key, State()).resources.get(each.name)
            if each.mistakes and former is not None and isinstance(former.message, Listener):
                taken += addresses(f"listener {each.name}: ", former.message)
        result = []
        for each in judged:
            assert isinstance(each.message, Listener)
            if not each.mistakes:
                own = addresses(f"{each.path}.", each.message)
                paths = tuple(path for path, _ in own)
                findings = check_addresses([*taken, *own])
                each = each.blamed(finding for finding in findings if finding.path.startswith(paths))
                if not each.mistakes:
                    taken += own
            result.append(each)
        return result

    def _judge_routes(self, key: Key, found: tuple[Found, ...]) -> list[Found]:
        judged = []
        for each in self._one(key, found, "name", "an RDS file holds one RouteConfiguration"):
            routes = each.message
            assert isinstance(routes, RouteConfiguration)
            # As in Envoy, routes of a file may name clusters that are yet to come.
            strict = routes.validate_clusters is True
            table = routes if strict else msgspec.structs.replace(routes, validate_clusters=False)
            each = each.blamed(check_routes(each.path, table, self._names))
            each = self._checked(key, each)
            judged.append(self._compiled(key, each, self._compile_routes))
        return judged

    def _checked(self, key: Key, each: Found) -> Found:
        """With the mistakes that any resource can have: of files, expressions, formats, TLS."""
        mistakes = each.mistakes
        each = each.blamed(check_secret_files(each.path, each.message, self._secret_files(key, each.name)))
        if each.mistakes != mistakes:
            return each  # were its secrets fetched, they would take the place of others' of the same names
        self._fetch_secrets(each.message)
        secrets = {secret.name: secret for secret in self._secrets()}
        each = each.blamed(check_sources(each.path, each.message))
        each = each.blamed(check_tls(each.path, each.message, secrets))
        return each.blamed(check_resource(each.message, each.path, secrets))

    def _secret_files(self, key: Key, name: str) -> dict[str, str]:
        """The file of each secret, as this round has it and whatever is in force beside this resource."""
        files = {secret.name: "" for secret in self._written.static_resources.secrets}
        for fetched in self._states:
            if fetched.kind == SDS:
                files.setdefault(fetched.name, fetched.file)
        for owner, secret, file in self._in_force:
            if owner != (key, name):
                files.setdefault(secret, file)
        return files

    @functools.cached_property
    def _in_force(self) -> list[tuple[tuple[Key, str], str, str]]:
        """Which resource refers to which secret in which file; once a round, where it is asked for."""
        return [
            ((key, name), message.name, source.file)
            for key, state in self._before.items()
            for name, resource in state.resources.items()
            for _, message, source in secrets_of_files(resource.message)
        ]

    def _one(self, key: Key, found: tuple[Found, ...], field: str, rule: str) -> list[Found]:
        """The one resource that is asked for."""
        if len(found) > 1:
            return [found[1].refused(f"{rule}, not {len(found)}")]
        return [
            each
            if each.name == key.name or each.mistakes
            else each.refused(f"expected {quote(key.name)}, got {quote(each.name)}", field)
            for each in found
        ]

    def _compiled(self, key: Key, each: Found, compile_message: Callable[[Message], object]) -> Found:
        """With a mistake where it cannot be compiled; what is in force can."""
        former = self._before.get(key, State()).resources.get(each.name)
        if each.mistakes or (former is not None and former.message == each.message):
            return each
        try:
            compile_message(each.message)
        except (SnapshotError, RouterError, FormatError, ValueError) as error:
            return each.refused(str(error))
        return each

    def _compile_cluster(self, message: Message) -> object:
        assert isinstance(message, Cluster)
        return self._compiler().cluster(message)

    def _compile_listener(self, message: Message) -> object:
        assert isinstance(message, Listener)
        return self._compiler().listener(message)

    def _compiler(self) -> Compiler:
        static = msgspec.structs.replace(self._written.static_resources, secrets=self._secrets())
        bootstrap = msgspec.structs.replace(self._written, static_resources=static)
        return Compiler(bootstrap, Registry(None), 0)

    def _compile_secret(self, message: Message) -> object:
        assert isinstance(message, Secret)
        compile_secret(message)
        return message

    def _compile_routes(self, message: Message) -> object:
        assert isinstance(message, RouteConfiguration)
        return compile_router(message, self._runtime)

    # -- files that resources name: certificates, keys, bodies

    def _refresh(self, key: Key, state: State) -> State:
        """The resources with the present contents of their files, if those have changed."""
        resources = dict(state.resources)
        problems = dict(state.problems)
        for name, resource in state.resources.items():
            fresh, reasons = self._read_again(resource.message)
            if fresh is resource.message and not reasons:
                continue
            if reasons:
                problems[name] = Problem(None, state.version_info, self._now, reasons)
                self._outcomes.append(Outcome(key, ROTATION, reasons, False, False))
            else:
                problems.pop(name, None)
                resources[name] = Resource(fresh, resource.version_info, self._now)
                self._outcomes.append(Outcome(key, REFRESH, (), True, False))
        if resources == state.resources and problems == state.problems:
            return state
        return msgspec.structs.replace(state, resources=resources, problems=problems)

    def _refresh_static(self) -> None:
        """The same for the resources of the bootstrap."""
        static = self._written.static_resources
        problems: dict[str, Problem] = {}
        changes: dict[str, tuple[Message, ...]] = {}
        # Secrets first: what refers to them is compiled with what they are now.
        for field in ("secrets", "listeners", "clusters"):
            present: tuple[Message, ...] = getattr(static, field)
            fresh = []
            for index, each in enumerate(present):
                message, reasons = self._read_again(each)
                fresh.append(message)
                if reasons:
                    name = f"{field}[{index}]"
                    told = tuple(f"static_resources.{name}: {reason}" for reason in reasons)
                    problems[name] = Problem(None, "", self._now, told)
            if any(new is not old for new, old in zip(fresh, present, strict=True)):
                changes[field] = tuple(fresh)
                self._written = msgspec.structs.replace(
                    self._written,
                    static_resources=msgspec.structs.replace(self._written.static_resources, **changes),
                )
        same = not changes
        key = Key(STATIC, "", "", "")
        if problems:
            self._states[key] = State(problems=problems, result=REJECTED)
        reasons = tuple(reason for problem in problems.values() for reason in problem.reasons)
        if not same or problems:
            result = REJECTED if problems else SUCCESS
            self._outcomes.append(Outcome(key, result, reasons, not same, False))

    def _read_again(self, message: Message) -> tuple[Message, tuple[str, ...]]:
        """All files of a message anew where one is touched: a certificate belongs to a key."""
        if not self._touched or self._touched.isdisjoint(data_source.files(message)):
            return message, ()
        try:
            fresh = data_source.read_again(message)
            if fresh is not message:
                self._compile_any(fresh)
        except (SnapshotError, RouterError, FormatError, ValueError) as error:
            return message, (str(error),)
        return fresh, ()

    def _compile_any(self, message: Message) -> None:
        if isinstance(message, Listener):
            self._compile_listener(message)
        elif isinstance(message, Cluster):
            self._compile_cluster(message)
        elif isinstance(message, RouteConfiguration):
            self._compile_routes(message)
        elif isinstance(message, Secret):
            self._compile_secret(message)


def _texts(mistakes: Iterable[Mistake]) -> tuple[str, ...]:
    return tuple(map(str, mistakes))
