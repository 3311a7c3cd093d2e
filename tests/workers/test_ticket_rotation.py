"""A real worker replaces the keys of its session tickets by itself, when the hour comes.

The hour is the machine's own: the workers are told that they are one or two periods behind.
"""

import asyncio
import json
import socket
import ssl
import time
from typing import Final

import pytest

from proxyd.config.encoding import encode
from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.snapshot import openssl
from proxyd.snapshot.tickets import PERIOD_S, TicketSecret
from proxyd.workers.control import Drain, Drained, Draining, Ready, Serve, Serving
from proxyd.workers.control import Socket as Lent
from tests.net.certificates import Authority, Pair
from tests.net.tls_house import Resuming, TlsHouse, address, certificates, chain, run
from tests.workers.test_spare import Spare

SECRET: Final = b"s" * 32
DEADLINE: Final = 30.0  # seconds; a worker looks at the clock once a second
VERSIONS: Final = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

pytestmark = pytest.mark.skipif(not openssl.available(), reason="OpenSSL cannot be reached here")


def period() -> int:
    """The number of this period, which goes on for as long as a test takes."""
    left = PERIOD_S - time.time() % PERIOD_S
    if left < DEADLINE:
        time.sleep(left)
    return int(time.time() // PERIOD_S)


def secret(periods: int) -> TicketSecret:
    """What a worker with ``SECRET`` has so many periods later."""
    made = TicketSecret(SECRET, 0)
    made.advance(periods * PERIOD_S)
    return made


class Worker:
    """One that answers by itself over TLS, on a port of its own."""

    def __init__(self, pair: Pair, epoch: int, tickets: TicketSecret | None = None) -> None:
        tickets = tickets or secret(0)
        self._spare = Spare()
        self._spare.peer.next()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port: int = listening.getsockname()[1]
            listener = {
                "name": "tls",
                "address": address(self.port),
                "filter_chains": [chain(certificates(pair.config), body="x")],
            }
            bootstrap = load_text(Text("test", json.dumps({"static_resources": {"listeners": [listener]}})))
            self._control = self._spare.spawn(
                encode(bootstrap),
                listening,
                listeners=(Lent(1, 0, 16),),
                limit_columns={},
                ticket_secret=tickets.secret,
                ticket_epoch=epoch,
                ticket_former=tickets.former,
            )
        assert self._control.next() == Ready()
        self._control.send(Serve())
        assert self._control.next() == Serving()

    def end(self) -> None:
        self._control.send(Drain(0.0, close_idle=True))
        assert isinstance(self._control.next(), Draining)
        assert isinstance(self._control.next(), Drained)
        self._spare.end()
        self._control.sock.close()


class Guest:
    """A client with a session for each secret: it has them from servers with the worker's certificate."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        self._client = Resuming(version)
        self._sessions: dict[int, ssl.SSLSession | None] = {}

    async def visit(self, house: TlsHouse, periods: int) -> None:
        self._client.session = None
        assert not await self._client.get(house.port)
        self._sessions[periods] = self._client.session

    async def resumes(self, worker: Worker, periods: int) -> bool:
        self._client.session = self._sessions[periods]
        return await self._client.get(worker.port)

    async def until_resumed(self, worker: Worker, periods: int) -> None:
        """Wait until the worker has keys that it had not when it began."""
        deadline = time.monotonic() + DEADLINE
        while not await self.resumes(worker, periods):
            assert time.monotonic() < deadline, "the keys are the same as ever"
            await asyncio.sleep(0.02)


def test_a_session_outlives_the_key_of_its_ticket_by_one_period() -> None:
    pair = Authority().issue("localhost")

    async def main() -> None:
        guests = [Guest(version) for version in VERSIONS]
        for periods in range(3):
            tickets = secret(periods)
            async with TlsHouse(chain(certificates(pair.config), body="x"), tickets=tickets) as house:
                for guest in guests:
                    await guest.visit(house, periods)
        now = period()
        one_behind, two_behind = Worker(pair, now - 1), Worker(pair, now - 2)
        late = Worker(pair, now, secret(2))  # as if it took the place of another
        try:
            await guests[0].until_resumed(one_behind, 1)
            await guests[0].until_resumed(two_behind, 2)
            for guest in guests:
                assert [await guest.resumes(one_behind, periods) for periods in range(3)] == [1, 1, 0]
                assert [await guest.resumes(two_behind, periods) for periods in range(3)] == [0, 1, 1]
                assert [await guest.resumes(late, periods) for periods in range(3)] == [0, 1, 1]
        finally:
            for worker in (one_behind, two_behind, late):
                worker.end()

    run(main())
