"""Clients that speak HTTP/2, an origin that speaks HTTP/1.1: everything a bridge can get wrong."""

import pytest

from tests.conformance.case import Case, Do, answer
from tests.conformance.conftest import Agree
from tests.conformance.http2 import Ask, fields, http2

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {connect_matcher: {}}, route: {cluster: origin}, name: connect}
    - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: x}}}
    - {match: {prefix: /empty}, direct_response: {status: 204}}
    - {match: {prefix: /redirect}, redirect: {host_redirect: b.test}}
    - {match: {prefix: /refused}, route: {cluster: refused}}
    - {match: {prefix: /brief}, route: {cluster: origin, timeout: 0.2s}}
    - match: {prefix: /changed}
      route: {cluster: origin, prefix_rewrite: /other}
      request_headers_to_add: [{header: {key: x-added, value: "%PROTOCOL%"}}]
      response_headers_to_add: [{header: {key: x-answered, value: "%RESPONSE_CODE%"}}]
    - {match: {prefix: /kept}, route: {cluster: kept}}
    - {match: {prefix: /trailing}, route: {cluster: trailing}}
    - {match: {prefix: /}, route: {cluster: origin}}
"""

LISTENERS = {
    "h2": _ROUTES,
    "h2-only": _ROUTES + "codec_type: HTTP2\n",
    "h2-edge": _ROUTES + "use_remote_address: true\n",
    "h2-streams": _ROUTES + "http2_protocol_options: {override_stream_error_on_invalid_http_message: true}\n",
    "h2-streams-too": _ROUTES + "stream_error_on_invalid_http_message: true\n",
    "h2-continues": _ROUTES + "proxy_100_continue: true\n",
    "h2-small": _ROUTES + "max_request_headers_kb: 1\n",
    "h2-drop": _ROUTES + "common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}\n",
    "h2-reject": _ROUTES
    + "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}\n",
    "h2-few": _ROUTES + "common_http_protocol_options: {max_headers_count: 10}\n",
    "h2-upgrades": _ROUTES
    + "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT}]\n"
    + "http2_protocol_options: {allow_connect: true}\n",
    "h2-normal": _ROUTES + "normalize_path: true\nmerge_slashes: true\n",
    "h2-scheme": _ROUTES + "scheme_header_transformation: {scheme_to_overwrite: https}\n",
}

CLUSTERS = """
trailing:
  load_assignment: $origin
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config: {http_protocol_options: {enable_trailers: true}}
      common_http_protocol_options: {max_requests_per_connection: 1}
"""


def post(path: str = "/", *pieces: bytes, more: tuple[tuple[str, str], ...] = (), **rest: object) -> Ask:
    return Ask(fields(path, *more, method="POST"), pieces, **rest)  # type: ignore[arg-type]


_CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n"
_ECHO = answer(
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n", Do.ECHO
)
_WEBSOCKET = (("sec-websocket-version", "13"), ("sec-websocket-key", "x"))

REQUESTS = (
    http2("get", fields()),
    http2("get-query", fields("/a?b=c&d=%20e")),
    http2("only-http2", fields(), listener="h2-only"),
    http2("head", fields(method="HEAD"), upstream=b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
    http2("options-star", fields("*", method="OPTIONS")),
    http2("delete", fields(method="DELETE")),
    http2("odd-method", fields(method="FOO")),
    http2("post-without-body", post()),
    http2("post-empty-data", post("/", b"")),
    http2("post", post("/", b"abc")),
    http2("post-pieces", post("/", b"abc", b"defg")),
    http2("post-length", post("/", b"abc", more=(("content-length", "3"),))),
    http2("post-length-of-nothing", post("/", b"", more=(("content-length", "0"),))),
    http2("get-with-body", Ask(fields(), (b"abc",))),
    http2("put-large", Ask(fields(method="PUT"), tuple(b"x" * 16000 for _ in range(20)))),
    http2("trailers-without-use", post("/", b"abc", trailers=(("x-t", "1"),))),
    http2("trailers", post("/trailing", b"abc", trailers=(("x-t", "1"), ("x-u", "2")))),
    http2("trailers-without-body", post("/trailing", trailers=(("x-t", "1"),))),
    http2("cookies", fields("/", ("cookie", "a=1"), ("x-b", "c"), ("cookie", "d=2"))),
    http2("te", fields("/", ("te", "trailers"))),
    http2("host-alone", fields("/", ("host", "b.test"), authority="")),
    http2("host-the-same", fields("/", ("host", "a.test"))),
    http2("port", fields(authority="a.test:8080")),
    http2("scheme-https", fields(scheme="https")),
    http2("scheme-ftp", fields(scheme="ftp")),
    http2("scheme-overwritten", fields(), listener="h2-scheme"),
    http2(
        "edge",
        fields("/", ("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https")),
        listener="h2-edge",
    ),
    http2("forwarded", fields("/", ("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https"))),
    http2("request-id", fields("/", ("x-request-id", "mine"))),
    http2("user-agent", fields("/", ("user-agent", "test/1"))),
    http2("underscore", fields("/", ("x_y", "1"))),
    http2("underscore-dropped", fields("/", ("x_y", "1")), listener="h2-drop"),
    http2("beyond-ascii", fields("/\xe9", ("x-a", "\xe9"))),
    http2("changed", fields("/changed/x")),
    http2("normalized", fields("/a//b/../c"), listener="h2-normal"),
    http2("fragment", fields("/a#b")),
    http2("expect", post("/", b"abc", more=(("expect", "100-continue"),))),
    http2("expect-otherwise", post("/", b"abc", more=(("expect", "x"),))),
    http2("two", fields("/1"), fields("/2")),
    http2("direct-five", *(fields("/direct") for _ in range(5))),
    http2("many-fields", fields("/", *((f"x{number}", "y") for number in range(96)))),
)

RESPONSES = (
    http2("chunks", fields(), upstream=_CHUNKS + b"0\r\n\r\n"),
    http2("no-length", fields(), answer=answer(b"HTTP/1.1 200 OK\r\n\r\nabc", Do.CLOSE)),
    http2("length-of-nothing", fields(), upstream=b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    http2("no-content", fields(), upstream=b"HTTP/1.1 204 No Content\r\n\r\n"),
    http2("not-modified", fields(), upstream=b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n"),
    http2("odd-status", fields(), upstream=b"HTTP/1.1 799 Odd\r\ncontent-length: 1\r\n\r\nx"),
    http2("not-found", fields(), upstream=b"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\nx"),
    http2(
        "one-hop-fields",
        fields(),
        upstream=b"HTTP/1.1 200 OK\r\nconnection: x-a\r\nx-a: 1\r\nkeep-alive: 5\r\nproxy-connection: x\r\n"
        b"upgrade: h2c\r\ncontent-length: 0\r\n\r\n",
    ),
    http2("upper-case", fields(), upstream=b"HTTP/1.1 200 OK\r\nX-Upper: 1\r\nContent-Length: 0\r\n\r\n"),
    http2(
        "set-cookies",
        fields(),
        upstream=b"HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n",
    ),
    http2("trailers-down", fields("/trailing"), upstream=_CHUNKS + b"0\r\nx-t: 1\r\n\r\n"),
    http2("trailers-down-without-use", fields(), upstream=_CHUNKS + b"0\r\nx-t: 1\r\n\r\n"),
    http2(
        "early-hints",
        fields(),
        upstream=b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ),
    http2(
        "early-hints-wanted",
        fields(),
        listener="h2-continues",
        upstream=b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ),
    http2(
        "continue-wanted",
        post("/", b"abc", more=(("expect", "100-continue"),)),
        listener="h2-continues",
        upstream=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ),
    http2(
        "breaks-off", fields(), answer=answer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", Do.CLOSE)
    ),
    http2("breaks-off-in-chunks", fields(), answer=answer(_CHUNKS, Do.CLOSE)),
    http2("closes", fields(), answer=answer(Do.CLOSE)),
    http2("no-http", fields(), answer=answer(b"garbage\r\n\r\n", Do.CLOSE)),
    http2("late", fields("/brief"), answer=answer(1.0)),
    http2("refused", fields("/refused")),
    http2(
        "refused-grpc", Ask(fields("/refused", ("content-type", "application/grpc"), method="POST"), (b"x",))
    ),
    http2("direct", fields("/direct")),
    http2("direct-head", fields("/direct", method="HEAD")),
    http2("direct-empty", fields("/empty")),
    http2("direct-grpc", fields("/direct", ("content-type", "application/grpc"), method="POST")),
    http2("redirect", fields("/redirect/x?y")),
    http2("direct-before-the-end", Ask(fields("/direct", method="POST"), (b"abc",), ends=False)),
    http2(
        "answered-before-the-end",
        Ask(fields("/", method="POST"), (b"abc",), ends=False),
        answer=answer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", early=True),
    ),
    http2("large", fields(), upstream=b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n" + b"x" * 300000),
)

REFUSALS = tuple(
    http2(f"{listener}-{name}", ask, listener=listener)
    for listener in ("h2", "h2-streams", "h2-streams-too")
    for name, ask in {
        "connection": fields("/", ("connection", "close")),
        "keep-alive": fields("/", ("keep-alive", "1")),
        "proxy-connection": fields("/", ("proxy-connection", "x")),
        "transfer-encoding": fields("/", ("transfer-encoding", "chunked")),
        "upgrade": fields("/", ("upgrade", "websocket")),
        "te": fields("/", ("te", "gzip")),
        "line-feed": fields("/", ("x-a", "b\nc")),
        "carriage-return": fields("/", ("x-a", "b\rc")),
        "nul": fields("/", ("x-a", "b\0c")),
        "name-with-space": fields("/", ("x a", "b")),
        "empty-name": fields("/", ("", "b")),
        "two-paths": fields("/", (":path", "/b")),
        "late-pseudo": (("x-a", "b"), *fields()),
        "unknown-pseudo": (*fields(), (":x", "b")),
        "status": (*fields(), (":status", "200")),
        "no-path": fields(""),
        "no-scheme": fields(scheme=""),
        "no-method": fields(method=""),
        "no-authority": fields(authority=""),
        "bad-authority": fields(authority="a b"),
        "user": fields(authority="user@a.test"),
        "path-without-slash": fields("x"),
        "path-url": fields("http://a.test/"),
        "path-with-space": fields("/a b"),
        "star": fields("*"),
        "bad-method": fields(method="G T"),
        "bad-scheme": fields(scheme="h@p"),
        "bad-length": post("/", b"abcde", more=(("content-length", "+5"),)),
        "two-lengths": post("/", b"abc", more=(("content-length", "3"), ("content-length", "3"))),
        "length-without-body": fields("/", ("content-length", "5")),
        "trailers-with-pseudo": post("/", b"abc", trailers=((":path", "/b"),)),
        "protocol": (*fields(method="CONNECT"), (":protocol", "websocket")),
    }.items()
)

OTHERS = (
    http2("length-more", post("/", b"abcdefg", more=(("content-length", "5"),))),
    http2("length-less", post("/", b"abc", more=(("content-length", "5"),))),
    http2("host-differs", fields("/", ("host", "b.test"))),
    http2("upper-case-name", (*fields(), ("X-Upper", "1"))),
    http2("leading-blank", fields("/", ("x-a", " b"))),
    http2("control", fields("/", ("x-a", "b\x01c"))),
    http2("http2-settings", fields("/", ("http2-settings", "x"))),
    http2("too-large", fields("/", ("x-a", "y" * 1100)), listener="h2-small"),
    http2("not-too-large", fields("/", ("x-a", "y" * 500)), listener="h2-small"),
    http2("too-many", fields("/", *((f"x{number}", "y") for number in range(7))), listener="h2-few"),
    http2("not-too-many", fields("/", *((f"x{number}", "y") for number in range(6))), listener="h2-few"),
    http2("underscore-refused", fields("/", ("x_y", "1")), listener="h2-reject"),
    http2("cancelled", Ask(fields(), resets=8), answer=answer(2.0), probe=False),
    http2("reset-without-error", Ask(fields(), resets=0), answer=answer(2.0), probe=False),
    http2(
        "connect-without-permission", Ask(((":method", "CONNECT"), (":authority", "b.test:80")), ends=False)
    ),
    http2("connect-route", Ask(((":method", "CONNECT"), (":authority", "a.test:80")), ends=False)),
)


CASES = (*REQUESTS, *RESPONSES, *REFUSALS, *OTHERS)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_envoy_and_proxyd_agree(case: Case, agree: Agree) -> None:
    agree(case)
