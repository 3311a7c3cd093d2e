"""Where messages end: lengths, chunks, the close, HEAD, bodyless statuses, interim and early responses."""

import pytest

from tests.conformance.basic import LISTENERS as LISTENERS
from tests.conformance.case import OK, Case, Do, answer, case, get, post, request, response
from tests.conformance.conftest import Agree

_TE = "transfer-encoding: chunked"
_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
_EARLY = answer(response(200, body="early"), early=True)
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
_HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"


def _chunked(body: str, *lines: str, target: str = "/b") -> str:
    return request("POST", target, _TE, *lines, body=body)


CASES = (
    # -- requests
    case("request-chunked", _chunked("3\r\nabc\r\n0\r\n\r\n")),
    case(
        "request-chunked-case",
        request("POST", "/b", "Transfer-Encoding: Chunked", body="3\r\nabc\r\n0\r\n\r\n"),
    ),
    case("request-chunked-several", _chunked("1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n0\r\n\r\n")),
    case("request-chunked-empty", _chunked("0\r\n\r\n")),
    case("request-chunked-get", request("GET", "/b", _TE, body="3\r\nabc\r\n0\r\n\r\n")),
    case("request-chunked-get-empty", request("GET", "/b", _TE, body="0\r\n\r\n")),
    case("request-chunked-leading-zeros", _chunked("0003\r\nabc\r\n00\r\n\r\n")),
    case("request-chunked-extension", _chunked("3;e=1\r\nabc\r\n0;last\r\n\r\n")),
    case("request-chunked-extension-quoted", _chunked('3;e="a;b"\r\nabc\r\n0\r\n\r\n')),
    case("request-chunked-trailers", _chunked("3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n", "trailer: x-t")),
    case("request-chunked-large", _chunked(f"{200_000:x}\r\n{'z' * 200_000}\r\n0\r\n\r\n")),
    case(
        "request-chunked-pieces", _chunked("3\r\nab"), Do.AWAIT_UPSTREAM, "c\r\n", 0.01, "0\r\n", 0.01, "\r\n"
    ),
    case("request-length-leading-zeros", request("POST", "/b", "content-length: 003", body="abc")),
    case("request-length-spaces", request("POST", "/b", "content-length:   3  ", body="abc")),
    case("request-length-zero-get", request("GET", "/b", "content-length: 0")),
    # -- responses
    case("response-chunked", get("/b"), upstream=_CHUNKED),
    case("response-chunked-case", get("/b"), upstream=_CHUNKED.replace(b"chunked", b"CHUNKED")),
    case(
        "response-chunked-empty",
        get("/b"),
        upstream=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    case("response-chunked-extension", get("/b"), upstream=_CHUNKED.replace(b"3\r\n", b"3;a=b\r\n")),
    case("response-chunked-trailers", get("/b"), upstream=_CHUNKED[:-2] + b"x-t: 1\r\n\r\n"),
    case(
        "response-chunked-pieces",
        get("/b"),
        answer=answer(_CHUNKED[:-12], 0.02, _CHUNKED[-12:-5], 0.02, _CHUNKED[-5:]),
    ),
    case("response-until-close", get("/b"), answer=answer(b"HTTP/1.1 200 OK\r\n\r\nbody", Do.CLOSE)),
    case("response-until-close-http10", get("/b"), answer=answer(b"HTTP/1.0 200 OK\r\n\r\nbody", Do.CLOSE)),
    case("response-until-close-empty", get("/b"), answer=answer(b"HTTP/1.1 200 OK\r\n\r\n", Do.CLOSE)),
    case("response-until-reset", get("/b"), answer=answer(b"HTTP/1.1 200 OK\r\n\r\nbody", 0.05, Do.RESET)),
    case("response-empty", get("/b"), upstream=response(200, body="")),
    case("response-204", get("/b"), upstream=b"HTTP/1.1 204 No Content\r\n\r\n"),
    case(
        "response-204-length-zero",
        get("/b"),
        upstream=b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
    ),
    case(
        "response-204-length", get("/b"), upstream=b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok"
    ),
    case(
        "response-204-chunked",
        get("/b"),
        upstream=b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    case("response-304", get("/b"), upstream=b"HTTP/1.1 304 Not Modified\r\netag: a\r\n\r\n"),
    case(
        "response-304-length",
        get("/b"),
        upstream=b"HTTP/1.1 304 Not Modified\r\netag: a\r\ncontent-length: 10\r\n\r\n",
    ),
    case(
        "response-304-length-zero",
        get("/b"),
        upstream=b"HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n",
    ),
    # -- HEAD
    case("head-length", request("HEAD", "/b"), upstream=b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n"),
    case("head-length-zero", request("HEAD", "/b"), upstream=b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    case(
        "head-chunked",
        request("HEAD", "/b"),
        upstream=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    ),
    case("head-no-framing", request("HEAD", "/b"), upstream=b"HTTP/1.1 200 OK\r\n\r\n"),
    case(
        "head-close",
        request("HEAD", "/b"),
        answer=answer(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", Do.CLOSE),
    ),
    case("head-204", request("HEAD", "/b"), upstream=b"HTTP/1.1 204 No Content\r\n\r\n"),
    case(
        "head-304-length",
        request("HEAD", "/b"),
        upstream=b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    ),
    case("head-404", request("HEAD", "/b"), upstream=b"HTTP/1.1 404 No\r\ncontent-length: 9\r\n\r\n"),
    case("head-direct", request("HEAD", "/direct")),
    case("head-direct-empty", request("HEAD", "/direct/empty")),
    case("head-not-routed", request("HEAD", "/nothing")),
    case("head-refused", request("HEAD", "/refused")),
    case("head-redirect", request("HEAD", "/redirect")),
    # -- interim responses
    case("interim-100", get("/b"), upstream=_INTERIM + OK),
    case("interim-100-twice", get("/b"), upstream=_INTERIM + _INTERIM + OK),
    case(
        "interim-100-expected",
        request("POST", "/b", "expect: 100-continue", "content-length: 3"),
        Do.AWAIT_RESPONSE,
        "abc",
        upstream=_INTERIM + OK,
    ),
    case("interim-102", get("/b"), upstream=b"HTTP/1.1 102 Processing\r\n\r\n" + OK),
    case("interim-103", get("/b"), upstream=_HINTS + OK),
    case("interim-103-twice", get("/b"), upstream=_HINTS + _HINTS + OK),
    case(
        "interim-103-head",
        request("HEAD", "/b"),
        upstream=_HINTS + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
    ),
    case(
        "interim-101-unasked",
        get("/b"),
        upstream=b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ),
    case("interim-then-close", get("/b"), answer=answer(_INTERIM, Do.CLOSE)),
    case("interim-199", get("/b"), upstream=b"HTTP/1.1 199 What\r\n\r\n" + OK),
    # -- a response before the request is complete
    case("early-response", request("POST", "/b", "content-length: 10", body="abc"), answer=_EARLY),
    case("early-response-chunked", _chunked("3\r\nabc\r\n"), answer=_EARLY),
    case(
        "early-response-error",
        request("POST", "/b", "content-length: 10", body="abc"),
        answer=answer(response(413), early=True),
    ),
    case(
        "early-response-then-close",
        request("POST", "/b", "content-length: 10", body="abc"),
        answer=answer(response(200, "connection: close"), Do.CLOSE, early=True),
    ),
    case(
        "early-then-rest-of-body",
        request("POST", "/b", "content-length: 6", body="abc"),
        Do.AWAIT_RESPONSE,
        "def",
        answer=_EARLY,
    ),
    case("early-direct", request("POST", "/direct", "content-length: 10", body="abc")),
    case(
        "early-direct-then-body",
        request("POST", "/direct", "content-length: 6", body="abc"),
        Do.AWAIT_RESPONSE,
        "def",
    ),
    case("early-not-routed", request("POST", "/nothing", "content-length: 10", body="abc")),
    case("early-refused", request("POST", "/refused", "content-length: 10", body="abc")),
    case("post-direct", post("/direct", "abc")),
    case("post-not-routed", post("/nothing", "abc")),
    case("post-not-routed-chunked", _chunked("3\r\nabc\r\n0\r\n\r\n", target="/nothing")),
    case("post-refused", post("/refused", "abc")),
    case("post-redirect", post("/redirect", "abc")),
    case("post-direct-two-pieces", request("POST", "/direct", "content-length: 3"), Do.AWAIT_RESPONSE, "abc"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
