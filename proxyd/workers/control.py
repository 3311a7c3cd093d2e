"""THE dialogue between supervisor, zygote and worker: every message, and the states of a worker.

```
supervisor                         zygote (one a generation)             worker (forked by the zygote)
    │── starts ───────────────────────▶│ imports the worker's code
    │◀─────────────────────── Hello ───│
    │── Begin + stderr ───────────────▶│
    │── Spawn + descriptors ──────────▶│── fork ─────────────────────────────▶│ compiles the configuration
    │◀───────────────────── Spawned ───│                                      │
    │◀────────────────────────────────────────────────── Ready or Refused ────│
    │── Serve ───────────────────────────────────────────────────────────────▶│ accepts
    │◀──────────────────────────────────────────────────────────── Serving ───│
    │── Hosts, SetLogLevels, SetDrainClose ──────────────────────────────────▶│
    │── ReopenLogs, StopListening ───────────────────────────────────────────▶│
    │◀─────────────────────────────────────────────────────────────── Done ───│
    │── Prepare + descriptors ───────────────────────────────────────────────▶│ compiles the change
    │◀───────────────────────────────────────────── Done (why not: reasons) ───│
    │── Commit or Abort ─────────────────────────────────────────────────────▶│ swaps, cannot fail
    │◀─────────────────────────────────────────────────────────────── Done ───│
    │── Drain ───────────────────────────────────────────────────────────────▶│ accepts no more
    │◀─────────────────────────────────────────── Draining, later Drained ────│ exits 0
    │◀────────────────────── Exited ───│◀── SIGCHLD ──────────────────────────│
```

A worker prepares everything that can fail before it says Ready, and touches no connection before Serve: a
generation that is refused has accepted nothing, and the sockets bound for it have not listened.

End-of-file on a channel means that the other side is gone: the zygote and the worker then exit at once.
Descriptors travel from the supervisor alone (``frames`` has how): to the zygote, whose workers inherit them,
and to a worker with Prepare.

A change in place has two phases. All workers prepare it, and if one of them cannot, all abort: none has
changed anything. A worker that dies meanwhile is replaced by one that boots what is in force then.
"""

from typing import Final

import msgspec

from proxyd.snapshot.clusters import HostEntry

PROTOCOL: Final = 3  # of all messages here; a zygote or worker of another version is refused

# States of a worker, as the supervisor sees it. Any other change is a bug.
STARTING: Final = "starting"  # forked, preparing
READY: Final = "ready"  # has said Ready; serves once told so
DRAINING: Final = "draining"  # accepts no more, finishes what it has
STOPPED: Final = "stopped"  # has gone after it was told to
DIED: Final = "died"  # has gone without being told to
TRANSITIONS: Final[dict[str, frozenset[str]]] = {
    STARTING: frozenset({READY, STOPPED, DIED}),
    READY: frozenset({DRAINING, STOPPED, DIED}),
    DRAINING: frozenset({STOPPED, DIED}),
    STOPPED: frozenset(),
    DIED: frozenset(),
}


class HostSet(msgspec.Struct, frozen=True):
    """The hosts of one cluster whose names are resolved.

    Sets of a cluster are numbered; an older one is never applied.
    """

    cluster: str
    number: int
    hosts: tuple[HostEntry, ...]


class LogSettings(msgspec.Struct, frozen=True):
    """Where and how proxyd's own log is written, alike in all processes."""

    path: str | None  # None: standard error
    format: str
    levels: dict[str, str]  # logger ("" for all others) to trace … off


class Socket(msgspec.Struct, frozen=True):
    """A listening socket that a worker is lent."""

    number: int  # of the socket, for as long as it is open
    listener: int  # index of the listener it serves
    backlog: int


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker starts from, beside its descriptors.

    Those come in this order: control channel, statistics memory, configuration, memory of the limits, one
    listening socket for each entry of ``listeners``.
    """

    worker_id: int  # of this process, never used again
    slot: int  # 0..workers-1
    workers: int
    generation: int
    limit_row: int  # see net/limits.py
    limit_columns: dict[str, int]  # by the names of snapshot/limit_names.py
    local_address: str  # this machine's own, see supervisor/machine.py
    listeners: tuple["Socket", ...]
    hosts: tuple[HostSet, ...]
    log: LogSettings
    serve: bool  # do not wait for Serve: this worker takes the place of one that died
    drain_close: bool  # see SetDrainClose
    ticket_secret: bytes  # with its epoch, see snapshot/tickets.py
    ticket_epoch: int
    ticket_former: bytes = b""


# Supervisor to zygote.


class Begin(msgspec.Struct, frozen=True, tag=True):
    """Comes with one descriptor: standard error from now on."""


class Spawn(msgspec.Struct, frozen=True, tag=True):
    """Comes with the descriptors of ``Boot``."""

    boot: Boot


ToZygote = Begin | Spawn


# Zygote to supervisor.


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The code is imported, workers can be forked."""

    protocol: int
    version: str  # of proxyd


class Spawned(msgspec.Struct, frozen=True, tag=True):
    worker_id: int
    pid: int


class SpawnFailed(msgspec.Struct, frozen=True, tag=True):
    worker_id: int
    reason: str


class Exited(msgspec.Struct, frozen=True, tag=True):
    worker_id: int
    status: int  # exit code, or minus the signal


FromZygote = Hello | Spawned | SpawnFailed | Exited


# Supervisor to worker.


class Serve(msgspec.Struct, frozen=True, tag=True):
    """Accept connections from now on."""


class Hosts(msgspec.Struct, frozen=True, tag=True):
    set: HostSet


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Accept no more, finish, say Drained and exit; what is left after ``seconds`` is cut."""

    seconds: float
    close_idle: bool  # close connections without a request instead of waiting for their next one


class StopListening(msgspec.Struct, frozen=True, tag=True):
    """Accept no more on these listeners (indexes), but live on. Answered by Done."""

    number: int
    listeners: tuple[int, ...]


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """Get ready for another configuration of the same runtime and node. Answered by Done.

    Comes with the descriptor of the configuration, then with those of the sockets that the worker has not
    been lent yet, in the order in which they stand in ``sockets``.
    """

    number: int
    sockets: tuple[Socket, ...]  # all that it is to serve
    lent: int  # how many of them are new: the last ones
    limit_columns: dict[str, int]
    hosts: tuple[HostSet, ...]
    drain_seconds: float  # for connections of listeners that change or go


class Commit(msgspec.Struct, frozen=True, tag=True):
    """Put in force what was prepared. Answered by Done."""

    number: int


class Abort(msgspec.Struct, frozen=True, tag=True):
    """Forget what was prepared, if anything was. Answered by Done."""

    number: int


class SetDrainClose(msgspec.Struct, frozen=True, tag=True):
    """Whether each response ends its connection (``/healthcheck/fail``)."""

    on: bool


class SetLogLevels(msgspec.Struct, frozen=True, tag=True):
    levels: dict[str, str]


class ReopenLogs(msgspec.Struct, frozen=True, tag=True):
    """Answered by Done when later lines go to new files."""

    number: int


ToUpdate = Prepare | Commit | Abort
ToWorker = Serve | Hosts | Drain | StopListening | ToUpdate | SetDrainClose | SetLogLevels | ReopenLogs


# Worker to supervisor.


class Ready(msgspec.Struct, frozen=True, tag=True):
    pass


class Refused(msgspec.Struct, frozen=True, tag=True):
    """This worker cannot run what it was given; it exits."""

    reason: str


class Serving(msgspec.Struct, frozen=True, tag=True):
    pass


class Draining(msgspec.Struct, frozen=True, tag=True):
    """Nothing more will be accepted; this many connections are open."""

    connections: int


class Drained(msgspec.Struct, frozen=True, tag=True):
    """No connection is left (``cut``: this many had to be closed at the deadline)."""

    cut: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """What the message of that number asked for is done, but for what ``reasons`` say."""

    number: int
    reasons: tuple[str, ...] = ()


FromWorker = Ready | Refused | Serving | Draining | Drained | Done
