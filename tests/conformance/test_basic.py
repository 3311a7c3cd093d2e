"""Requests through to the origin and its responses back, with nothing special configured."""

import pytest

from tests.conformance.basic import LISTENERS as LISTENERS
from tests.conformance.case import Case, Do, answer, case, get, post, request, response
from tests.conformance.conftest import Agree

_NOMINATED = ("connection: x-h, keep-alive, te", "x-h: 1", "keep-alive: 5", "proxy-connection: a")

CASES = (
    case("get", get("/b")),
    case("get-query", get("/b?x=1&y=%20z")),
    case("get-empty-query", get("/b?")),
    case("get-not-routed", get("/nothing")),
    case("get-percent", get("/b%2fc%00%zz")),
    case("get-two-slashes", get("/b//c")),
    case("get-dots", get("/b/../x/./y")),
    case("get-other-case", get("/B")),
    case("get-odd-bytes", get("/b/\xe9<>\"{}|^`'")),
    case("get-root", get("/")),
    *(
        case(f"method-{name}", request(name, "/b"))
        for name in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "HEAD", "PROPFIND", "M-SEARCH")
    ),
    case("method-unknown", request("FOO", "/b")),
    case("method-lower-case", request("get", "/b")),
    case("method-connect", request("CONNECT", "h.example:80")),
    case("method-connect-path", request("CONNECT", "/b")),
    case("method-options-star", request("OPTIONS", "*")),
    case("method-get-star", request("GET", "*")),
    case("post-body", post("/b", "abc")),
    case("post-two-pieces", request("POST", "/b", "content-length: 6") + "abc", Do.AWAIT_UPSTREAM, "def"),
    case("post-empty", post("/b", "")),
    case("post-large", post("/b", "x" * 300_000)),
    case("get-body", request("GET", "/b", "content-length: 3", body="abc")),
    case("head-body", request("HEAD", "/b", "content-length: 3", body="abc")),
    case("delete-body", request("DELETE", "/b", "content-length: 3", body="abc")),
    case("put-many-fields", request("PUT", "/b", *(f"x-{n}: {n}" for n in range(60)), "content-length: 0")),
    case("fields-repeated", get("/b", "x: 1", "x: 2", "cookie: a", "cookie: b", "accept: c", "accept: d")),
    case("fields-repeated-apart", get("/b", "x: 1", "y: 3", "x: 2")),
    case("fields-upper-case", get("/b", "X-UPPER: Value", "Accept: C")),
    case("fields-empty-value", get("/b", "x:", "y:   z  ", "z:\t")),
    case("fields-underscore", get("/b", "x_y: 1")),
    case("fields-odd-names", get("/b", "!#$%&'*+-.^_`|~: 1", "0: 2")),
    case("fields-obs-text", get("/b", "x: \xff\xe9")),
    case("fields-tab-inside", get("/b", "x: a\tb")),
    case("fields-commas", get("/b", "x: a,b , c")),
    case("fields-colon", get("/b", "x: :a: b:")),
    case("fields-quoted", get("/b", 'x: "a\\"b"')),
    case("host-upper-case", get("/b", host="H.Example")),
    case("host-port", get("/b", host="h.example:8080")),
    case("host-ipv6", get("/b", host="[::1]:80")),
    case("host-ipv4", get("/b", host="127.0.0.1")),
    case("host-underscore", get("/b", host="a_b")),
    case("host-trailing-dot", get("/b", host="h.example.")),
    case("host-spaces-around", get("/b", host="  h.example  ")),
    case("absolute", get("http://abs.example/b?q")),
    case("absolute-port", get("http://abs.example:81/b")),
    case("absolute-https", get("https://abs.example/b")),
    case("absolute-upper-case-scheme", get("HTTP://abs.example/b")),
    case("absolute-no-path", get("http://abs.example")),
    case("absolute-query-no-path", get("http://abs.example?b")),
    case("absolute-no-host", "GET http://abs.example/b HTTP/1.1\r\n\r\n"),
    case("absolute-user", get("http://u:p@abs.example/b")),
    case("absolute-empty-host", get("http:///b")),
    case("absolute-port-empty", get("http://abs.example:/b")),
    case("absolute-port-zero", get("http://abs.example:0/b")),
    case("absolute-port-too-large", get("http://abs.example:65536/b")),
    case("absolute-port-long", get("http://abs.example:000080/b")),
    case("absolute-ipv6", get("http://[::1]:80/b")),
    case("absolute-ipv6-no-port", get("http://[::1]/b")),
    case("absolute-two-colons", get("http://a:1:2/b")),
    case("absolute-odd-host", get("http://a_b%20c/b")),
    case("absolute-host-differs", get("http://abs.example/b", host="other.example")),
    case("absolute-post", request("POST", "http://abs.example/b", "content-length: 1", body="a")),
    case("absolute-ftp", get("ftp://abs.example/b")),
    case("absolute-bad-port", get("http://abs.example:x/b")),
    case("hop-by-hop", get("/b", *_NOMINATED, "te: trailers, gzip")),
    case("te-trailers", get("/b", "te: trailers")),
    case("te-trailers-nominated", get("/b", "connection: te", "te: trailers")),
    case("te-gzip", get("/b", "te: gzip")),
    case("connection-close", get("/b", "connection: close")),
    case("connection-close-case", get("/b", "Connection: Close")),
    case("connection-keep-alive", get("/b", "connection: keep-alive")),
    case("connection-both", get("/b", "connection: keep-alive, close")),
    case("connection-close-list", get("/b", "connection: x, close", "x: 1")),
    case("connection-close-twice", get("/b", "connection: x", "connection: close", "x: 1")),
    case("connection-unknown", get("/b", "connection: x-nothing")),
    case("connection-empty", get("/b", "connection:")),
    case("connection-odd-commas", get("/b", "connection: , ,x,,", "x: 1")),
    case("connection-nominates-host", get("/b", "connection: host")),
    case(
        "connection-nominates-length",
        request("POST", "/b", "connection: content-length", "content-length: 1", body="a"),
    ),
    case("connection-nominates-cookie", get("/b", "connection: cookie", "cookie: a")),
    case("connection-nominates-authorization", get("/b", "connection: authorization", "authorization: a")),
    case("connection-nominates-forwarded-for", get("/b", "connection: x-forwarded-for")),
    case("connection-nominates-forwarded-proto", get("/b", "connection: X-Forwarded-Proto")),
    case("connection-nominates-nine", get("/b", "connection: " + ",".join(f"x{n}" for n in range(9)))),
    case("connection-nominates-ten", get("/b", "connection: " + ",".join(f"x{n}" for n in range(10)))),
    case("connection-nominates-eleven", get("/b", "connection: " + ",".join(f"x{n}" for n in range(11)))),
    case("proxy-connection-close", get("/b", "proxy-connection: close")),
    case("upgrade-websocket", get("/b", "connection: Upgrade", "upgrade: websocket")),
    case(
        "upgrade-h2c", get("/b", "connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AA")
    ),
    case("upgrade-not-nominated", get("/b", "upgrade: websocket")),
    case("upgrade-list", get("/b", "connection: upgrade", "upgrade: foo, websocket")),
    case(
        "upgrade-post",
        request("POST", "/b", "connection: upgrade", "upgrade: x", "content-length: 3", body="abc"),
    ),
    case(
        "upgrade-h2c-post",
        request("POST", "/b", "connection: upgrade", "upgrade: h2c", "content-length: 3", body="abc"),
    ),
    case(
        "expect", request("POST", "/b", "expect: 100-continue", "content-length: 3"), Do.AWAIT_RESPONSE, "abc"
    ),
    case(
        "expect-case",
        request("POST", "/b", "Expect: 100-Continue", "content-length: 3"),
        Do.AWAIT_RESPONSE,
        "abc",
    ),
    case("expect-with-body", request("POST", "/b", "expect: 100-continue", "content-length: 3", body="abc")),
    case("expect-no-body", get("/b", "expect: 100-continue")),
    case("expect-other", request("POST", "/b", "expect: foo", "content-length: 3", body="abc")),
    case(
        "expect-direct", request("POST", "/direct", "expect: 100-continue", "content-length: 3", body="abc")
    ),
    case(
        "expect-not-routed", request("POST", "/no", "expect: 100-continue", "content-length: 3", body="abc")
    ),
    case(
        "expect-chunked",
        request("POST", "/b", "expect: 100-continue", "transfer-encoding: chunked"),
        Do.AWAIT_RESPONSE,
        "3\r\nabc\r\n0\r\n\r\n",
    ),
    case("status-201", get("/b"), upstream=response(201)),
    case("status-404", get("/b"), upstream=response(404)),
    case("status-418", get("/b"), upstream=response(418)),
    case("status-500", get("/b"), upstream=response(500)),
    case("status-599", get("/b"), upstream=response(599)),
    case("status-600", get("/b"), upstream=response(600)),
    case("status-777", get("/b"), upstream=response(777)),
    case("status-302", get("/b"), upstream=response(302, "location: /x")),
    case("status-205", get("/b"), upstream=response(205, body="")),
    case("reason-kept", get("/b"), upstream=b"HTTP/1.1 200 All is well\r\ncontent-length: 0\r\n\r\n"),
    case("reason-absent", get("/b"), upstream=b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n"),
    case("reason-and-space-absent", get("/b"), upstream=b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"),
    case(
        "response-fields",
        get("/b"),
        upstream=response(200, "X-Up: 1", "set-cookie: a", "set-cookie: b", "vary: c", "vary: d"),
    ),
    case(
        "response-server",
        get("/b"),
        upstream=response(200, "server: up", "date: D", "via: z", "x-envoy-x: 1"),
    ),
    case("response-service-time", get("/b"), upstream=response(200, "x-envoy-upstream-service-time: 99")),
    case("response-request-id", get("/b"), upstream=response(200, "x-request-id: abc")),
    case(
        "response-hop-by-hop",
        get("/b"),
        upstream=response(200, "keep-alive: 5", "proxy-connection: a", "upgrade: foo", "te: x"),
    ),
    case("response-nominated", get("/b"), upstream=response(200, "connection: x-h, keep-alive", "x-h: 1")),
    case("response-close", get("/b"), answer=answer(response(200, "connection: close"), Do.CLOSE)),
    case("response-odd-values", get("/b"), upstream=response(200, "a:", "b:  x  ", "c: \xff", "d: a\tb")),
    case(
        "response-http10",
        get("/b"),
        answer=answer(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Do.CLOSE),
    ),
    case("response-large", get("/b"), upstream=response(200, body="y" * 500_000)),
    case("response-location-kept", get("/b"), upstream=response(302, "location: http://127.0.0.1/x")),
    case("kept-upstream-connection", get("/kept") + get("/kept"), responses=2),
    case("redirect", get("/redirect?q=1")),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
