"""``ssl_context_update_by_sds``: how often secrets of files have come to TLS contexts, new ones included."""

from collections.abc import Iterator, Mapping
from typing import Final

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import Cluster
from proxyd.config.filled import chain_as_written, chains, cluster_as_written, frame
from proxyd.config.listener import FilterChain
from proxyd.config.message import Message
from proxyd.config.tls import Secret
from proxyd.config.tls_checks import secrets_of_files
from proxyd.snapshot.build import listener_key
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import escape
from proxyd.supervisor.certificates import stat_name

_NAME: Final = "ssl_context_update_by_sds"


class ContextUpdates:
    """Compares each configuration with the one before."""

    def __init__(self, registry: Registry) -> None:
        self._registry: Final = registry
        self._before: Bootstrap | None = None
        self._names: set[str] = set()

    def show(self, bootstrap: Bootstrap) -> None:
        """This is in force now."""
        before, self._before = self._before, bootstrap
        if before is bootstrap:
            return
        former = _Contexts(before)
        names: set[str] = set()
        for context in _Contexts(bootstrap).all:
            names.add(context.name)
            counter = self._registry.counter(context.name)
            counter.value += context.updates(former.find(context))
        self._registry.forget(self._names - names)
        self._names = names


class _Context:
    """A TLS context that refers to secrets of files; ``secrets`` as far as they are there."""

    def __init__(
        self,
        name: str,
        owner: str,
        frame: Message | None,
        written: Message,
        secrets: list[Secret | None],
    ) -> None:
        self.name: Final = name  # of its counter
        self.owner: Final = owner
        self.frame: Final = frame  # with what it makes another context
        self.written: Final = written
        self.secrets: Final = secrets

    def is_same(self, other: "_Context") -> bool:
        return self.written == other.written and self.frame == other.frame

    def updates(self, before: "_Context | None") -> int:
        """How many secrets have come to it."""
        known = [None] * len(self.secrets) if before is None else before.secrets
        return sum(new is not None and new != old for new, old in zip(self.secrets, known, strict=True))


class _Contexts:
    """Those of a configuration."""

    def __init__(self, bootstrap: Bootstrap | None) -> None:
        self.all: Final = [] if bootstrap is None else list(_contexts(bootstrap))
        self._by_owner: Final[dict[str, list[_Context]]] = {}
        for context in self.all:
            self._by_owner.setdefault(context.owner, []).append(context)

    def find(self, context: _Context) -> _Context | None:
        """The same one as it was here."""
        return next(filter(context.is_same, self._by_owner.get(context.owner, [])), None)


def _contexts(bootstrap: Bootstrap) -> Iterator[_Context]:
    resources = bootstrap.static_resources
    secrets = {secret.name: secret for secret in resources.secrets}
    for index, listener in enumerate(resources.listeners):
        name = f"listener.{escape(stat_name(listener))}.server_ssl_socket_factory.{_NAME}"
        for chain in chains(listener):
            if used := _used(chain, secrets):
                owner = f"listener {listener_key(listener, index)}"
                yield _Context(name, owner, frame(listener), chain_as_written(chain), used)
    for cluster in resources.clusters:
        if used := _used(cluster, secrets):
            name = cluster.alt_stat_name or cluster.name
            name = f"cluster.{escape(name)}.client_ssl_socket_factory.{_NAME}"
            yield _Context(
                name, f"cluster {cluster.name}", Cluster(name=""), cluster_as_written(cluster), used
            )


def _used(owner: FilterChain | Cluster, secrets: Mapping[str, Secret]) -> list[Secret | None]:
    socket = owner.transport_socket
    return [] if socket is None else [secrets.get(use.config.key) for use in secrets_of_files(socket)]
