"""What a closed connection held is free at once, and not when the garbage collector finds it some day.

With many connections a second that day would come after thousands, each with its TLS and its last head.
"""

import asyncio
import gc
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.net.certificates import Authority
from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, OK, request
from tests.net.http2_client import connect
from tests.net.http2_origin import origin
from tests.net.playbook import Stage
from tests.net.test_http2_upstream import CLUSTER as HTTP2
from tests.net.test_tcp_proxy import echo, tcp_chain, until
from tests.net.test_tunnel import WEBSOCKET, talk
from tests.net.tls_house import TlsHouse, certificates, chain, client, run, server

# Read by the parser, where what is plain is not.
CHUNKED = request("POST", "/a", "transfer-encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n")
PIECES = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@contextmanager
def nothing_stays() -> Iterator[None]:
    """Of proxyd's objects that its block makes none is left behind it, though nobody collects garbage."""
    gc.collect()
    gc.disable()
    try:
        before = _objects()
        yield
        assert _objects() - before == Counter()
    finally:
        gc.enable()


def check(play: Stage, once: Callable[[], None]) -> None:
    """Nothing stays of what ``once`` does on a stage, but for what is learnt the first time."""

    def forgotten() -> None:
        once()
        play.clients.clear()
        play.loop.dials.clear()

    forgotten()
    with nothing_stays():
        forgotten()


def _objects() -> Counter[str]:
    kinds = (type(each) for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in kinds if _is_ours(kind.__module__))


def _is_ours(module: object) -> bool:
    parts = ("proxyd.net.", "proxyd.codec.", "proxyd.filters.", "httptools.")
    return isinstance(module, str) and module.startswith(parts)


@pytest.mark.parametrize(("said", "answer"), [(GET, OK), (CHUNKED, PIECES)], ids=["plain", "chunked"])
def test_connections_of_http_1(stage: MakeStage, said: bytes, answer: bytes) -> None:
    play = stage()

    def once() -> None:
        client = play.connect()
        client.say(said)
        host = play.origin()
        host.say(answer)
        client.close()
        host.close()

    check(play, once)


def test_a_request_that_is_given_up(stage: MakeStage) -> None:
    play = stage()

    def once() -> None:
        client = play.connect()
        client.say(CHUNKED[:-5])
        play.origin()
        client.reset()

    check(play, once)


def test_tunnels(stage: MakeStage) -> None:
    play = stage(manager=WEBSOCKET)

    def once() -> None:
        client, host = talk(play)
        client.close()
        host.close()

    check(play, once)


def test_connections_of_http_2(stage: MakeStage) -> None:
    play = stage(cluster=HTTP2)

    def once() -> None:
        client = connect(play)
        client.get()
        host = origin(play)
        host.listen()
        host.answer(1)
        client.listen()
        client.client.close()
        host.origin.close()

    check(play, once)


async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    writer.close()


def test_connections_over_tls(authority: Authority) -> None:
    pair = authority.issue("localhost")

    async def main() -> None:
        upstream = server(authority.issue("origin"))
        served = chain(certificates(pair.config))
        async with TlsHouse(served, upstream={}, origin_tls=upstream, origin=answer_once) as house:

            async def use() -> None:
                assert (await house.get(client(authority.certificate)))[0] == 200
                await until(lambda: house.count("downstream_cx_active") == 0)
                await until(lambda: house.count("cluster.origin.upstream_cx_active") == 0)

            await use()
            with nothing_stays():
                await use()

    run(main())


def test_connections_of_tcp(authority: Authority) -> None:
    pair = authority.issue("localhost")
    secure = tcp_chain(certificates(pair.config))
    run(_nothing_stays_of_echoed(secure, b"hello", client(authority.certificate)))


def test_connections_of_tcp_that_carried_much() -> None:
    """Where the system splices, each direction has been."""
    run(_nothing_stays_of_echoed(tcp_chain(), bytes(3 << 20)))


async def _nothing_stays_of_echoed(
    filter_chain: dict[str, Any], content: bytes, tls: ssl.SSLContext | None = None
) -> None:
    async with TlsHouse(filter_chain, origin=echo) as house:

        async def use() -> None:
            reader, writer = await house.connect(tls)
            writer.write(content)
            assert await reader.readexactly(len(content)) == content
            writer.close()
            await until(lambda: house.count("downstream_cx_active") == 0)
            await until(lambda: house.count("cluster.origin.upstream_cx_active") == 0)

        await use()
        with nothing_stays():
            await use()
