"""Whether what a file of resources holds can be used: each by itself, every mistake with its place."""

import functools
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from proxyd.config.checks import addresses, check_addresses, check_listener, check_sources
from proxyd.config.cluster import Cluster, ClusterLoadAssignment
from proxyd.config.cluster_checks import check_assignment, check_cluster
from proxyd.config.core import Address
from proxyd.config.discovery_file import Found, duplicates
from proxyd.config.finding import Finding
from proxyd.config.listener import Listener
from proxyd.config.message import Message
from proxyd.config.mistakes import quote
from proxyd.config.route import RouteConfiguration
from proxyd.config.route_checks import check_routes
from proxyd.config.tls_checks import check_tls, secrets_of_files
from proxyd.snapshot.checks import check_resource
from proxyd.supervisor.resource_view import COMPILE_ERRORS, View
from proxyd.supervisor.resources import Key, State, sds_key


class Judge:
    """One round's. ``fetch_secrets`` reads the files of the secrets that a message refers to.

    ``cluster_names``: what routes may name, of the clusters that have been judged.
    """

    def __init__(self, view: View, fetch_secrets: Callable[[Message], None]) -> None:
        self.cluster_names: dict[str, None] = {}
        self._view: Final = view
        self._fetch_secrets: Final = fetch_secrets

    def clusters(self, key: Key, found: tuple[Found, ...]) -> list[Found]:
        """Those of a CDS file."""
        static = {cluster.name for cluster in self._view.written.static_resources.clusters}
        judged = []
        for each in duplicates(found, "cluster"):
            cluster = each.message
            assert isinstance(cluster, Cluster)
            if each.name in static:
                each = each.refused(f"{quote(each.name)} is a static cluster", "name")
            each = each.blamed(check_cluster(each.path, cluster))
            judged.append(self._compiled(key, self._checked(each)))
        return judged

    def assignment(self, key: Key, found: tuple[Found, ...]) -> list[Found]:
        """That of an EDS file."""
        judged = self._one(key, found, "cluster_name", "an EDS file holds one ClusterLoadAssignment")
        return [
            each.blamed(check_assignment(each.path, each.message))
            for each in judged
            if isinstance(each.message, ClusterLoadAssignment)
        ]

    def secret(self, kind: str, key: Key, found: tuple[Found, ...]) -> list[Found]:
        """That of an SDS file. ``kind`` is the field of Secret that it is read for."""
        judged = []
        # Who uses it already cannot be left without it.
        users = self._users.get(key) or {kind: ""}
        for each in self._one(key, found, "name", "an SDS file holds one Secret"):
            for asked, user in users.items():
                if not each.mistakes and getattr(each.message, asked) is None:
                    each = each.refused(f"is no {asked}" + (f", and {user} uses it as one" if user else ""))
            judged.append(self._compiled(key, self._checked(each)))
        return judged

    def listeners(self, key: Key, found: tuple[Found, ...]) -> list[Found]:
        """Those of an LDS file."""
        names = {listener.name for listener in self._view.written.static_resources.listeners}
        judged = []
        for each in duplicates(found, "listener"):
            listener = each.message
            assert isinstance(listener, Listener)
            if not each.name:
                each = each.refused("is required: a listener is updated by its name", "name")
            elif each.name in names:
                each = each.refused(f"{quote(each.name)} is a static listener", "name")
            each = each.blamed(check_listener(each.path, listener, self.cluster_names))
            judged.append(self._compiled(key, self._checked(each)))
        return self._addresses(key, judged)

    def routes(self, key: Key, found: tuple[Found, ...]) -> list[Found]:
        """Those of an RDS file."""
        judged = []
        for each in self._one(key, found, "name", "an RDS file holds one RouteConfiguration"):
            routes = each.message
            assert isinstance(routes, RouteConfiguration)
            # As in Envoy, routes of a file may name clusters that are yet to come.
            strict = routes.validate_clusters is True
            table = routes if strict else msgspec.structs.replace(routes, validate_clusters=False)
            each = each.blamed(check_routes(each.path, table, self.cluster_names))
            judged.append(self._compiled(key, self._checked(each)))
        return judged

    def _addresses(self, key: Key, judged: list[Found]) -> list[Found]:
        """No address twice, those of static listeners and of bad ones that stay as they were included."""
        written = self._view.written
        taken: list[tuple[str, Address]] = []
        if written.admin is not None and written.admin.address is not None:
            taken.append(("the admin API", written.admin.address))
        for index, static in enumerate(written.static_resources.listeners):
            taken += addresses(f"listener {static.name or index}: ", static)
        for each in judged:
            former = self._view.former(key, each.name)
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

    # -- what is the same for all kinds

    def _checked(self, each: Found) -> Found:
        """With the mistakes that any resource can have: of files, expressions, formats, TLS."""
        self._fetch_secrets(each.message)
        secrets = self._view.secrets()
        each = each.blamed(check_sources(each.path, each.message))
        each = each.blamed(check_tls(each.path, each.message, secrets))
        each = each.blamed(self._other_kinds(each))
        return each.blamed(check_resource(each.message, each.path, secrets))

    def _other_kinds(self, each: Found) -> Iterator[Finding]:
        """Where it refers to a secret of a file that is there and is another kind of secret."""
        for use in secrets_of_files(each.message, each.path):
            state = self._view.states.get(sds_key(use.config, use.source), State())
            for resource in state.resources.values():
                if getattr(resource.message, use.kind) is None:
                    yield Finding(
                        f"{use.path}.name",
                        f"the secret {quote(use.config.name)} in {use.source.file} is no {use.kind}",
                    )

    @functools.cached_property
    def _users(self) -> dict[Key, dict[str, str]]:
        """As what kind each secret of a file is in use, and who uses it so; found out once a round."""
        static = self._view.written.static_resources
        messages: list[Message] = [*static.listeners, *static.clusters]
        for state in self._view.before.values():
            messages += [resource.message for resource in state.resources.values()]
        users: dict[Key, dict[str, str]] = {}
        for message in messages:
            for use in secrets_of_files(message):
                kinds = users.setdefault(sds_key(use.config, use.source), {})
                who = f"{type(message).__name__.lower()} {getattr(message, 'name', '')}".strip()
                kinds.setdefault(use.kind, who)
        return users

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

    def _compiled(self, key: Key, each: Found) -> Found:
        """With a mistake where it cannot be compiled; what is in force can."""
        former = self._view.former(key, each.name)
        if each.mistakes or (former is not None and former.message == each.message):
            return each
        try:
            self._view.compile(each.message)
        except COMPILE_ERRORS as error:
            return each.refused(str(error))
        return each
