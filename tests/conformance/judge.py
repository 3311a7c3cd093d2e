"""Judges what proxyd makes of a malformed message: by what reaches the other side, not by what it answers.

Unsafe is: bytes at the origin that a strict reader refuses; a number of requests there that is not the one
that proxyd counted; an answer that belongs to another request, now or on the next use of the connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.conformance.bootstrap import bootstrap
from tests.conformance.case import Answer, Case, Do, get
from tests.conformance.client import Played, play
from tests.conformance.laboratory import full_address, read_log
from tests.conformance.origin import Origin, Received
from tests.conformance.proxies import Proxy
from tests.conformance.wire import Malformed, Message, take_request

_LISTENER: Final = """
codec_type: HTTP1
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes: [{match: {prefix: /}, route: {cluster: kept}}]
"""
_TELL: Final = (Answer((Do.TELL,)),) * 40
_QUIET: Final = 0.2  # seconds without a byte after which nothing more is expected of an unfinished message


@dataclass
class Judged:
    """``statuses`` of the final responses, ``forwarded`` requests, ``body`` of the first response."""

    statuses: list[int] = field(default_factory=list)
    forwarded: list[Message] = field(default_factory=list)
    body: bytes = b""
    whole: bool = True  # the first response came to its end
    unsafe: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return bool(self.statuses) and self.statuses[0] < 400


@dataclass(frozen=True)
class Exchange:
    """What is sent to proxyd, and what its origin answers (to every request: its own target)."""

    request: bytes
    answers: tuple[Answer, ...] = _TELL


def judge(exchanges: Mapping[str, Exchange], directory: Path) -> dict[str, Judged]:
    """Each exchange through one worker, with a request behind it that must get its own answer."""
    log = directory / "proxyd" / "access.log"
    judged: dict[str, Judged] = {}
    ports: dict[str, int] = {}
    used: set[int] = set()
    with full_address() as full, Origin() as origin:
        text = bootstrap({"judged": _LISTENER}, "", origin.port, full, log)
        with Proxy("proxyd", directory / "proxyd", text) as proxy:
            address = ("127.0.0.1", proxy.ports["judged"])
            for number, (name, exchange) in enumerate(exchanges.items()):
                origin.script(exchange.answers)
                played = play(_case(exchange.request), address, origin, used)
                verdict = _judged(played, origin.received())
                verdict.unsafe += _ask_next(f"/next/{number}", address, origin, used)
                judged[name], ports[name] = verdict, played.port
    lines = read_log(log)
    for name, verdict in judged.items():
        counted = sum(line["details"] == "via_upstream" for line in lines.get(ports[name], []))
        if exchanges[name].answers is _TELL and counted != len(verdict.forwarded):
            verdict.unsafe.append(
                f"{len(verdict.forwarded)} requests reached the origin, {counted} were counted"
            )
    return judged


def _case(raw: bytes) -> Case:
    methods: list[bytes] = []
    rest = raw.lstrip(b"\r\n")
    try:
        while taken := take_request(rest):
            message, rest = taken
            methods.append(message.first[0])
    except Malformed:
        pass
    expected = len(methods) if not rest else 99
    return Case(
        "judged",
        (raw,),
        "judged",
        responses=expected,
        methods=tuple(methods),
        patience=_QUIET,
        probe=False,
    )


def _judged(played: Played, received: list[Received]) -> Judged:
    finals = [message for message in played.responses if message.status >= 200]
    verdict = Judged([message.status for message in finals])
    if finals:
        verdict.body, verdict.whole = finals[0].body, finals[0].complete
    if played.broken:
        verdict.unsafe.append(f"no HTTP came back: {played.rest[:80]!r}")
    for request in received:
        if request.wrong and request.wrong != "cut off":
            verdict.unsafe.append(f"reached the origin: {request.wrong}")
        elif request.message is not None and request.message.complete:
            verdict.forwarded.append(request.message)
    return verdict


def _ask_next(target: str, address: tuple[str, int], origin: Origin, used: set[int]) -> list[str]:
    origin.script(_TELL)
    played = play(Case("next", (get(target).encode(),), "judged", probe=False), address, origin, used)
    bodies = [message.body for message in played.responses]
    if bodies != [target.encode()]:
        return [f"the next request got {bodies}"]
    return []
