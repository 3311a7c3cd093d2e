"""A client that speaks HTTP/2 to a stage: h2 for what a client does, hyperframe for what it must not do."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hyperframe.frame import Frame

from proxyd.codec.http2 import PREFACE
from proxyd.codec.http2_engine import H2, NGH2, choose_engine, ngh2_is_installed
from tests.net.playbook import Client, Stage

Fields = list[tuple[str, str]]


class Answer:
    """What has come of one stream."""

    def __init__(self) -> None:
        self.interim: list[Fields] = []
        self.fields: Fields = []
        self.body = b""
        self.trailers: Fields = []
        self.ended = False
        self.reset: int | None = None

    @property
    def status(self) -> str:
        return dict(self.fields).get(":status", "")

    def field(self, name: str) -> str | None:
        return dict(self.fields).get(name)


def client_connection(window: int = 65535) -> h2.connection.H2Connection:
    """A client's half of h2 that sends what it is told to, and goes on with its streams after a GOAWAY."""
    config = h2.config.H2Configuration(
        client_side=True,
        header_encoding="latin-1",
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    connection = h2.connection.H2Connection(config)
    connection.local_settings = h2.settings.Settings(
        client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
    )
    machine: Any = connection.state_machine
    machine._transitions = dict(machine._transitions)
    for state in (h2.connection.ConnectionState.IDLE, h2.connection.ConnectionState.CLIENT_OPEN):
        machine._transitions[state, h2.connection.ConnectionInputs.RECV_GOAWAY] = (None, state)
    return connection


class Http2Client:
    """One connection; what proxyd sends is read when a test asks for it."""

    def __init__(self, client: Client, window: int = 65535, max_frame: int = 16384) -> None:
        self.client = client
        self.connection = client_connection(window)
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, int]] = []  # last stream and code of each
        self.resets: dict[int, int] = {}  # codes by stream, of such as h2 knows nothing of, too
        self.pings = 0
        self.settings: dict[int, int] = {}
        self.reads_on = True  # gives the windows back
        self._raw = bytearray()

    def start(self) -> "Http2Client":
        self.connection.initiate_connection()
        self.flush()
        return self

    def flush(self) -> None:
        data = self.connection.data_to_send()
        if data:
            self.client.say(data)
        self.listen()

    def listen(self) -> None:
        """Take in what has come."""
        data = self.client.heard()
        if not data:
            return
        self._raw += data
        self._look_at_frames()
        for event in self.connection.receive_data(data):
            self._take(event)
        data = self.connection.data_to_send()
        if data and not self.client.closed:
            self.client.say(data)
            self.listen()

    def _look_at_frames(self) -> None:
        while len(self._raw) >= 9:
            length = int.from_bytes(self._raw[:3], "big")
            if len(self._raw) < 9 + length:
                return
            payload = bytes(self._raw[9 : 9 + length])
            if self._raw[3] == 7:
                last = int.from_bytes(payload[:4], "big")
                self.goaways.append((last, int.from_bytes(payload[4:8], "big")))
            elif self._raw[3] == 3:
                stream_id = int.from_bytes(self._raw[5:9], "big")
                self.resets[stream_id] = int.from_bytes(payload, "big")
            del self._raw[: 9 + length]

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is h2.events.RemoteSettingsChanged:
            self.settings.update({int(key): each.new_value for key, each in event.changed_settings.items()})
        elif kind is h2.events.PingAckReceived:
            self.pings += 1
        stream_id = getattr(event, "stream_id", None)
        if not stream_id:
            return
        answer = self.answers.setdefault(stream_id, Answer())
        if kind is h2.events.ResponseReceived:
            answer.fields = event.headers
        elif kind is h2.events.InformationalResponseReceived:
            answer.interim.append(event.headers)
        elif kind is h2.events.DataReceived:
            answer.body += event.data
            if self.reads_on and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, stream_id)
        elif kind is h2.events.TrailersReceived:
            answer.trailers = event.headers
        elif kind is h2.events.StreamEnded:
            answer.ended = True
        elif kind is h2.events.StreamReset:
            answer.reset = int(event.error_code)

    def open(self, fields: Fields, end: bool = True) -> int:
        """Begin a request with these fields as they are."""
        stream_id = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream_id, fields, end_stream=end)
        self.answers[stream_id] = Answer()
        self.flush()
        return stream_id

    def get(self, path: str = "/a", *more: tuple[str, str], method: str = "GET", end: bool = True) -> int:
        return self.open([*request_fields(path, method), *more], end)

    def send(self, stream_id: int, data: bytes, end: bool = False) -> None:
        self.connection.send_data(stream_id, data, end_stream=end)
        self.flush()

    def end(self, stream_id: int, trailers: Fields | None = None) -> None:
        if trailers is None:
            self.connection.end_stream(stream_id)
        else:
            self.connection.send_headers(stream_id, trailers, end_stream=True)
        self.flush()

    def reset(self, stream_id: int, code: int = 8) -> None:
        self.connection.reset_stream(stream_id, code)
        self.flush()

    def throw(self, frames: Iterable[Frame]) -> None:
        """Send frames that h2 knows nothing of."""
        self.client.say(b"".join(frame.serialize() for frame in frames))
        self.listen()

    def encode(self, fields: Fields) -> bytes:
        """A head's block for a frame of one's own."""
        return bytes(self.connection.encoder.encode(fields))


def request_fields(path: str = "/a", method: str = "GET") -> Fields:
    return [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)]


def connect(play: Stage, window: int = 65535) -> Http2Client:
    """A client that begins as one with prior knowledge does."""
    return Http2Client(play.connect(), window).start()


def raw(play: Stage) -> Client:
    """A client that has sent the preface and empty SETTINGS, and will send what the test says."""
    client = play.connect()
    client.say(PREFACE + b"\0\0\0\x04\0\0\0\0\0")
    client.heard()
    return client


def engines() -> list[Any]:
    """Both engines, as parameters of a fixture that yields from them the name of the one in use."""
    return [pytest.param(_using(name), id=name) for name in (NGH2, H2)]


def _using(name: str) -> Callable[[], Iterator[str]]:
    def use() -> Iterator[str]:
        if name == NGH2 and not ngh2_is_installed():
            pytest.skip("ngh2 is not installed")
        before = choose_engine(name)
        yield name
        choose_engine(before)

    return use
