"""Stages whose connection manager has filters, and a filter that a test says what to do."""

from collections.abc import Callable
from typing import Any

from proxyd.filters.http_filter import CONTINUE, Body, HttpFilter, HttpFilterFactory, Trailers
from proxyd.filters.stream_info import StreamInfo
from tests.net.conftest import MakeStage
from tests.net.playbook import ROUTER, Stage

_STATS = "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
CHAIN = [
    {"name": "first", "typed_config": {"@type": _STATS}},
    {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}},
]


class Scripted(HttpFilter):
    """Notes what it is asked, and answers as its script says: by the call's name, a status or a function.

    Notes are of the form ``name.call``, with ``!`` where nothing follows.
    """

    def __init__(self, name: str, notes: list[str], script: dict[str, Any]) -> None:
        super().__init__()
        self.name = name
        self.notes = notes
        self.script = script
        self.info: StreamInfo | None = None

    def _answer(self, call: str, part: Any, end: bool = False) -> int:
        self.notes.append(f"{self.name}.{call}{'!' if end else ''}")
        what = self.script.get(call, CONTINUE)
        if callable(what):
            what = what(self, part)
        return CONTINUE if what is None else int(what)

    def decode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        self.info = info
        return self._answer("decode_headers", info, end_stream)

    def decode_data(self, body: Body, end_stream: bool) -> int:
        return self._answer("decode_data", body, end_stream)

    def decode_trailers(self, trailers: Trailers) -> int:
        return self._answer("decode_trailers", trailers)

    def encode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        return self._answer("encode_headers", info, end_stream)

    def encode_data(self, body: Body, end_stream: bool) -> int:
        return self._answer("encode_data", body, end_stream)

    def encode_trailers(self, trailers: Trailers) -> int:
        return self._answer("encode_trailers", trailers)

    def on_stream_complete(self, info: StreamInfo) -> None:
        self._answer("complete", info)


class Factory(HttpFilterFactory):
    """Makes scripted filters, and remembers them."""

    def __init__(self, name: str, notes: list[str], script: dict[str, Any]) -> None:
        super().__init__()
        self.name = name
        self.notes = notes
        self.script = script
        self.made: list[Scripted] = []

    def create(self) -> HttpFilter:
        made = Scripted(self.name, self.notes, self.script)
        self.made.append(made)
        return made


class FilteredStage:
    """A stage and its filters: what they have noted, and each one's latest, by its name."""

    def __init__(self, play: Stage, scripts: dict[str, dict[str, Any]]) -> None:
        self.play = play
        self.notes: list[str] = []
        self._factories = {name: Factory(name, self.notes, script) for name, script in scripts.items()}
        listener: Any = play.listener
        listener.manager.config.filters = tuple(self._factories.values())

    def __getitem__(self, name: str) -> Scripted:
        return self._factories[name].made[-1]

    def go_on(self, name: str, encoding: bool = False) -> None:
        """Have a filter continue, from somewhere in the loop."""
        callbacks = self[name].callbacks
        self.play.loop.call_soon(callbacks.continue_encoding if encoding else callbacks.continue_decoding)
        self.play.turn()

    def noted(self) -> str:
        """The notes since the last look."""
        text = " ".join(self.notes)
        self.notes.clear()
        return text


def filtered(stage: MakeStage, scripts: dict[str, dict[str, Any]], **options: Any) -> FilteredStage:
    """A stage with scripted filters; ``options`` are those of a stage."""
    manager = {"http_filters": CHAIN, **options.pop("manager", {})}
    return FilteredStage(stage(manager=manager, **options), scripts)


def change_data(change: Callable[[bytes], bytes]) -> Callable[[Scripted, Body], None]:
    """An answer that puts other bytes in the place of those that come."""

    def answer(_: Scripted, body: Body) -> None:
        body.data = change(body.data)

    return answer
