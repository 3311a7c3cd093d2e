"""What is told of updates: statistics of each subscription, and lines in the log."""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import Cluster
from proxyd.config.filled import listener_as_written
from proxyd.config.listener import Listener
from proxyd.snapshot.build import listener_key
from proxyd.stats.metrics import Registry
from proxyd.stats.server_scopes import SubscriptionStats
from proxyd.supervisor.problems import counted
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
    Key,
    Outcome,
    State,
    version_number,
)

logger = logging.getLogger("config")

_WORDS: Final = {
    RDS: "routes",
    EDS: "hosts of cluster",
    SDS: "secret",
    STATIC: "files of static resources",
}


class UpdateReport:
    """Counts and tells what becomes of subscriptions."""

    def __init__(self, registry: Registry) -> None:
        self._registry: Final = registry
        self._stats: Final[dict[str, SubscriptionStats]] = {}  # by scope
        self._began: float = time.monotonic()  # the last round

    def begin(self) -> None:
        """A round begins, whose time is going to be told."""
        self._began = time.monotonic()

    def tell(self, outcomes: Sequence[Outcome], states: Mapping[Key, State]) -> None:
        """What came of a round, and what is known now."""
        for outcome in outcomes:
            self._count(outcome, states[outcome.key])
            _log(outcome)
        self._forget({key.scope for key in states})

    def _forget(self, scopes: Collection[str]) -> None:
        for scope in self._stats.keys() - scopes:
            self._stats.pop(scope).forget()

    def _count(self, outcome: Outcome, state: State) -> None:
        key = outcome.key
        stats = self._stats.get(key.scope)
        if stats is None:
            stats = self._stats[key.scope] = SubscriptionStats(self._registry, key.scope, key.kind)
        # All that is wrong now, not only by this attempt.
        stats.update_error.value = "; ".join(state.reasons())
        if outcome.result in (ROTATION, REFRESH):
            if outcome.result == ROTATION and stats.key_rotation_failed is not None:
                stats.key_rotation_failed.value += 1
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
            stats.update_success.value += 1
            stats.version.value = version_number(state.version_info)
            stats.version_text.value = state.version_info
            stats.update_time.value = int(state.updated * 1000)
            if outcome.reloaded:
                stats.reloaded(int(time.time() * 1000))


def _log(outcome: Outcome) -> None:
    key = outcome.key
    if outcome.reasons:
        which = f"{key.kind} {key.name}".strip()
        what = "cannot be read" if outcome.result == FAILURE else "rejected"
        rest = "the rest of it is in force" if outcome.changed else "what was in force stays"
        logger.warning("%s: update %s, %s:\n  %s", which, what, rest, "\n  ".join(outcome.reasons))
    elif outcome.result == REFRESH:
        logger.info("%s: files of %s updated", key.kind, key.name or key.file)
    elif outcome.result == SUCCESS and outcome.changed and key.kind in _WORDS:
        which = f"{_WORDS[key.kind]} {key.name}".rstrip()  # static resources have no name
        logger.info("%s: %s updated", key.kind, which)


def log_resources(before: Bootstrap, now: Bootstrap) -> None:
    """Which listeners and clusters have come, changed and gone."""
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
