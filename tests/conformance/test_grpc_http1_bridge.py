"""gRPC for clients of HTTP/1: what becomes of trailers, of bodies that are no messages, and of queries."""

from typing import Any

import pytest

from tests.conformance.case import Case, answer, get, post, request
from tests.conformance.conftest import Agree
from tests.conformance.http2 import Ask, Http2Case, fields, http2, reply

_FILTER = "type.googleapis.com/envoy.extensions.filters.http.grpc_http1_bridge.v3.Config"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_WHERE = "request_headers_to_add: [{header: {key: x-where, value: %s}}]"


def _listener(options: str = "", more: str = "") -> str:
    return f"""
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {{match: {{prefix: /direct}}, direct_response: {{status: 200, body: {{inline_string: hello}}}}}}
    - {{match: {{prefix: /denied}}, direct_response: {{status: 403, body: {{inline_string: "no%way"}}}}}}
    - {{match: {{prefix: /refused}}, route: {{cluster: refused}}}}
    - {{match: {{prefix: /older}}, route: {{cluster: origin}}}}
    - {{match: {{prefix: /brief}}, route: {{cluster: bridged, timeout: 0.2s}}}}
    - {{match: {{prefix: /grpc, grpc: {{}}}}, route: {{cluster: bridged}}, {_WHERE % "grpc"}}}
    - match: {{prefix: /query, query_parameters: [{{name: x, present_match: true}}]}}
      route: {{cluster: bridged}}
      {_WHERE % "query"}
    - {{match: {{prefix: /query}}, route: {{cluster: bridged}}, {_WHERE % "path"}}}
    - {{match: {{prefix: /}}, route: {{cluster: bridged}}}}
http_filters:
- {{name: bridge, typed_config: {{"@type": {_FILTER}, {options}}}}}
- {{name: envoy.filters.http.router, typed_config: {{"@type": {_ROUTER}}}}}
{more}
"""


_HTTP1 = "http_protocol_options: {enable_trailers: true, accept_http_10: true, default_host_for_http_10: x}"
_UPGRADE = "upgrade_protobuf_to_grpc: true"
_IGNORE = "ignore_query_parameters: true"
LISTENERS = {
    "bridge": _listener(),
    "bridge-upgrade": _listener(_UPGRADE),
    "bridge-ignore": _listener(_IGNORE),
    "bridge-both": _listener(f"{_UPGRADE}, {_IGNORE}"),
    "bridge-http1": _listener(more=_HTTP1),
    "bridge-http1-upgrade": _listener(_UPGRADE, _HTTP1),
}
CLUSTERS = "bridged: {load_assignment: $newer, http2_protocol_options: {}, max_requests_per_connection: 1}\n"

_GRPC = ("content-type", "application/grpc")
_PLAIN = ("content-type", "text/plain")
_PROTOBUF = "application/x-protobuf"
_MESSAGE = b"\0\0\0\0\1x"
_SMALL = _MESSAGE.decode("latin-1")
_ENDED = (("grpc-status", "0"),)
_OK = reply(_GRPC, body=(_MESSAGE, _MESSAGE * 2), trailers=(*_ENDED, ("grpc-message", "fine"), ("x-t", "v")))


def call(
    name: str,
    *lines: str,
    kind: str = "application/grpc",
    body: str = _SMALL,
    path: str = "/s/m",
    **more: Any,
) -> Http2Case:
    listener = more.pop("listener", "bridge")
    text = post(path, body, f"content-type: {kind}", *lines)
    return _case(f"{listener}-{name}", text, listener, **more)


def _case(name: str, text: str, listener: str, **more: Any) -> Http2Case:
    more.setdefault("replies", (_OK,))
    return Http2Case(name, (text.encode("latin-1"),), listener=listener, **more)


def answered(name: str, *more: tuple[str, str], **rest: Any) -> Http2Case:
    """A call with this answer, of gRPC unless it says so itself."""
    upgrades = rest.pop("upgrades", False)
    kind = () if any(field == "content-type" for field, _ in more) else (_GRPC,)
    made = reply(*kind, *more, **{"body": (_MESSAGE,), "trailers": _ENDED, **rest})
    if upgrades:
        return upgraded(name, replies=(made,))
    return call(f"answer-{name}", replies=(made,))


def upgraded(name: str, **more: Any) -> Http2Case:
    """A body that is no message."""
    more = {"kind": _PROTOBUF, "body": "abc", "listener": "bridge-upgrade", **more}
    return call(name, **more)


def newer(name: str, path: str, kind: str, *pieces: bytes, listener: str, **more: Any) -> Http2Case:
    ask = Ask(fields(path, ("content-type", kind), method="POST"), pieces, **more)
    return http2(f"bridge-{name}", ask, listener=listener, replies=(_OK,))


def status(text: str, *more: tuple[str, str]) -> dict[str, Any]:
    return {"trailers": (("grpc-status", text), *more)}


_CHUNKED = ("transfer-encoding: chunked", f"content-type: {_PROTOBUF}")

CASES = (
    call("ok"),
    call("proto", kind="application/grpc+proto"),
    call("plain", kind="text/plain"),
    call("protobuf", kind=_PROTOBUF, body="abc"),
    call("te", "te: trailers"),
    call("empty", body=""),
    call("two-messages", body=_SMALL * 2),
    _case("bridge-get", get("/s/m", "content-type: application/grpc"), "bridge"),
    *(
        answered(f"status-{text}", **status(text))
        for text in ("00", "5", "16", "99", "abc", "-0", "+0", "0x", "")
    ),
    answered("message", **status("5", ("grpc-message", "not here"), ("x-t", "1"))),
    answered("no-status", trailers=(("x", "1"),)),
    answered("no-trailers", trailers=()),
    answered("only-a-head", ("grpc-status", "7"), ("grpc-message", "m"), body=(), trailers=()),
    answered("head-and-trailers", ("grpc-status", "7"), ("grpc-message", "m")),
    answered("no-body", body=()),
    answered("length", ("content-length", "6")),
    answered("no-type", ("content-type", "")),
    answered("plain", _PLAIN, body=(b"oops",), trailers=()),
    answered("plain-trailers", _PLAIN, body=(b"oops",)),
    answered("500", _PLAIN, body=(b"oops",), trailers=(), status="500"),
    answered("500-trailers", body=(b"oops",), status="500", **status("3")),
    answered("404-ok", body=(b"oops",), status="404"),
    answered("too-large", body=(b"x" * 16_000,) * 70),
    answered("large", body=(b"x" * 16_000,) * 30),
    answered("reset", trailers=(), resets=2),
    answered("closes", trailers=(), closes=True),
    upgraded("ok"),
    upgraded("octets", kind="application/octet-stream"),
    upgraded("parameter", kind=f"{_PROTOBUF}; x=y"),
    upgraded("upper-case", kind="Application/X-Protobuf"),
    upgraded("grpc", kind="application/grpc", body=_SMALL),
    upgraded("empty", body=""),
    upgraded("route", path="/grpc/m"),
    upgraded("refused", path="/refused/m", replies=()),
    upgraded("denied", path="/denied/m", replies=()),
    _case("bridge-upgrade-get", get("/s/m", f"content-type: {_PROTOBUF}"), "bridge-upgrade"),
    *(
        _case(f"{listener}-{name}", request("POST", "/s/m", *_CHUNKED, body=body), listener)
        for listener in ("bridge-upgrade", "bridge-http1-upgrade")
        for name, body in {
            "chunks": "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "no-chunk": "0\r\n\r\n",
            "chunk-and-trailers": "3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n",
        }.items()
    ),
    answered("fails", upgrades=True, **status("5", ("grpc-message", "nope"))),
    answered("only-a-head", ("grpc-status", "7"), upgrades=True, body=(), trailers=()),
    answered("short", upgrades=True, body=(b"\0\0",)),
    answered("no-body", upgrades=True, body=()),
    answered("pieces", upgrades=True, body=(b"\0\0\0", b"\0\3a", b"bc")),
    answered("piece-by-piece", upgrades=True, body=(b"\0\0\0\0\3", b"abc")),
    answered("no-trailers", upgrades=True, trailers=()),
    answered("500", _PLAIN, upgrades=True, body=(b"oopsies",), trailers=(), status="500"),
    answered("too-large", upgrades=True, body=(b"x" * 16_000,) * 70),
    call("route", path="/grpc/m"),
    *(
        call(name, path=path, listener=listener, kind=kind)
        for listener in ("bridge", "bridge-ignore", "bridge-both")
        for name, path, kind in (
            ("query", "/query/m?x=1", "application/grpc"),
            ("query-empty", "/query/m?", "application/grpc"),
            ("query-none", "/query/m", "application/grpc"),
            ("query-plain", "/query/m?x=1", "text/plain"),
            ("query-protobuf", "/query/m?x=1", _PROTOBUF),
        )
    ),
    call("refused", path="/refused/m", replies=()),
    call("direct", path="/direct/m", replies=()),
    call("denied", path="/denied/m", replies=()),
    call("brief", path="/brief/m", replies=(reply(waits=True),)),
    call("trailers-enabled", listener="bridge-http1"),
    _case(
        "bridge-http-1.0",
        f"POST /s/m HTTP/1.0\r\ncontent-type: application/grpc\r\ncontent-length: 6\r\n\r\n{_SMALL}",
        "bridge-http1",
    ),
    call(
        "older",
        path="/older/m",
        replies=(),
        answers=(
            answer(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 6\r\n\r\n" + _MESSAGE
            ),
        ),
    ),
    newer("ok", "/s/m", "application/grpc", _MESSAGE, listener="bridge"),
    newer("query", "/query/m?x=1", "application/grpc", _MESSAGE, listener="bridge-ignore"),
    newer("upgrade", "/s/m", _PROTOBUF, b"abc", listener="bridge-upgrade"),
    newer("upgrade-trailers", "/s/m", _PROTOBUF, b"abc", listener="bridge-upgrade", trailers=(("x", "1"),)),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
