"""A stage for dialogues: scripted clients and origins on a clock that stands still.

Nothing here is a socket. Transports are in memory and behave as asyncio's do; the loop turns when a test says
so, and time passes when a test says so.
"""

import asyncio
import errno
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.net.accepting import new_connection
from proxyd.net.server import Server
from proxyd.snapshot.build import compile_snapshot
from proxyd.stats.metrics import Registry

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

LOG_FORMAT = "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
HOST = ("10.0.0.1", 80)


class Clock:
    """The time of a stage, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class StageLoop(asyncio.SelectorEventLoop):
    """A loop that takes its time from a clock and its connections from the test."""

    def __init__(self, clock: Clock) -> None:
        self._stage_clock = clock
        super().__init__()
        self.bugs: list[BaseException | str] = []
        self.dials: list[Dial] = []
        self.stall_next = False  # the next host that is connected to reads nothing
        self.greeting = b""  # what hosts say before anybody has noticed that the connection is there
        self.set_exception_handler(self._on_bug)

    def time(self) -> float:
        return self._stage_clock.now

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.bugs.append(context.get("exception") or context["message"])

    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], Any], host: str, port: int, **options: object
    ) -> tuple[asyncio.Transport, Any]:
        dial = Dial(self, host, port)
        self.dials.append(dial)
        await dial.answer
        protocol = factory()
        transport = MemoryTransport(self, protocol, ("10.9.9.9", 50000), (host, port))
        dial.transport = transport
        transport.stalled, self.stall_next = self.stall_next, False
        protocol.connection_made(transport)
        if self.greeting:
            protocol.data_received(self.greeting)
        return transport, protocol

    def turn(self) -> None:
        """Run whatever is ready until nothing is."""
        for _ in range(12):
            self.call_soon(self.stop)
            self.run_forever()


class MemoryTransport(asyncio.Transport):
    """One end of a connection, as the loop would give it to a protocol; the test is the other end."""

    def __init__(self, loop: StageLoop, protocol: Any, local: tuple[str, int], peer: tuple[str, int]) -> None:
        super().__init__({"sockname": local, "peername": peer})
        self._loop = loop
        self._protocol = protocol
        self._high = 64 * 1024
        self._buffer = bytearray()
        self._inbox: list[bytes] = []
        self._closing = False
        self._protocol_paused = False
        self._peer_closed = False
        self.reading = True
        self.eof_written = False
        self.lost = False
        self.stalled = False  # the peer takes nothing
        self.arrived = bytearray()

    # -- what a protocol calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert data, "an empty write"
        if self._closing or self.lost:
            return
        assert not self.eof_written, "a write after the end"
        self._buffer += data
        if not self.stalled:
            self._flush()
        elif len(self._buffer) > self._high and not self._protocol_paused:
            self._protocol_paused = True
            self._protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self._high = high

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def write_eof(self) -> None:
        self.eof_written = True

    def can_write_eof(self) -> bool:
        return True

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        if not self.reading:
            self.reading = True
            self._loop.call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._buffer:
                self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self._buffer.clear()
        if not self.lost:
            self._closing = True
            self._loop.call_soon(self._lose, None)

    # -- the other end

    def send(self, data: bytes) -> None:
        """The peer sends; what a paused protocol does not read waits."""
        self._inbox.append(data)
        self._deliver()

    def send_eof(self) -> None:
        self._peer_closed = True
        self._deliver()

    def send_reset(self) -> None:
        self._loop.call_soon(self._lose, ConnectionResetError(104, "Connection reset by peer"))

    def take(self, count: int | None = None) -> None:
        """The peer reads ``count`` bytes of what is buffered, or all and whatever follows."""
        if count is None:
            self.stalled = False
            count = len(self._buffer)
        self._flush(count)

    @property
    def unread(self) -> int:
        return sum(len(data) for data in self._inbox)

    def _flush(self, count: int | None = None) -> None:
        count = len(self._buffer) if count is None else count
        self.arrived += self._buffer[:count]
        del self._buffer[:count]
        if self._protocol_paused and len(self._buffer) <= self._high // 4:
            self._protocol_paused = False
            self._protocol.resume_writing()
        if self._closing and not self._buffer:
            self._loop.call_soon(self._lose, None)

    def _deliver(self) -> None:
        while self._inbox and self.reading and not self._closing:
            data = self._inbox.pop(0)
            try:
                self._protocol.data_received(data)
            except Exception as error:  # noqa: BLE001 - as asyncio does
                self._loop.call_exception_handler({"message": "fatal", "exception": error})
                self.abort()
        over = self._peer_closed and not self._inbox and self.reading and not self._closing
        if over and not self._protocol.eof_received():
            self.close()

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self._closing = True
            self._protocol.connection_lost(error)


class Dial:
    """A connection that proxyd is making."""

    def __init__(self, loop: StageLoop, host: str, port: int) -> None:
        self._loop = loop
        self.address = (host, port)
        self.answer: asyncio.Future[None] = loop.create_future()
        self.transport: MemoryTransport | None = None

    def accept(self) -> "Origin":
        self.answer.set_result(None)
        self._loop.turn()
        assert self.transport is not None
        return Origin(self._loop, self.transport)

    def refuse(self, error: OSError | None = None) -> None:
        self.answer.set_exception(error or ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
        self._loop.turn()


class Peer:
    """Somebody proxyd talks to."""

    def __init__(self, loop: StageLoop, transport: MemoryTransport) -> None:
        self._loop = loop
        self.transport = transport

    @property
    def closed(self) -> bool:
        return self.transport.lost

    @property
    def ended(self) -> bool:
        """proxyd has ended its side, perhaps without having closed yet."""
        return self.transport.lost or self.transport.eof_written

    def say(self, *pieces: bytes) -> None:
        for data in pieces:
            self.transport.send(data)
            self._loop.turn()

    def heard(self) -> bytes:
        """What has come since the last look."""
        data = bytes(self.transport.arrived)
        self.transport.arrived.clear()
        return data

    def close(self) -> None:
        self.transport.send_eof()
        self._loop.turn()

    def reset(self) -> None:
        self.transport.send_reset()
        self._loop.turn()

    def stall(self) -> None:
        """Read nothing any more."""
        self.transport.stalled = True

    def take(self, count: int | None = None) -> None:
        self.transport.take(count)
        self._loop.turn()


class Client(Peer):
    """A client."""

    def hears(self) -> list[str]:
        """The responses that have come, as lines, without what differs from run to run."""
        text = _NEXT.sub("\r\nHTTP/1.", self.heard().decode("latin-1"))
        return [_tidy(line) for line in text.split("\r\n") if not _noise(line)]


class Origin(Peer):
    """A host of a cluster."""

    def request(self) -> list[str]:
        """The request it was sent, as lines, without what differs from run to run."""
        return [line for line in self.heard().decode("latin-1").split("\r\n") if not _noise(line)]


_NEXT = re.compile(r"(?<=[^\n])HTTP/1\.")


def _noise(line: str) -> bool:
    return line.startswith(("date: ", "server: ", "x-request-id: ", "x-forwarded-proto: "))


def _tidy(line: str) -> str:
    return "x-envoy-upstream-service-time: N" if line.startswith("x-envoy-upstream-service-time: ") else line


class Stage:
    """A listener with its routes and clusters; ``manager`` and ``cluster`` hold options of Envoy."""

    def __init__(
        self,
        clock: Clock,
        directory: Path,
        routes: list[dict[str, Any]] | None = None,
        manager: dict[str, Any] | None = None,
        cluster: dict[str, Any] | None = None,
        listener: dict[str, Any] | None = None,
        runtime: dict[str, Any] | None = None,
        hosts: tuple[tuple[str, int], ...] = (HOST,),
    ) -> None:
        self.clock = clock
        self.loop = StageLoop(clock)
        self.registry = Registry()
        self.idle = 0
        self._log = directory / "access.log"
        self._logged = 0
        text = _bootstrap(self._log, routes, manager or {}, cluster or {}, listener or {}, runtime, hosts)
        self.snapshot = compile_snapshot(load_text(Text("stage", text)), self.registry, 0)
        self.server = Server(self.loop, self.snapshot, self.registry, self._on_idle)
        self.listener = self.server._listeners[0].chains[0]
        self.clients: list[Client] = []

    def _on_idle(self) -> None:
        self.idle += 1

    def change(
        self,
        routes: list[dict[str, Any]] | None = None,
        manager: dict[str, Any] | None = None,
        cluster: dict[str, Any] | None = None,
        listener: dict[str, Any] | None = None,
        drain: float = 10.0,
    ) -> None:
        """Another configuration takes the place of the present one."""
        text = _bootstrap(self._log, routes, manager or {}, cluster or {}, listener or {}, None, (HOST,))
        bootstrap = load_text(Text("stage", text))
        snapshot = compile_snapshot(bootstrap, self.registry, 0, None, self.server.snapshot)
        self.server.commit(self.server.prepare(snapshot), drain)
        self.listener = self.server._listeners[0].chains[0]

    # -- actors

    def connect(self) -> Client:
        protocol = new_connection(self.listener)
        peer = ("192.0.2.7", 40000 + len(self.clients))
        client = Client(self.loop, MemoryTransport(self.loop, protocol, ("127.0.0.1", 8080), peer))
        protocol.connection_made(client.transport)
        self.loop.turn()
        self.clients.append(client)
        return client

    def dial(self) -> Dial:
        """The connection that proxyd is making and nobody has looked at yet."""
        assert len(self.loop.dials) == 1, f"{len(self.loop.dials)} connections are being made"
        return self.loop.dials.pop(0)

    def origin(self) -> Origin:
        """Accept the connection that proxyd is making."""
        return self.dial().accept()

    # -- time

    def turn(self) -> None:
        self.loop.turn()

    def pass_time(self, seconds: float) -> None:
        """Let time go by, everything due being done at about its moment."""
        end = self.clock.now + seconds
        while True:
            self.loop.turn()
            due = min((handle.when() for handle in self.loop._scheduled), default=end)  # type: ignore[attr-defined]
            if due >= end:
                break
            self.clock.now = max(self.clock.now + 0.001, due)
        self.clock.now = end
        self.loop.turn()

    # -- what is counted and logged

    def counter(self, name: str) -> int:
        return self.registry.counters[name].value

    def http(self, name: str) -> int:
        return self.counter(f"http.in.{name}")

    def upstream(self, name: str) -> int:
        return self.counter(f"cluster.backend.{name}")

    def host(self, name: str) -> int:
        return self.counter(f"host.backend;10.0.0.1:80.{name}")

    def active(self) -> dict[str, int]:
        """Every gauge of something under way that is not 0, by the end of its name."""
        return {
            name: gauge.value
            for name, gauge in self.registry.gauges.items()
            if name.endswith("_active") and gauge.value
        }

    def log(self) -> list[str]:
        """The access log's lines since the last look."""
        assert self.server._logs.flush_now(10.0)
        lines = self._log.read_text().splitlines()
        new = lines[self._logged :]
        self._logged = len(lines)
        return new

    def finish(self) -> None:
        """Everyone leaves; then nothing may be under way, and nothing unexpected may have happened."""
        for client in self.clients:
            if not client.closed:
                client.transport.take()
                client.reset()
        assert not {name: n for name, n in self.active().items() if "_rq_" in name or "pending" in name}
        self.server.close()
        self.turn()
        assert self.active() == {}
        assert self.server.connections == 0
        assert self.loop.bugs == []

    def close(self) -> None:
        for dial in self.loop.dials:
            dial.answer.cancel()
        self.server.close()
        self.turn()
        self.loop.close()


def _address(ip: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


DIRECT = {"match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "hi"}}}
BACKEND = {"match": {"prefix": "/"}, "route": {"cluster": "backend"}}


def _bootstrap(
    log: Path,
    routes: list[dict[str, Any]] | None,
    manager: dict[str, Any],
    cluster: dict[str, Any],
    listener: dict[str, Any],
    runtime: dict[str, Any] | None,
    hosts: tuple[tuple[str, int], ...],
) -> str:
    file_log = {
        "@type": FILE_LOG,
        "path": str(log),
        "log_format": {"text_format_source": {"inline_string": LOG_FORMAT}},
    }
    hcm = {
        "@type": HCM,
        "stat_prefix": "in",
        "access_log": [{"name": "log", "typed_config": file_log}],
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes or [DIRECT, BACKEND]}]
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        **manager,
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": hcm}]
    endpoints = [{"endpoint": {"address": _address(ip, port)}} for ip, port in hosts]
    bootstrap: dict[str, Any] = {
        "static_resources": {
            "listeners": [
                {
                    "name": "front",
                    "address": _address("127.0.0.1", 8080),
                    "filter_chains": [{"filters": filters}],
                    **listener,
                }
            ],
            "clusters": [
                {
                    "name": "backend",
                    "connect_timeout": "2s",
                    "load_assignment": {
                        "cluster_name": "backend",
                        "endpoints": [{"lb_endpoints": endpoints}],
                    },
                    **cluster,
                }
            ],
        }
    }
    if runtime is not None:
        bootstrap["layered_runtime"] = {"layers": [{"name": "static", "static_layer": runtime}]}
    return json.dumps(bootstrap)
