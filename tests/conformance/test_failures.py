"""What goes wrong on the origin's side, on the client's, and in time."""

import pytest

from tests.conformance.basic import LISTENERS as LISTENERS
from tests.conformance.case import Case, Do, answer, case, get, post, request, response
from tests.conformance.conftest import Agree

_PARTIAL = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello"
_CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"

CASES = (
    # -- connecting
    case("connect-refused", get("/refused")),
    case("connect-refused-post", post("/refused", "abc")),
    case("connect-timeout", get("/full")),
    case("connect-timeout-post", post("/full", "abc")),
    case("no-endpoint", get("/empty")),
    case("no-endpoint-post", post("/empty", "abc")),
    # -- the origin ends
    case("close-before-response", get("/b"), answer=answer(Do.CLOSE)),
    case("close-before-response-post", post("/b", "abc"), answer=answer(Do.CLOSE)),
    case("reset-before-response", get("/b"), answer=answer(Do.RESET)),
    case("close-in-head", get("/b"), answer=answer(b"HTTP/1.1 200 OK\r\ncontent-le", Do.CLOSE)),
    case("close-in-status-line", get("/b"), answer=answer(b"HTTP/1.", Do.CLOSE)),
    case("close-in-body", get("/b"), answer=answer(_PARTIAL, Do.CLOSE)),
    case("reset-in-body", get("/b"), answer=answer(_PARTIAL, 0.05, Do.RESET)),
    case("close-in-chunks", get("/b"), answer=answer(_CHUNKS, Do.CLOSE)),
    case("close-in-chunk", get("/b"), answer=answer(_CHUNKS[:-3], Do.CLOSE)),
    case("half-close-then-response", get("/b"), answer=answer(0.02, response(200), Do.SHUT)),
    case(
        "close-while-request-comes",
        request("POST", "/b", "content-length: 10", body="abc"),
        answer=answer(Do.CLOSE, early=True),
    ),
    # -- the origin is wrong
    case("garbage", get("/b"), answer=answer(b"blah blah\r\n\r\n", Do.CLOSE)),
    case("garbage-kept", get("/b"), answer=answer(b"blah blah\r\n\r\n")),
    case(
        "response-length-and-chunked",
        get("/b"),
        upstream=_CHUNKS.replace(b"transfer", b"content-length: 3\r\ntransfer") + b"0\r\n\r\n",
    ),
    case(
        "response-two-lengths",
        get("/b"),
        upstream=b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    ),
    case(
        "response-same-length-twice",
        get("/b"),
        upstream=b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
    ),
    case("response-length-list", get("/b"), upstream=b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok"),
    case("response-negative-length", get("/b"), upstream=b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok"),
    case("response-bad-chunk", get("/b"), upstream=_CHUNKS[:-8] + b"zz\r\nabc\r\n"),
    case("response-bad-second-chunk", get("/b"), answer=answer(_CHUNKS, 0.05, b"zz\r\nabc\r\n")),
    case(
        "response-gzip-coding",
        get("/b"),
        answer=answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc", Do.CLOSE),
    ),
    case(
        "response-gzip-chunked",
        get("/b"),
        upstream=b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    case(
        "response-too-large-head",
        get("/b"),
        answer=answer(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", Do.CLOSE),
    ),
    case("response-too-many-fields", get("/b"), upstream=response(200, *(f"x{n}: a" for n in range(120)))),
    case("response-hundred-fields", get("/b"), upstream=response(200, *(f"x{n}: a" for n in range(99)))),
    case("response-hundred-one-fields", get("/b"), upstream=response(200, *(f"x{n}: a" for n in range(100)))),
    case("response-nul", get("/b"), upstream=b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"),
    case(
        "response-space-in-name",
        get("/b"),
        upstream=b"HTTP/1.1 200 OK\r\nx y: a\r\ncontent-length: 0\r\n\r\n",
    ),
    case(
        "response-space-before-colon",
        get("/b"),
        upstream=b"HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 0\r\n\r\n",
    ),
    case("response-no-colon", get("/b"), upstream=b"HTTP/1.1 200 OK\r\nxy\r\ncontent-length: 0\r\n\r\n"),
    case("response-status-two-digits", get("/b"), upstream=b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n"),
    case("response-status-four-digits", get("/b"), upstream=b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n"),
    case("response-http2", get("/b"), upstream=b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
    case("response-http12", get("/b"), upstream=b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n"),
    case("response-http09", get("/b"), answer=answer(b"hello", Do.CLOSE)),
    case("response-bytes-behind", get("/b"), upstream=response(200) + b"EXTRA"),
    case("response-second-behind", get("/b"), upstream=response(200) + response(500)),
    case("response-behind-head", request("HEAD", "/b"), upstream=response(200)),
    # -- time
    case("route-timeout", get("/brief"), answer=answer(1.0)),
    case("route-timeout-post", post("/brief", "abc"), answer=answer(1.0)),
    case("route-timeout-in-body", get("/brief"), answer=answer(_PARTIAL, 1.0)),
    case("route-timeout-in-chunks", get("/brief"), answer=answer(_CHUNKS, 1.0)),
    case("route-timeout-not-reached", get("/brief"), answer=answer(0.05, response(200))),
    case(
        "route-timeout-while-request-comes",
        request("POST", "/brief", "content-length: 6", body="abc"),
        0.3,
        "def",
    ),
    case("idle-timeout-response", get("/idle"), answer=answer(1.0)),
    case("idle-timeout-request", request("POST", "/idle", "content-length: 6", body="abc")),
    case("idle-timeout-body", get("/idle"), answer=answer(_PARTIAL, 1.0)),
    # -- the client ends
    case("client-leaves-waiting", get("/b"), Do.AWAIT_UPSTREAM, Do.CLOSE, answer=answer(0.3, response(200))),
    case("client-resets-waiting", get("/b"), Do.AWAIT_UPSTREAM, Do.RESET, answer=answer(0.3, response(200))),
    case(
        "client-leaves-in-body",
        request("POST", "/b", "content-length: 9", body="abc"),
        Do.AWAIT_UPSTREAM,
        Do.CLOSE,
    ),
    case("client-leaves-in-head", "GET /b HTTP/1.1\r\nhost: a", 0.02, Do.CLOSE),
    case(
        "client-leaves-in-response", get("/b"), Do.AWAIT_BYTES, 0.05, Do.CLOSE, answer=answer(_PARTIAL, 0.3)
    ),
    case("client-leaves-at-once", 0.02, Do.CLOSE),
    case(
        "client-half-closes-waiting", get("/b"), Do.AWAIT_UPSTREAM, Do.SHUT, answer=answer(0.3, response(200))
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
