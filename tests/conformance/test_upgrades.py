"""Protocols that a request asks to switch to, CONNECT, trailers, and who answers 100 Continue."""

import pytest

from tests.conformance.case import OK, Case, Do, answer, case, get, post, request, response
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {connect_matcher: {}}, route: {cluster: origin}, name: connect}
    - match: {prefix: /never}
      route: {cluster: origin, upgrade_configs: [{upgrade_type: websocket, enabled: false}]}
    - match: {prefix: /own}
      route: {cluster: origin, upgrade_configs: [{upgrade_type: own}]}
    - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: x}}}
    - {match: {prefix: /refused}, route: {cluster: refused}}
    - {match: {prefix: /brief}, route: {cluster: origin, timeout: 0.2s}}
    - {match: {prefix: /}, route: {cluster: origin}}
"""

LISTENERS = {
    "upgrades": _ROUTES + "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT}]\n",
    "no-upgrades": _ROUTES,
    "trailers": _ROUTES + "http_protocol_options: {enable_trailers: true}\n",
    "continues": _ROUTES + "proxy_100_continue: true\n",
}

_ASK = ("connection: Upgrade", "upgrade: websocket", "sec-websocket-key: a", "sec-websocket-version: 13")
_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
_ECHO = answer(_SWITCH, Do.ECHO)
_TRAILED = "3\r\nabc\r\n0\r\nx-t: 1\r\nx-t: 2\r\n\r\n"


def _tunnel(name: str, *sends: Do | float | str | bytes, **more: object) -> Case:
    more = {"listener": "upgrades", "responses": 0, "probe": False, "answer": _ECHO, **more}
    return case(f"tunnel-{name}", *sends, **more)


def _plain(name: str, text: str, listener: str = "upgrades", **more: object) -> Case:
    return case(f"{listener}-{name}", text, listener=listener, **more)


CASES = (
    _tunnel("echo", get("/", *_ASK), Do.AWAIT_RESPONSE, "ping", Do.AWAIT_BYTES, Do.CLOSE),
    _tunnel("early-data", get("/", *_ASK) + "ping", Do.AWAIT_RESPONSE, Do.AWAIT_BYTES, Do.CLOSE),
    _tunnel(
        "origin-closes",
        get("/", *_ASK),
        Do.AWAIT_RESPONSE,
        Do.AWAIT_BYTES,
        Do.AWAIT_BYTES,
        answer=answer(_SWITCH, b"bye", Do.CLOSE),
    ),
    _tunnel(
        "other-protocol",
        get("/own", "connection: upgrade", "upgrade: own"),
        Do.AWAIT_RESPONSE,
        "ping",
        Do.AWAIT_BYTES,
        Do.CLOSE,
        answer=answer(_SWITCH.replace(b"websocket", b"own"), Do.ECHO),
    ),
    _tunnel(
        "upper-case",
        get("/", "connection: UPGRADE", "upgrade: WebSocket"),
        Do.AWAIT_RESPONSE,
        "ping",
        Do.AWAIT_BYTES,
        Do.CLOSE,
    ),
    _tunnel(
        "connect",
        request("CONNECT", "h.example:443", host="h.example:443"),
        Do.AWAIT_RESPONSE,
        "ping",
        Do.AWAIT_BYTES,
        Do.CLOSE,
        answer=answer(b"HTTP/1.1 200 OK\r\n\r\n", Do.ECHO),
    ),
    _tunnel(
        "outlives-the-routes-timeout",
        get("/brief", *_ASK),
        Do.AWAIT_RESPONSE,
        0.3,
        "ping",
        Do.AWAIT_BYTES,
        Do.CLOSE,
    ),
    _plain("refused-by-origin", get("/", *_ASK), upstream=response(403, body="no")),
    _plain("ignored-by-origin", get("/", *_ASK), upstream=OK),
    _plain("not-configured", get("/", "connection: upgrade", "upgrade: other")),
    _plain("not-on-this-route", get("/never", *_ASK)),
    _plain("other-only-on-its-route", get("/", "connection: upgrade", "upgrade: own")),
    _plain("route-has-its-own", get("/own", *_ASK), upstream=OK),
    _plain("list", get("/", "connection: upgrade", "upgrade: websocket, other")),
    _plain("not-nominated", get("/", "upgrade: websocket")),
    _plain("direct", get("/direct", *_ASK)),
    _plain("refused", get("/refused", *_ASK)),
    _plain("closed-by-origin", get("/", *_ASK), answer=answer(Do.CLOSE)),
    _plain("late", get("/brief", *_ASK), answer=answer(1.0)),
    _plain(
        "connect-refused-by-origin",
        request("CONNECT", "h.example:443", host="h.example:443"),
        upstream=response(403, body="no"),
    ),
    _plain("get", get("/")),
    _plain("connect", request("CONNECT", "h.example:443"), listener="no-upgrades"),
    _plain("websocket", get("/", *_ASK), listener="no-upgrades"),
    _plain(
        "request",
        request("POST", "/", "transfer-encoding: chunked", "trailer: x-t", body=_TRAILED),
        listener="trailers",
    ),
    _plain(
        "response",
        get("/"),
        listener="trailers",
        upstream=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + _TRAILED.encode(),
    ),
    _plain(
        "request-to-direct",
        request("POST", "/direct", "transfer-encoding: chunked", body=_TRAILED),
        listener="trailers",
    ),
    _plain(
        "request-malformed",
        request("POST", "/", "transfer-encoding: chunked", body="0\r\nx y: 1\r\n\r\n"),
        listener="trailers",
    ),
    _plain("none", post("/", "abc"), listener="trailers"),
    case(
        "continues-asked",
        request("POST", "/", "expect: 100-continue", "content-length: 3"),
        Do.AWAIT_RESPONSE,
        "abc",
        listener="continues",
        answer=answer(b"HTTP/1.1 100 Continue\r\n\r\n", 0.05, OK, early=True),
    ),
    case(
        "continues-refused",
        request("POST", "/", "expect: 100-continue", "content-length: 3"),
        listener="continues",
        answer=answer(response(417), early=True),
    ),
    case("continues-unasked", get("/"), listener="continues", upstream=b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
    case(
        "continues-hints",
        get("/"),
        listener="continues",
        upstream=b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
    ),
    case("continues-direct", post("/direct", "abc"), listener="continues"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
