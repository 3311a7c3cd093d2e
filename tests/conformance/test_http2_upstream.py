"""Origins that speak HTTP/2, asked by clients of either version: bridging, trailers, resets, gRPC."""

from typing import Any

import pytest

from tests.conformance.case import Case, get, post
from tests.conformance.conftest import Agree
from tests.conformance.http2 import Ask, Http2Case, Reply, fields, http2, reply

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /brief}, route: {cluster: newer, timeout: 0.2s}}
    - match: {prefix: /changed}
      route: {cluster: newer, prefix_rewrite: /other, host_rewrite_literal: other.test}
      request_headers_to_add: [{header: {key: x-added, value: "%PROTOCOL%"}}]
    - {match: {prefix: /older}, route: {cluster: older-word}}
    - {match: {prefix: /downstream}, route: {cluster: downstream}}
    - {match: {prefix: /}, route: {cluster: newer}}
"""

LISTENERS = {
    "up2": _ROUTES,
    "up2-trailers": _ROUTES + "http_protocol_options: {enable_trailers: true}\n",
    "up2-continues": _ROUTES + "proxy_100_continue: true\n",
}


def _options(text: str) -> str:
    return f"""
  typed_extension_protocol_options:
    {_OPTIONS}:
      "@type": type.googleapis.com/{_OPTIONS}
      {text}
      common_http_protocol_options: {{max_requests_per_connection: 1}}
"""


CLUSTERS = (
    "newer:\n  load_assignment: $newer"
    + _options("explicit_http_config: {http2_protocol_options: {}}")
    + "downstream:\n  load_assignment: $newer"
    + _options("use_downstream_protocol_config: {http2_protocol_options: {}}")
    + "older-word: {load_assignment: $newer, http2_protocol_options: {}, max_requests_per_connection: 1}\n"
)

OK = reply(("content-length", "2"), body=(b"ok",))


def older(name: str, *sends: str, **more: Any) -> Http2Case:
    """A client of HTTP/1.1."""
    replies = more.pop("replies", (OK,))
    made = tuple(step.encode("latin-1") for step in sends)
    return Http2Case(f"h1-h2-{name}", made, listener=more.pop("listener", "up2"), replies=replies, **more)


def newer(name: str, *asks: Any, **more: Any) -> Http2Case:
    """A client of HTTP/2."""
    return http2(
        f"up-{name}", *asks, listener=more.pop("listener", "up2"), replies=more.pop("replies", (OK,)), **more
    )


GRPC = (("content-type", "application/grpc"), ("te", "trailers"))
_CHUNKED = "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n"
_MESSAGE = b"\0\0\0\0\3abc"


def call(*more: tuple[str, str], path: str = "/pkg.Service/Method") -> Ask:
    return Ask(fields(path, *GRPC, *more, method="POST"), (_MESSAGE,))


REPLIES = {
    "whole": OK,
    "no-length": reply(body=(b"abc", b"de")),
    "nothing": reply(),
    "nothing-announced": reply(("content-length", "0")),
    "no-content": reply(status="204"),
    "not-modified": reply(("etag", "x"), status="304"),
    "not-found": reply(("content-length", "1"), status="404", body=(b"x",)),
    "odd-status": reply(("content-length", "1"), status="799", body=(b"x",)),
    "set-cookies": reply(("set-cookie", "a"), ("set-cookie", "b")),
    "server": reply(("server", "mine"), ("date", "today")),
    "trailers": reply(body=(b"abc",), trailers=(("x-t", "1"),)),
    "trailers-alone": reply(trailers=(("x-t", "1"),)),
    "interim": reply(("content-length", "0"), interim=(((":status", "103"), ("link", "x")),)),
    "reset": Reply(resets=8),
    "reset-refused": Reply(resets=7),
    "reset-inside": reply(("content-length", "9"), body=(b"abc",), resets=2),
    "closes": Reply(closes=True),
    "closes-inside": reply(("content-length", "9"), body=(b"abc",), closes=True),
    "no-status": Reply((("x-a", "1"),)),
    "bad-status": reply(status="abc"),
    "connection": reply(("connection", "close")),
    "transfer-encoding": reply(("transfer-encoding", "chunked")),
    "line-end": reply(("x-a", "b\r\nc: d")),
    "upper-case": reply(("X-Upper", "1")),
}

CASES = (
    *(older(name, get("/"), replies=(each,)) for name, each in REPLIES.items()),
    *(newer(name, fields(), replies=(each,)) for name, each in REPLIES.items()),
    older("trailers-wanted", get("/"), listener="up2-trailers", replies=(REPLIES["trailers"],)),
    older("head", "HEAD / HTTP/1.1\r\nhost: a.test\r\n\r\n", replies=(reply(("content-length", "5")),)),
    newer("head", fields(method="HEAD"), replies=(reply(("content-length", "5")),)),
    older("post", post("/", "abc")),
    older("post-nothing", "POST / HTTP/1.1\r\nhost: a.test\r\n\r\n"),
    older("post-nothing-announced", post("/", "")),
    older(
        "post-chunks",
        _CHUNKED + "3\r\nabc\r\n0\r\n\r\n",
    ),
    older(
        "post-trailers",
        _CHUNKED + "3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n",
        listener="up2-trailers",
    ),
    older("fields", get("/a?b", "accept: */*", "x-a: 1", "x-a: 2", "cookie: a=1; b=2")),
    older(
        "hop-by-hop",
        get("/", "connection: x-hop", "x-hop: 1", "keep-alive: 3", "te: trailers, gzip"),
    ),
    older("port", "GET / HTTP/1.1\r\nhost: a.test:81\r\n\r\n"),
    older("absolute", "GET http://b.test/x HTTP/1.1\r\nhost: a.test\r\n\r\n"),
    older("changed", get("/changed/x")),
    older("older-word", get("/older")),
    older("late", get("/brief"), replies=(Reply(waits=True),)),
    older("continues", get("/"), listener="up2-continues", replies=(REPLIES["interim"],)),
    newer("post", Ask(fields(method="POST"), (b"abc", b"de"))),
    newer("post-trailers", Ask(fields(method="POST"), (b"abc",), (("x-t", "1"),))),
    newer("post-trailers-alone", Ask(fields(method="POST"), (), (("x-t", "1"),))),
    newer("post-length", Ask(fields("/", ("content-length", "3"), method="POST"), (b"abc",))),
    newer("post-nothing", fields(method="POST")),
    newer("post-empty-data", Ask(fields(method="POST"), (b"",))),
    newer("options-star", fields("*", method="OPTIONS")),
    newer("cookies", fields("/", ("cookie", "a=1"), ("cookie", "b=2"))),
    newer("te", fields("/", ("te", "trailers"))),
    newer("scheme", fields(scheme="https")),
    newer("downstream", fields("/downstream")),
    newer("changed", fields("/changed/x")),
    newer("late", fields("/brief"), replies=(Reply(waits=True),)),
    newer("cancelled", Ask(fields(), resets=8), replies=(Reply(waits=True),), probe=False),
    newer(
        "two",
        fields("/1"),
        fields("/2"),
        replies=(reply(path=b"/1", body=(b"ok",)), reply(status="404", path=b"/2")),
    ),
    newer(
        "early",
        Ask(fields(method="POST"), (b"abc",), ends=False),
        replies=(reply(("content-length", "2"), body=(b"ok",), early=True),),
    ),
    newer("grpc", call(), replies=(reply(*GRPC[:1], body=(_MESSAGE,), trailers=(("grpc-status", "0"),)),)),
    newer("grpc-error", call(), replies=(reply(*GRPC[:1], ("grpc-status", "5"), ("grpc-message", "no")),)),
    newer("grpc-trailing-error", call(), replies=(reply(*GRPC[:1], trailers=(("grpc-status", "9"),)),)),
    newer("grpc-unavailable", call(), replies=(Reply(closes=True),)),
    newer("grpc-reset", call(), replies=(Reply(resets=8),)),
    newer("grpc-late", call(path="/brief"), replies=(Reply(waits=True),)),
    newer("grpc-timeout", call(("grpc-timeout", "100m"))),
    newer("grpc-http-error", call(), replies=(reply(status="503"),)),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_envoy_and_proxyd_agree(case: Case, agree: Agree) -> None:
    agree(case)
