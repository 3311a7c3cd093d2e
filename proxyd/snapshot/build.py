"""From what the operator wrote to what a process runs by: the one entry to everything in this room.

Compiling is pure: no sockets, no tasks, no files. What can fail about a configuration fails here.
"""

from typing import Final

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.core import Node
from proxyd.config.listener import Listener
from proxyd.snapshot.clusters import BUFFER_LIMIT, ClusterSnapshot
from proxyd.snapshot.formatter import FormatError
from proxyd.snapshot.http_connection_manager import ConnectionManagerSnapshot
from proxyd.snapshot.router import RouterError
from proxyd.snapshot.runtime import Runtime, compile_runtime
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import ListenerStats

_CONNECTION_LIMIT: Final = "envoy.resource_limits.listener.{}.connection_limit"


class SnapshotError(ValueError):
    """A configuration that is well-formed and cannot run; the text names the resource and the reason."""


class ListenerSnapshot:
    """One compiled listener with its single filter chain."""

    def __init__(
        self,
        config: Listener,
        registry: Registry,
        worker: int,
        runtime: Runtime,
        node: Node | None,
    ) -> None:
        socket_address = config.address.socket_address
        address = socket_address.address
        if ":" in address:
            address = f"[{address}]"
        self.address: Final = f"{address}:{socket_address.port_value}"
        self.name: Final = config.name or self.address
        stat_address = config.stat_prefix or self.address
        self.stats: Final = ListenerStats(registry, self.address, config.stat_prefix, worker)
        limit = config.per_connection_buffer_limit_bytes
        self.buffer_limit: Final[int] = BUFFER_LIMIT if limit is None else limit
        # -1 for none. It is all workers' together, and nothing can name a listener without a name.
        self.connection_limit: Final[int] = (
            _whole_number(runtime, _CONNECTION_LIMIT.format(config.name)) if config.name else -1
        )
        self.manager: Final = ConnectionManagerSnapshot(
            config.filter_chains[0].filters[0].typed_config,
            stat_address,
            self.buffer_limit,
            registry,
            runtime,
            node,
        )
        self.manager.connection.filter_chain_name = config.filter_chains[0].name


class Snapshot:
    """A whole compiled configuration; ``listeners`` in the order of ``static_resources.listeners``."""

    def __init__(self, listeners: list[ListenerSnapshot], clusters: dict[str, ClusterSnapshot]) -> None:
        self.listeners: Final = listeners
        self.clusters: Final = clusters


def compile_snapshot(bootstrap: Bootstrap, registry: Registry, worker: int) -> Snapshot:
    """Compile for worker number ``worker``.

    Raises:
        SnapshotError: something in it cannot run; the text says what and why.
    """
    resources = bootstrap.static_resources
    runtime = compile_runtime(bootstrap)
    clusters: dict[str, ClusterSnapshot] = {}
    listeners: list[ListenerSnapshot] = []
    if resources is None:
        return Snapshot(listeners, clusters)
    for cluster in resources.clusters:
        clusters[cluster.name] = ClusterSnapshot(cluster, registry, runtime)
    for listener in resources.listeners:
        try:
            listeners.append(ListenerSnapshot(listener, registry, worker, runtime, bootstrap.node))
        except (RouterError, FormatError) as error:
            name = listener.name or listener.address.socket_address.address
            raise SnapshotError(f"listener {name}: {error}") from error
    return Snapshot(listeners, clusters)


def _whole_number(runtime: Runtime, key: str) -> int:
    """The number under ``key``, which text may stand for, or -1 where there is none."""
    value = runtime.get(key)
    if value is None:
        return -1
    if not isinstance(value, bool):
        text = f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
        if text.isascii() and text.isdigit():
            return int(text)
    raise SnapshotError(f"layered_runtime: {key} is {value!r}, not a whole number")
