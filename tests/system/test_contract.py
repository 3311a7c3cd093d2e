"""What every system owes to ``contract.System``, asked of the one that these tests run on."""

import asyncio
import os
import select
import socket
import stat
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxyd.system import Datagrams, native


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=native.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 30))


# -- memory


def test_memory_is_zeroed_and_the_same_for_all_who_map_it():
    descriptor = native.create_memory("test", 8192)
    with native.map_memory(descriptor) as one, native.map_memory(descriptor) as two:
        assert one[:] == bytes(8192)
        one[8190] = 7
        assert two[8190] == 7
        native.close_descriptor(descriptor)
        one[0] = 1
        assert two[0] == 1


def test_sealed_memory_cannot_be_written():
    descriptor = native.create_sealed_memory("test", b"content")
    assert native.read_memory(descriptor) == b"content"
    with native.map_memory(descriptor) as mapped:
        assert mapped[:7] == b"content"
        with pytest.raises(TypeError):
            mapped[0] = 1
    native.close_descriptor(descriptor)


def test_a_private_file_is_there_for_a_while():
    with native.private_file(b"a key") as path:
        with open(path, "rb") as file:
            assert file.read() == b"a key"
        with open(path, "rb") as file:  # OpenSSL may open it more than once
            assert file.read() == b"a key"
    assert not os.path.exists(path)


# -- channels


def test_a_channel_carries_bytes_and_its_ends_do_not_block():
    left, right = native.channel_pair()
    with left, right:
        with pytest.raises(BlockingIOError):
            native.receive_descriptors(right, 100)
        left.setblocking(True)
        left.sendall(b"here")
        right.settimeout(30)
        assert native.receive_descriptors(right, 100) == (b"here", [])


def test_descriptors_of_all_kinds_reach_another_process():
    """It writes to the socket what it finds in the memory."""
    from tests.system import borrower

    ours, theirs = native.channel_pair()
    capture = native.new_capture()
    memory = native.create_memory("test", 16)
    with native.map_memory(memory) as mapped, socket.create_server(("127.0.0.1", 0)) as server:
        mapped[:5] = b"found"
        pid = native.spawn_python(borrower.__name__, theirs, capture)
        theirs.close()
        try:
            borrower.lend(ours, [memory, server.fileno()])
            native.close_descriptor(memory)
            with socket.create_connection(server.getsockname(), 30) as client:
                assert client.recv(100) == b"found"
            ours.close()  # and so it ends
            assert native.wait(pid) == 0, capture.read()
        finally:
            native.kill(pid)
            capture.close()
        assert mapped[15] == 1  # what it wrote last


# -- the run directory


def test_a_lock_has_one_holder_and_its_file_can_be_read(tmp_path: Path):
    directory = native.open_private_directory(str(tmp_path / "base"), "one")
    lock = directory.lock("pid")
    assert lock is not None
    os.write(lock, b"123\n")
    assert directory.lock("pid") is None
    assert (tmp_path / "base" / "one" / "pid").read_text() == "123\n"
    directory.remove(["pid"], lock)
    assert not (tmp_path / "base" / "one").exists()


def test_a_lock_that_was_given_up_can_be_had_again(tmp_path: Path):
    for _ in range(2):
        directory = native.open_private_directory(str(tmp_path), "one")
        lock = directory.lock("pid")
        assert lock is not None
        os.close(lock)
        directory.close()


def test_a_file_where_the_directory_should_be_is_refused(tmp_path: Path):
    (tmp_path / "one").write_text("")
    with pytest.raises(OSError):  # noqa: PT011 - the number differs from system to system
        native.open_private_directory(str(tmp_path), "one")


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_a_control_connection_carries_both_ways_until_it_is_closed(tmp_path: Path, size: int):
    async def main() -> None:
        directory = native.open_private_directory(str(tmp_path), "one")
        listener = directory.listen("control.sock")
        heard = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            data = await reader.readexactly(size)
            writer.write(data[::-1])
            await writer.drain()
            writer.close()
            heard.set()

        server = await native.serve_control(listener, serve)
        path = str(tmp_path / "one" / "control.sock")
        loop = asyncio.get_running_loop()
        for _ in range(3):
            answer = await loop.run_in_executor(None, _converse, path, bytes(size - 1) + b"!")
            assert answer == b"!" + bytes(size - 1)
            await heard.wait()
            heard.clear()
        server.close()
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            await loop.run_in_executor(None, native.connect_control, path, 1.0)
        directory.remove(["control.sock"], None)

    play(main)


def test_who_asks_while_the_control_listener_changes_hands_is_heard(tmp_path: Path):
    async def main() -> None:
        directory = native.open_private_directory(str(tmp_path), "one")
        path = str(tmp_path / "one" / "control.sock")
        loop = asyncio.get_running_loop()

        def saying(what: bytes) -> Callable[..., Awaitable[None]]:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(await reader.readexactly(1) + what)
                writer.close()

            return serve

        old = await native.serve_control(directory.listen("control.sock"), saying(b"old"))
        assert await loop.run_in_executor(None, _converse, path, b"!") == b"!old"
        descriptor = old.hand_over()
        asked = loop.run_in_executor(None, _converse, path, b"?")
        new = await native.serve_control(native.adopt_control(descriptor, path), saying(b"new"))
        assert await asked == b"?new"
        assert await loop.run_in_executor(None, _converse, path, b"!") == b"!new"
        new.close()
        directory.remove(["control.sock"], None)

    play(main)


def test_a_run_directory_changes_hands_with_its_lock(tmp_path: Path):
    directory = native.open_private_directory(str(tmp_path), "one")
    lock = directory.lock("pid")
    assert lock is not None
    copies = _copies(directory.estate(lock))
    again, same_lock = native.adopt_private_directory(str(tmp_path / "one"), copies)
    os.close(lock)
    directory.close()
    os.write(same_lock, b"7")
    assert native.open_private_directory(str(tmp_path), "one").lock("pid") is None
    again.remove(["pid"], same_lock)
    assert not (tmp_path / "one").exists()


def _copies(descriptors: Sequence[int]) -> list[int]:
    """What another process would have of them."""
    left, right = native.channel_pair()
    with left, right:
        packed, copies = native.lend_descriptors(left, descriptors)
        return native.adopt_descriptors(packed) if packed else copies


def _converse(path: str, data: bytes) -> bytes:
    with native.connect_control(path, 30.0) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
        sender.join()
        return answer


def test_nobody_answers_where_nobody_listens(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        native.connect_control(str(tmp_path / "control.sock"), 1.0)


# -- files


def test_a_log_can_be_moved_while_it_is_open(tmp_path: Path):
    path = str(tmp_path / "log")
    one, two = native.open_log(path), native.open_log(path)
    os.write(one, b"first\r\n")
    os.write(two, b"second\n")
    os.rename(path, tmp_path / "old")
    os.write(one, b"third\n")
    three = native.open_log(path)
    os.write(three, b"fourth\n")
    for descriptor in (one, two, three):
        os.close(descriptor)
    assert (tmp_path / "old").read_bytes() == b"first\r\nsecond\nthird\n"
    assert (tmp_path / "log").read_bytes() == b"fourth\n"


def test_a_file_can_be_moved_away_and_removed_while_it_is_read(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"old\r\n")
    with open(tmp_path / "file", "rb", opener=native.open_to_read) as file:
        os.rename(tmp_path / "file", tmp_path / "moved")
        os.unlink(tmp_path / "moved")
        assert file.read() == b"old\r\n"


def test_what_cannot_be_opened_is_named(tmp_path: Path):
    for attempt in (native.open_log, lambda path: native.open_to_read(path, os.O_RDONLY)):
        with pytest.raises(FileNotFoundError) as caught:
            attempt(str(tmp_path / "none" / "file"))
        assert caught.value.filename == str(tmp_path / "none" / "file")


def test_the_standard_streams_have_names():
    assert native.standard_streams[native.log_path("/dev/stdout")] == 1
    assert native.standard_streams[native.log_path("/dev/stderr")] == 2
    descriptor = native.open_log(native.log_path("/dev/null"))
    assert stat.S_ISCHR(os.fstat(descriptor).st_mode)
    os.write(descriptor, b"nowhere\n")
    os.close(descriptor)


# -- accepting


def test_what_is_queued_when_accepting_stops_is_returned():
    async def main() -> None:
        with native.bind("127.0.0.1", 0, shared=False) as listening:
            listening.listen(16)
            address = listening.getsockname()
            acceptance = native.acceptance(listening.dup())
            clients = [socket.create_connection(address, 30) for _ in range(3)]
            queued = acceptance.stop()
            if sys.platform != "win32":  # there it accepts once it is started, and not before
                assert len(queued) == 3
            for each in [*queued, *clients]:
                each.close()

    play(main)


def test_each_connection_is_taken_once_and_none_after_the_stop():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        made: list[object] = []

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:
                made.append(self)
                transport.write(b"hello")
                transport.close()

        tasks = []

        def take(sock: socket.socket) -> None:
            tasks.append(loop.create_task(loop.connect_accepted_socket(Connection, sock)))

        with native.bind("127.0.0.1", 0, shared=False) as listening:
            listening.listen(64)
            address = listening.getsockname()
            acceptance = native.acceptance(listening.dup())
            await acceptance.start(loop, 64, Connection, take)
            for _ in range(20):
                reader, writer = await asyncio.open_connection(*address)
                assert await reader.read() == b"hello"
                writer.close()
            assert len(made) == 20
            assert acceptance.stop() == []
            # The socket still listens: what comes now is for whoever accepts on a copy of it.
            with socket.create_connection(address, 30):
                listening.settimeout(30)
                listening.accept()[0].close()
            assert len(made) == 20

    play(main)


def test_ports_are_not_shared_with_strangers():
    with native.bind("127.0.0.1", 0, shared=False) as ours:
        ours.listen(1)
        with pytest.raises(OSError):  # noqa: PT011 - the number differs from system to system
            native.claim_port("127.0.0.1", ours.getsockname()[1])


@pytest.mark.parametrize("ipv4_compat", [False, True])
def test_a_socket_for_ipv6_takes_ipv4_where_that_is_wanted(ipv4_compat: bool):
    try:
        sock = native.bind("::", 0, False, ipv4_compat)
    except OSError:
        pytest.skip("no IPv6 here")
    with sock:
        sock.listen(4)
        port = sock.getsockname()[1]
        socket.create_connection(("::1", port), 30).close()
        if ipv4_compat:
            socket.create_connection(("127.0.0.1", port), 30).close()
            with pytest.raises(OSError):  # noqa: PT011 - the number differs from system to system
                native.claim_port("::", port, ipv4_compat=True)
        else:
            with pytest.raises(OSError):  # noqa: PT011 - as above
                socket.create_connection(("127.0.0.1", port), 5)


def test_the_machine_grants_something():
    assert native.cpu_count() >= 1
    assert native.raise_descriptor_limit() > 64
    assert native.default_backlog() >= 128
    assert os.path.isabs(native.system_config_path())
    assert all(os.path.isabs(base) for base in native.run_bases())


# -- datagrams


def _received(sock: socket.socket, datagrams: Datagrams, size: int = 100) -> tuple[bytes, Any, bytes]:
    """The next one, however long it takes."""
    while True:
        select.select([sock], [], [], 30)
        try:
            return datagrams.receive(size)
        except BlockingIOError:
            pass


def _bound(host: str, ipv4_compat: bool = False) -> socket.socket:
    try:
        return native.bind_datagrams(host, 0, False, ipv4_compat)
    except OSError:
        assert ":" in host
        pytest.skip("no IPv6 here")


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.7"),
        ("::1", "::1"),
        ("::", "::1"),
    ],
)
def test_who_is_asked_answers(host: str, asked: str):
    with _bound(host) as sock, socket.socket(sock.family, socket.SOCK_DGRAM) as client:
        datagrams = native.datagrams(sock)
        with pytest.raises(BlockingIOError):
            datagrams.receive(100)
        client.settimeout(30)
        client.connect((asked, sock.getsockname()[1]))  # it hears nobody else
        for sent in (b"hello", b"", b"x" * 100):
            client.send(sent)
            data, peer, sender = _received(sock, datagrams)
            assert (data, peer) == (sent, client.getsockname())
            datagrams.send(data[::-1], peer, sender)
            assert client.recv(200) == sent[::-1]


@pytest.mark.parametrize(
    ("host", "asked"),
    [("::", "127.0.0.1"), ("::", "127.0.0.7"), ("::", "::1"), ("::ffff:0.0.0.0", "127.0.0.7")],
)
def test_who_is_asked_by_ipv4_answers(host: str, asked: str):
    kind = socket.AF_INET6 if ":" in asked else socket.AF_INET
    with _bound(host, ipv4_compat=True) as sock, socket.socket(kind, socket.SOCK_DGRAM) as client:
        datagrams = native.datagrams(sock)
        client.settimeout(30)
        client.connect((asked, sock.getsockname()[1]))  # it hears nobody else
        client.send(b"hello")
        data, peer, sender = _received(sock, datagrams)
        assert data == b"hello"
        assert peer[:2] == (
            client.getsockname()[0] if ":" in asked else "::ffff:127.0.0.1",
            client.getsockname()[1],
        )
        datagrams.send(b"olleh", peer, sender)
        assert client.recv(100) == b"olleh"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_rest_of_a_datagram_is_cut_off(host: str):
    with _bound(host) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        datagrams = native.datagrams(sock)
        client.bind(("127.0.0.1", 0))
        for length in (65507, 101, 100):  # the first is the longest there is
            client.sendto(b"x" * length, ("127.0.0.1", sock.getsockname()[1]))
        for length in (100, 100, 100):
            assert _received(sock, datagrams)[:2] == (b"x" * length, client.getsockname())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_client_that_has_gone_is_none_of_the_others_business(host: str):
    with _bound(host) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        datagrams = native.datagrams(sock)
        port = sock.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.sendto(b"a", ("127.0.0.1", port))
            _, peer, sender = _received(sock, datagrams)
        for _ in range(3):
            datagrams.send(b"b", peer, sender)
        client.sendto(b"c", ("127.0.0.1", port))
        assert _received(sock, datagrams)[0] == b"c"


def test_who_has_a_copy_of_a_socket_for_datagrams_hears_and_answers():
    """As while workers are replaced: the old one still answers by its copy when the new one hears."""
    ours, theirs = native.channel_pair()
    with ours, theirs, _bound("127.0.0.1") as sock:
        packed, copies = native.lend_descriptors(ours, [sock.fileno()])
        (lent,) = native.adopt_descriptors(packed) if packed else copies
        with socket.socket(fileno=lent) as copy, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.connect(sock.getsockname())
            first, second = native.datagrams(sock), native.datagrams(copy)
            client.send(b"a")
            _, peer, sender = _received(copy, second)
            with pytest.raises(BlockingIOError):
                first.receive(100)
            first.send(b"first", peer, sender)
            assert client.recv(100) == b"first"
            sock.close()
            client.send(b"b")
            assert _received(copy, second)[0] == b"b"
            second.send(b"second", peer, sender)
            assert client.recv(100) == b"second"


def test_an_address_for_datagrams_is_not_shared_with_strangers():
    with _bound("127.0.0.1") as ours, pytest.raises(OSError):  # noqa: PT011 - its number differs
        native.bind_datagrams("127.0.0.1", ours.getsockname()[1], shared=False)


# -- Unix domain sockets

unix = pytest.mark.skipif(not native.unix_sockets(), reason="a system without Unix domain sockets")


@unix
@pytest.mark.parametrize("abstract", [False, True], ids=["file", "abstract"])
def test_a_loop_connects_to_a_pipe(tmp_path: Path, abstract: bool):
    path = f"@proxyd-test-{os.getpid()}-{tmp_path.name}" if abstract else str(tmp_path / "pipe")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with native.bind_pipe(path, 0) as sock:
            sock.listen(1)
            transport = await native.connect_pipe(loop, asyncio.Protocol, path)
            accepted, _ = await loop.sock_accept(sock)
            transport.write(b"through")
            assert await loop.sock_recv(accepted, 100) == b"through"
            transport.abort()
            accepted.close()
        with pytest.raises(ConnectionRefusedError):
            await native.connect_pipe(loop, asyncio.Protocol, path)

    play(main)


@unix
def test_a_pipe_of_nobody_is_replaced_and_that_of_somebody_is_not(tmp_path: Path):
    path = str(tmp_path / "pipe")
    native.bind_pipe(path, 0).close()
    with native.bind_pipe(path, 0o600) as sock:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        sock.listen(1)
        with pytest.raises(OSError, match="in use"):
            native.bind_pipe(path, 0)
    (tmp_path / "file").write_text("no socket")
    with pytest.raises(OSError, match="in use"):
        native.bind_pipe(str(tmp_path / "file"), 0)
    assert (tmp_path / "file").read_text() == "no socket"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_listens_on_a_port_is_told_and_not_who_is_connected(host: str):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        with socket.create_connection(server.getsockname()[:2]), server.accept()[0]:
            told = native.listening_processes(port, False)
    assert [address for address, _ in told] == [host]
    assert native.listening_processes(port, False) == []


def test_a_connection_is_broken_off():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            native.reset_when_closed(client)
            client.close()
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)


def test_a_refused_connection_is_told_in_the_same_words_everywhere():
    with socket.socket() as held:  # bound and not listening: nobody else gets the port
        held.bind(("127.0.0.1", 0))
        told = []
        try:
            socket.create_connection(held.getsockname(), 10)
        except OSError as error:
            told.append(native.words(error))

        async def connect():
            try:
                await asyncio.open_connection(*held.getsockname())
            except OSError as error:
                told.append(native.words(error))

        play(connect)
    assert told == ["Connection refused", "Connection refused"]


def test_what_a_protocol_has_not_been_given_is_unread():
    async def talk():
        with socket.create_server(("127.0.0.1", 0)) as server:
            reader, writer = await asyncio.open_connection(*server.getsockname())
            peer, _ = server.accept()
            with peer:
                await asyncio.sleep(0)  # the transport waits for bytes
                assert not native.has_unread(writer.transport)
                peer.send(b"x")
                while not native.has_unread(writer.transport):
                    pass  # and the loop does not turn
                assert await reader.read(1) == b"x"
                assert not native.has_unread(writer.transport)
            writer.close()
            await writer.wait_closed()

    play(talk)
