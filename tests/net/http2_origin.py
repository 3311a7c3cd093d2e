"""A host that speaks HTTP/2 on a stage: h2 for what a host does, raw bytes for what it must not do."""

from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.net.http2_client import Fields
from tests.net.playbook import Origin, Stage


class Request:
    """What has come of one stream."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.body = b""
        self.trailers: Fields = []
        self.ended = False
        self.reset: int | None = None

    def field(self, name: str) -> str | None:
        return dict(self.fields).get(name)


class Http2Origin:
    """One connection that proxyd has made."""

    def __init__(self, origin: Origin, streams: int = 100, window: int = 65535) -> None:
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.origin = origin
        self.connection: Any = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        self.connection.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: streams,
                codes.INITIAL_WINDOW_SIZE: window,
                codes.ENABLE_CONNECT_PROTOCOL: 1,
            },
        )
        self.requests: dict[int, Request] = {}
        self.goaway: int | None = None
        self.pings = 0
        self.settings: dict[int, int] = {}
        self.reads_on = True  # gives the windows back
        self.answers_pings = True
        self.connection.initiate_connection()
        self.listen()

    def flush(self) -> None:
        data = self.connection.data_to_send()
        if data:
            self.origin.say(data)

    def listen(self) -> None:
        """Take in what has come, and answer what the protocol wants answered."""
        for event in self.connection.receive_data(self.origin.heard()):
            self._take(event)
        if not self.origin.closed and self.answers_pings:
            self.flush()

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is h2.events.RemoteSettingsChanged:
            self.settings.update({int(key): each.new_value for key, each in event.changed_settings.items()})
        elif kind is h2.events.ConnectionTerminated:
            self.goaway = int(event.error_code)
        elif kind is h2.events.PingReceived:
            self.pings += 1
        elif kind is h2.events.RequestReceived:
            self.requests[event.stream_id] = Request(event.headers)
        elif kind is h2.events.DataReceived:
            self.requests[event.stream_id].body += event.data
            if self.reads_on and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif kind is h2.events.TrailersReceived:
            self.requests[event.stream_id].trailers = event.headers
        elif kind is h2.events.StreamEnded:
            self.requests[event.stream_id].ended = True
        elif kind is h2.events.StreamReset:
            self.requests[event.stream_id].reset = int(event.error_code)

    @property
    def last(self) -> int:
        """The stream that came last."""
        self.listen()
        return max(self.requests)

    def head(self, stream_id: int, *more: tuple[str, str], status: str = "200", end: bool = False) -> None:
        self.connection.send_headers(stream_id, [(":status", status), *more], end_stream=end)
        self.flush()

    def data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        self.connection.send_data(stream_id, data, end_stream=end)
        self.flush()

    def trailers(self, stream_id: int, *fields: tuple[str, str]) -> None:
        self.connection.send_headers(stream_id, list(fields), end_stream=True)
        self.flush()

    def answer(self, stream_id: int, body: bytes = b"ok", *more: tuple[str, str]) -> None:
        """A whole response."""
        self.connection.send_headers(
            stream_id, [(":status", "200"), ("content-length", str(len(body))), *more]
        )
        self.data(stream_id, body, end=True)

    def reset(self, stream_id: int, code: int = 8) -> None:
        self.connection.reset_stream(stream_id, code)
        self.flush()

    def say_goaway(self, last: int, code: int = 0) -> None:
        self.origin.say(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + code.to_bytes(4, "big"))


def origin(play: Stage, streams: int = 100, window: int = 65535) -> Http2Origin:
    """Accept the connection that proxyd is making."""
    return Http2Origin(play.origin(), streams, window)
