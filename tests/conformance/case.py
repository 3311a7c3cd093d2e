"""What a case says and what is observed when it is played: data only."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


class Do(enum.Enum):
    """What a client or an origin does beside sending bytes (``bytes``) and waiting seconds (``float``)."""

    AWAIT_RESPONSE = "read one response, interim or final"
    AWAIT_UPSTREAM = "wait until the origin has a request's head"
    AWAIT_BYTES = "read until anything has come"
    SHUT = "close the sending half"
    CLOSE = "close"
    RESET = "close with a reset"
    ECHO = "send back whatever comes from now on"
    TELL = "answer 200 with the request's target as the body"


Step = bytes | float | Do

OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Answer:
    """What the origin does for one request, once it is complete or, ``early``, once its head is."""

    steps: tuple[Step, ...]
    early: bool = False


def answer(*steps: Step, early: bool = False) -> Answer:
    return Answer(steps, early)


@dataclass(frozen=True)
class Case:
    """One exchange. ``name`` is unique; an entry in intended.py names it."""

    name: str
    sends: tuple[Step, ...]
    listener: str = "basic"
    answers: tuple[Answer, ...] = ()  # to the first, second … request; OK to those after them
    responses: int = 1  # final responses to read before asking whether the connection can be used again
    methods: tuple[bytes, ...] = ()  # of the requests, where they are not all that of the first line
    patience: float = 3.0  # seconds for what is expected to come
    probe: bool = True  # ask whether another request can be sent
    source: str = "127.0.0.2"

    def __str__(self) -> str:
        return self.name

    def method(self, index: int) -> bytes:
        if index < len(self.methods):
            return self.methods[index]
        first = self.sends[0] if self.sends else b""
        return first.lstrip(b"\r\n").partition(b" ")[0] if isinstance(first, bytes) else b""


def case(name: str, *sends: Step | str, **more: Any) -> Case:
    """A case whose texts are Latin-1; single ``answer=`` and ``upstream=`` (raw bytes) are short forms."""
    steps = tuple(step.encode("latin-1") if isinstance(step, str) else step for step in sends)
    if "upstream" in more:
        more["answers"] = (Answer((more.pop("upstream"),)),)
    if "answer" in more:
        more["answers"] = (more.pop("answer"),)
    return Case(name, steps, **more)


def cases_of(listener: str) -> Callable[..., Case]:
    """As `case`, for one listener, whose name the names begin with."""

    def asked(name: str, text: str, **more: Any) -> Case:
        return case(f"{listener}-{name}", text, listener=listener, **more)

    return asked


def request(method: str, target: str, *lines: str, host: str = "h.example", body: str = "") -> str:
    """A request's text: request line, Host, the lines given, an empty line, the body as it is."""
    head = [f"{method} {target} HTTP/1.1", f"host: {host}", *lines]
    return "\r\n".join(head) + "\r\n\r\n" + body


def get(target: str, *lines: str, host: str = "h.example") -> str:
    return request("GET", target, *lines, host=host)


def post(target: str, body: str, *lines: str) -> str:
    return request("POST", target, f"content-length: {len(body)}", *lines, body=body)


def response(status: int, *lines: str, body: str | None = "ok") -> bytes:
    """A response's bytes; with a length unless ``body`` is None."""
    length = [] if body is None else [f"content-length: {len(body)}"]
    head = [f"HTTP/1.1 {status} Any", *lines, *length]
    return ("\r\n".join(head) + "\r\n\r\n" + (body or "")).encode("latin-1")
