"""Requests to the admin API and its replies, without sockets."""

import json
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

TEXT: Final = "text/plain; charset=UTF-8"
HTML: Final = "text/html; charset=UTF-8"
JSON: Final = "application/json"

_MAX_PARAMETERS: Final = 1000


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A request as it came in. ``path`` and ``query`` are as sent, ``query`` without its question mark."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The first value of a header, its ``name`` in lower case; None where there is none."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def parameters(self) -> dict[str, str]:
        """The query's parameters; the first of a name counts. Raises ValueError for too many."""
        return _decode(self.query)

    def form(self) -> dict[str, str]:
        """The parameters of a form in the body; empty if the body is none. Raises ValueError for too many."""
        if not (self.header("content-type") or "").startswith("application/x-www-form-urlencoded"):
            return {}
        return _decode(self.body.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class AdminReply:
    """What to answer. The server adds content-type, date, server and the framing to ``headers``."""

    status: int
    content_type: str
    body: bytes
    headers: list[tuple[str, str]] = field(
        default_factory=lambda: [
            ("cache-control", "no-cache, max-age=0"),
            ("x-content-type-options", "nosniff"),
        ]
    )


def text(body: str, status: int = 200) -> AdminReply:
    """A reply in plain text."""
    return AdminReply(status, TEXT, body.encode("utf-8", "surrogateescape"))


def json_document(value: object) -> AdminReply:
    """A reply in JSON, set out as Envoy sets it out: one space for each level."""
    return AdminReply(
        200, JSON, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")
    )


def ok() -> AdminReply:
    """What Envoy says when something has been done."""
    return text("OK\n")


def _decode(encoded: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS):
        parameters.setdefault(name, value)
    return parameters
