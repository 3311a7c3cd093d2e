"""Network filters over real sockets: what is let through, what is not, and echo and direct answers."""

import asyncio
from typing import Any

import pytest

from tests.net.certificates import Authority
from tests.net.test_http2_tls import Talk
from tests.net.test_tcp_proxy import closed, play, tcp_chain, until
from tests.net.tls_house import TlsHouse, certificates, chain, client

NETWORK = "type.googleapis.com/envoy.extensions.filters.network"
LISTENER = "type.googleapis.com/envoy.extensions.filters.listener"


def network(kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": kind, "typed_config": {"@type": f"{NETWORK}.{kind}", **fields}}


def only(*filters: dict[str, Any], context: dict[str, Any] | None = None) -> dict[str, Any]:
    made = tcp_chain(context)
    made["filters"] = list(filters)
    return made


def behind(*filters: dict[str, Any], made: dict[str, Any] | None = None) -> dict[str, Any]:
    """tcp_proxy, or another chain, with filters in front."""
    made = made or tcp_chain()
    made["filters"] = [*filters, *made["filters"]]
    return made


def limit(most: int, **fields: Any) -> dict[str, Any]:
    return network("connection_limit.v3.ConnectionLimit", stat_prefix="few", max_connections=most, **fields)


def bucket(tokens: int, interval: str, **more: int) -> dict[str, Any]:
    return network(
        "local_ratelimit.v3.LocalRateLimit",
        stat_prefix="slow",
        token_bucket={"max_tokens": tokens, "fill_interval": interval, **more},
    )


async def served(house: TlsHouse) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that is let through."""
    reader, writer = await house.connect()
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    return reader, writer


async def refused(house: TlsHouse) -> None:
    reader, writer = await house.connect()
    assert await closed(reader) == b""
    writer.close()


def test_so_many_connections_at_a_time():
    async def main(house: TlsHouse) -> None:
        _, one = await served(house)
        _, two = await served(house)
        await refused(house)
        assert house.count("connection_limit.few.active_connections") == 2
        assert house.count("connection_limit.few.limited_connections") == 1
        one.close()
        await until(lambda: house.count("connection_limit.few.active_connections") == 1)
        _, three = await served(house)
        two.close()
        three.close()
        assert house.count("downstream_cx_total") == 4
        assert house.count("tcp.test.downstream_cx_total") == 4
        assert house.count("cluster.origin.upstream_cx_total") == 3

    play(main, behind(limit(2)))


def test_one_too_many_waits_for_its_end_unheard():
    async def main(house: TlsHouse) -> None:
        _, writer = await served(house)
        reader, other = await house.connect()
        other.write(bytes(1 << 22))  # nobody reads that
        assert await closed(reader) == b""
        other.close()
        assert house.count("tcp.test.downstream_cx_rx_bytes_total") == 1
        writer.close()

    play(main, behind(limit(1, delay="0.05s")))


def test_a_token_for_each_connection():
    async def main(house: TlsHouse) -> None:
        for _ in range(2):
            _, writer = await served(house)
            writer.close()
        await refused(house)
        assert house.count("local_rate_limit.slow.rate_limited") == 1

    play(main, behind(bucket(2, "1000s")))


async def let_through(house: TlsHouse) -> bool:
    reader, writer = await house.connect()
    try:
        writer.write(b"x")
        return await reader.read(1) == b"x"
    except ConnectionError:
        return False
    finally:
        writer.close()


def test_tokens_come_again():
    async def main(house: TlsHouse) -> None:
        assert await let_through(house)
        async with asyncio.timeout(20):
            while await let_through(house):
                pass
            while not await let_through(house):
                pass

    play(main, behind(bucket(1, "0.5s")))


def test_tokens_come_one_by_one():
    async def main(house: TlsHouse) -> None:
        assert await let_through(house)
        assert await let_through(house)
        assert not await let_through(house)
        async with asyncio.timeout(20):  # not after all of the 1000 s, when both are there
            while not await let_through(house):
                pass

    play(main, behind(bucket(2, "1000s", tokens_per_fill=5000)))


def test_filters_stand_before_http():
    async def main(house: TlsHouse) -> None:
        assert (await house.get())[0] == 200
        await refused(house)
        assert house.count("http.test.downstream_cx_total") == 2
        assert house.count("http.test.downstream_cx_active") == 0

    play(main, behind(bucket(1, "1000s"), made=chain(body="here")))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_the_name_asked_for_is_the_cluster(authority):
    pair = authority.issue("localhost")

    async def main(house: TlsHouse) -> None:
        context = client(authority.certificate)
        reader, writer = await house.connect(context, "origin")
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await closed(reader)
        assert house.count("cluster.origin.upstream_cx_total") == 1

    filtered = behind(
        network("sni_cluster.v3.SniCluster"),
        made=tcp_chain(certificates(pair.config), {"cluster": "nowhere"}),
    )
    inspector = {"@type": f"{LISTENER}.tls_inspector.v3.TlsInspector"}
    play(main, filtered, listener_filters=[{"name": "tls", "typed_config": inspector}])


def test_echo_gives_back_what_comes():
    async def main(house: TlsHouse) -> None:
        reader, writer = await served(house)
        data = bytes(range(256)) * 40_000  # more than any buffer holds
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()

    play(main, only(network("echo.v3.Echo")), per_connection_buffer_limit_bytes=10_000)


@pytest.mark.parametrize("secured", [False, True], ids=["raw", "tls"])
def test_a_direct_response_says_one_thing(authority, secured):
    context = certificates(authority.issue("localhost").config) if secured else None
    says = network("direct_response.v3.Config", response={"inline_string": "not here"})

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect(client(authority.certificate) if secured else None)
        writer.write(b"hello")
        assert await closed(reader) == b"not here"
        writer.close()

    play(main, only(says, context=context))


def test_a_client_that_does_not_take_a_direct_response_is_let_go():
    says = network("direct_response.v3.Config", response={"inline_string": "x" * (1 << 23)})

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: not house.server.connections)
        writer.close()
        await closed(reader)

    play(main, only(says))


def test_filters_stay_in_front_of_a_connection_that_turns_out_to_be_http2():
    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        talk = Talk(reader, writer)
        assert await talk.ask() == ("200", b"x")
        assert house.count("http.test.downstream_cx_http2_active") == 1
        assert house.count("connection_limit.few.active_connections") == 1
        await refused(house)
        writer.close()
        await until(lambda: house.count("connection_limit.few.active_connections") == 0)
        assert house.count("downstream_cx_active") == 0

    play(main, behind(limit(1), made=chain(body="x")))
