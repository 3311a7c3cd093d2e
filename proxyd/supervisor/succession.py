"""THE dialogue of an upgrade: every message between a supervisor and the one that takes over from it.

```
old                                      new: the version that is installed now
 │── starts ─────────────────────────────▶│ imports itself
 │◀────────────────────────────── Hello ──│
 │── Estate + descriptors ───────────────▶│ loads the configuration, starts workers on the old one's sockets
 │◀──────────────── Prepared or Refused ──│
 │── Serve ──────────────────────────────▶│ its workers accept
 │◀──────────────────────────── Serving ──│
 │ its workers drain
 │── Inherit + descriptors ──────────────▶│ answers commands and the admin API, speaks to the service manager
 │◀────────────────────────────── Taken ──│
 │── Counted, again and again ───────────▶│ adds it to its own numbers
 │ ends
```

Up to Serving the new one may fail in any way: the old one has not changed anything and goes on. After it
there is no way back. End-of-file on the channel means that the other side has gone: a new one that has not
inherited yet ends at once, one that has knows that the old one has drained.

The Estate is by names and Structs that both versions know; fields that only one of them knows have defaults.
"""

import itertools
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from proxyd.config.sources import Sources
from proxyd.stats.sums import Sum
from proxyd.supervisor.options import StartOptions
from proxyd.supervisor.resources import Key
from proxyd.workers.control import LogSettings

PROTOCOL: Final = 1  # of all messages here; a successor of another one is refused
MODULE: Final = "proxyd.supervisor.successor"
_NAMES_AT_A_TIME: Final = 2000  # of statistics in a message

_Value = TypeVar("_Value")


# New to old.


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The code is imported."""

    protocol: int
    version: str
    pid: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It cannot take over; it ends."""

    reasons: tuple[str, ...]


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """All its workers are ready. Nothing has been accepted."""

    generation: int
    workers: int


class Serving(msgspec.Struct, frozen=True, tag=True):
    """All its workers accept."""


class Taken(msgspec.Struct, frozen=True, tag=True):
    """It is the instance now."""


FromSuccessor = Hello | Refused | Prepared | Serving | Taken


# Old to new.


class SocketGroup(msgspec.Struct, frozen=True):
    """The listening sockets of one address; their descriptors come in this order."""

    host: str
    port: int
    owner: tuple[str, int]  # see sockets.Key
    shared: bool
    count: int
    activated: str | None  # the name that the service manager has for them
    udp: bool = False
    ipv4_compat: bool = False


class Estate(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """All that a successor starts from, beside its descriptors.

    Those come in this order: standard error, memory of the limits, the admin API's socket where it has one,
    the listening sockets of ``sockets``.
    """

    options: StartOptions
    sources: Sources
    run_directory: str
    workers: int | None
    runtime: dict[str, str]
    log: LogSettings
    drain_close: bool
    ticket_secret: bytes
    ticket_epoch: int
    ticket_former: bytes = b""
    generation: int  # the last one there was
    pid: int
    born: float  # monotonic seconds
    admin: tuple[str, int] | None  # as configured
    sockets: tuple[SocketGroup, ...]
    resources: list[tuple[Key, list[str]]]  # of files: what of each subscription is in force, by name
    resolved: dict[str, dict[str, list[str]]]  # by cluster: addresses of names
    limits: tuple[int, int]  # rows and columns of the memory
    limit_rows: list[int]  # lent
    limit_columns: dict[str, int]
    guarded: bool  # somebody stays for whoever waits for the process that was started first


class Serve(msgspec.Struct, frozen=True, tag=True):
    """Accept connections."""


class Inherit(msgspec.Struct, frozen=True, tag=True):
    """Comes with the run directory, its lock, and the control socket."""


class Counted(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What the old one has counted: those numbers that have changed since it last told."""

    counters: dict[str, int] = {}
    gauges: dict[str, int] = {}
    histograms: dict[str, tuple[int, int, list[int]]] = {}  # unit, sum, counts


FromPredecessor = Estate | Serve | Inherit | Counted


class Ledger:
    """What a successor has been told of the numbers."""

    def __init__(self) -> None:
        self._counters: dict[str, int] = {}
        self._gauges: dict[str, int] = {}
        self._histograms: Final[dict[str, int]] = {}  # name to how many values it had

    def news(self, numbers: Sum) -> list[Counted]:
        """The messages by which it knows these."""
        rows = numbers.rows()
        gauges = dict.fromkeys(self._gauges, 0) | numbers.gauges
        counted = {name: n for name, n in numbers.counters.items() if self._counters.get(name) != n}
        moved = {name: n for name, n in gauges.items() if self._gauges.get(name, 0) != n}
        grown = {name: row for name, row in rows.items() if self._histograms.get(name, 0) != sum(row[2])}
        self._counters, self._gauges = numbers.counters, gauges
        self._histograms.update({name: sum(row[2]) for name, row in grown.items()})
        return [
            *(Counted(counters=part) for part in _parts(counted)),
            *(Counted(gauges=part) for part in _parts(moved)),
            *(Counted(histograms=part) for part in _parts(grown)),
        ]


def _parts(whole: dict[str, _Value]) -> Iterator[dict[str, _Value]]:
    rest = iter(whole.items())
    while part := dict(itertools.islice(rest, _NAMES_AT_A_TIME)):
        yield part
