"""The host behind every proxy: `python origin.py PORT`. As little work as a server can do.

`GET /body/N` is answered with N bytes, everything else with two; bodies of requests are thrown away. A
connection that asks for a WebSocket has each of its frames echoed (pingpong.py), one of HTTP/2 is gRPC's.
"""

import asyncio
import sys

import uvloop
from grpc_origin import GrpcOrigin
from pingpong import ECHO, PING, SWITCHED

_SMALL = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
_PIECE = bytes(256 * 1024)


class Origin(asyncio.Protocol):
    """One connection. Requests come one after the other, never pipelined: proxies do not pipeline."""

    def __init__(self) -> None:
        self._head = b""
        self._body = 0  # of the request, still to come
        self._reply = 0  # of the response, still to be sent
        self._blocked = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._body:
            self._take_body(len(data))
            return
        head, found, rest = (self._head + data).partition(b"\r\n\r\n")
        if not found:
            self._head = head
            return
        self._head = b""
        if head == b"PRI * HTTP/2.0":
            self._become(GrpcOrigin(self._transport), rest)
            return
        if head.startswith(b"GET /echo "):
            self._transport.write(SWITCHED)
            self._become(Echo(self._transport), rest)
            return
        place = head.find(b"\r\ncontent-length: ")
        if place >= 0 and not head.startswith(b"GET"):
            self._body = int(head[place + 18 :].partition(b"\r\n")[0])
            if self._body:
                self._take_body(len(rest))
                return
        if head.startswith(b"GET /body/"):
            self._reply = int(head[10:].partition(b" ")[0])
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % self._reply)
            self._send()
        else:
            self._transport.write(_SMALL)

    def _become(self, protocol: asyncio.Protocol, rest: bytes) -> None:
        self._transport.set_protocol(protocol)
        if rest:
            protocol.data_received(rest)

    def _take_body(self, count: int) -> None:
        self._body -= count
        if not self._body:
            self._transport.write(_SMALL)

    def _send(self) -> None:
        while self._reply and not self._blocked:
            count = min(self._reply, len(_PIECE))
            self._reply -= count
            self._transport.write(_PIECE if count == len(_PIECE) else _PIECE[:count])

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._send()


class Echo(asyncio.Protocol):
    """A connection of one WebSocket. The client waits for each echo, so frames come whole."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        if data == PING:
            self._write(ECHO)


async def main(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        uvloop.run(main(int(sys.argv[1])))
    except KeyboardInterrupt:
        pass
