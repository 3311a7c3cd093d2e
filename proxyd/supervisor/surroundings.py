"""What a generation needs of the supervisor."""

import asyncio
from typing import Protocol

from proxyd.snapshot.tickets import TicketSecret
from proxyd.stats.totals import Totals
from proxyd.supervisor.limits import Limits
from proxyd.workers.control import LogSettings


class Surroundings(Protocol):
    """All generations have the same."""

    loop: asyncio.AbstractEventLoop
    totals: Totals
    limits: Limits
    log: LogSettings
    drain_close: bool
    tickets: TicketSecret

    def new_worker_id(self) -> int:
        """A number no worker has had."""

    def changed(self) -> None:
        """Something has happened: compare what is wanted with what is."""

    def replaced(self, slot: int) -> None:
        """A hung worker of this slot was ended."""
