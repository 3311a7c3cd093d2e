"""TLS with peers that are slow, odd or hostile."""

import asyncio
import contextlib
import gc
import random
import ssl

import pytest

from proxyd.net.tls import TlsTransport
from proxyd.snapshot import openssl
from tests.net.certificates import Authority
from tests.net.test_tcp_proxy import until
from tests.net.tls_house import TlsHouse, buffered_memory, certificates, chain, client, get, run, server

MIB = 1024 * 1024


@pytest.fixture(scope="session")
def pair():
    return Authority().issue("localhost")


def first_message(server_name: str = "localhost", protocols: int = 0) -> bytes:
    """What a client begins with that offers so many protocols of 250 bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = client()
    if protocols:
        context.set_alpn_protocols(["n" * 250] * protocols)
    connection = context.wrap_bio(incoming, outgoing, False, server_name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def cut(message: bytes, records: int) -> bytes:
    """A first message in so many records, all but the last with a byte each."""
    body = message[5:]
    parts = [body[place : place + 1] for place in range(records - 1)] + [body[records - 1 :]]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


@pytest.mark.parametrize(
    "hello", [cut(first_message(), 33), first_message(protocols=70)], ids=["cut", "large"]
)
def test_who_hides_the_name_it_asks_for_does_not_get_past_what_it_decides(pair, hello):
    """OpenSSL alone would go on with such a client."""

    async def main():
        async with TlsHouse(chain({**certificates(pair.config), "require_sni": True}, body="x")) as house:
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(hello)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 10.0)
            writer.close()
            await until(lambda: house.count("downstream_cx_active") == 0)
            assert house.count("ssl.connection_error") == 1

    run(main())


def test_first_message_may_come_byte_by_byte(pair):
    """Read before the chain is chosen, and read before the certificate is."""

    async def main():
        for match in ({"server_names": ["localhost"]}, None):
            fields = {"filter_chain_match": match} if match else {}
            async with TlsHouse(chain(certificates(pair.config), body="x", **fields)) as house:
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = client().wrap_bio(incoming, outgoing, False, "localhost")
                reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
                writer.transport.get_extra_info("socket").setsockopt(6, 1, 1)
                for _ in range(10):
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        for byte in outgoing.read():
                            writer.write(bytes((byte,)))
                            await asyncio.sleep(0)
                        incoming.write(await reader.read(65536))
                tls.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                for byte in outgoing.read():
                    writer.write(bytes((byte,)))
                    await asyncio.sleep(0)
                answer = b""
                while b"\r\n\r\nx" not in answer:
                    incoming.write(await reader.read(65536))
                    try:
                        answer += tls.read(65536)
                    except ssl.SSLWantReadError:
                        pass
                writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("inspects", [False, True])
def test_no_garbage_holds_a_connection_or_breaks_anything(pair, inspects):
    """Mutilated first messages: every connection ends, by us or when its time has passed."""

    async def main():
        good = first_message()
        draw = random.Random(7)
        messages = [good[:length] for length in range(0, len(good), 37)]
        messages += [bytes(draw.randrange(256) for _ in range(draw.randrange(1, 300))) for _ in range(40)]
        for _ in range(120):
            broken = bytearray(good)
            for _ in range(draw.randrange(1, 6)):
                broken[draw.randrange(len(broken))] = draw.randrange(256)
            messages.append(bytes(broken))
        messages += [
            b"\x16\x03\x01\x40\x00\x01\x00\xff\xff" + bytes(16380),
            b"\x16\x03\x01\x00\x00",
            b"\x80\x2e\x01",
        ]
        messages += [b"\x16\x03\x01\x00\x01\x01" * 20000]
        fields = {"transport_socket_connect_timeout": "0.3s"}
        if inspects:
            fields["filter_chain_match"] = {"transport_protocol": "tls"}
        bugs: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
        served = chain(certificates(pair.config), body="x", **fields)
        async with TlsHouse(served, listener_filters_timeout="0.3s") as house:

            async def send(message: bytes) -> None:
                reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
                try:
                    writer.write(message)
                    await asyncio.wait_for(reader.read(), 20)
                except ConnectionError:
                    pass
                finally:
                    writer.close()

            await asyncio.gather(*(send(message) for message in messages))
            assert await house.get(client()) == (200, "x")
            assert bugs == []
            assert house.count("downstream_pre_cx_active") == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"]
)
def test_no_garbage_later_in_the_handshake_holds_a_connection_or_breaks_anything(pair, version):
    """Mutilated second flights, with a certificate of the client in them: all are refused or time out."""
    authority = Authority()
    context = client(pair=authority.issue("client"), minimum_version=version, maximum_version=version)
    validation = {"trusted_ca": {"inline_string": authority.certificate}}
    fields = {"transport_socket_connect_timeout": "0.3s"}
    demanding = {
        **certificates(pair.config, validation_context=validation),
        "require_client_certificate": True,
    }

    def mutilated(flight: bytes, draw: random.Random) -> bytes:
        broken = bytearray(flight)
        match draw.randrange(4):
            case 0:
                del broken[draw.randrange(len(broken)) :]
            case 1:
                place = draw.randrange(len(broken))
                broken[place:place] = draw.randbytes(draw.randrange(1, 40))
            case 2:
                broken = broken[draw.randrange(1, len(broken)) :]
            case _:
                for _ in range(draw.randrange(1, 4)):
                    place = draw.randrange(len(broken))
                    broken[place] ^= draw.randrange(1, 256)
        return bytes(broken)

    async def main():
        bugs: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
        async with TlsHouse(chain(demanding, body="x", **fields)) as house:

            async def send(number: int) -> bytes:
                """What comes back once the second flight has gone out."""
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = context.wrap_bio(incoming, outgoing, False, "localhost")
                reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
                try:
                    flight = b""
                    while not flight:
                        try:
                            tls.do_handshake()
                        except ssl.SSLWantReadError:
                            pass
                        flight = outgoing.read()
                        if flight[5:6] == b"\x01" and flight[0] == 22:  # the first message
                            writer.write(flight)
                            flight = b""
                        if not flight:
                            incoming.write(await reader.read(65536))
                    writer.write(mutilated(flight, random.Random(number)))
                    return await asyncio.wait_for(reader.read(), 20)
                except ConnectionError:
                    return b""
                finally:
                    writer.close()

            answers = await asyncio.gather(*(send(number) for number in range(150)))
            assert not any(b"HTTP/1.1" in answer for answer in answers)
            assert await house.get(context) == (200, "x")
            assert bugs == []
            assert house.count("ssl.handshake") == 1
            assert house.count("http.test.downstream_rq_total") == 1

    asyncio.run(main())


def test_silent_clients_lose_their_connection(pair):
    async def main():
        served = chain(certificates(pair.config), body="x", transport_socket_connect_timeout="0.2s")
        async with TlsHouse(served) as house:
            reader, writer = await house.connect()
            writer.write(first_message())
            try:
                await reader.read()
            except ConnectionError:
                pass
            assert house.count("downstream_cx_transport_socket_connect_timeout") == 1
            writer.close()
            # Whoever has shaken hands in time is left alone.
            reader, writer = await house.connect(client())
            await asyncio.sleep(0.3)
            assert await get(reader, writer) == (200, "x")
            writer.close()

    asyncio.run(main())


def test_what_is_no_tls_is_told_in_the_log(pair, tmp_path):
    async def main():
        log = tmp_path / "log"
        access_log = {
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": str(log),
                "log_format": {
                    "text_format_source": {"inline_string": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n"}
                },
            },
        }
        async with TlsHouse(chain(certificates(pair.config)), access_log=[access_log]) as house:
            reader, writer = await house.connect()
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            await reader.read()
            writer.close()
            assert house.count("ssl.connection_error") == 1
        assert log.read_text() == (
            "TLS_error:|268435612:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end\n"
        )

    asyncio.run(main())


@pytest.mark.parametrize("side", ["client", "host"])
def test_large_bodies_pass_slow_readers_in_bounded_memory(pair, side):
    """32 MiB through a reader that begins late: what waits meanwhile is bounded, nothing is lost."""
    size = 32 * MIB
    sent = 0

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            await reader.readuntil(b"\r\n\r\n")
            if side == "host":
                await asyncio.sleep(0.3)
                await reader.readexactly(size)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await reader.read()
                return
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            while sent < size:
                writer.write(bytes(65536))
                sent += 65536
                await writer.drain()
            await reader.read()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main():
        nonlocal sent
        house = TlsHouse(
            chain(certificates(pair.config)),
            upstream={"common_tls_context": {}},
            origin_tls=server(pair),
            origin=origin,
        )
        async with house:
            reader, writer = await house.connect(client())
            if side == "client":
                writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                await asyncio.sleep(0.3)
                assert sent < 24 * MIB
                await reader.readuntil(b"\r\n\r\n")
                for _ in range(size // 65536):
                    await reader.readexactly(65536)
            else:
                writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
                for _ in range(size // 65536):
                    writer.write(bytes(65536))
                    await writer.drain()
                    sent += 65536
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
            writer.close()

    asyncio.run(main())


@pytest.mark.skipif(not openssl.available(), reason="OpenSSL cannot be reached here")
def test_connections_keep_no_memory_of_what_has_passed(pair):
    """Of handshakes and of large bodies, on both sides."""

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(4 * MIB)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (4 * MIB) + bytes(4 * MIB))
            await reader.read()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main():
        house = TlsHouse(
            chain(certificates(pair.config)),
            upstream={"common_tls_context": {}},
            origin_tls=server(pair),
            origin=origin,
        )
        async with house:
            reader, writer = await house.connect(client())
            writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (4 * MIB))
            writer.write(bytes(4 * MIB))
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(4 * MIB)
            layers = [each for each in gc.get_objects() if isinstance(each, TlsTransport) and each.info]
            assert len(layers) == 2
            buffers = [buffer for each in layers for buffer in (each._incoming, each._outgoing)]
            await until(lambda: max(map(buffered_memory, buffers)) <= 32768)
            writer.close()

    run(main())


def test_tunnels_are_closed_by_halves(pair):
    """A goodbye of TLS is an end-of-file: the other way stays open, through TLS on both sides."""
    ended = asyncio.Event()

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        heard = await reader.read(4)
        assert await reader.read() == b""
        ended.set()
        writer.write(b"heard " + heard)
        writer.close()

    async def main():
        manager = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
        async with TlsHouse(chain(certificates(pair.config), manager), origin=origin) as house:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client(maximum_version=ssl.TLSVersion.TLSv1_2).wrap_bio(
                incoming, outgoing, False, "localhost"
            )
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65536))

            async def read() -> bytes:
                while True:
                    try:
                        return tls.read(65536)
                    except ssl.SSLWantReadError:
                        data = await reader.read(65536)
                        incoming.write(data) if data else incoming.write_eof()
                    except ssl.SSLZeroReturnError:
                        return b""

            tls.write(b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
            writer.write(outgoing.read())
            assert (await read()).startswith(b"HTTP/1.1 101")
            tls.write(b"ping")
            with pytest.raises(ssl.SSLWantReadError):
                tls.unwrap()  # says goodbye, and waits for the answer
            writer.write(outgoing.read())
            await ended.wait()
            assert await read() == b"heard ping"
            assert await read() == b""
            writer.close()

    asyncio.run(main())


def test_client_that_leaves_without_goodbye_is_gone(pair):
    async def main():
        async with TlsHouse(chain(certificates(pair.config), body="x")) as house:
            reader, writer = await house.connect(client())
            assert await get(reader, writer) == (200, "x")
            writer.transport.abort()
            house.server.drain(close_idle=False)
            await asyncio.wait_for(house.drained.wait(), 5)
            assert house.count("downstream_cx_active") == 0

    asyncio.run(main())


def test_draining_ends_with_tls_connections(pair):
    async def main():
        async with TlsHouse(chain(certificates(pair.config), body="x")) as house:
            reader, writer = await house.connect(client())
            assert await get(reader, writer) == (200, "x")
            house.server.drain(close_idle=True)
            assert await reader.read() == b""
            await asyncio.wait_for(house.drained.wait(), 5)
            writer.close()

    asyncio.run(main())
