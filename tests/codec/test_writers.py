from hypothesis import given
from hypothesis import strategies as st

from proxyd.codec.framing import CHUNKED, LENGTH, NO_BODY
from proxyd.codec.headers import Headers
from proxyd.codec.http1_writers import (
    LAST_CHUNK,
    status_line,
    write_chunk,
    write_request_head,
    write_response_head,
)
from tests.codec.recorder import Requests, Responses, join


def test_request_heads() -> None:
    items = [(b"a", b"1"), (b"content-length", b"2")]
    assert write_request_head(b"POST", b"/p?q", b"h:1", Headers(items), LENGTH) == (
        b"POST /p?q HTTP/1.1\r\nhost: h:1\r\na: 1\r\ncontent-length: 2\r\n\r\n"
    )
    assert write_request_head(b"POST", b"/", b"h", Headers(), CHUNKED) == (
        b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    )


def test_response_heads() -> None:
    assert (
        write_response_head(1, 200, Headers([(b"a", b"1")]), NO_BODY, b"")
        == b"HTTP/1.1 200 OK\r\na: 1\r\n\r\n"
    )
    assert write_response_head(0, 200, Headers(), CHUNKED, b"close") == (
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )


def test_codes_without_a_name_are_unknown() -> None:
    assert status_line(1, 418) == b"HTTP/1.1 418 Unknown\r\n"
    assert status_line(0, 799) == b"HTTP/1.0 799 Unknown\r\n"
    assert status_line(1, 404) == b"HTTP/1.1 404 Not Found\r\n"


_NAMES = st.from_regex(rb"x-[a-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
_VALUES = st.from_regex(rb"([!-~\x80-\xff]([!-~\x80-\xff \t]{0,30}[!-~\x80-\xff])?)?", fullmatch=True)
_FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=8)
_PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


@given(_FIELDS, _PIECES, st.booleans())
def test_what_the_reader_accepts_the_writer_writes_back_the_same(
    fields: list[tuple[bytes, bytes]], pieces: list[bytes], chunked: bool
) -> None:
    body = b"".join(pieces)
    kind = CHUNKED if chunked else LENGTH if body else NO_BODY
    items = [*fields] if chunked else [*fields, (b"content-length", b"%d" % len(body))]
    written = b"".join(write_chunk(piece) for piece in pieces) + LAST_CHUNK if chunked else body
    first = Requests().read(write_request_head(b"PUT", b"/a", b"h", Headers(items), kind) + written)
    assert first.failed is None
    head = first.heads[0]
    assert (head.headers.items, head.body) == (items, kind)
    again = Requests().read(
        write_request_head(head.method, head.path, head.authority, head.headers, head.body) + written
    )
    assert join(again.events) == join(first.events)
    response = Responses().read(write_response_head(1, 200, Headers(items), kind, b"") + written)
    assert not response.failed
    assert response.heads[0].headers.items == items
    assert b"".join(event[1] for event in response.events if event[0] == "data") == body  # type: ignore[misc]
    assert response.events[-1] == ("end",)
