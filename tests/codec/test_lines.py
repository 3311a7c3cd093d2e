"""Lines that were seen before: read at a look they say what the parser reads in them, or are left to it.

What comes in two pieces is always the parser's, so it is the judge of what came in one.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.codec import lines
from proxyd.codec.http1_requests import OPENINGS
from tests.cases.requests import REQUESTS
from tests.cases.responses import RESPONSES
from tests.codec.recorder import Requests, Responses, join

_FIRST = b"GET /a?b=c HTTP/1.1\r\n"
_HIGH = b"GET /\xe9 HTTP/1.1\r\n"
_NAMES = (
    "x",
    "X-Y",
    "host",
    "Host",
    "content-length",
    "Content-Length",
    "connection",
    "te",
    "a_b",
    "x y",
    "x ",
    "",
)
_NAME = st.one_of(st.sampled_from((*_NAMES, "x y", "x ", "")).map(str.encode), st.binary(max_size=3))
_COLON = st.sampled_from((b":", b": ", b":  ", b":\t", b" :", b""))
_VALUE = st.one_of(
    st.sampled_from(
        (b"0", b"2", b"+2", b"02", b"h", b"h:80", b"a@b", b"keep-alive", b"close", b"", b" ", b"\xff")
    ),
    st.binary(max_size=4),
)
_LINE = st.builds(lambda name, colon, value: name + colon + value + b"\r\n", _NAME, _COLON, _VALUE)
_LINES = st.lists(_LINE, max_size=5).map(b"".join)


def _pieces(data: bytes, cuts: tuple[int, ...]) -> list[bytes]:
    return [data[begin:end] for begin, end in pairwise((0, *cuts, len(data)))]


def _requests(data: bytes, *cuts: int) -> tuple[object, ...]:
    got = Requests().read(*_pieces(data, cuts))
    heads = [(head.headers.items, head.keep_alive, head.has_host, head.scheme) for head in got.heads]
    return join(got.events), heads, got.failed


def _responses(method: bytes, data: bytes, *cuts: int) -> tuple[object, ...]:
    got = Responses(method).read(*_pieces(data, cuts))
    heads = [(head.headers.items, head.keep_alive) for head in got.heads]
    return join(got.events), heads, got.failed


@given(
    st.sampled_from((_FIRST, b"POST * HTTP/1.1\r\n", b"get / HTTP/1.1\r\n", b"GET /\xe9 HTTP/1.1\r\n")),
    _LINES,
)
def test_a_request_at_a_look_is_what_the_parser_reads(first: bytes, fields: bytes) -> None:
    for data in (first + fields + b"\r\n", first + b"Host: h\r\n" + fields + b"\r\n"):
        assert _requests(data) == _requests(data, 1)
        assert _requests(data) == _requests(data, 1)  # and when its lines are known


@given(st.sampled_from((b"200 OK", b"204 No", b"304 N", b"100 C", b"999 ?", b"20 OK", b"200")), _LINES)
def test_a_response_at_a_look_is_what_the_parser_reads(status: bytes, fields: bytes) -> None:
    head = b"HTTP/1.1 " + status + b"\r\n" + fields
    for data in (
        head + b"\r\nab",
        head + b"Content-Length: 2\r\n\r\nab",
        head + b"content-length: 1\r\n\r\nab",
    ):
        for method in (b"GET", b"HEAD"):
            assert _responses(method, data) == _responses(method, data, 1)
            assert _responses(method, data) == _responses(method, data, 1)


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_of_the_corpus_in_one_piece_and_in_two(name: str) -> None:
    data = REQUESTS[name][0]
    assert _requests(data) == _requests(data, 1)


@pytest.mark.parametrize("name", RESPONSES)
def test_responses_of_the_corpus_in_one_piece_and_in_two(name: str) -> None:
    data, method, _ = RESPONSES[name]
    assert _responses(method, data) == _responses(method, data, 1)


def test_plain_messages_never_reach_the_parser() -> None:
    lines.LINES.clear()
    for connection in (b"", b"Connection: keep-alive\r\n"):
        requests = Requests()
        requests.read(_FIRST + b"Host: h\r\nX-Y:  z \r\n" + connection + b"\r\n")
        assert requests.events == [("head", b"GET", b"/a?b=c", b"h", 0), ("end",)]
        assert requests.heads[0].headers.items == [(b"x-y", b"z")]
        assert requests.reader._parser is None  # it was not even made
        responses = Responses()
        responses.reader._parser = None  # type: ignore[assignment]
        responses.read(b"HTTP/1.1 200 OK\r\nX-Y: z\r\nContent-Length: 2\r\n" + connection + b"\r\nab")
        assert responses.events == [("head", 200, 1), ("data", b"ab"), ("end",)]
        assert responses.heads[0].headers.items == [(b"x-y", b"z"), (b"content-length", b"2")]


def test_lines_that_peers_make_up_fill_no_memory() -> None:
    for number in range(2100):
        Requests().read(
            _FIRST + b"host: h%d\r\nx: %d\r\ny: %s%d\r\n\r\n" % (number, number, b"y" * 600, number)
        )
        Responses().read(b"HTTP/1.1 200 %d\r\ncontent-length: %d\r\n\r\n" % (number, number))
    for table in (lines.LINES, lines.HOSTS, lines.STATUSES, lines.LENGTHS):
        assert 0 < len(table) <= 2048
        assert max(map(len, table)) <= 512


def test_connections_that_begin_alike_share_what_they_say() -> None:
    """But no limit of one another's, and nothing that a request adds."""
    head = b"GET /%d HTTP/1.1\r\nhost: h\r\nx-shared: one\r\nx-more: two\r\n\r\n"
    one, other, strict = Requests(), Requests(), Requests(max_count=2)
    one.read(head % 1)
    one.heads[0].headers.add(b"x-own", b"1")
    other.read(head % 2)
    strict.read(head % 3)
    said = [(b"x-shared", b"one"), (b"x-more", b"two")]
    assert other.heads[0].headers.items == said
    assert other.heads[0].path == b"/2"
    assert strict.heads == []
    assert strict.failed is not None
    another = Requests().read(head % 4, head % 5)
    assert another.heads[1].headers.block() is other.heads[0].headers.block()


def test_what_connections_begin_with_is_bounded() -> None:
    for number in range(3000):
        Requests().read(b"GET / HTTP/1.1\r\nhost: h\r\nx-number: %d\r\n\r\n" % number)
    assert len(OPENINGS) <= 512
    long = b"GET / HTTP/1.1\r\nhost: h\r\nx-long: %s\r\n\r\n" % (b"a" * 2048)
    assert Requests().read(long).heads
    assert not any(len(block) > 2048 for block in OPENINGS)
