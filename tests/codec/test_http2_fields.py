"""Heads of HTTP/2 that repeat what the one before has said: each is read like the first."""

import pytest

from proxyd.codec.framing import CHUNKED, LENGTH, NO_BODY
from proxyd.codec.http2_fields import RequestFields, ResponseFields
from proxyd.codec.messages import RequestHead, ResponseHead

CALL = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/service/Method"),
    (b":authority", b"host"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
)
ANSWER = ((b":status", b"200"), (b"content-type", b"application/grpc"))


def requests() -> RequestFields:
    return RequestFields(8192, 100, 0, True)


def said(head: RequestHead | ResponseHead | None) -> dict[str, object]:
    """All that a head says."""
    assert head is not None
    names = getattr(type(head), "__mypyc_attrs__", None) or type(head).__slots__  # compiled, or not
    values = {name: getattr(head, name) for name in names}
    return values | {"headers": list(head.headers)}


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        CALL,
        (*CALL, (b"content-length", b"0")),
        (*CALL, (b"expect", b"100-continue")),
        (*CALL, (b"cookie", b"a=1"), (b"cookie", b"b=2")),
        (*CALL, (b"host", b"HOST")),
        ((b":method", b"GET"), *CALL[1:5]),
        ((b":method", b"CONNECT"), (b":authority", b"host:1")),
        ((b":method", b"CONNECT"), (b":protocol", b"websocket"), *CALL[1:]),
        ((b":method", b"OPTIONS"), (b":scheme", b"https"), (b":path", b"*"), (b"host", b"host")),
    ],
)
def test_a_request_that_comes_again_says_the_same(fields: tuple[tuple[bytes, bytes], ...], end: bool) -> None:
    reader = requests()
    first = reader.read(tuple(fields), end)
    if first is None:
        assert [(reader.read(tuple(fields), end), reader.fault) for _ in range(3)] == [
            (None, reader.fault)
        ] * 3
        return
    expected = said(first)
    for _ in range(3):
        assert said(reader.read(tuple(fields), end)) == expected


def test_a_request_whose_headers_are_changed_changes_no_other() -> None:
    reader = requests()
    for _ in range(4):
        head = reader.read(CALL, False)
        assert head is not None
        assert list(head.headers) == list(CALL[4:])
        head.headers.add(b"x-added", b"1")
        head.headers.set(b"te", b"changed")


def test_a_request_that_ends_is_not_taken_for_one_that_goes_on() -> None:
    reader = requests()
    bodies = [reader.read(CALL, end) for end in (False, False, False, True, True, True, False)]
    assert [head.body for head in bodies if head] == [CHUNKED] * 3 + [NO_BODY] * 3 + [CHUNKED]


def test_requests_in_turns() -> None:
    reader = requests()
    other = tuple((name, b"/other" if name == b":path" else value) for name, value in CALL)
    for fields in (CALL, CALL, other, CALL, CALL, CALL, other, other, other, CALL):
        head = reader.read(fields, False)
        assert head is not None
        assert head.path == fields[2][1]


def test_dropped_headers_count_each_time() -> None:
    reader = RequestFields(8192, 100, 2, True)
    for count in (1, 2, 3, 4):
        assert reader.read((*CALL, (b"x_y", b"1")), False) is not None
        assert reader.dropped == count


def test_a_request_that_is_refused_is_refused_again() -> None:
    reader = requests()
    bad = (*CALL, (b"connection", b"close"))
    for fields, good in ((CALL, True), (CALL, True), (bad, False), (CALL, True), (bad, False), (bad, False)):
        assert (reader.read(fields, False) is not None) is good
        assert (reader.fault == 0) is good


@pytest.mark.parametrize("to_head", [False, True])
@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        ANSWER,
        (*ANSWER, (b"content-length", b"0")),
        ((b":status", b"204"), *ANSWER[1:]),
        ((b":status", b"204"), (b"content-length", b"0")),
        ((b":status", b"304"), (b"content-length", b"5")),
        ((b":status", b"103"), (b"link", b"</a>")),
    ],
)
def test_a_response_that_comes_again_says_the_same(
    fields: tuple[tuple[bytes, bytes], ...], end: bool, to_head: bool
) -> None:
    reader = ResponseFields(8192, 100)
    expected = said(reader.read(tuple(fields), end, to_head))
    for _ in range(3):
        assert said(reader.read(tuple(fields), end, to_head)) == expected


def test_responses_in_turns() -> None:
    reader = ResponseFields(8192, 100)
    longer = (*ANSWER, (b"content-length", b"7"))
    failed = ((b":status", b"503"), *ANSWER[1:])
    for fields, end, to_head, status, body in (
        (ANSWER, False, False, 200, CHUNKED),
        (ANSWER, False, False, 200, CHUNKED),
        (ANSWER, True, False, 200, NO_BODY),
        (ANSWER, False, True, 200, NO_BODY),
        (failed, False, False, 503, CHUNKED),
        (longer, False, False, 200, LENGTH),
        (longer, False, True, 200, NO_BODY),
        (longer, False, False, 200, LENGTH),
        (ANSWER, False, False, 200, CHUNKED),
        (longer, False, True, 200, NO_BODY),
        (ANSWER, False, False, 200, CHUNKED),
    ):
        head = reader.read(fields, end, to_head)
        assert head is not None
        assert (head.status, head.body) == (status, body)
        assert list(head.headers) == list(fields[1:])
        head.headers.add(b"x-added", b"1")
