"""From what the operator wrote to what a process runs by: the one entry to everything in this room.

Compiling is pure: no sockets, no tasks, no files. What can fail about a configuration fails here.
"""

from typing import Final

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import Cluster
from proxyd.config.core import Node
from proxyd.config.filled import chains
from proxyd.config.listener import Listener
from proxyd.config.tls import Secret
from proxyd.snapshot.clusters import ClusterSnapshot
from proxyd.snapshot.filter_chains import DuplicateMatchError
from proxyd.snapshot.formatter import FormatError
from proxyd.snapshot.limit_names import listener_key
from proxyd.snapshot.listeners import ListenerSnapshot, RuntimeNumberError
from proxyd.snapshot.router import RouterError
from proxyd.snapshot.runtime import Runtime, compile_runtime
from proxyd.snapshot.tickets import TicketSecret
from proxyd.snapshot.tls import TlsError, TlsSettings
from proxyd.stats.metrics import Registry

__all__ = ["Compiler", "ListenerSnapshot", "Snapshot", "SnapshotError", "compile_snapshot", "listener_key"]


class SnapshotError(ValueError):
    """A configuration that is well-formed and cannot run; the text names the resource and the reason."""


class Snapshot:
    """A whole compiled configuration; ``listeners`` in the order of ``static_resources.listeners``."""

    def __init__(
        self,
        listeners: list[ListenerSnapshot],
        clusters: dict[str, ClusterSnapshot],
        secrets: tuple[Secret, ...] = (),
    ) -> None:
        self.listeners: Final = listeners
        self.clusters: Final = clusters
        self.secrets: Final = secrets
        self.keyed: Final = {listener.key: listener for listener in listeners}


class Compiler:
    """Compiles resources one by one. All its methods raise SnapshotError."""

    def __init__(
        self,
        bootstrap: Bootstrap,
        registry: Registry,
        worker: int,
        tickets: TicketSecret | None = None,
        before: Snapshot | None = None,
    ) -> None:
        """Of ``bootstrap`` the runtime, the node and the secrets count.

        What has not changed since ``before``, a snapshot of the same runtime and node, is taken from there.
        """
        self._registry: Final = registry
        self._worker: Final = worker
        self._before: Final = before
        self._node: Final[Node | None] = bootstrap.node
        self._runtime: Final[Runtime] = compile_runtime(bootstrap)
        secrets = bootstrap.static_resources.secrets
        self._settings: Final = TlsSettings({secret.name: secret for secret in secrets}, tickets)
        self._same_secrets: Final[bool] = before is not None and before.secrets == secrets

    def cluster(self, cluster: Cluster) -> ClusterSnapshot:
        before = self._before
        if before is not None and (self._same_secrets or cluster.transport_socket is None):
            known = before.clusters.get(cluster.name)
            if known is not None and known.written == cluster:
                return known
        try:
            return ClusterSnapshot(cluster, self._registry, self._runtime, self._settings)
        except TlsError as error:
            raise SnapshotError(f"cluster {cluster.name}: {error.field}: {error}") from None

    def listener(self, listener: Listener, index: int = 0) -> ListenerSnapshot:
        """``index`` is its place in the configuration, for a listener without a name."""
        key = listener_key(listener, index)
        before = self._before
        if before is not None and (self._same_secrets or not _has_tls(listener)):
            known = before.keyed.get(key)
            if known is not None and known.written == listener:
                return known
        name = listener.name or listener.address.host
        try:
            return ListenerSnapshot(
                listener, self._registry, self._worker, self._runtime, self._node, self._settings, key
            )
        except (RouterError, FormatError) as error:
            raise SnapshotError(f"listener {name}: {error}") from error
        except RuntimeNumberError as wrong:  # mypyc has one type for each name
            raise SnapshotError(str(wrong)) from None
        except TlsError as refused:
            raise SnapshotError(f"listener {name}: {refused.field}: {refused}") from None
        except DuplicateMatchError as double:
            raise SnapshotError(
                f"listener {name}: filter_chains[{double.second}] has the same filter_chain_match as "
                f"filter_chains[{double.first}]"
            ) from None


def compile_snapshot(
    bootstrap: Bootstrap,
    registry: Registry,
    worker: int,
    tickets: TicketSecret | None = None,
    before: Snapshot | None = None,
) -> Snapshot:
    """Compile for worker number ``worker``; see TlsSettings for ``tickets``, Compiler for ``before``.

    Raises:
        SnapshotError: something in it cannot run; the text says what and why.
    """
    resources = bootstrap.static_resources
    compiler = Compiler(bootstrap, registry, worker, tickets, before)
    clusters = {cluster.name: compiler.cluster(cluster) for cluster in resources.clusters}
    listeners = [compiler.listener(listener, index) for index, listener in enumerate(resources.listeners)]
    return Snapshot(listeners, clusters, resources.secrets)


def _has_tls(listener: Listener) -> bool:
    return any(chain.transport_socket is not None for chain in chains(listener))
