"""Sessions that are resumed, and those that must not be."""

import asyncio
import base64
import os
import ssl

import pytest

from proxyd.snapshot.tickets import PERIOD_S, TicketSecret, ticket_key
from tests.net.certificates import Authority
from tests.net.tls_house import TlsHouse, certificates, chain, client, run

V12 = ssl.TLSVersion.TLSv1_2
V13 = ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["tls1.2", "tls1.3"])


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def pair(authority):
    return authority.issue("localhost")


def secret() -> TicketSecret:
    return TicketSecret(b"s" * 32, 1)


class Resuming:
    """A client on sockets in memory that can offer a session of another connection."""

    def __init__(self, version: ssl.TLSVersion, who=None) -> None:
        self.context = client(pair=who, minimum_version=version, maximum_version=version)
        self.session: ssl.SSLSession | None = None
        self.reused: bool | None = None

    async def get(self, house: TlsHouse) -> bool:
        """Make a request; whether its connection resumed the session, which is then the latest."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(incoming, outgoing, False, "localhost", self.session)
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)

        async def step(do):
            while True:
                try:
                    result = do()
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    data = await reader.read(65536)
                    if not data:
                        raise ConnectionError("closed") from None
                    incoming.write(data)
                else:
                    writer.write(outgoing.read())
                    return result

        try:
            await step(tls.do_handshake)
            self.reused = tls.session_reused
            tls.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await step(lambda: tls.read(65536))).startswith(b"HTTP/1.1 200 OK")
            self.session = tls.session
            return tls.session_reused
        finally:
            writer.close()


def open_to_all(pair) -> TlsHouse:
    return TlsHouse(chain(certificates(pair.config), body="x"), tickets=secret())


def demanding(pair, authority) -> TlsHouse:
    context = certificates(
        pair.config, validation_context={"trusted_ca": {"inline_string": authority.certificate}}
    )
    return TlsHouse(chain({**context, "require_client_certificate": True}, body="x"), tickets=secret())


@BOTH
def test_another_process_with_the_same_secret_resumes(pair, version):
    async def main():
        who = Resuming(version)
        async with open_to_all(pair) as one, open_to_all(pair) as two:
            assert not await who.get(one)
            assert await who.get(two)
            assert two.count("ssl.session_reused") == 1

    run(main())


@BOTH
def test_session_without_certificate_is_not_resumed_where_one_is_demanded(authority, pair, version):
    async def main():
        who = Resuming(version)
        async with open_to_all(pair) as free, demanding(pair, authority) as strict:
            assert not await who.get(free)
            who.reused = None
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await who.get(strict)
            # Where the client takes its handshake for ended at all, it has not resumed anything.
            assert who.reused is (None if version == V12 else False)
            assert strict.count("ssl.session_reused") == 0
            assert strict.count("ssl.fail_verify_no_cert") == 1
            assert await who.get(free)  # the session itself is good

    run(main())


@BOTH
def test_session_with_certificate_is_resumed_with_it(authority, pair, version):
    async def main():
        who = Resuming(version, authority.issue("client"))
        async with demanding(pair, authority) as one, demanding(pair, authority) as two:
            assert not await who.get(one)
            assert await who.get(two)
            assert two.count("ssl.no_certificate") == 0

    run(main())


@BOTH
def test_sessions_end_with_the_secret(pair, version):
    async def main():
        who = Resuming(version)
        async with open_to_all(pair) as house:
            await who.get(house)
            assert await who.get(house)
            tickets = secret()
            tickets.advance(2 * PERIOD_S)
            house.server.set_tickets(tickets)
            assert not await who.get(house)
            assert await who.get(house)

    run(main())


@BOTH
def test_tickets_can_be_turned_off(pair, version):
    async def main():
        who = Resuming(version)
        context = {**certificates(pair.config), "disable_stateless_session_resumption": True}
        context["disable_stateful_session_resumption"] = True
        async with TlsHouse(chain(context, body="x"), tickets=secret()) as house:
            for _ in range(2):
                assert not await who.get(house)

    run(main())


def keyed(pair, key: bytes) -> TlsHouse:
    """Its own secret is like no other's: only what the operator gives can make them understand each other."""
    source = {"inline_bytes": base64.b64encode(key).decode()}
    context = {**certificates(pair.config), "session_ticket_keys": {"keys": [source]}}
    return TlsHouse(chain(context, body="x"), tickets=TicketSecret(os.urandom(32), 1))


@BOTH
def test_operators_key_is_what_others_have_to_have(pair, version):
    async def main():
        one, other = (letter * 80 for letter in (b"a", b"b"))
        who = Resuming(version)
        async with (
            keyed(pair, one) as first,
            keyed(pair, one) as alike,
            keyed(pair, other) as stranger,
        ):
            assert not await who.get(first)
            first.server.set_tickets(secret())  # the secret of the workers goes on; the key stays
            assert await who.get(first)
            assert await who.get(alike)
            assert not await who.get(stranger)
            assert not await who.get(first)

    run(main())


@BOTH
def test_sessions_end_with_their_time(pair, version):
    async def main():
        context = {**certificates(pair.config), "session_timeout": "2s"}
        short, long = Resuming(version), Resuming(version)
        async with (
            TlsHouse(chain(context, body="x"), tickets=secret()) as house,
            open_to_all(pair) as patient,
        ):
            assert not await short.get(house)
            assert await short.get(house)
            await long.get(patient)
            await asyncio.sleep(3.1)  # times in tickets are whole seconds
            assert not await short.get(house)
            assert await long.get(patient)

    run(main())


def test_secret_goes_on_alike_everywhere_and_never_back():
    one, other = TicketSecret(b"s" * 32, 7), TicketSecret(b"s" * 32, 7)
    assert not one.advance(8 * PERIOD_S - 1)
    assert one.advance(9 * PERIOD_S)
    assert other.advance(8 * PERIOD_S)
    assert other.secret != one.secret
    assert other.advance(9.5 * PERIOD_S)
    assert (other.secret, other.epoch) == (one.secret, one.epoch)
    assert not one.advance(0)
    assert one.epoch == 9


def test_keys_differ_with_the_trust():
    keys = {ticket_key(b"s" * 32, trust) for trust in (b"a" * 32, b"b" * 32)}
    assert [len(key) for key in keys] == [80, 80]
    # RFC 5869: OKM of test case 3 has no salt and no info; here with a purpose, computed by `cryptography`.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    made = HKDF(SHA256(), 80, None, b"ticket key" + b"a" * 32).derive(b"s" * 32)
    assert ticket_key(b"s" * 32, b"a" * 32) == made
