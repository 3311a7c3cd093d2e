"""tcp_proxy over real sockets: bytes both ways, both ends of them, limits, and what is counted."""

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.snapshot import clusters
from proxyd.snapshot.build import compile_snapshot
from tests.net.certificates import Authority
from tests.net.tls_house import TlsHouse, certificates, chain, client, get, hello_origin, run, server

TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
SOCKETS = "type.googleapis.com/envoy.extensions.transport_sockets"
LIMIT = 20_000
OTHER = {"server_names": ["other.example"]}


def tcp_chain(context: dict[str, Any] | None = None, proxy: dict[str, Any] | None = None, **fields: Any):
    """A filter chain that ends in tcp_proxy, to the cluster ``origin`` unless ``proxy`` says otherwise."""
    made = chain(context, **fields)
    config = {"@type": TCP, "stat_prefix": "test", "cluster": "origin", **(proxy or {})}
    if "weighted_clusters" in config:
        del config["cluster"]
    made["filters"] = [{"name": "tcp", "typed_config": config}]
    return made


def file_log(path: Path, text: str = "") -> list[dict[str, Any]]:
    config: dict[str, Any] = {"@type": FILE_LOG, "path": str(path)}
    if text:
        config["log_format"] = {"text_format_source": {"inline_string": text + "\n"}}
    return [{"name": "log", "typed_config": config}]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Gives back what comes, to the end of it."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - counters tell nobody
            await asyncio.sleep(0.005)


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What still comes before the connection ends, however it does."""
    data = b""
    try:
        while more := await reader.read(65536):
            data += more
    except ConnectionError:
        pass
    return data


def play(main: Callable[..., Awaitable[None]], *chains: Any, **house: Any) -> None:
    async def played() -> None:
        house.setdefault("origin", echo)
        async with TlsHouse(*chains, **house) as made:
            await main(made)
            made.server.flush_logs()
            await until(lambda: not made.server.connections)
            await until(lambda: made.count("cluster.origin.upstream_cx_active") == 0)
            assert made.count("cluster.origin.upstream_rq_active") == 0
            assert made.count("cluster.origin.upstream_rq_pending_active") == 0
            assert made.count("downstream_cx_active") == 0

    run(played())


def test_bytes_go_both_ways_and_each_half_closes_by_itself():
    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"last words")
        writer.write_eof()
        assert await reader.read() == b"last words"
        writer.close()
        await until(lambda: not house.server.connections)
        assert house.count("downstream_cx_total") == 1
        assert house.count("tcp.test.downstream_cx_total") == 1
        assert house.count("tcp.test.downstream_cx_rx_bytes_total") == 15
        assert house.count("tcp.test.downstream_cx_tx_bytes_total") == 15
        assert house.count("cluster.origin.upstream_cx_total") == 1
        assert house.count("cluster.origin.upstream_cx_rx_bytes_total") == 15
        assert house.count("cluster.origin.upstream_cx_tx_bytes_total") == 15

    play(main, tcp_chain())


def test_a_host_that_speaks_first_and_ends_at_once_is_heard():
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready")
        writer.write_eof()
        await reader.read()
        writer.close()

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        assert await reader.read() == b"220 ready"
        writer.write(b"QUIT")
        writer.close()
        await until(lambda: not house.server.connections)
        assert house.count("cluster.origin.upstream_cx_tx_bytes_total") == 4

    play(main, tcp_chain(), origin=banner)


def test_a_reset_by_the_host_closes_the_client_after_what_came_before():
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        writer.write(b"so far")
        await writer.drain()
        await reader.readexactly(2)
        writer.transport.abort()

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        writer.write(b"a?")
        assert await reader.readexactly(6) == b"so far"
        writer.write(b"b?")
        assert await closed(reader) == b""
        writer.close()

    play(main, tcp_chain(), origin=rude)


def test_what_a_client_left_behind_still_reaches_the_host():
    """It closes as soon as it has written more than fits into any buffer."""
    held = asyncio.Event()
    seen: list[int] = []
    size = 8 << 20

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._limit = 1024  # type: ignore[attr-defined]
        await held.wait()
        total = 0
        while data := await reader.read(1 << 20):
            total += len(data)
        seen.append(total)
        writer.close()

    async def main(house: TlsHouse) -> None:
        _, writer = await house.connect()
        writer.write(bytes(size))
        writer.close()
        await until(lambda: house.count("tcp.test.downstream_flow_control_paused_reading_total") > 0)
        held.set()
        await until(lambda: bool(seen))
        assert seen == [size]
        await until(lambda: not house.server.connections)
        assert house.count("tcp.test.upstream_flush_active") == 0
        paused = house.count("tcp.test.downstream_flow_control_paused_reading_total")
        assert house.count("tcp.test.downstream_flow_control_resumed_reading_total") == paused
        assert house.count("cluster.origin.upstream_flow_control_backed_up_total") > 0

    play(main, tcp_chain(), origin=slow, cluster={"per_connection_buffer_limit_bytes": LIMIT})


def test_a_client_that_does_not_read_stops_the_host():
    written: list[int] = []

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(bytes(65536))
                await writer.drain()
                written.append(65536)
        except (ConnectionError, asyncio.CancelledError):
            pass

    async def main(house: TlsHouse) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", house.port))
        await until(lambda: house.count("cluster.origin.upstream_flow_control_paused_reading_total") > 0)
        # Some systems take more for the client now and then, as long as they have room.
        before = 0
        while (sent := house.count("tcp.test.downstream_cx_tx_bytes_total")) != before:
            before = sent
            for _ in range(50):
                await asyncio.sleep(0.001)
        sock.close()

    play(main, tcp_chain(), origin=flood, per_connection_buffer_limit_bytes=LIMIT)


def test_idle_connections_end():
    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        writer.write(b"x")
        assert await closed(reader) == b"x"
        writer.close()
        assert house.count("tcp.test.idle_timeout") == 1

    play(main, tcp_chain(proxy={"idle_timeout": "0.05s"}))


def test_no_idle_timeout():
    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        await asyncio.sleep(0.1)
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"
        writer.close()
        assert house.count("tcp.test.idle_timeout") == 0

    play(main, tcp_chain(proxy={"idle_timeout": "0s"}))


def test_a_connection_has_its_time(tmp_path):
    log = tmp_path / "log"

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        assert await closed(reader) == b""
        writer.close()
        assert house.count("tcp.test.max_downstream_connection_duration") == 1
        house.server.flush_logs()
        await until(lambda: log.exists() and log.read_text() == "DT TcpConnectionEnd\n")

    proxy = {
        "max_downstream_connection_duration": "0.05s",
        "max_downstream_connection_duration_jitter_percentage": {"value": 50},
        "access_log": file_log(log, "%RESPONSE_FLAGS% %ACCESS_LOG_TYPE%"),
    }
    play(main, tcp_chain(proxy=proxy))


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that is taken, and refuses."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def to(port: int) -> dict[str, Any]:
    where = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": where}}]}]
    return {"load_assignment": {"cluster_name": "origin", "endpoints": endpoints}}


@pytest.mark.parametrize(
    "backoff", [{}, {"backoff_options": {"base_interval": "0.001s"}}], ids=["", "backoff"]
)
def test_a_host_that_is_not_there_is_tried_so_often(tmp_path, dead_port, backoff):
    log = tmp_path / "log"
    text = "%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_REQUEST_ATTEMPT_COUNT%"

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        assert await closed(reader) == b""
        writer.close()
        assert house.count("cluster.origin.upstream_cx_connect_fail") == 3
        assert house.count("cluster.origin.upstream_cx_connect_attempts_exceeded") == 1
        house.server.flush_logs()
        line = "UF,URX delayed_connect_error:_Connection_refused 3\n"
        await until(lambda: log.exists() and log.read_text() == line)

    proxy = {"max_connect_attempts": 3, "access_log": file_log(log, text), **backoff}
    play(main, tcp_chain(proxy=proxy), cluster=to(dead_port))


def test_connecting_has_its_time():
    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        assert await closed(reader) == b""
        writer.close()
        assert house.count("cluster.origin.upstream_cx_connect_timeout") == 1
        assert house.count("cluster.origin.upstream_cx_destroy_local") == 1

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    # The handshake counts, and this host never answers it.
    play(main, tcp_chain(), upstream={}, origin=mute, cluster={"connect_timeout": "0.05s"})


def test_a_client_that_goes_while_its_host_is_connected_to():
    async def main(house: TlsHouse) -> None:
        _, writer = await house.connect()
        await until(lambda: house.count("cluster.origin.upstream_cx_active") == 1)
        for connection in list(house.server._all_connections()):
            connection.abort()
        writer.close()
        await until(lambda: house.count("cluster.origin.upstream_cx_active") == 0)
        assert house.count("cluster.origin.upstream_rq_cancelled") == 1

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    play(main, tcp_chain(), upstream={}, origin=mute)


def test_without_a_cluster_or_a_host(tmp_path):
    log = tmp_path / "log"

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        assert await closed(reader) == b""
        writer.close()
        assert house.count("tcp.test.downstream_cx_no_route") == 1
        house.server.flush_logs()
        await until(lambda: log.exists() and log.read_text() == "NC\n")

    proxy = {"cluster": "nowhere", "access_log": file_log(log, "%RESPONSE_FLAGS%")}
    play(main, tcp_chain(proxy=proxy))

    async def hostless(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        assert await closed(reader) == b""
        writer.close()
        assert house.count("cluster.origin.upstream_cx_none_healthy") == 1
        house.server.flush_logs()
        await until(lambda: log.read_text() == "NC\nUH\n")

    proxy = {"access_log": file_log(log, "%RESPONSE_FLAGS%")}
    play(hostless, tcp_chain(proxy=proxy), cluster={"load_assignment": {"cluster_name": "origin"}})


def test_weights_share_connections_out():
    async def main(house: TlsHouse) -> None:
        for _ in range(60):
            reader, writer = await house.connect()
            writer.write_eof()
            await closed(reader)
            writer.close()
        served = house.count("cluster.origin.upstream_cx_total")
        assert 0 < served < 60
        assert house.count("tcp.test.downstream_cx_no_route") == 60 - served

    weights = {"clusters": [{"name": "origin", "weight": 2}, {"name": "nowhere", "weight": 1}]}
    play(main, tcp_chain(proxy={"weighted_clusters": weights}))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_tls_on_either_side(authority):
    pair = authority.issue("localhost")

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect(client(authority.certificate))
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await closed(reader)
        assert house.count("ssl.handshake") == 1
        assert house.count("cluster.origin.ssl.handshake") == 1

    play(main, tcp_chain(certificates(pair.config)), upstream={}, origin_tls=server(pair))


def test_tls_is_passed_on_untouched_by_its_server_name(authority):
    pair = authority.issue("localhost")
    ours = authority.issue("localhost")
    match = {"server_names": ["through.example"]}

    async def main(house: TlsHouse) -> None:
        context = client(authority.certificate)
        reader, writer = await house.connect(context, "through.example")
        shown = writer.get_extra_info("ssl_object").getpeercert(True)
        assert shown == ssl.PEM_cert_to_DER_cert(pair.chain)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await closed(reader)
        assert house.count("ssl.handshake") == 0
        status, _ = await house.get(context, "here.example")  # HTTP beside it, by another chain
        assert status == 200
        assert house.count("ssl.handshake") == 1

    terminated = chain(
        certificates(ours.config), body="here", filter_chain_match={"server_names": ["here.example"]}
    )
    play(main, tcp_chain(filter_chain_match=match), terminated, origin_tls=server(pair))


def test_the_line_of_a_connection(tmp_path):
    log, listeners = tmp_path / "log", tmp_path / "listeners"
    text = "%PROTOCOL% %RESPONSE_CODE% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %ACCESS_LOG_TYPE%"

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write_eof()
        await reader.read()
        writer.close()
        await until(lambda: not house.server.connections)
        house.server.flush_logs()
        await until(lambda: log.exists() and log.read_text().count("\n") == 2)
        await until(lambda: listeners.exists() and listeners.read_text().count("\n") == 1)

    proxy = {
        "access_log": file_log(log) + file_log(log, text),
        "access_log_options": {"flush_access_log_on_connected": False},
    }
    play(main, tcp_chain(proxy=proxy), access_log=file_log(listeners, text))
    default, own = log.read_text().splitlines()
    assert '] "- - -" 0 - 5 5 ' in default
    assert ' - "-" "-" "-" "-" "127.0.0.1:' in default
    assert own == "- 0 5 5 origin TcpConnectionEnd"
    assert listeners.read_text() == "- 0 5 5 origin NotSet\n"


def test_lines_of_a_connection_that_goes_on(tmp_path):
    log = tmp_path / "log"

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"

        def lines() -> list[str]:
            house.server.flush_logs()
            return log.read_text().splitlines() if log.exists() else []

        await until(lambda: len(lines()) > 2)
        assert lines()[0] == "TcpUpstreamConnected"
        assert set(lines()[1:]) == {"TcpPeriodic"}
        writer.close()
        await until(lambda: lines()[-1] == "TcpConnectionEnd")

    proxy = {
        "access_log": file_log(log, "%ACCESS_LOG_TYPE%"),
        "access_log_options": {"flush_access_log_on_connected": True, "access_log_flush_interval": "0.01s"},
    }
    play(main, tcp_chain(proxy=proxy))


def test_connections_are_limited():
    """By the cluster's circuit breaker, which no field sets so far."""

    async def main(house: TlsHouse) -> None:
        cluster = house.server._clusters["origin"]
        cluster.connections += cluster.config.max_connections
        reader, writer = await house.connect()
        assert await closed(reader) == b""
        writer.close()
        cluster.connections -= cluster.config.max_connections
        assert house.count("cluster.origin.upstream_cx_overflow") == 1

    play(main, tcp_chain())


def test_a_chain_that_has_gone_is_cut_after_the_drain_time():
    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        before = house.server.snapshot
        config = load_text(Text("test", json.dumps(house.config(tcp_chain(proxy={"stat_prefix": "other"})))))
        after = compile_snapshot(config, house.registry, 0, before=before)
        house.server.commit(house.server.prepare(after), 0.05)
        writer.write(b"still")
        assert await reader.readexactly(5) == b"still"
        assert await closed(reader) == b""
        writer.close()

    play(main, tcp_chain())


def test_a_chain_that_has_not_changed_goes_on():
    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        before = house.server._listeners[0].chains[0]
        config = load_text(
            Text("test", json.dumps(house.config(tcp_chain(), tcp_chain(filter_chain_match=OTHER))))
        )
        after = compile_snapshot(config, house.registry, 0, before=house.server.snapshot)
        house.server.commit(house.server.prepare(after), 0.0)
        assert house.server._listeners[0].chains[0] is before
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()

    play(main, tcp_chain())


def test_a_connection_made_for_a_client_of_http_does_not_wait_long(monkeypatch):
    """Its PROXY header has that client's port: nobody else can use it."""
    monkeypatch.setattr(clusters, "PROXIED_IDLE_TIMEOUT_S", 0.05)

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        assert (await get(reader, writer))[0] == 200
        await until(lambda: house.count("cluster.origin.upstream_cx_active") == 0)
        assert house.count("cluster.origin.upstream_cx_idle_timeout") == 1
        writer.close()

    async def behind_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readline()).startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
        await hello_origin(reader, writer)

    raw = {"name": "raw", "typed_config": {"@type": f"{SOCKETS}.raw_buffer.v3.RawBuffer"}}
    kind = f"{SOCKETS}.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
    proxied = {"name": "proxy", "typed_config": {"@type": kind, "config": {}, "transport_socket": raw}}
    play(main, chain(), origin=behind_header, cluster={"transport_socket": proxied})
