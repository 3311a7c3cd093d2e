"""HTTP/2 over TLS and real sockets: what ALPN agrees on, and bodies larger than any window."""

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from tests.net.certificates import Authority
from tests.net.http2_client import engines
from tests.net.tls_house import TlsHouse, certificates, chain, client, get, run, server


@pytest.fixture(params=engines(), autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


class Talk:
    """A client's connection on the loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        config = h2.config.H2Configuration(header_encoding="latin-1")
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()

    async def ask(self, path: str = "/", body: bytes = b"") -> tuple[str, bytes]:
        connection: Any = self.connection
        stream = connection.get_next_available_stream_id()
        method = "POST" if body else "GET"
        fields = [(":method", method), (":scheme", "https"), (":authority", "a"), (":path", path)]
        connection.send_headers(stream, fields, end_stream=not body)
        status, got, sent, ended = "", b"", 0, False
        while not ended:
            while body and sent < len(body):
                room = min(connection.local_flow_control_window(stream), 16384)
                if room <= 0:
                    break
                piece = body[sent : sent + room]
                sent += len(piece)
                connection.send_data(stream, piece, end_stream=sent == len(body))
            self.writer.write(connection.data_to_send())
            data = await self.reader.read(65536)
            if not data:
                raise ConnectionResetError
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers or [])[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    got += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamEnded):
                    ended = event.stream_id == stream
        return status, got


def offering(*protocols: str) -> ssl.SSLContext:
    context = client()
    context.set_alpn_protocols(list(protocols))
    return context


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP/1 origin that sends bodies back, whatever they are framed by."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = bytearray()
            if b"transfer-encoding: chunked" in head:
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    body += await reader.readexactly(size)
                    await reader.readexactly(2)
                await reader.readexactly(2)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


@pytest.mark.parametrize(
    ("configured", "offered", "spoken"),
    [
        (["h2", "http/1.1"], ("h2", "http/1.1"), "h2"),
        (["h2,http/1.1"], ("http/1.1", "h2"), "h2"),
        (["h2", "http/1.1"], ("http/1.1",), "http/1.1"),
        (["http/1.1"], ("h2", "http/1.1"), "http/1.1"),
        ([], ("h2", "http/1.1"), None),
    ],
)
def test_both_sides_agree_on_what_is_spoken(
    authority: Authority, configured: list[str], offered: tuple[str, ...], spoken: str | None
) -> None:
    async def main() -> None:
        pair = authority.issue("localhost")
        context = certificates(pair.config, alpn_protocols=configured)
        async with TlsHouse(chain(context)) as house:
            reader, writer = await house.connect(offering(*offered))
            tls = writer.get_extra_info("ssl_object")
            assert tls.selected_alpn_protocol() == spoken
            if spoken == "h2":
                status, body = await Talk(reader, writer).ask()
                assert (status, body[:15]) == ("200", b"GET / HTTP/1.1\r")
                assert b"x-forwarded-proto: https" in body
            else:
                status_code, _ = await get(reader, writer)
                assert status_code == 200
            assert house.count("http.test.downstream_cx_http2_total") == (1 if spoken == "h2" else 0)
            assert house.count("http.test.downstream_cx_http1_total") == (0 if spoken == "h2" else 1)
            assert house.count("http.test.downstream_cx_ssl_total") == 1
            writer.close()

    run(main())


def test_who_agrees_on_one_version_does_not_speak_the_other(authority: Authority) -> None:
    async def main() -> None:
        pair = authority.issue("localhost")
        async with TlsHouse(chain(certificates(pair.config, alpn_protocols=["h2", "http/1.1"]))) as house:
            reader, writer = await house.connect(offering("h2"))
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            heard = await reader.read()
            assert b"HTTP/1.1" not in heard
            writer.close()

    run(main())


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_bodies_that_are_larger_than_windows_and_buffers(
    authority: Authority, tls: bool, engine: str
) -> None:
    size = 8_000_000 if engine == "ngh2" else 3_000_000

    async def main() -> None:
        pair = authority.issue("localhost")
        context = certificates(pair.config, alpn_protocols=["h2"]) if tls else None
        body = bytes(range(256)) * (size // 256)
        manager = {"http2_protocol_options": {"initial_stream_window_size": 100_000}}
        async with TlsHouse(chain(context, manager), origin=echo) as house:
            reader, writer = await house.connect(offering("h2") if tls else None)
            talk = Talk(reader, writer)
            status, got = await talk.ask("/", body)
            assert status == "200"
            assert got == body
            assert (await talk.ask())[0] == "200"
            writer.close()

    run(main())


async def http2_host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An origin that speaks what was agreed on, and says which that was."""
    tls = writer.get_extra_info("ssl_object")
    if tls.selected_alpn_protocol() != "h2":
        while await reader.read(65536):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nHTTP/1.1")
        writer.close()
        return
    connection: Any = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    while data := await reader.read(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                connection.send_headers(event.stream_id, [(":status", "200"), ("content-length", "6")])
                connection.send_data(event.stream_id, b"HTTP/2", end_stream=True)
        writer.write(connection.data_to_send())
    writer.close()


OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@pytest.mark.parametrize(
    ("spoken", "agrees", "expected"),
    [
        ({"auto_config": {}}, ["h2", "http/1.1"], "HTTP/2"),
        ({"auto_config": {}}, ["http/1.1"], "HTTP/1.1"),
        ({"auto_config": {}}, [], "HTTP/1.1"),
        ({"explicit_http_config": {"http2_protocol_options": {}}}, ["http/1.1", "h2"], "HTTP/2"),
        ({"explicit_http_config": {"http_protocol_options": {}}}, ["h2", "http/1.1"], "HTTP/1.1"),
        ({"use_downstream_protocol_config": {"http2_protocol_options": {}}}, ["h2", "http/1.1"], "HTTP/1.1"),
    ],
)
def test_a_host_is_asked_by_alpn(
    authority: Authority, spoken: dict[str, Any], agrees: list[str], expected: str
) -> None:
    async def main() -> None:
        origin_tls = server(authority.issue("origin"))
        if agrees:
            origin_tls.set_alpn_protocols(agrees)
        options = {"@type": f"type.googleapis.com/{OPTIONS}", **spoken}
        cluster = {"typed_extension_protocol_options": {OPTIONS: options}}
        upstream = {"common_tls_context": {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}}}
        async with TlsHouse(
            chain(), upstream=upstream, origin_tls=origin_tls, origin=http2_host, cluster=cluster
        ) as house:
            reader, writer = await house.connect()
            for _ in range(2):
                status, body = await get(reader, writer)
                assert (status, body) == (200, expected)
            version = 2 if expected == "HTTP/2" else 1
            assert house.count(f"cluster.origin.upstream_cx_http{version}_total") >= 1
            assert house.count(f"cluster.origin.upstream_cx_http{3 - version}_total") == 0
            if version == 2:
                assert house.count("cluster.origin.upstream_cx_total") == 1
            writer.close()

    run(main())
