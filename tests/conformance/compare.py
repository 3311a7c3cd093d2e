"""Two observations made comparable, and their differences."""

import re
from collections.abc import Iterable
from typing import Any

from tests.conformance.case import Case
from tests.conformance.client import Played
from tests.conformance.origin import Received
from tests.conformance.wire import Fields, Message

Observed = dict[str, Any]
"""What one proxy did with a case, flat: ``responses[0].headers.server`` and the like, to its value."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
_SERVICE_TIME = re.compile(r"(x-envoy-upstream-service-time: )\d+")
_NEVER_THE_SAME = {"x-envoy-upstream-service-time": (re.compile(r"\d+"), "<ms>")}


def observe(
    case: Case,
    played: Played,
    received: Iterable[Received],
    log: Iterable[dict[str, Any]],
    ports: dict[int, str],
) -> Observed:
    """Flatten what was seen, without what cannot be the same twice. ``ports`` are named in place."""
    log = list(log)
    if any("DPE" in line.get("flags", "") for line in log):
        # How much of a request had gone on when the rest turned out to be malformed is chance.
        received = [request for request in received if request.message is None or request.message.complete]
        for line in log:
            line.pop("received", None)
    seen: Observed = {}
    if case.probe:
        seen["fate"] = played.fate
    if played.rest:
        seen["rest"] = played.rest.decode("latin-1")
    for number, message in enumerate(played.responses):
        place = f"responses[{number}]"
        seen[f"{place}.status"] = message.status
        seen[f"{place}.reason"] = message.first[1].decode("latin-1")
        _put_message(seen, place, message)
        if not message.complete:
            seen[f"{place}.cut off"] = True
    for number, request in enumerate(received):
        _put_request(seen, f"upstream[{number}]", request)
    for number, line in enumerate(log):
        for key, value in line.items():
            if key != "port":
                flags = key == "flags" and isinstance(value, str)
                seen[f"log[{number}].{key}"] = sorted(value.split(",")) if flags else value
    return {key: _same_again(value, ports) for key, value in seen.items()}


def _put_message(seen: Observed, place: str, message: Message) -> None:
    seen[f"{place}.version"] = message.minor
    seen[f"{place}.framing"] = message.framing
    seen[f"{place}.body"] = message.body.decode("latin-1")
    for name, values in _by_name(message.fields).items():
        seen[f"{place}.headers.{name}"] = values
    for name, values in _by_name(message.trailers).items():
        seen[f"{place}.trailers.{name}"] = values


def _put_request(seen: Observed, place: str, request: Received) -> None:
    if request.tunnelled:
        seen[f"{place}.tunnelled"] = request.tunnelled.decode("latin-1")
    if request.wrong:
        seen[f"{place}.wrong"] = request.wrong
        seen[f"{place}.raw"] = request.raw.decode("latin-1")
    if request.message is not None:
        seen[f"{place}.method"] = request.message.first[0].decode("latin-1")
        seen[f"{place}.target"] = request.message.first[1].decode("latin-1")
        _put_message(seen, place, request.message)
        if not request.message.complete:  # how much of it arrived is chance
            seen[f"{place}.cut off"] = True
            del seen[f"{place}.body"]


def _by_name(fields: Fields) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in fields:
        values = found.setdefault(name.decode("latin-1"), [])
        text = value.decode("latin-1")
        pattern, word = _NEVER_THE_SAME.get(name.decode("latin-1").lower(), (None, ""))
        values.append(pattern.sub(word, text) if pattern else text)
    return found


def _same_again(value: Any, ports: dict[int, str]) -> Any:
    if isinstance(value, list):
        return [_same_again(part, ports) for part in value]
    if not isinstance(value, str):
        return value
    value = _SERVICE_TIME.sub(r"\1<ms>", _DATE.sub("<date>", _UUID.sub("<uuid>", value)))
    for port, name in ports.items():
        value = re.sub(rf"(?<![0-9a-f]){port}(?![0-9a-f])", f"<{name}>", value)
    return value


def differences(envoy: Observed, proxyd: Observed) -> dict[str, tuple[Any, Any]]:
    """Field to Envoy's and proxyd's value, where they differ; None where one has no such field."""
    return {
        key: (envoy.get(key), proxyd.get(key))
        for key in sorted({*envoy, *proxyd})
        if envoy.get(key) != proxyd.get(key)
    }


def told(found: dict[str, tuple[Any, Any]]) -> str:
    """The differences as a reader wants them: one field a line pair."""
    lines = []
    for key, (envoy, proxyd) in found.items():
        lines += [f"  {key}", f"    envoy:  {_short(envoy)}", f"    proxyd: {_short(proxyd)}"]
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = "absent" if value is None else repr(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"
