"""The hosts behind the proxies answer as the load expects, and the load sees when it is not answered so."""

import asyncio
import threading
from collections.abc import Iterator

import h2.connection
import h2.events
import pingpong
import pytest
from grpc_origin import GrpcOrigin
from load import GRPC_HEADERS, GRPC_MESSAGE, GRPC_PATH, LoadError
from origin import Origin


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written += data

    def take(self) -> bytes:
        taken, self.written = self.written, b""
        return taken


class Caller:
    """A client of HTTP/2 that reads as strictly as h2 does, and the host's connection."""

    def __init__(self, piece: int) -> None:
        self._transport = Transport()
        self._client = h2.connection.H2Connection()
        self._client.initiate_connection()
        self._piece = piece
        self._origin = GrpcOrigin(self._transport)

    def call(self, stream: int, message: bytes) -> None:
        headers = [tuple(line.split(": ")) for line in GRPC_HEADERS]
        pseudo = [(":method", "POST"), (":path", GRPC_PATH), (":scheme", "http"), (":authority", "x")]
        self._client.send_headers(stream, pseudo + headers)
        self._client.send_data(stream, message, end_stream=True)

    def exchange(self) -> list[h2.events.Event]:
        """What comes back for what was sent so far."""
        sent = self._client.data_to_send().removeprefix(b"PRI * HTTP/2.0\r\n\r\n")
        for start in range(0, len(sent), self._piece):
            self._origin.data_received(sent[start : start + self._piece])
        return self._client.receive_data(self._transport.take())


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_unary_call_is_answered(piece: int) -> None:
    caller = Caller(piece)
    caller.call(1, GRPC_MESSAGE)
    caller.call(3, GRPC_MESSAGE)
    events = caller.exchange()
    for stream in (1, 3):
        mine = [event for event in events if getattr(event, "stream_id", 0) == stream]
        head, data, trailers, end = mine
        assert isinstance(head, h2.events.ResponseReceived)
        assert head.headers == [(b":status", b"200"), (b"content-type", b"application/grpc")]
        assert isinstance(data, h2.events.DataReceived)
        assert int.from_bytes(data.data[1:5], "big") == len(data.data) - 5
        assert isinstance(trailers, h2.events.TrailersReceived)
        assert trailers.headers == [(b"grpc-status", b"0")]
        assert isinstance(end, h2.events.StreamEnded)


def test_the_window_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller(100_000)
    caller.exchange()
    monkeypatch.setattr("grpc_origin._WINDOW", 20_000)
    caller.call(1, bytes(9_000))
    assert not any(isinstance(event, h2.events.WindowUpdated) for event in caller.exchange())
    caller.call(3, bytes(3_000))
    (given,) = [event for event in caller.exchange() if isinstance(event, h2.events.WindowUpdated)]
    assert given.delta == 12_000


@pytest.fixture(scope="module")
def origin() -> Iterator[int]:
    """The port of one that serves."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Origin, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_messages_come_back(origin: int) -> None:
    assert pingpong.ping_pong(origin, 0.05) >= pingpong.CONNECTIONS


def test_messages_that_do_not_come_back_are_no_load(origin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pingpong, "ECHO", pingpong.PING)
    with pytest.raises(LoadError, match="came back changed"):
        pingpong.ping_pong(origin, 5.0)


def test_a_host_that_does_not_switch_is_no_load(origin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pingpong, "OPENING", pingpong.OPENING.replace(b"/echo", b"/other"))
    with pytest.raises(LoadError, match=r"no WebSocket but .*200 OK"):
        pingpong.ping_pong(origin, 5.0)
