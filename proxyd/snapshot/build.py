"""From what the operator wrote to what a process runs by: the one entry to everything in this room.

Compiling is pure: no sockets, no tasks, no files. What can fail about a configuration fails here.
"""

from typing import Final

from proxyd.config.bootstrap import Bootstrap
from proxyd.snapshot.clusters import ClusterSnapshot
from proxyd.snapshot.filter_chains import DuplicateMatchError
from proxyd.snapshot.formatter import FormatError
from proxyd.snapshot.listeners import ListenerSnapshot, RuntimeNumberError
from proxyd.snapshot.router import RouterError
from proxyd.snapshot.runtime import compile_runtime
from proxyd.snapshot.tickets import TicketSecret
from proxyd.snapshot.tls import TlsError, TlsSettings
from proxyd.stats.metrics import Registry

__all__ = ["ListenerSnapshot", "Snapshot", "SnapshotError", "compile_snapshot"]


class SnapshotError(ValueError):
    """A configuration that is well-formed and cannot run; the text names the resource and the reason."""


class Snapshot:
    """A whole compiled configuration; ``listeners`` in the order of ``static_resources.listeners``."""

    def __init__(self, listeners: list[ListenerSnapshot], clusters: dict[str, ClusterSnapshot]) -> None:
        self.listeners: Final = listeners
        self.clusters: Final = clusters


def compile_snapshot(
    bootstrap: Bootstrap, registry: Registry, worker: int, tickets: TicketSecret | None = None
) -> Snapshot:
    """Compile for worker number ``worker``; see TlsSettings for ``tickets``.

    Raises:
        SnapshotError: something in it cannot run; the text says what and why.
    """
    resources = bootstrap.static_resources
    runtime = compile_runtime(bootstrap)
    clusters: dict[str, ClusterSnapshot] = {}
    listeners: list[ListenerSnapshot] = []
    if resources is None:
        return Snapshot(listeners, clusters)
    settings = TlsSettings({secret.name: secret for secret in resources.secrets}, tickets)
    for cluster in resources.clusters:
        try:
            clusters[cluster.name] = ClusterSnapshot(cluster, registry, runtime, settings)
        except TlsError as error:
            raise SnapshotError(f"cluster {cluster.name}: {error.field}: {error}") from None
    for listener in resources.listeners:
        name = listener.name or listener.address.socket_address.address
        try:
            listeners.append(ListenerSnapshot(listener, registry, worker, runtime, bootstrap.node, settings))
        except (RouterError, FormatError) as error:
            raise SnapshotError(f"listener {name}: {error}") from error
        except RuntimeNumberError as error:
            raise SnapshotError(str(error)) from None
        except TlsError as error:
            raise SnapshotError(f"listener {name}: {error.field}: {error}") from None
        except DuplicateMatchError as error:
            raise SnapshotError(
                f"listener {name}: filter_chains[{error.second}] has the same filter_chain_match as "
                f"filter_chains[{error.first}]"
            ) from None
    return Snapshot(listeners, clusters)
