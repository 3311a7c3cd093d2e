"""Bulk data that goes from socket to socket in the kernel: nothing is lost, miscounted or left open by it."""

import asyncio
import errno
import hashlib
import random
import socket
from pathlib import Path
from typing import Any

import pytest

from proxyd.system import native
from tests.net.certificates import Authority
from tests.net.test_tcp_proxy import closed, echo, file_log, play, tcp_chain, until
from tests.net.tls_house import TlsHouse, certificates, client

MIB = 1 << 20
SIZE = 6 * MIB
CONTENT = random.Random(7).randbytes(SIZE + 12345)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Pipes:
    """Counts the pipes, and can do without."""

    def __init__(self) -> None:
        self.made = 0
        self.open = 0
        self.none = False
        self._new = native.new_pipe

    def new(self) -> Any:
        pipe = None if self.none else self._new()
        if pipe is None:
            return None
        self.made += 1
        self.open += 1
        return Counted(self, pipe)


class Counted:
    def __init__(self, pipes: Pipes, pipe: Any) -> None:
        self._pipes = pipes
        self._pipe = pipe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def close(self) -> None:
        self._pipes.open -= 1
        self._pipe.close()


@pytest.fixture(params=["native", "asyncio"], autouse=True)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "asyncio":
        monkeypatch.setattr(native, "new_event_loop", asyncio.new_event_loop)


@pytest.fixture
def pipes(monkeypatch: pytest.MonkeyPatch) -> Pipes:
    made = Pipes()
    with_pipe = made._new()
    if with_pipe is None:
        pytest.skip("a system that does not splice")
    with_pipe.close()
    monkeypatch.setattr(native, "new_pipe", made.new)
    return made


async def send(writer: asyncio.StreamWriter, content: bytes = CONTENT) -> None:
    for at in range(0, len(content), 256 << 10):
        writer.write(content[at : at + (256 << 10)])
        await writer.drain()


async def digest(reader: asyncio.StreamReader) -> str:
    """Of everything up to the end."""
    found = hashlib.sha256()
    while data := await reader.read(MIB):
        found.update(data)
    return found.hexdigest()


async def raw_client(house: TlsHouse, room: int = 64 << 10) -> socket.socket:
    """One that reads nothing by itself."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", house.port))
    return sock


async def drained(sock: socket.socket) -> bytes:
    parts: list[bytes] = []
    loop = asyncio.get_running_loop()
    while part := await loop.sock_recv(sock, 64 << 10):
        parts.append(part)
    return b"".join(parts)


def test_both_ways_at_once(pipes: Pipes, tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()

        async def all_of_it() -> None:
            await send(writer)
            writer.write_eof()

        sending = asyncio.create_task(all_of_it())
        assert await digest(reader) == DIGEST
        await sending
        assert pipes.made == 2
        writer.close()
        await until(lambda: not house.server.connections)
        for side in ("tcp.test.downstream", "cluster.origin.upstream"):
            assert house.count(f"{side}_cx_rx_bytes_total") == len(CONTENT)
            assert house.count(f"{side}_cx_tx_bytes_total") == len(CONTENT)
        house.server.flush_logs()
        await until(lambda: log.exists() and bool(log.read_text()))
        assert log.read_text() == f"{len(CONTENT)} {len(CONTENT)} -\n"

    proxy = {"access_log": file_log(log, "%BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS%")}
    play(main, tcp_chain(proxy=proxy))
    assert pipes.open == 0


def test_a_client_that_closes_has_everything_delivered(pipes: Pipes) -> None:
    seen: list[str] = []
    held = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        seen.append(await digest(reader))
        writer.close()

    async def main(house: TlsHouse) -> None:
        _, writer = await house.connect()
        writer.write(CONTENT)
        writer.close()
        await until(lambda: pipes.open == 1)
        await until(lambda: house.count("tcp.test.downstream_flow_control_paused_reading_total") > 0)
        held.set()
        await until(lambda: seen == [DIGEST])
        paused = house.count("tcp.test.downstream_flow_control_paused_reading_total")
        assert house.count("tcp.test.downstream_flow_control_resumed_reading_total") == paused

    play(main, tcp_chain(), origin=slow)
    assert pipes.open == 0


def test_a_host_that_closes_has_everything_delivered(pipes: Pipes) -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send(writer)
        writer.close()

    async def main(house: TlsHouse) -> None:
        sock = await raw_client(house)
        await until(lambda: pipes.open == 1)
        await until(lambda: house.count("cluster.origin.upstream_flow_control_paused_reading_total") > 0)
        assert hashlib.sha256(await drained(sock)).hexdigest() == DIGEST
        sock.close()

    play(main, tcp_chain(), origin=flood)
    assert pipes.open == 0


def test_small_messages_go_the_plain_way_again(pipes: Pipes) -> None:
    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        sending = asyncio.create_task(send(writer))
        await reader.readexactly(len(CONTENT))
        await sending
        assert pipes.made == 2
        rounds = 0
        while pipes.open:
            rounds += 1
            assert rounds < 500
            writer.write(b"%5d" % rounds)
            assert await reader.readexactly(5) == b"%5d" % rounds
        await send(writer)
        assert await reader.readexactly(len(CONTENT)) == CONTENT
        assert pipes.made == 4
        writer.close()

    async def patient_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes everything before it answers, unlike the client, which reads only afterwards."""
        held = bytearray()
        try:
            while data := await reader.read(MIB):
                held += data
                if len(held) >= len(CONTENT) or len(data) == 5:
                    writer.write(bytes(held))
                    held.clear()
        except ConnectionError:
            pass
        writer.close()

    play(main, tcp_chain(), origin=patient_echo)
    assert pipes.open == 0


def test_without_a_pipe_the_transports_carry_on(pipes: Pipes) -> None:
    pipes.none = True

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        sending = asyncio.create_task(send(writer))
        assert hashlib.sha256(await reader.readexactly(len(CONTENT))).hexdigest() == DIGEST
        await sending
        writer.close()

    play(main, tcp_chain())
    assert pipes.made == 0


def test_sockets_that_cannot_be_spliced(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system says so when something is in the pipe already."""

    def unable(pipe: Any, target: int, count: int) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(Counted, "empty", unable, raising=False)

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        sending = asyncio.create_task(send(writer))
        assert hashlib.sha256(await reader.readexactly(len(CONTENT))).hexdigest() == DIGEST
        await sending
        assert pipes.made == 2
        assert pipes.open == 0
        writer.close()

    play(main, tcp_chain())


@pytest.mark.parametrize("upward", [True, False], ids=["client", "host"])
def test_a_reset_is_passed_on(pipes: Pipes, upward: bool) -> None:
    """In the middle of what it sends, with the other side reading."""
    ended: list[str] = []

    async def reads(reader: asyncio.StreamReader) -> None:
        try:
            while await reader.read(MIB):
                pass
            ended.append("end")
        except ConnectionResetError:
            ended.append("reset")

    async def breaks(writer: asyncio.StreamWriter) -> None:
        while not pipes.open:
            writer.write(bytes(MIB))
            await writer.drain()
        native.reset_when_closed(writer.get_extra_info("socket"))
        writer.transport.abort()

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if upward:
            await reads(reader)
            writer.close()
        else:
            await breaks(writer)

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        if upward:
            await breaks(writer)
        else:
            await reads(reader)
            writer.close()
        await until(lambda: ended == ["reset"])

    play(main, tcp_chain(), origin=host)
    assert pipes.open == 0


@pytest.mark.parametrize("upward", [True, False], ids=["client", "host"])
def test_a_reader_that_goes_away_ends_it(pipes: Pipes, upward: bool) -> None:
    """With the pipe full: what is in it is for nobody."""
    told: list[str] = []

    async def floods(writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(bytes(MIB))
                await writer.drain()
        except ConnectionError:
            told.append("gone")
        writer.close()

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if upward:
            writer.transport.pause_reading()
            await blocked.wait()
            native.reset_when_closed(writer.get_extra_info("socket"))
            writer.transport.abort()
        else:
            await floods(writer)

    blocked = asyncio.Event()

    async def main(house: TlsHouse) -> None:
        if upward:
            _, writer = await house.connect()
            flooding = asyncio.create_task(floods(writer))
            await until(lambda: pipes.open == 1)
            await until(lambda: house.count("tcp.test.downstream_flow_control_paused_reading_total") > 0)
            blocked.set()
            await flooding
        else:
            sock = await raw_client(house)
            await until(lambda: pipes.open == 1)
            await until(lambda: house.count("cluster.origin.upstream_flow_control_paused_reading_total") > 0)
            native.reset_when_closed(sock)
            sock.close()
        await until(lambda: told == ["gone"])

    play(main, tcp_chain(), origin=host)
    assert pipes.open == 0


@pytest.mark.parametrize(
    ("limit", "counted"),
    [
        ({"idle_timeout": "0.3s"}, "idle_timeout"),
        ({"max_downstream_connection_duration": "0.5s"}, "max_downstream_connection_duration"),
    ],
    ids=["idle", "duration"],
)
def test_limits_hold(pipes: Pipes, limit: dict[str, str], counted: str) -> None:
    async def main(house: TlsHouse) -> None:
        sock = await raw_client(house)
        await until(lambda: pipes.made == 1)
        await until(lambda: house.count(f"tcp.test.{counted}") == 1)
        sock.close()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONTENT)
        await closed(reader)
        writer.close()

    play(main, tcp_chain(proxy=limit), origin=flood)
    assert pipes.open == 0


def test_what_moves_is_not_idle(pipes: Pipes) -> None:
    """For longer than the limit, little at a time."""

    async def drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        await send(writer, CONTENT[: 4 * MIB])
        end = loop.time() + 1.5
        while loop.time() < end:
            writer.write(bytes(64 << 10))
            await asyncio.sleep(0.02)
        writer.write(b"the end")
        writer.close()

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        assert (await closed(reader)).endswith(b"the end")
        assert pipes.made > 0
        assert house.count("tcp.test.idle_timeout") == 0
        writer.close()

    play(main, tcp_chain(proxy={"idle_timeout": "1s"}), origin=drips)


def test_each_half_closes_by_itself(pipes: Pipes) -> None:
    """The client's half first; the host answers at length behind it."""

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await digest(reader) == DIGEST
        await send(writer)
        writer.write_eof()
        writer.close()

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect()
        await send(writer)
        writer.write_eof()
        assert await digest(reader) == DIGEST
        assert pipes.made == 2
        writer.close()

    play(main, tcp_chain(), origin=answers)
    assert pipes.open == 0


def test_tls_is_not_spliced(pipes: Pipes) -> None:
    pair = Authority().issue("localhost")

    async def main(house: TlsHouse) -> None:
        reader, writer = await house.connect(client())
        sending = asyncio.create_task(send(writer))
        assert hashlib.sha256(await reader.readexactly(len(CONTENT))).hexdigest() == DIGEST
        await sending
        writer.close()

    play(main, tcp_chain(certificates(pair.config)), origin=echo)
    assert pipes.made == 0
