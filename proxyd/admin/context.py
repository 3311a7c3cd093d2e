"""What the admin handlers ask of the supervisor.

Reading is synchronous and must be quick: it happens on the supervisor's loop. Changing is asynchronous: the
reply to the client is sent when the coroutine returns, and what it raises becomes a 500 for that request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from proxyd.stats.view import StatsView

# States of the server, as /ready and /server_info name them.
LIVE: Final = "LIVE"
DRAINING: Final = "DRAINING"
PRE_INITIALIZING: Final = "PRE_INITIALIZING"
INITIALIZING: Final = "INITIALIZING"


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker process."""

    pid: int
    generation: int
    slot: int
    state: str  # starting, ready, draining, stopped, died
    connections: int  # active downstream connections
    requests_active: int
    requests_total: int  # since the process started
    cpu_seconds: float  # user and system time since the process started
    cpu_percent: float  # of one core, over the time since the supervisor last looked
    memory: int  # resident bytes
    loop_lag: float  # seconds the event loop was late, last measurement
    loop_lag_max: float  # seconds, worst since the process started
    heartbeat_age: float  # seconds since the event loop last said it was alive
    uptime: float  # seconds


@dataclass(frozen=True, slots=True)
class ListenerView:
    """One listener and the addresses it is bound to."""

    name: str
    addresses: Sequence[tuple[str, int]]  # ip, port as bound (never 0)


@dataclass(frozen=True, slots=True)
class HostView:
    """One host of a cluster. Its numbers come from the statistics (HostStats)."""

    ip: str
    port: int
    hostname: str
    weight: int = 1
    healthy: bool = True
    counted_as: str = ""  # what its numbers stand under; empty for its address


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits of a cluster at one priority, where it has any that are enforced."""

    max_connections: int
    max_pending_requests: int
    max_requests: int
    max_retries: int


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One cluster and its present hosts."""

    name: str
    hosts: Sequence[HostView]
    observability_name: str = ""  # alt_stat_name; empty for the name itself
    added_via_api: bool = False
    default_priority: Thresholds | None = None
    high_priority: Thresholds | None = None


@dataclass(frozen=True, slots=True)
class ErrorView:
    """Why the last attempt to update a resource was in vain. Times in seconds since the epoch."""

    details: str
    when: float
    version_info: str = ""
    message: Mapping[str, object] | None = None  # proto JSON of what was not taken, where it could be read


@dataclass(frozen=True, slots=True)
class DynamicView:
    """A resource of a file: the one in force, or the reason why there is none, or both."""

    kind: str  # lds, cds, rds, eds
    name: str
    version_info: str = ""
    message: Mapping[str, object] | None = None  # proto JSON
    updated: float = 0.0  # seconds since the epoch
    error: ErrorView | None = None


@dataclass(frozen=True, slots=True)
class ServerView:
    """The server as a whole."""

    version: str
    state: str  # LIVE, DRAINING, PRE_INITIALIZING, INITIALIZING
    generation: int
    uptime_current_epoch: float  # seconds since this generation started
    uptime_all_epochs: float  # seconds since the supervisor started
    command_line_options: Mapping[
        str, object
    ]  # proto JSON of Envoy's CommandLineOptions, as far as they apply
    node: Mapping[str, object] = field(default_factory=dict)  # proto JSON of the bootstrap's node


@dataclass(frozen=True, slots=True)
class MemoryView:
    """Memory of all processes together, in bytes."""

    allocated: int  # in use by the processes' heaps, as well as it can be told
    heap_size: int  # reserved for them
    physical: int  # resident


@dataclass(frozen=True, slots=True)
class RuntimeLayer:
    """One layer of the runtime; later layers win."""

    name: str
    values: Mapping[str, str]  # key to value as text
    admin: bool = False  # the layer /runtime_modify writes to


class AdminContext(Protocol):
    """The supervisor, as far as the admin API knows it."""

    def stats(self) -> StatsView:
        """All statistics now (Totals.read())."""

    def workers(self) -> Sequence[WorkerView]:
        """The processes of all generations that have not ended."""

    def listeners(self) -> Sequence[ListenerView]:
        """The listeners of the current generation, in the order of the configuration."""

    def clusters(self) -> Sequence[ClusterView]:
        """The clusters of the current generation, in the order of the configuration."""

    def certificates(self) -> Sequence[Mapping[str, object]]:
        """The certificates of each TLS context in use, as proto JSON of Envoy's admin.v3.Certificate."""

    def bootstrap(self) -> Mapping[str, object]:
        """The running configuration as proto JSON (snake_case): a whole Bootstrap. Not redacted."""

    def dynamic(self) -> Sequence[DynamicView]:
        """The resources of files. A file that cannot be read at all has an entry of its own, by its path."""

    def dynamic_versions(self) -> Mapping[str, str]:
        """The version_info of the files of listeners (lds) and clusters (cds)."""

    def config_loaded_at(self) -> float:
        """When it was loaded: seconds since the epoch."""

    def server(self) -> ServerView:
        """State, version, uptime and options."""

    def memory(self) -> MemoryView:
        """Memory of the supervisor and its workers."""

    def log_levels(self) -> Mapping[str, str]:
        """Logger names to levels: trace, debug, info, warning, error, critical, off."""

    def runtime_layers(self) -> Sequence[RuntimeLayer]:
        """The layers of the runtime, lowest first; empty if the configuration has none."""

    def allowed_hosts(self) -> Sequence[str]:
        """Host names besides IP addresses and localhost under which the admin API may be asked for."""

    async def set_log_levels(self, levels: Mapping[str, str]) -> None:
        """Set these loggers' levels, here and in the workers. Names and levels have been checked."""

    async def runtime_modify(self, values: Mapping[str, str]) -> None:
        """Set keys of the admin layer (an empty value removes one). Called only if there is such a layer."""

    async def drain_listeners(self, graceful: bool, skip_exit: bool, inbound_only: bool) -> None:
        """Stop accepting: at once, or after the drain time if ``graceful``.

        ``skip_exit``: connections drain, but listeners go on accepting. ``inbound_only``: only those whose
        traffic_direction is INBOUND.
        """

    async def healthcheck_fail(self) -> None:
        """Say DRAINING on /ready and ask clients to leave."""

    async def healthcheck_ok(self) -> None:
        """Undo healthcheck_fail()."""

    async def reset_counters(self) -> None:
        """Let all counters start at 0 (Totals.reset_counters())."""

    async def reopen_logs(self) -> Sequence[str]:
        """Reopen all logs; returns when all workers have, with the reasons why some could not be."""

    async def quit(self) -> None:
        """Begin to stop the server; returns at once, so that the reply can still be sent."""
