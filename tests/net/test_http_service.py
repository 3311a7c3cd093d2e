"""HTTP answered by a handler of this process."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest

from proxyd.net.downstream import Http1Downstream
from proxyd.net.http_service import MAX_BODY, MAX_CONNECTIONS, HttpService, LocalReply, LocalRequest
from proxyd.stats.metrics import Registry
from proxyd.system import native
from tests.net.dialogue import request, starts
from tests.net.playbook import Client, Clock, MemoryTransport, StageLoop


class Desk:
    """A service whose handler keeps what it is asked and answers what it is told."""

    def __init__(self, clock: Clock) -> None:
        self.loop = StageLoop(clock)
        self.registry = Registry()
        self.asked: list[LocalRequest] = []
        self.reply: Callable[[LocalRequest], Awaitable[LocalReply]] = self._hello
        self.service = HttpService(self.loop, self._handle, self.registry, "admin", [])

    async def _handle(self, request: LocalRequest) -> LocalReply:
        self.asked.append(request)
        return await self.reply(request)

    async def _hello(self, request: LocalRequest) -> LocalReply:
        return LocalReply(200, [("content-type", "text/plain"), ("x-a", "b")], b"hello")

    def connect(self) -> Client:
        protocol = Http1Downstream(self.service._listener)
        client = Client(self.loop, MemoryTransport(self.loop, protocol, ("127.0.0.1", 1), ("127.0.0.1", 2)))
        protocol.connection_made(client.transport)
        return client

    def active(self) -> int:
        return self.registry.gauges["http.admin.downstream_rq_active"].value


@pytest.fixture
def desk(clock: Clock) -> Iterator[Desk]:
    desk = Desk(clock)
    yield desk
    desk.service.close()
    desk.loop.turn()
    assert desk.active() == 0
    assert desk.registry.gauges["http.admin.downstream_cx_active"].value == 0
    assert desk.loop.bugs == []
    desk.loop.close()


def test_a_request_is_handed_over_whole(desk: Desk) -> None:
    client = desk.connect()
    client.say(request("POST", "/stats?a=b&c", "X-Y: z", "content-length: 6", body=b"abc"))
    assert desk.asked == []
    client.say(b"def")
    (asked,) = desk.asked
    assert (asked.method, asked.path, asked.query, asked.body) == ("POST", "/stats", "a=b&c", b"abcdef")
    assert ("host", "x") in asked.headers
    assert ("x-y", "z") in asked.headers
    assert client.hears() == [
        "HTTP/1.1 200 OK",
        "content-type: text/plain",
        "x-a: b",
        "content-length: 5",
        "",
        "hello",
    ]
    client.say(request("HEAD", "/"))
    assert client.hears()[-3:] == ["content-length: 5", "", ""]


def test_pipelined_requests_are_answered_in_order(desk: Desk) -> None:
    answers: list[asyncio.Future[LocalReply]] = []

    def later(asked: LocalRequest) -> Awaitable[LocalReply]:
        answers.append(desk.loop.create_future())
        return answers[-1]

    desk.reply = later
    client = desk.connect()
    client.say(request("GET", "/1") + request("GET", "/2"))
    assert len(answers) == 1
    answers[0].set_result(LocalReply(200, [], b"one"))
    desk.loop.turn()
    answers[1].set_result(LocalReply(200, [], b"two"))
    desk.loop.turn()
    assert starts(client) == ["HTTP/1.1 200 OK", "one", "HTTP/1.1 200 OK", "two"]


def test_a_broken_handler_costs_its_own_request(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(asked: LocalRequest) -> LocalReply:
        raise LookupError("bug")

    desk.reply = broken
    client, other = desk.connect(), desk.connect()
    client.say(request("GET", "/x"))
    assert starts(client)[0] == "HTTP/1.1 500 Internal Server Error"
    assert "bug: GET /x" in caplog.text
    desk.reply = desk._hello
    other.say(request("GET", "/"))
    assert starts(other) == ["HTTP/1.1 200 OK", "hello"]


def test_a_reply_that_cannot_be_written_is_the_handlers_bug_too(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async def odd(asked: LocalRequest) -> LocalReply:
        return LocalReply(200, [("x", "\u20ac")], b"")

    desk.reply = odd
    client = desk.connect()
    client.say(request("GET", "/x"))
    assert starts(client)[0] == "HTTP/1.1 500 Internal Server Error"
    assert "bug: GET /x" in caplog.text


def test_a_body_may_be_so_large_and_no_larger(desk: Desk) -> None:
    client = desk.connect()
    client.say(request("POST", "/", f"content-length: {MAX_BODY}"), b"x" * MAX_BODY)
    assert len(desk.asked[0].body) == MAX_BODY
    assert starts(client) == ["HTTP/1.1 200 OK", "hello"]
    client.say(request("POST", "/", "content-length: 99999999"), b"x" * MAX_BODY, b"x")
    heard = client.hears()
    assert heard[0] == "HTTP/1.1 413 Payload Too Large"
    assert "connection: close" in heard
    assert client.ended
    assert len(desk.asked) == 1


def test_a_large_reply_goes_out_whole(desk: Desk) -> None:
    async def large(asked: LocalRequest) -> LocalReply:
        return LocalReply(200, [], b"x" * 5_000_000)

    desk.reply = large
    client = desk.connect()
    client.stall()
    client.say(request("GET", "/", "connection: close"))
    client.take()
    assert client.heard().count(b"x") == 5_000_000
    assert client.closed


def test_a_client_that_leaves_ends_its_handler(desk: Desk) -> None:
    ended: list[str] = []

    async def slow(asked: LocalRequest) -> LocalReply:
        try:
            await desk.loop.create_future()
        except asyncio.CancelledError:
            ended.append(asked.path)
            raise
        raise AssertionError

    desk.reply = slow
    client = desk.connect()
    client.say(request("GET", "/slow"))
    assert desk.active() == 1
    client.close()
    assert ended == ["/slow"]
    assert desk.active() == 0


def test_what_is_no_request_is_refused(desk: Desk) -> None:
    client = desk.connect()
    client.say(b"BAD\r\n\r\n")
    assert starts(client) == ["HTTP/1.1 400 Bad Request", "Bad Request"]
    client = desk.connect()
    client.say(b"GET / HTTP/1.1\r\n\r\n")
    assert starts(client) == ["HTTP/1.1 400 Bad Request"]
    client = desk.connect()
    client.say(request("POST", "/", "transfer-encoding: chunked", body=b"1\r\na\r\nzz\r\n"))
    assert starts(client) == ["HTTP/1.1 400 Bad Request", "Bad Request"]
    assert desk.asked == []


def test_a_request_that_expects_100_continue_gets_it(desk: Desk) -> None:
    client = desk.connect()
    client.say(request("POST", "/", "expect: 100-continue", "content-length: 1"))
    assert client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.say(b"x")
    assert starts(client) == ["HTTP/1.1 200 OK", "hello"]


def test_connections_are_limited(desk: Desk) -> None:
    clients = [desk.connect() for _ in range(MAX_CONNECTIONS + 1)]
    desk.loop.turn()
    assert [client.closed for client in clients[-2:]] == [False, True]
    overflow = [name for name in desk.registry.counters if name.endswith("downstream_cx_overflow")]
    assert [(name, desk.registry.counters[name].value) for name in overflow] == [
        ("listener.admin.downstream_cx_overflow", 1)
    ]
    clients[0].reset()
    successor = desk.connect()
    desk.loop.turn()
    assert not successor.closed


def test_who_was_accepted_before_another_process_has_the_address_is_still_answered() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        asked, held = asyncio.Event(), asyncio.Event()

        async def handle(request: LocalRequest) -> LocalReply:
            asked.set()
            await held.wait()
            return LocalReply(200, [], b"late")

        service = HttpService(loop, handle, Registry(None), "admin", [])
        with socket.create_server(("127.0.0.1", 0)) as kept:
            await service.listen(kept.dup())
            reader, writer = await asyncio.open_connection(*kept.getsockname())
            writer.write(request("GET", "/"))
            await asked.wait()
            service.retire()
            late = await asyncio.open_connection(*kept.getsockname())  # the other process's
            waiting = loop.create_task(service.drained(30))
            held.set()
            answer = await reader.read()
            await waiting
            writer.close()
            late[1].write(request("GET", "/"))
            service.close()
            kept.setblocking(True)
            with kept.accept()[0] as connection:
                assert connection.recv(100).startswith(b"GET / ")
            late[1].close()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in answer
        assert answer.endswith(b"late")

    with asyncio.Runner(loop_factory=native.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 60))


def test_who_is_queued_when_it_closes_is_closed() -> None:
    async def main() -> None:
        async def handle(request: LocalRequest) -> LocalReply:
            raise AssertionError("nobody is answered any more")

        service = HttpService(asyncio.get_running_loop(), handle, Registry(None), "admin", [])
        with socket.create_server(("127.0.0.1", 0)) as kept:
            await service.listen(kept.dup())
            with socket.create_connection(kept.getsockname(), 30) as client:
                service.close()
                gc.collect()  # tells of what was forgotten
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""

    with asyncio.Runner(loop_factory=native.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 60))
