"""proxyd with TLS on either side over real sockets on one loop, and clients of the standard library."""

import asyncio
import ctypes
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.net.server import Server
from proxyd.snapshot import openssl
from proxyd.snapshot.build import compile_snapshot
from proxyd.snapshot.checks import check_snapshot
from proxyd.snapshot.tickets import TicketSecret
from proxyd.stats.metrics import Registry
from proxyd.system import native
from tests.net.playbook import HCM, ROUTER

DOWNSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"

Origin = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def tls_socket(url: str, context: dict[str, Any]) -> dict[str, Any]:
    return {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": url, **context}}


def chain(
    context: dict[str, Any] | None = None,
    manager: dict[str, Any] | None = None,
    body: str = "",
    **fields: Any,
) -> dict[str, Any]:
    """A filter chain; with a ``body`` it answers that itself, else the cluster ``origin`` does."""
    action: dict[str, Any] = {"route": {"cluster": "origin"}}
    if body:
        action = {"direct_response": {"status": 200, "body": {"inline_string": body}}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}]
    http = {
        "@type": HCM,
        "stat_prefix": "test",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
        **(manager or {}),
    }
    made: dict[str, Any] = {"filters": [{"name": "http", "typed_config": http}], **fields}
    if context is not None:
        made["transport_socket"] = tls_socket(DOWNSTREAM, context)
    return made


def certificates(*configs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A DownstreamTlsContext's common part."""
    return {"common_tls_context": {"tls_certificates": list(configs), **fields}}


async def hello_origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with its own head."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(head) + head)
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass
    finally:
        writer.close()


class TlsHouse:
    """One listener, a cluster ``origin``, and its host."""

    def __init__(
        self,
        *chains: dict[str, Any],
        upstream: dict[str, Any] | None = None,
        origin_tls: ssl.SSLContext | None = None,
        origin: Origin = hello_origin,
        cluster: dict[str, Any] | None = None,
        secrets: list[dict[str, Any]] | None = None,
        tickets: TicketSecret | None = None,
        hostname: str = "",
        **listener: Any,
    ) -> None:
        self._chains = chains
        self._upstream = upstream
        self._origin_tls = origin_tls
        self._origin = origin
        self._cluster = cluster or {}
        self._secrets = secrets or []
        self._tickets = tickets
        self._hostname = hostname
        self._listener = listener
        self.registry = Registry()
        self.drained = asyncio.Event()
        self.port = 0
        self._resources: dict[str, Any] = {}
        self.server: Server
        self._origin_server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._origin_server = await asyncio.start_server(self._origin, "127.0.0.1", 0, ssl=self._origin_tls)
        origin_port = self._origin_server.sockets[0].getsockname()[1]
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        sock.setblocking(False)
        self.port = sock.getsockname()[1]
        cluster: dict[str, Any] = {
            "name": "origin",
            "load_assignment": {
                "cluster_name": "origin",
                "endpoints": [
                    {
                        "lb_endpoints": [
                            {"endpoint": {"address": address(origin_port), "hostname": self._hostname}}
                        ]
                    }
                ],
            },
            **self._cluster,
        }
        if self._upstream is not None:
            cluster["transport_socket"] = tls_socket(UPSTREAM, self._upstream)
        self._resources = {"clusters": [cluster], "secrets": self._secrets}
        bootstrap = load_text(Text("test", json.dumps(self.config(*self._chains))), further=check_snapshot)
        loop = asyncio.get_running_loop()
        snapshot = compile_snapshot(bootstrap, self.registry, 0, self._tickets)
        self.server = Server(loop, snapshot, self.registry, self.drained.set)
        await self.server.listen(0, sock)
        return self

    def config(self, *chains: dict[str, Any]) -> dict[str, Any]:
        """What it runs by, with these filter chains."""
        listener = {"name": "test", "address": address(self.port), "filter_chains": list(chains)}
        return {"static_resources": {"listeners": [listener | self._listener], **self._resources}}

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        self._origin_server.close()
        await asyncio.sleep(0)

    def count(self, name: str) -> int:
        """A counter or gauge of the listener (``ssl.handshake``), or of anything by its full name."""
        for full in (name, f"listener.127.0.0.1_{self.port}.{name}"):
            if full in self.registry.counters:
                return self.registry.counters[full].value
            if full in self.registry.gauges:
                return self.registry.gauges[full].value
        return 0

    async def connect(
        self, context: ssl.SSLContext | None = None, server_name: str = "localhost"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=server_name if context else None
        )

    async def get(
        self, context: ssl.SSLContext | None = None, server_name: str = "localhost", headers: str = ""
    ) -> tuple[int, str]:
        """Status and body of one request on a connection of its own."""
        reader, writer = await self.connect(context, server_name)
        try:
            return await get(reader, writer, headers)
        finally:
            writer.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test on the loop that workers have."""
    with asyncio.Runner(loop_factory=native.new_event_loop) as runner:
        runner.run(main)


async def get(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: str = ""
) -> tuple[int, str]:
    writer.write(f"GET / HTTP/1.1\r\nhost: test.example\r\n{headers}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(int(line[16:]) for line in head.split("\r\n") if line.startswith("content-length: "))
    return int(head[9:12]), (await reader.readexactly(length)).decode()


def client(trust: str | None = None, pair: Any = None, **versions: Any) -> ssl.SSLContext:
    """A client's context; without ``trust`` it takes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if trust is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=trust)
    return _with(context, pair, versions)


def server(pair: Any, trust: str | None = None, **versions: Any) -> ssl.SSLContext:
    """An origin's context; with ``trust`` it demands a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if trust is not None:
        context.load_verify_locations(cadata=trust)
        context.verify_mode = ssl.CERT_REQUIRED
    return _with(context, pair, versions)


def _with(context: ssl.SSLContext, pair: Any, versions: dict[str, Any]) -> ssl.SSLContext:
    if pair is not None:
        with native.private_file(pair.chain.encode()) as chain, native.private_file(pair.key.encode()) as key:
            context.load_cert_chain(chain, key)
    for name, value in versions.items():
        setattr(context, name, value)
    return context


class Resuming:
    """A client on sockets in memory that can offer a session of another connection."""

    def __init__(self, version: ssl.TLSVersion, who: Any = None) -> None:
        self.context = client(pair=who, minimum_version=version, maximum_version=version)
        self.session: ssl.SSLSession | None = None
        self.reused: bool | None = None

    async def get(self, port: int) -> bool:
        """Make a request; whether its connection resumed the session, which is then the latest."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(incoming, outgoing, False, "localhost", self.session)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def step(do: Callable[[], Any]) -> Any:
            while True:
                try:
                    result = do()
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    data = await reader.read(65536)
                    if not data:
                        raise ConnectionError("closed") from None
                    incoming.write(data)
                else:
                    writer.write(outgoing.read())
                    return result

        try:
            await step(tls.do_handshake)
            self.reused = tls.session_reused
            tls.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await step(lambda: tls.read(65536))).startswith(b"HTTP/1.1 200 OK")
            self.session = tls.session
            return bool(tls.session_reused)
        finally:
            writer.close()


def buffered_memory(buffer: ssl.MemoryBIO) -> int:
    """How many bytes OpenSSL has for the content of a buffer."""

    class Memory(ctypes.Structure):
        _fields_ = [("length", ctypes.c_size_t), ("data", ctypes.c_void_p), ("most", ctypes.c_size_t)]

    library, pointer = openssl._reach(buffer)
    found = ctypes.c_void_p()
    library.BIO_ctrl(pointer, 115, 0, ctypes.byref(found))  # BIO_C_GET_BUF_MEM_PTR
    assert found.value
    return int(Memory.from_address(found.value).most)


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
