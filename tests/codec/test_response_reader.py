import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.codec.framing import CHUNKED, LENGTH, NO_BODY, UNTIL_CLOSE
from tests.codec.recorder import Event, Responses, join

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("data", "events", "keep_alive"),
    [
        (OK + b"content-length: 2\r\n\r\nab", [("head", 200, LENGTH), ("data", b"ab"), ("end",)], True),
        (OK + b"content-length: 0\r\n\r\n", [("head", 200, NO_BODY), ("end",)], True),
        (
            OK + b"Transfer-Encoding: Chunked\r\n\r\n2;x\r\nab\r\n0\r\nT: 1\r\n\r\n",
            [("head", 200, CHUNKED), ("data", b"ab"), ("end",)],
            True,
        ),
        (OK + b"\r\nab", [("head", 200, UNTIL_CLOSE), ("data", b"ab")], False),
        (OK + b"connection: close\r\ncontent-length: 0\r\n\r\n", [("head", 200, NO_BODY), ("end",)], False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", [("head", 200, NO_BODY), ("end",)], False),
        (
            b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
            [("head", 200, NO_BODY), ("end",)],
            True,
        ),
        (b"HTTP/1.1 204 X\r\n\r\n", [("head", 204, NO_BODY), ("end",)], True),
        (b"HTTP/1.1 204 X\r\ncontent-length: 0\r\n\r\n", [("head", 204, NO_BODY), ("end",)], True),
        (b"HTTP/1.1 304 X\r\ncontent-length: 5\r\n\r\n", [("head", 304, NO_BODY), ("end",)], True),
        (b"HTTP/1.1 304 X\r\ntransfer-encoding: chunked\r\n\r\n", [("head", 304, NO_BODY), ("end",)], True),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
            + OK
            + b"content-length: 1\r\n\r\na",
            [("interim", 100), ("interim", 103), ("head", 200, LENGTH), ("data", b"a"), ("end",)],
            True,
        ),
    ],
)
def test_the_forms_of_a_response(data: bytes, events: list[Event], keep_alive: bool) -> None:
    for size in (1, 3, 1000):
        got = Responses().read(*(data[place : place + size] for place in range(0, len(data), size)))
        assert join(got.events) == events
        assert got.heads[0].keep_alive == keep_alive
        assert not got.failed


@pytest.mark.parametrize(
    ("fields", "keep_alive"),
    [
        (b"content-length: 5\r\n", True),
        (b"transfer-encoding: chunked\r\n", True),
        (b"content-length: 5\r\nconnection: close\r\n", False),
    ],
)
def test_the_response_to_head_ends_with_its_head(fields: bytes, keep_alive: bool) -> None:
    got = Responses(b"HEAD").read(OK + fields + b"\r\n")
    assert got.events == [("head", 200, NO_BODY), ("end",)]
    assert got.heads[0].keep_alive == keep_alive
    got.reader.expect(b"GET")
    got.read(OK + b"content-length: 1\r\n\r\na")
    assert got.events[2:] == [("head", 200, LENGTH), ("data", b"a"), ("end",)]


def test_a_response_to_head_without_a_length_keeps_its_connection() -> None:
    got = Responses(b"HEAD").read(OK + b"\r\n")
    assert got.heads[0].keep_alive


def test_a_body_after_the_response_to_head_is_refused() -> None:
    got = Responses(b"HEAD").read(OK + b"content-length: 5\r\n\r\nhello")
    assert got.events == [("head", 200, NO_BODY), ("end",)]
    assert got.failed


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 99 X\r\n\r\n",
        b"HTTP/1.1 099 X\r\n\r\n",
        b"HTTP/1.1 1000 X\r\n\r\n",
        b"HTTP/1.1 2x0 X\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        OK + b"content-length: 3\r\ncontent-length: 3\r\n\r\n",
        OK + b"content-length: 3, 3\r\n\r\n",
        OK + b"content-length: +3\r\n\r\n",
        OK + b"content-length: x\r\n\r\n",
        OK + b"content-length:\r\n\r\n",
        OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
        OK + b"transfer-encoding: gzip\r\n\r\n",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
        OK + b"x: a\0b\r\n\r\n",
        OK + b"x: 1\r\n 2\r\n\r\n",
        OK + b"x : 1\r\n\r\n",
    ],
)
def test_malformed_responses_are_refused(data: bytes) -> None:
    got = Responses().read(data)
    assert got.failed
    assert got.events == []
    assert not got.reader.feed(OK + b"content-length: 0\r\n\r\n")
    assert got.events == []


def test_a_body_that_breaks_its_framing_is_refused_where_it_does() -> None:
    got = Responses().read(OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n")
    assert got.events == [("head", 200, CHUNKED), ("data", b"a")]
    assert got.failed


def test_bytes_that_nobody_asked_for_are_refused() -> None:
    got = Responses().read(OK + b"content-length: 0\r\n\r\n")
    assert not got.failed
    got.read(b"H")
    assert got.failed
    got = Responses().read(OK + b"content-length: 0\r\n\r\n" + OK + b"content-length: 0\r\n\r\n")
    assert got.failed
    assert got.events == [("head", 200, NO_BODY), ("end",)]


def test_only_a_body_until_close_may_end_with_the_connection() -> None:
    until_close = Responses().read(OK + b"\r\nab")
    assert until_close.reader.finish()
    assert until_close.events[-1] == ("end",)
    for data in (
        b"",
        b"HTTP/1.1 2",
        OK + b"content-length: 3\r\n\r\nab",
        OK + b"transfer-encoding: chunked\r\n\r\n",
    ):
        cut = Responses().read(*([data] if data else []))
        assert not cut.reader.finish()
        assert ("end",) not in cut.events
    whole = Responses().read(OK + b"content-length: 0\r\n\r\n")
    assert not whole.reader.finish()
    assert whole.events.count(("end",)) == 1


def test_fields_of_one_hop_are_taken_out() -> None:
    got = Responses().read(
        OK + b"Connection: X-Hop\r\nx-hop: 1\r\nkeep-alive: 5\r\nupgrade: h2c\r\nproxy-connection: x\r\n"
        b"trailer: t\r\nx-end: \t2 \r\ncontent-length: 0\r\n\r\n"
    )
    assert got.heads[0].headers.items == [(b"trailer", b"t"), (b"x-end", b"2"), (b"content-length", b"0")]


def test_a_204_announces_no_length() -> None:
    got = Responses().read(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nx: 1\r\n\r\n")
    assert got.heads[0].headers.items == [(b"x", b"1")]


def test_heads_are_bounded_even_unfinished() -> None:
    assert Responses(max_count=5).read(OK + b"x: 1\r\n" * 6 + b"\r\n").failed
    assert Responses(max_bytes=100).read(OK + b"x: " + b"y" * 100 + b"\r\n\r\n").failed
    got = Responses(max_bytes=1000).read(OK + b"x: ")
    fed = 0
    while not got.failed and fed < 100_000:
        got.read(b"y" * 50)
        fed += 50
    assert fed < 3000


@pytest.mark.parametrize("reason", [b"OK", b"Strange"])
def test_all_of_a_head_counts(reason: bytes) -> None:
    start = b"HTTP/1.1 200 " + reason + b"\r\ncontent-length: 0\r\nx: "
    head = start + b"y" * (1000 - len(start) - 4) + b"\r\n\r\n"
    assert not Responses(max_bytes=1000).read(head).failed
    assert Responses(max_bytes=999).read(head).failed


def test_trailers_are_bounded_even_unfinished() -> None:
    for trailer in (b"t: 1\r\n", b"t" * 50):
        got = Responses(max_bytes=1000, max_count=20)
        got.read(OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
        fed = 0
        while not got.failed and fed < 100_000:
            got.read(trailer)
            fed += len(trailer)
        assert fed < 3000


def test_a_large_body_that_ends_in_the_middle_of_a_chunk_line_is_no_long_head() -> None:
    got = Responses(max_bytes=1000).read(OK + b"transfer-encoding: chunked\r\n\r\n")
    got.read(*([b"10000\r\n" + b"x" * 65536 + b"\r\n1"] + [b"0\r\n" + b"x" * 16 + b"\r\n1"] * 500))
    assert not got.failed


def test_an_unexpected_exception_of_the_handler_is_not_the_peers_fault() -> None:
    got = Responses(bug=LookupError("bug"))
    with pytest.raises(LookupError, match="bug"):
        got.read(OK + b"content-length: 0\r\n\r\n")
    assert not got.failed


RESPONSES = [
    OK + b"content-length: 5\r\nx: y\r\n\r\nhello",
    OK + b"transfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n2\r\n!!\r\n0\r\nT: v\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    OK + b"\r\nuntil the end",
    OK + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n",
    OK + b"content-length: 1\r\ncontent-length: 1\r\n\r\n",
    OK + b"content-length: 0\r\n\r\nmore",
]


@given(
    st.sampled_from(RESPONSES), st.sampled_from([b"GET", b"HEAD"]), st.lists(st.integers(0, 300), max_size=20)
)
def test_any_chunking_gives_the_same_events(data: bytes, method: bytes, cuts: list[int]) -> None:
    whole = Responses(method).read(data)
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    for pieces in (
        [data[a:b] for a, b in itertools.pairwise(places)],
        [data[place : place + 1] for place in range(len(data))],
    ):
        got = Responses(method).read(*pieces)
        assert join(got.events) == join(whole.events)
        assert got.failed == whole.failed
        assert [head.headers.items for head in got.heads] == [head.headers.items for head in whole.heads]


def test_the_middle_of_a_body_is_handed_on_as_it_comes() -> None:
    got = Responses()
    middle = b"b" * 8
    got.reader.feed(OK + b"content-length: 12\r\n\r\naa")
    got.reader.feed(middle)
    assert got.events[-1][1] is middle  # not even copied
    assert got.reader.feed(b"cc")
    assert join(got.events) == [("head", 200, LENGTH), ("data", b"aabbbbbbbbcc"), ("end",)]
    got.reader.expect(b"GET")
    assert got.reader.feed(OK + b"content-length: 3\r\n\r\na")
    assert got.reader.feed(b"b")
    assert not got.reader.feed(b"cd")  # the last byte is nobody's
    assert join(got.events)[3:] == [("head", 200, LENGTH), ("data", b"abc"), ("end",)]
    got = Responses()
    got.reader.feed(OK + b"\r\na")
    got.reader.feed(middle)
    assert got.events[-1][1] is middle
    assert got.reader.finish()
