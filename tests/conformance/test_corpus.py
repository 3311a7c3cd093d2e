"""Malformed requests of many authors, kept elsewhere: PROXYD_CORPORA names the directory.

Each case says what Envoy, nginx, HAProxy and Caddy did with it. What all four refuse must be
refused; what all four accept must be accepted, unless it is listed here with the reason.
"""

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.judge import Exchange, Judged, judge

_DIRECTORY = os.environ.get("PROXYD_CORPORA")

pytestmark = [
    pytest.mark.skipif(not _DIRECTORY, reason="PROXYD_CORPORA does not name the corpora's directory"),
    pytest.mark.skipif(sys.platform != "linux", reason="proxyd's processes run on Linux only so far"),
    pytest.mark.timeout(300),
]

_BARE_LF = (
    "a single LF between lines: RFC 9112 section 2.2 allows to take it, and it is how fields are smuggled"
)
_CONTROL = "a control in a chunk extension is outside of RFC 9112 section 7.1.1"
_TRAILER = "framing in a trailer: RFC 9110 section 6.5.1 forbids to send it"


_UPGRADE = "an upgrade that is not configured is refused, as Envoy does"

# All four accept these; the stricter verdict stands.
STRICTER = {
    "ps-cl-badsetupLF-post": _BARE_LF,
    "ps-cl-suffix1:10-post": _BARE_LF,
    "rfc-lf-in-value": _BARE_LF,
    "rfc-trailer-lf": _BARE_LF,
    "h11p-RFC9112-2.2-BARE-LF-REQUEST-LINE": _BARE_LF,
    "rfc-chunk-ext-nul": _CONTROL,
    "h11p-SMUG-CHUNK-EXT-CTRL": _CONTROL,
    "h11p-COMP-UPGRADE-INVALID-VER": _UPGRADE,
    "rfc-trailer-cl": _TRAILER,
    "h11p-SMUG-TRAILER-TE": _TRAILER,
}


def _corpus() -> list[dict[str, Any]]:
    if not _DIRECTORY:
        return []
    cases: list[dict[str, Any]] = json.loads((Path(_DIRECTORY) / "malformed-requests.json").read_text())
    return cases


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    exchanges = {case["id"]: Exchange(base64.b64decode(case["b64"])) for case in _corpus()}
    return judge(exchanges, tmp_path_factory.mktemp("corpus"))


def test_nothing_is_unsafe(judged: dict[str, Judged]) -> None:
    assert {name: verdict.unsafe for name, verdict in judged.items() if verdict.unsafe} == {}


def test_what_all_refuse_is_refused(judged: dict[str, Judged]) -> None:
    refused = [case["id"] for case in _corpus() if case["consensus"] == "reject"]
    assert [name for name in refused if judged[name].accepted] == []


def test_what_all_accept_is_accepted(judged: dict[str, Judged]) -> None:
    accepted = {case["id"] for case in _corpus() if case["consensus"] == "accept"}
    refused = {name for name in accepted if not judged[name].accepted}
    assert refused - STRICTER.keys() == set()
    assert STRICTER.keys() & accepted - refused == set(), "accepted by now: take it off the list"
