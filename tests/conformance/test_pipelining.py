"""Several requests on one connection, sent at once or one after the other."""

import pytest

from tests.conformance.basic import LISTENERS as LISTENERS
from tests.conformance.case import OK, Case, Do, answer, case, get, post, request, response
from tests.conformance.conftest import Agree

_A, _B = response(200, body="first"), response(200, body="second")
_SLOW = answer(0.05, _A)

CASES = (
    case("two", get("/b/1") + get("/b/2"), responses=2, answers=(answer(_A), answer(_B))),
    case("two-first-slow", get("/b/1") + get("/b/2"), responses=2, answers=(_SLOW, answer(_B))),
    case(
        "two-after-each-other",
        get("/b/1"),
        Do.AWAIT_RESPONSE,
        get("/b/2"),
        responses=2,
        answers=(answer(_A), answer(_B)),
    ),
    case("three-kinds", get("/b") + get("/direct") + get("/nothing"), responses=3),
    case(
        "local-between", get("/b/1") + get("/direct") + get("/b/2"), responses=3, answers=(_SLOW, answer(_B))
    ),
    case(
        "failure-between",
        get("/b/1") + get("/refused") + get("/b/2"),
        responses=3,
        answers=(_SLOW, answer(_B)),
    ),
    case("posts", post("/b/1", "one") + post("/b/2", "two"), responses=2, answers=(answer(_A), answer(_B))),
    case("post-then-get", post("/b/1", "one") + get("/b/2"), responses=2, answers=(answer(_A), answer(_B))),
    case(
        "chunked-then-get",
        request("POST", "/b", "transfer-encoding: chunked", body="3\r\nabc\r\n0\r\n\r\n") + get("/b/2"),
        responses=2,
    ),
    case(
        "head-then-get",
        request("HEAD", "/b") + get("/b/2"),
        responses=2,
        methods=(b"HEAD", b"GET"),
        answers=(answer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), answer(_B)),
    ),
    case(
        "head-direct-then-get",
        request("HEAD", "/direct") + get("/b/2"),
        responses=2,
        methods=(b"HEAD", b"GET"),
    ),
    case("close-ends-it", get("/b/1", "connection: close") + get("/b/2"), answers=(answer(_A), answer(_B))),
    case("close-second", get("/b/1") + get("/b/2", "connection: close") + get("/b/3"), responses=2),
    case("then-malformed", get("/b") + "BLAH\r\n\r\n", responses=2),
    case("then-malformed-first-slow", get("/b") + "BLAH\r\n\r\n", responses=2, answer=_SLOW),
    case("direct-then-malformed", get("/direct") + "BLAH\r\n\r\n", responses=2),
    case("then-no-host", get("/b") + "GET /b HTTP/1.1\r\n\r\n", responses=2),
    case("then-empty-lines", get("/b") + "\r\n\r\n" + get("/b/2"), responses=2),
    case("empty-lines-first", "\r\n\r\n" + get("/b")),
    case("post-not-routed-then-get", post("/nothing", "abc") + get("/b"), responses=2),
    case("post-direct-then-get", post("/direct", "abc") + get("/b"), responses=2),
    case(
        "expect-then-get",
        request("POST", "/b", "expect: 100-continue", "content-length: 3", body="abc") + get("/b/2"),
        responses=2,
    ),
    case(
        "upstream-closes-between",
        get("/b/1") + get("/b/2"),
        responses=2,
        answers=(answer(response(200, "connection: close"), Do.CLOSE), answer(_B)),
    ),
    case(
        "upstream-fails-first", get("/b/1") + get("/b/2"), responses=2, answers=(answer(Do.CLOSE), answer(_B))
    ),
    case(
        "upstream-truncates-first",
        get("/b/1") + get("/b/2"),
        responses=2,
        answers=(answer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", Do.CLOSE), answer(_B)),
    ),
    case("ten", "".join(get(f"/b/{n}") for n in range(10)), responses=10),
    case("ten-local", "".join(get("/direct") for _ in range(10)), responses=10),
    case(
        "until-close-then-next",
        get("/b/1") + get("/b/2"),
        responses=2,
        answers=(answer(b"HTTP/1.1 200 OK\r\n\r\nall", Do.CLOSE), answer(OK)),
    ),
    case(
        "split-between",
        get("/b/1") + "GET /b/2 HT",
        Do.AWAIT_RESPONSE,
        "TP/1.1\r\nhost: x\r\n\r\n",
        responses=2,
    ),
    case("byte-by-byte", *(character for character in get("/b"))),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
