"""What the command line says to a running supervisor, and what it answers.

One connection to ``control.sock`` carries one command: a ``Request`` frame goes in, any number of
``Progress`` frames (at least one every ``PROGRESS_INTERVAL`` seconds, so that a client can tell slow from
hung) and one final reply come out. Frames are a big-endian 32-bit length and msgpack. Later versions may add
fields with defaults and messages; anything else raises ``VERSION``.
"""

import msgspec

VERSION = 1
MAX_FRAME = 64 << 20  # bytes; a statistics page of thousands of clusters is the largest thing sent
MAX_REQUEST = 4 << 20  # bytes; configuration given on the command line is the largest thing received
PROGRESS_INTERVAL = 2.0  # seconds


class Reload(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Drain and swap. What is None or empty stays as ``proxyd start`` (or the last reload) had it."""

    wait: bool = False  # answer only when the old generation has drained
    workers: int | None = None
    config_path: str | None = None  # absolute: the supervisor has its own working directory
    config_yaml: str | None = None


class Stop(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """End the instance; answered when all workers have gone."""

    now: bool = False  # without draining


class Upgrade(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Let another process, of the version that asks, take over the instance."""

    executable: str  # its interpreter
    root: str  # the directory that its package is in
    wait: bool = False  # answer only when this process has drained


class Status(msgspec.Struct, frozen=True, tag=True):
    pass


class Stats(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The page of the admin API's /stats."""

    pattern: str = ""  # regular expression, as /stats?filter=
    format: str = "text"  # text, json, prometheus
    used_only: bool = False


class ReopenLogs(msgspec.Struct, frozen=True, tag=True):
    pass


Command = Reload | Stop | Upgrade | Status | Stats | ReopenLogs


class Request(msgspec.Struct, frozen=True):
    version: int
    command: Command


class Progress(msgspec.Struct, frozen=True, tag=True):
    text: str


class Done(msgspec.Struct, frozen=True, tag=True):
    pass


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The command was not carried out; nothing has changed. One reason a line."""

    reasons: tuple[str, ...]


class Reloaded(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    generation: int
    workers: int
    seconds: float  # from the command to the swap
    carried: int  # connections of older generations still served when the new one took over
    drained: bool  # whether the older generations have gone (always so with ``wait``)


class Upgraded(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    version: str  # of the new process
    pid: int
    former_version: str
    generation: int
    workers: int
    seconds: float  # from the command until the new workers served
    carried: int  # connections that the old process still serves
    drained: bool  # whether the old process has none left


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    worker: int  # slot, 0..N-1
    pid: int
    generation: int
    state: str  # workers.control: starting, ready, draining, stopped, died
    connections: int
    requests: int  # handled so far
    uptime_s: float
    cpu_percent: float = 0.0  # of one core, over the last second
    memory_bytes: int = 0  # resident
    loop_lag_s: float = 0.0  # how late the event loop was, last measurement


class ListenerStatus(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    addresses: tuple[str, ...]  # the real ones, "ip:port"


class FileStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A file of resources, or those that static resources name (kind ``static``)."""

    kind: str  # lds, cds, rds, eds, static
    file: str
    name: str  # of the one resource that is asked for
    result: str  # of the last attempt: success, failure (could not be read), rejected
    age_s: float  # since what is in force was taken; negative where nothing ever was
    version: str = ""
    resources: int = 0  # in force
    reasons: tuple[str, ...] = ()  # why the last attempt failed, in part or as a whole


class StatusReport(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    name: str
    pid: int
    version: str
    state: str  # Envoy's server state: LIVE, DRAINING, PRE_INITIALIZING, INITIALIZING
    uptime_s: float
    generation: int
    config: str  # where the configuration came from
    admin: str | None  # "ip:port"
    listeners: tuple[ListenerStatus, ...]
    workers: tuple[WorkerStatus, ...]
    last_reload: str  # one line: what the last reload did, "" where there was none
    files: tuple[FileStatus, ...] = ()
    predecessor: int = 0  # pid of the process that this one has taken over from, while that drains


class StatsPage(msgspec.Struct, frozen=True, tag=True):
    text: str


Reply = Progress | Done | Refused | Reloaded | Upgraded | StatusReport | StatsPage
