"""Sessions that are resumed, and those that must not be."""

import asyncio
import base64
import os
import ssl

import pytest

from proxyd.snapshot.tickets import PERIOD_S, TicketSecret, ticket_key
from tests.net.certificates import Authority
from tests.net.tls_house import Resuming, TlsHouse, certificates, chain, run

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
            assert not await who.get(one.port)
            assert await who.get(two.port)
            assert two.count("ssl.session_reused") == 1

    run(main())


@BOTH
def test_session_without_certificate_is_not_resumed_where_one_is_demanded(authority, pair, version):
    async def main():
        who = Resuming(version)
        async with open_to_all(pair) as free, demanding(pair, authority) as strict:
            assert not await who.get(free.port)
            who.reused = None
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await who.get(strict.port)
            # Where the client takes its handshake for ended at all, it has not resumed anything.
            assert who.reused is (None if version == V12 else False)
            assert strict.count("ssl.session_reused") == 0
            assert strict.count("ssl.fail_verify_no_cert") == 1
            assert await who.get(free.port)  # the session itself is good

    run(main())


@BOTH
def test_session_with_certificate_is_resumed_with_it(authority, pair, version):
    async def main():
        who = Resuming(version, authority.issue("client"))
        async with demanding(pair, authority) as one, demanding(pair, authority) as two:
            assert not await who.get(one.port)
            assert await who.get(two.port)
            assert two.count("ssl.no_certificate") == 0

    run(main())


@BOTH
def test_sessions_outlive_their_key_by_one_period(pair, version):
    async def main():
        who = Resuming(version)
        async with open_to_all(pair) as house:
            await who.get(house.port)
            assert await who.get(house.port)
            first = who.session
            tickets = secret()
            assert tickets.advance(2 * PERIOD_S)
            house.server.set_tickets(tickets)
            who.session = None
            assert not await who.get(house.port)
            now = who.session
            who.session = first
            assert await who.get(house.port)  # with the key of the former period
            renewed = who.session
            who.session = now
            assert await who.get(house.port)  # which is used no longer than that
            assert tickets.advance(3 * PERIOD_S)
            house.server.set_tickets(tickets)
            who.session = first
            assert not await who.get(house.port)
            who.session = renewed
            assert await who.get(house.port) == (version == V13)  # a session of TLS 1.2 keeps its ticket

    run(main())


@BOTH
def test_tickets_can_be_turned_off(pair, version):
    async def main():
        who = Resuming(version)
        context = {**certificates(pair.config), "disable_stateless_session_resumption": True}
        context["disable_stateful_session_resumption"] = True
        async with TlsHouse(chain(context, body="x"), tickets=secret()) as house:
            for _ in range(2):
                assert not await who.get(house.port)

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
            assert not await who.get(first.port)
            first.server.set_tickets(secret())  # the secret of the workers goes on; the key stays
            assert await who.get(first.port)
            assert await who.get(alike.port)
            assert not await who.get(stranger.port)
            assert not await who.get(first.port)

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
            assert not await short.get(house.port)
            assert await short.get(house.port)
            await long.get(patient.port)
            await asyncio.sleep(3.1)  # times in tickets are whole seconds
            assert not await short.get(house.port)
            assert await long.get(patient.port)

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
