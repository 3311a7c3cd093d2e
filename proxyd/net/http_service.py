"""HTTP answered by this process itself, on the same server side that proxies: the admin API lives on it."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final

from proxyd.codec.framing import LENGTH, NO_BODY
from proxyd.codec.headers import Headers
from proxyd.codec.messages import RequestHead
from proxyd.errors import INTERNAL_ERROR, MISSING_HOST, Failure
from proxyd.net.acceptor import Acceptor
from proxyd.net.access_log import AccessLogger
from proxyd.net.connection_manager import HttpDate
from proxyd.net.downstream import Http1Downstream
from proxyd.net.limits import ConnectionLimit
from proxyd.net.listener import Connection, Connections, HttpListener, Served
from proxyd.net.stream import DownstreamStream, Stream, StreamFactory
from proxyd.net.timers import TimerWheel
from proxyd.snapshot.http_connection_manager import HttpConnectionOptions
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import HttpStats, ListenerStats

logger = logging.getLogger("admin")

MAX_BODY: Final = 1024 * 1024
_BACKLOG: Final = 1024
MAX_CONNECTIONS: Final = 256  # the descriptors of this process are needed for more than answering

_TOO_LARGE: Final = Failure(413, b"Payload Too Large", 0, "request_payload_too_large", True)


class LocalRequest:
    """A whole request. ``path`` is without its query; header names are lower-case."""

    def __init__(
        self, method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        self.method: Final = method
        self.path: Final = path
        self.query: Final = query
        self.headers: Final = headers
        self.body: Final = body


class LocalReply:
    """A whole response; ``headers`` come beside content-length, date and server."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status: Final = status
        self.headers: Final = headers
        self.body: Final = body


Handler = Callable[[LocalRequest], Awaitable[LocalReply]]


class LocalExchange(Stream):
    """Collects a request, has it answered in a task, sends the answer."""

    def __init__(self, service: "HttpService", downstream: DownstreamStream) -> None:
        super().__init__()
        self._service: Final = service
        self._downstream: Final = downstream
        self._body: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._done: bool = False
        service.stats.downstream_rq_total.value += 1
        service.stats.downstream_rq_active.value += 1

    def _begin(self, now: float) -> None:
        self.start = now
        self.start_time = time.time()
        info = self._downstream.connection_info()
        self.downstream_remote_address = info.remote_address
        self.connection = info

    def on_request(self, head: RequestHead, now: float) -> None:
        self._begin(now)
        self.method = head.method
        self.path = head.path
        self.authority = head.authority
        self.protocol = "HTTP/1.1" if head.version_minor else "HTTP/1.0"
        self.request_headers = head.headers
        if not head.authority:
            self._fail(MISSING_HOST, now)
            return
        if head.expect_continue:
            self._downstream.send_interim(100, [])
        if head.body == NO_BODY:
            self._answer()

    def on_request_data(self, data: bytes, now: float) -> None:
        if self._done:
            return
        self._body.append(data)
        self.bytes_received += len(data)
        if self.bytes_received > MAX_BODY:
            self._fail(_TOO_LARGE, now)

    def on_request_end(self, now: float) -> None:
        if not self._done:
            self._answer()

    def on_request_failure(self, failure: Failure, now: float) -> None:
        if not self.start:
            self._begin(now)
            self.protocol = "HTTP/1.1"
        self._fail(failure, now)

    def on_downstream_reset(self, failure: Failure, now: float) -> None:
        if self._done:
            return
        self._done = True
        self.response_flags |= failure.flags
        self.response_code = 0
        if self._task is not None:
            self._task.cancel()
        self._account(now)

    def on_bug(self) -> None:
        self._downstream.abort()

    def on_deadline(self, now: float) -> None:
        """An answer takes the time it takes."""

    def _answer(self) -> None:
        path, _, query = self.path.decode("latin-1").partition("?")
        request = LocalRequest(
            self.method.decode("latin-1"),
            path,
            query,
            [("host", self.authority.decode("latin-1"))]
            + [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.request_headers],
            b"".join(self._body),
        )
        self._task = self._service.loop.create_task(self._run(request))

    async def _run(self, request: LocalRequest) -> None:
        try:
            reply = await self._service.handler(request)
            self._send(reply.status, reply.headers, reply.body, time.monotonic())
        except Exception:  # a broken handler costs its own request only
            logger.exception("bug: %s %s", request.method, request.path)
            self._fail(INTERNAL_ERROR, time.monotonic())

    def _fail(self, failure: Failure, now: float) -> None:
        self.response_flags |= failure.flags
        self.response_code_details = failure.details
        if failure.close:
            self._downstream.close_after()
        self._send(failure.status, [("content-type", "text/plain")], failure.body, now)

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes, now: float) -> None:
        if self._done:
            return
        items = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._done = True
        self.response_code = status
        self.bytes_sent = 0 if self.method == b"HEAD" else len(body)
        items.append((b"content-length", b"%d" % len(body)))
        items.append(self._service.date.field())
        items.append((b"server", b"envoy"))
        self.response_headers = Headers(items)
        self._downstream.send_head(status, self.response_headers, LENGTH if body else NO_BODY)
        self._downstream.send_data(body)
        self._account(now)
        self._downstream.end()

    def _account(self, now: float) -> None:
        self.end = now
        stats = self._service.stats
        stats.downstream_rq_active.value -= 1
        stats.downstream_rq_time.record(int((now - self.start) * 1e6))
        if self.response_code:
            stats.downstream_rq_completed.value += 1
            stats.downstream_rq_xxx[self.response_code // 100].value += 1
        for access_logger in self._service.access_loggers:
            access_logger.log(self)


class _Connections(Connections):
    """Those of a service, which may be waited for."""

    def __init__(self, stats: ListenerStats, limit: ConnectionLimit) -> None:
        super().__init__(stats, limit, [])
        self.changed: asyncio.Event | None = None  # while somebody waits

    def on_closed(self) -> None:
        if self.changed is not None:
            self.changed.set()


class HttpService(StreamFactory, Served):
    """One address on which a handler answers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handler: Handler,
        registry: Registry,
        stat_prefix: str,
        access_loggers: list[AccessLogger],
    ) -> None:
        self.loop: Final = loop
        self.handler: Final = handler
        self.stats: Final = HttpStats(registry, stat_prefix)
        self.access_loggers: Final = access_loggers
        self.date: Final = HttpDate()
        self._wheel: Final = TimerWheel(loop)
        self._connections: Final = _Connections(
            ListenerStats(registry, stat_prefix, stat_prefix, 0), ConnectionLimit(MAX_CONNECTIONS)
        )
        self._listener: Final = HttpListener(
            HttpConnectionOptions(),
            self,
            self._connections,
            self.stats,
            self._wheel,
        )
        self._acceptor: Acceptor | None = None
        # Accepted, and not with their protocols yet.
        self._taken: Final[dict[asyncio.Task[None], socket.socket]] = {}

    def new_stream(self, downstream: DownstreamStream) -> Stream:
        return LocalExchange(self, downstream)

    async def listen(self, sock: socket.socket) -> None:
        """Answer on a bound and listening socket, which from now on belongs to this service."""
        self._acceptor = Acceptor(self, sock)
        await self._acceptor.start(self.loop, _BACKLOG, self._take)

    def protocol(self) -> Connection:
        return Http1Downstream(self._listener)

    def retire(self) -> None:
        """Leave the address to another process: accept what has come by now and no more.

        Connections close with their next answers.
        """
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            for connection in acceptor.stop():
                self._take(acceptor, connection)
        self._listener.set_drain_close(True)

    async def drained(self, seconds: float) -> None:
        """Wait until no connection is open; after ``seconds`` at most."""
        self._connections.changed = changed = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                while self._taken or self._connections.all:
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            pass

    def close(self) -> None:
        """Stop accepting and close every connection."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            for queued in acceptor.stop():
                queued.close()
        for task in self._taken:
            task.cancel()
        for connection in list(self._connections.all):
            connection.abort()
        self._wheel.close()

    def _take(self, acceptor: Acceptor, connection: socket.socket) -> None:
        task = self.loop.create_task(acceptor.take(self.loop, connection))
        self._taken[task] = connection
        task.add_done_callback(self._on_taken)

    def _on_taken(self, task: "asyncio.Task[None]") -> None:
        connection = self._taken.pop(task)
        if task.cancelled():  # perhaps before it had begun
            connection.close()
        self._connections.on_closed()
