"""From what the operator wrote to what a process runs by: the one entry to everything in this room.

Compiling is pure: no sockets, no tasks, no files. What can fail about a configuration fails here.
"""

from typing import Final

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import Cluster
from proxyd.config.core import Node
from proxyd.config.listener import Listener
from proxyd.config.rds import without_rds_routes
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
        key: str = "",
    ) -> None:
        self.written: Listener = config
        self.key: Final[str] = key or config.name
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

    def take_routes(self, other: "ListenerSnapshot") -> None:
        """Go on with the routes of another that differs in nothing else: for requests from now on."""
        self.manager.take_routes(other.manager)
        self.written = other.written


class Snapshot:
    """A whole compiled configuration; ``listeners`` in the order of ``static_resources.listeners``."""

    def __init__(self, listeners: list[ListenerSnapshot], clusters: dict[str, ClusterSnapshot]) -> None:
        self.listeners: Final = listeners
        self.clusters: Final = clusters
        self.named: Final = {listener.key: listener for listener in listeners}


def compile_snapshot(
    bootstrap: Bootstrap, registry: Registry, worker: int, before: Snapshot | None = None
) -> Snapshot:
    """Compile for worker number ``worker``.

    What has not changed since ``before``, a snapshot of the same runtime and node, is taken from there.

    Raises:
        SnapshotError: something in it cannot run; the text says what and why.
    """
    runtime = compile_runtime(bootstrap)
    resources = bootstrap.static_resources
    clusters = {
        cluster.name: compile_cluster(cluster, registry, runtime, before) for cluster in resources.clusters
    }
    listeners = [
        compile_listener(listener, registry, worker, runtime, bootstrap.node, index, before)
        for index, listener in enumerate(resources.listeners)
    ]
    return Snapshot(listeners, clusters)


def listener_key(listener: Listener, index: int) -> str:
    """By which a listener is known again: its name. One without is static, and stays where it stands."""
    return listener.name or f"#{index}"


def same_but_for_routes(one: Listener, other: Listener) -> bool:
    """Whether two listeners differ at most in routes that come from files of their own (``rds``)."""
    return without_rds_routes(one) == without_rds_routes(other)


def compile_cluster(
    cluster: Cluster, registry: Registry, runtime: Runtime, before: Snapshot | None = None
) -> ClusterSnapshot:
    """One cluster, or what is there of it already where it has not changed. Raises SnapshotError."""
    known = None if before is None else before.clusters.get(cluster.name)
    if known is not None and known.written == cluster:
        return known
    return ClusterSnapshot(cluster, registry, runtime)


def compile_listener(
    listener: Listener,
    registry: Registry,
    worker: int,
    runtime: Runtime,
    node: Node | None,
    index: int = 0,
    before: Snapshot | None = None,
) -> ListenerSnapshot:
    """One listener, or what is there of it already where it has not changed. Raises SnapshotError."""
    key = listener_key(listener, index)
    known = None if before is None else before.named.get(key)
    if known is not None and known.written == listener:
        return known
    try:
        return ListenerSnapshot(listener, registry, worker, runtime, node, key)
    except (RouterError, FormatError) as error:
        name = listener.name or listener.address.socket_address.address
        raise SnapshotError(f"listener {name}: {error}") from error


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
