"""What is known of files of resources, and the configuration that they and the bootstrap make together."""

import hashlib
import time
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec

from proxyd.config import data_source
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import Cluster, ClusterLoadAssignment, DiscoveryType
from proxyd.config.discovery import ConfigSource, Rds
from proxyd.config.filled import with_rds_routes
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.listener import Listener
from proxyd.config.look import Looks
from proxyd.config.message import Message
from proxyd.config.route import RouteConfiguration
from proxyd.config.tls import SdsSecretConfig, Secret, secret_key
from proxyd.snapshot.clusters import HostEntry, assigned
from proxyd.stats.scopes import escape

LDS: Final = "lds"
CDS: Final = "cds"
RDS: Final = "rds"
EDS: Final = "eds"
SDS: Final = "sds"
STATIC: Final = "static"  # files that the bootstrap itself names

# What came of an attempt, as Envoy counts it.
SUCCESS: Final = "success"
FAILURE: Final = "failure"  # the text could not be read
REJECTED: Final = "rejected"  # understood, and not possible
# No attempts of their own: files that a resource names are others.
REFRESH: Final = "refresh"
ROTATION: Final = "rotation"  # and cannot be used


class Key(NamedTuple):
    """One subscription."""

    kind: str
    file: str
    name: str  # of the one resource that is asked for, empty where all are
    scope: str  # what its statistics begin with


class Resource(msgspec.Struct, frozen=True):
    """A resource in force. ``updated`` is in seconds since the epoch."""

    message: Message
    version_info: str
    updated: float


class Problem(msgspec.Struct, frozen=True):
    """Why the last attempt to update something was in vain."""

    message: Message | None  # what was not taken, where it could be read
    version_info: str
    when: float
    reasons: tuple[str, ...]


class State(msgspec.Struct, frozen=True):
    """What is known of one subscription."""

    version_info: str = ""
    updated: float = 0.0
    resources: dict[str, Resource] = {}
    problems: dict[str, Problem] = {}  # by the name of the resource; empty for the file as a whole
    result: str = ""

    def reasons(self) -> tuple[str, ...]:
        """Everything that is wrong, each reason once."""
        return tuple(
            dict.fromkeys(reason for problem in self.problems.values() for reason in problem.reasons)
        )


class Outcome(NamedTuple):
    """One attempt."""

    key: Key
    result: str
    reasons: tuple[str, ...]
    changed: bool
    empty: bool  # asked for one resource, and there was none
    reloaded: bool = False  # something is new or another one, not only gone


class Assembly(msgspec.Struct, frozen=True):
    """A configuration with all resources in their places.

    ``written`` has static resources alone, with the contents that their files have now. ``bootstrap`` is what
    workers run. ``hosts`` are those of EDS clusters.
    """

    written: Bootstrap
    bootstrap: Bootstrap
    hosts: dict[str, tuple[HostEntry, ...]]
    states: dict[Key, State]
    outcomes: tuple[Outcome, ...]
    looks: Looks = {}  # what each file was just before it was read

    def without_listener(self, name: str, reason: str, before: Mapping[Key, State]) -> "Assembly | None":
        """The same, but for a dynamic listener that cannot be had; None where it is none."""
        return self._without(LDS, name, reason, before)

    def _without(self, kind: str, name: str, reason: str, before: Mapping[Key, State]) -> "Assembly | None":
        for key, state in self.states.items():
            if key.kind != kind or name not in state.resources:
                continue
            bad = state.resources[name]
            former = before.get(key, State()).resources.get(name)
            if former is bad:
                return None
            resources = dict(state.resources)
            del resources[name]
            if former is not None:
                resources[name] = former
            told = f"{key.file}: {name}: {reason}"
            problem = Problem(bad.message, bad.version_info, time.time(), (told,))
            states = dict(self.states)
            states[key] = msgspec.structs.replace(
                state,
                resources=resources,
                problems={**state.problems, name: problem},
                result=REJECTED,
            )
            outcomes = tuple(
                each._replace(result=REJECTED, reasons=(*each.reasons, told)) if each.key == key else each
                for each in self.outcomes
            )
            bootstrap, hosts = compose(self.written, states)
            return Assembly(self.written, bootstrap, hosts, states, outcomes, self.looks)
        return None

    def refused(self, reason: str, before: Mapping[Key, State]) -> "Assembly":
        """What is known when all of it had to be given up."""
        states: dict[Key, State] = {}
        now = time.time()
        lost = {each.key: each.result for each in self.outcomes if each.changed}
        for key, state in self.states.items():
            former = before.get(key)
            if key in lost:
                told = (f"{key.file}: {reason}" if key.file else reason,)
                problem = Problem(None, state.version_info, now, told)
                states[key] = _given_up(former or State(), state, lost[key], problem)
            elif former is not None:
                states[key] = msgspec.structs.replace(former, problems=state.problems, result=state.result)
        outcomes = tuple(
            each._replace(
                # There was no attempt at the file itself where only files that it names are others.
                result=ROTATION if each.result == REFRESH else REJECTED,
                reasons=(*each.reasons, reason),
                changed=False,
            )
            if each.changed
            else each
            for each in self.outcomes
            if each.key in states  # nobody else asks for the rest
        )
        return msgspec.structs.replace(self, states=states, outcomes=outcomes)

    def refused_files(self, touched: Collection[str]) -> frozenset[str]:
        """Of the files that were touched, those whose contents are lost where all has to be given up."""
        found: set[str] = set()
        for key in {each.key for each in self.outcomes if each.changed}:
            messages: list[Message] = [each.message for each in self.states[key].resources.values()]
            if key == STATIC_KEY:
                messages.append(self.written)
            found.add(key.file)
            found.update(*map(data_source.files, messages))
        return frozenset(found.intersection(touched))

    def files(self) -> set[str]:
        """Every file that the configuration depends on, but for the bootstrap itself."""
        found = data_source.files(self.written)
        for key, state in self.states.items():
            if key.kind != STATIC:
                found.add(key.file)
            for resource in state.resources.values():
                found |= data_source.files(resource.message)
        return found


def _given_up(former: State, state: State, result: str, problem: Problem) -> State:
    """What is known where ``state`` has to be given up again."""
    if result == REFRESH:
        lost = [name for name, each in state.resources.items() if each is not former.resources.get(name)]
        return msgspec.structs.replace(former, problems={**state.problems, **dict.fromkeys(lost, problem)})
    return msgspec.structs.replace(former, problems={**state.problems, "": problem}, result=REJECTED)


def compose(
    bootstrap: Bootstrap, states: Mapping[Key, State]
) -> tuple[Bootstrap, dict[str, tuple[HostEntry, ...]]]:
    """Static and dynamic resources in one, and the hosts of EDS clusters."""
    clusters = [*bootstrap.static_resources.clusters, *of_kind(states, CDS, Cluster)]
    hosts: dict[str, tuple[HostEntry, ...]] = {}
    for cluster in clusters:
        if (key := eds_key(cluster)) is not None:
            found = states.get(key, State()).resources.get(key.name)
            assignment = found.message if found is not None else None
            hosts[cluster.name] = (
                tuple(assigned(assignment)) if isinstance(assignment, ClusterLoadAssignment) else ()
            )
    written = [*bootstrap.static_resources.listeners, *of_kind(states, LDS, Listener)]

    def routes(manager: HttpConnectionManager, rds: Rds) -> RouteConfiguration:
        found = states.get(rds_key(manager, rds), State()).resources.get(rds.route_config_name)
        if found is None or not isinstance(found.message, RouteConfiguration):
            return RouteConfiguration(name=rds.route_config_name)
        return found.message

    listeners = tuple(with_rds_routes(listener, routes) for listener in written)
    static = bootstrap.static_resources
    resources = msgspec.structs.replace(
        static,
        listeners=listeners,
        clusters=tuple(clusters),
        secrets=(*static.secrets, *secrets_by_key(states)),
    )
    return msgspec.structs.replace(bootstrap, static_resources=resources), hosts


def lds_key(source: ConfigSource) -> Key:
    return Key(LDS, source.file, "", "listener_manager.lds.")


def cds_key(source: ConfigSource) -> Key:
    return Key(CDS, source.file, "", "cluster_manager.cds.")


def rds_key(manager: HttpConnectionManager, rds: Rds) -> Key:
    scope = f"http.{escape(manager.stat_prefix)}.rds.{escape(rds.route_config_name)}."
    return Key(RDS, rds.config_source.file, rds.route_config_name, scope)


def sds_key(config: SdsSecretConfig, source: ConfigSource) -> Key:
    return Key(SDS, source.file, config.name, f"sds.{escape(config.name)}.")


def eds_key(cluster: Cluster) -> Key | None:
    """None for a cluster whose hosts are not in a file."""
    config = cluster.eds_cluster_config
    if cluster.type is not DiscoveryType.EDS or config is None:
        return None
    scope = f"cluster.{escape(cluster.alt_stat_name or cluster.name)}."
    return Key(EDS, config.eds_config.file, config.service_name or cluster.name, scope)


# Contents of files that static resources name. Not Envoy's: it never reads these again.
STATIC_KEY: Final = Key(STATIC, "", "", "static_resources.")

_Kind = TypeVar("_Kind", bound=Message)


def of_kind(states: Mapping[Key, State], kind: str, struct: type[_Kind]) -> list[_Kind]:
    return [
        resource.message
        for key, state in states.items()
        if key.kind == kind
        for resource in state.resources.values()
        if isinstance(resource.message, struct)
    ]


def secrets_by_key(states: Mapping[Key, State]) -> list[Secret]:
    """Those of files, each under the name by which ``SdsSecretConfig.key`` finds it."""
    return [
        msgspec.structs.replace(resource.message, name=secret_key(key.name, key.file))
        for key, state in states.items()
        if key.kind == SDS
        for resource in state.resources.values()
        if isinstance(resource.message, Secret)
    ]


def version_number(version_info: str) -> int:
    """A version as a number: another text is another number. Envoy's is another one still."""
    return int.from_bytes(hashlib.blake2b(version_info.encode(), digest_size=8).digest(), "big")
