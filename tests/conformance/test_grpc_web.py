"""gRPC-Web: calls and answers in both forms, what is no gRPC, base64 that is none, and what is counted."""

import base64
from typing import Any

import pytest

from tests.conformance.case import Case, answer, get, post
from tests.conformance.conftest import Agree
from tests.conformance.http2 import Ask, Http2Case, Reply, fields, http2, reply
from tests.conformance.laboratory import Laboratory

_FILTER = "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_ROUTES = f"""
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {{match: {{prefix: /direct}}, direct_response: {{status: 200, body: {{inline_string: hello}}}}}}
    - match: {{prefix: /denied}}
      direct_response: {{status: 403, body: {{inline_string: "no%way"}}}}
    - {{match: {{prefix: /refused}}, route: {{cluster: web-refused}}}}
    - {{match: {{prefix: /full}}, route: {{cluster: web-full}}}}
    - {{match: {{prefix: /older}}, route: {{cluster: web-older}}}}
    - match: {{prefix: /longest}}
      route: {{cluster: web, max_stream_duration: {{grpc_timeout_header_max: 3s}}}}
    - {{match: {{prefix: /most}}, route: {{cluster: web, max_grpc_timeout: 3s}}}}
    - match: {{prefix: /off}}
      route: {{cluster: web}}
      typed_per_filter_config:
        web: {{"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}
    - {{match: {{prefix: /}}, route: {{cluster: web}}}}
http_filters:
- {{name: web, typed_config: {{"@type": {_FILTER}}}}}
- {{name: envoy.filters.http.router, typed_config: {{"@type": {_ROUTER}}}}}
"""

LISTENERS = {
    "grpc-web": _ROUTES,
    "grpc-web-trailers": _ROUTES + "http_protocol_options: {enable_trailers: true}\n",
}
CLUSTERS = """
web: {load_assignment: $newer, http2_protocol_options: {}, max_requests_per_connection: 1}
web-refused: {load_assignment: $refused}
web-full: {connect_timeout: 0.2s, load_assignment: $full}
web-older:
  load_assignment: $origin
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config: {http_protocol_options: {enable_trailers: true}}
      common_http_protocol_options: {max_requests_per_connection: 1}
"""
STATS = "^cluster[.]web.*[.]grpc-web[.]|^http[.]grpc-web.*[.]rq_reset_after"

_GRPC = ("content-type", "application/grpc")
_PLAIN = ("content-type", "text/plain")
_WEB = "application/grpc-web"
_TEXT = "application/grpc-web-text"
_AS_TEXT = "accept: application/grpc-web-text"
_MESSAGE = b"\0\0\0\0\1x"
_SMALL = _MESSAGE.decode("latin-1")
_ENDED = (("grpc-status", "0"),)
_OK = reply(
    _GRPC,
    body=(_MESSAGE, _MESSAGE * 2),
    trailers=(*_ENDED, ("grpc-message", "fine"), ("x-t", "v"), ("x-e", "")),
)


def encoded(*parts: bytes) -> str:
    return "".join(base64.b64encode(part).decode() for part in parts)


def web(
    name: str, *lines: str, kind: str = _WEB, body: str = _SMALL, path: str = "/s/m", **more: Any
) -> Http2Case:
    """A call by a client of HTTP/1."""
    more.setdefault("replies", (_OK,))
    text = post(path, body, f"content-type: {kind}", *lines)
    return Http2Case(
        f"web-{name}", (text.encode("latin-1"),), listener=more.pop("listener", "grpc-web"), **more
    )


def newer(name: str, *pieces: bytes, kind: str = _WEB, answered: Reply = _OK, **more: Any) -> Http2Case:
    """A call by a client of HTTP/2."""
    ask = Ask(fields("/s/m", ("content-type", kind), method="POST"), pieces, **more)
    return http2(f"web-{name}", ask, listener="grpc-web", replies=(answered,))


def answered(name: str, *more: tuple[str, str], text: bool = False, **rest: Any) -> Http2Case:
    """A call with this answer."""
    made = reply(*more, **{"body": (_MESSAGE,), "trailers": _ENDED, **rest})
    return web(f"answer-{name}", *([_AS_TEXT] if text else []), replies=(made,))


def bad(name: str, text: str) -> Http2Case:
    """A call as text that is none; of the host's cluster no connection is ever there."""
    return web(f"bad-{name}", kind=_TEXT, body=text, path="/full/m", replies=())


_KINDS = (
    _WEB, f"{_WEB}+proto", f"{_WEB}+json", f"{_WEB}; charset=utf-8", f"{_WEB}+proto; x=y", f"{_WEB}x",
    "Application/Grpc-Web", "application/grpc", "text/plain",
)  # fmt: skip
_ANSWERS = (
    _WEB, f"{_WEB}+proto", f"{_WEB}+proto; x", f"{_WEB} ;x", f"{_WEB}+protox", f"{_WEB}+json", _TEXT,
    f"{_TEXT}+proto", "Application/grpc-web", "application/grpc+proto", "application/grpc; x",
    "application/grpc-x",
)  # fmt: skip

CASES = (
    *(web(f"kind-{kind.replace(' ', '')}", kind=kind) for kind in _KINDS),
    *(
        web(f"kind-{kind}", kind=kind, body=encoded(_MESSAGE))
        for kind in (_TEXT, f"{_TEXT}+proto", f"{_TEXT}+x")
    ),
    *(
        web(f"accept-{accept}", f"accept: {accept}")
        for accept in (_TEXT, f"{_TEXT}+proto", _WEB, f"{_TEXT}, */*", "*/*", f"{_TEXT};q=1")
    ),
    web("both-as-text", _AS_TEXT, kind=_TEXT, body=encoded(_MESSAGE)),
    web(
        "fields",
        "te: gzip",
        "grpc-accept-encoding: gzip",
        "user-agent: x",
        "x-grpc-web: 1",
        "grpc-timeout: 2S",
    ),
    web("text-two", kind=_TEXT, body=encoded(_MESSAGE, _MESSAGE * 2)),
    web("text-padded", kind=_TEXT, body=encoded(b"\0\0\0\0\2xy")),
    web("text-padded-twice", kind=_TEXT, body=encoded(b"\0\0\0\0\0")),
    web("empty", body=""),
    web("text-empty", kind=_TEXT, body=""),
    Http2Case(
        "web-get", (get("/s/m", f"content-type: {_WEB}").encode(),), listener="grpc-web", replies=(_OK,)
    ),
    *(
        bad(name, text)
        for name, text in {
            "size": encoded(_MESSAGE + b"x").rstrip("="),
            "letters": "!!!!",
            "later": encoded(_MESSAGE) + "####",
            "padding-amid": encoded(_MESSAGE[:4], _MESSAGE[4:]),
            "url": "_-__",
            "lines": "AAAA\r\nAAF4",
            "loose-bits": "AAAAAAF=",
            "padding-alone": "====",
            "padding-too-long": "A===",
        }.items()
    ),
    *(answered(kind.replace(" ", "_"), ("content-type", kind)) for kind in _ANSWERS),
    answered("no-type"),
    answered("web-503", ("content-type", _WEB), status="503"),
    answered("only-a-head", _GRPC, ("grpc-status", "5"), ("grpc-message", "gone"), body=(), trailers=()),
    answered("only-a-head-text", _GRPC, ("grpc-status", "5"), body=(), trailers=(), text=True),
    answered("only-a-head-503", body=(), trailers=(), status="503"),
    answered("plain", _PLAIN, body=(b"oops",), trailers=()),
    answered("plain-text", _PLAIN, body=(b"oops",), trailers=(), text=True),
    answered("503", _PLAIN, body=(b"oops%\x80\x7f~ \n",), trailers=(), status="503"),
    answered(
        "503-status", ("grpc-status", "5"), ("grpc-message", "mine"), body=(b"x",), trailers=(), status="503"
    ),
    answered("503-grpc", _GRPC, body=(b"oo",), status="503"),
    answered("404-length", ("content-length", "4"), body=(b"oops",), trailers=(), status="404"),
    answered("404-large", body=(b"o" * 12000, b"p" * 12000, b"q" * 12000), trailers=(), status="404"),
    answered("404-nearly-large", body=(b"o" * 16300, b"p" * 300, b"q"), trailers=(), status="404"),
    answered("no-trailers", _GRPC, trailers=()),
    answered("no-body", _GRPC, body=()),
    answered("trailers", _GRPC, trailers=(*_ENDED, ("x-bin", "AA=="), ("x", "a"), ("x", "b"))),
    answered(
        "sizes", _GRPC, body=(b"\0\0\0\0\0", b"\0\0\0\0\2xy\0\0\0", b"\0\3abc\1\0\0\0\4wxyz"), text=True
    ),
    answered("pieces", _GRPC, body=(b"\0\0\0\0\12ab", b"c", b"", b"defghij\0", b"\0\0\0\1x"), text=True),
    answered("large", _GRPC, body=(b"\0\0\0\x40\0", b"x" * 0x3FFF, b"y"), text=True),
    answered("cut", _GRPC, body=(_MESSAGE + b"\0\0\0\0\5ab",), text=True),
    answered("cut-in-prefix", _GRPC, body=(_MESSAGE + b"\0\0\0",), text=True),
    answered("unknown-flags", _GRPC, body=(b"\7\0\0\0\1x", _MESSAGE), text=True),
    answered("reset", _GRPC, trailers=(), resets=2),
    answered("reset-plain", _PLAIN, trailers=(), resets=2),
    answered("closes-plain", _PLAIN, trailers=(), closes=True),
    web("refused", path="/refused/m", replies=()),
    web("refused-text", _AS_TEXT, path="/refused/m", replies=()),
    web("direct", path="/direct/m", replies=()),
    web("denied", path="/denied/m", replies=()),
    web("off", path="/off/m"),
    web("query", path="/s/m?x=y"),
    web("three-parts", path="/s/x/m"),
    web("trailers-enabled", listener="grpc-web-trailers"),
    web("times-of-the-stream", "grpc-timeout: 2S", path="/longest/m"),
    web("times", "grpc-timeout: 2S", path="/most/m"),
    web(
        "older",
        path="/older/m",
        replies=(),
        answers=(
            answer(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 6\r\n\r\n" + _MESSAGE
            ),
        ),
    ),
    web(
        "older-trailers",
        path="/older/m",
        replies=(),
        answers=(
            answer(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n"
                b"transfer-encoding: chunked\r\n\r\n6\r\n"
                + _MESSAGE
                + b"\r\n0\r\ngrpc-status: 3\r\nX-Up: A\r\n\r\n"
            ),
        ),
    ),
    newer("pieces", _MESSAGE[:3], _MESSAGE[3:]),
    newer("text-pieces", b"AAA", b"AAAF", b"4", kind=_TEXT),
    newer("trailers", _MESSAGE, trailers=(("x-r", "1"),)),
    newer("text-trailers", b"AAAAAAF4", kind=_TEXT, trailers=(("x-r", "1"),)),
    newer("text-cut", b"AAA", kind=_TEXT),
    newer("text-cut-trailers", b"AAA", kind=_TEXT, trailers=(("x-r", "1"),)),
    newer(
        "plain-trailers", _MESSAGE, answered=reply(_PLAIN, body=(b"oo",), trailers=(("grpc-status", "3"),))
    ),
    newer("503-trailers", _MESSAGE, answered=reply(_GRPC, body=(b"oo",), trailers=_ENDED, status="503")),
    newer("503-only-trailers", _MESSAGE, answered=reply(_PLAIN, trailers=_ENDED, status="503")),
    newer("reset-plain", _MESSAGE, answered=reply(_PLAIN, body=(b"oo",), resets=2)),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)


def test_the_numbers_agree_with_envoy(laboratory: Laboratory) -> None:
    envoy, proxyd = (
        [line for line in laboratory.stats[kind].splitlines() if "web" in line]
        for kind in ("envoy", "proxyd")
    )
    assert len(envoy) > 5
    assert envoy == proxyd
