import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.codec.framing import CHUNKED, LENGTH, NO_BODY
from proxyd.codec.http1_fields import ORDINARY
from tests.codec.recorder import Requests, join

LINE = b"POST /p HTTP/1.1\r\nhost: h\r\n"


def fields(reader: Requests, index: int = 0) -> list[tuple[bytes, bytes]]:
    return reader.heads[index].headers.items


def test_a_request_without_a_body() -> None:
    got = Requests().read(b"GET /a?b HTTP/1.1\r\nHost: H:81\r\nX-A: 1\r\nx-a: 2\r\n\r\n")
    assert got.events == [("head", b"GET", b"/a?b", b"H:81", NO_BODY), ("end",)]
    assert fields(got) == [(b"x-a", b"1"), (b"x-a", b"2")]
    assert got.failed is None


def test_bodies_by_length_and_in_chunks() -> None:
    got = Requests().read(
        LINE + b"content-length: 3\r\n\r\nabc",
        LINE + b"Transfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
        LINE + b"content-length: 0\r\n\r\n",
    )
    post = (b"POST", b"/p", b"h")
    assert join(got.events) == [
        ("head", *post, LENGTH), ("data", b"abc"), ("end",),
        ("head", *post, CHUNKED), ("data", b"abcd"), ("end",),
        ("head", *post, NO_BODY), ("end",),
    ]  # fmt: skip


def test_the_middle_of_a_body_is_handed_on_as_it_comes() -> None:
    got = Requests()
    middle = b"b" * 8
    got.read(LINE + b"content-length: 12\r\n\r\naa", middle)
    assert got.events[-1][1] is middle  # not even copied
    got.read(b"cc" + LINE + b"content-length: 1\r\n\r\n", b"dGET / HTTP/1.1\r\nhost: h\r\n\r\n")
    post = (b"POST", b"/p", b"h")
    assert join(got.events) == [
        ("head", *post, LENGTH), ("data", b"aabbbbbbbbcc"), ("end",),
        ("head", *post, LENGTH), ("data", b"d"), ("end",),
        ("head", b"GET", b"/", b"h", NO_BODY), ("end",),
    ]  # fmt: skip
    assert got.failed is None


def test_nothing_follows_a_body_in_pieces_behind_which_the_client_closes() -> None:
    got = Requests().read(LINE + b"connection: close\r\ncontent-length: 6\r\n\r\na", b"bcd", b"ef" + LINE)
    assert join(got.events)[1:] == [("data", b"abcdef"), ("end",)]


BAD = "400 http1.codec_error"
LOW = "426 low_version"
BOTH = "400 http1.content_length_and_chunked_not_allowed"
UNKNOWN_CODING = "501 http1.invalid_transfer_encoding"
URL = "400 http1.invalid_url"
CHARACTERS = "400 http1.invalid_characters"


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        # versions
        (b"GET /\n\n", BAD),
        (b"GET /\r\n\r\n", LOW),
        (b"GET /\nhost: h\n\n", BAD),
        (b"GET / HTTP/0.9\r\nhost: h\r\n\r\n", LOW),
        (b"GET / HTTP/2.0\r\nhost: h\r\n\r\n", LOW),
        (b"GET / HTTP/1.2\r\nhost: h\r\n\r\n", LOW),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
        (b"GET / HTTP/1.0\r\n\r\n", LOW),
        # hosts
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n", BAD),
        (b"GET http://u@h/ HTTP/1.1\r\nhost: h\r\n\r\n", URL),
        (b"GET http:///p HTTP/1.1\r\nhost: h\r\n\r\n", URL),
        (b"GET http://h:x/p HTTP/1.1\r\nhost: h\r\n\r\n", URL),
        (b"GET http://h:65536/p HTTP/1.1\r\nhost: h\r\n\r\n", URL),
        (b"GET * HTTP/1.1\r\nhost: h\r\n\r\n", URL),
        (b"CONNECT h HTTP/1.1\r\nhost: h\r\n\r\n", URL),
        (b"GET ftp://h/p HTTP/1.1\r\nhost: h\r\n\r\n", "400 http1.invalid_scheme"),
        (b"GET p HTTP/1.1\r\nhost: h\r\n\r\n", BAD),
        # framing
        (LINE + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", BOTH),
        (LINE + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n", BOTH),
        (LINE + b"content-length: 3\r\ntransfer-encoding: identity\r\n\r\n", BOTH),
        (LINE + b"content-length: 3\r\ncontent-length: 3\r\n\r\n", BAD),
        (LINE + b"content-length: 3\r\ncontent-length: 4\r\n\r\n", BAD),
        (LINE + b"content-length: 3, 3\r\n\r\n", BAD),
        (LINE + b"content-length: +3\r\n\r\n", BAD),
        (LINE + b"content-length: -3\r\n\r\n", BAD),
        (LINE + b"content-length: 0x3\r\n\r\n", BAD),
        (LINE + b"content-length: 3_0\r\n\r\n", BAD),
        (LINE + b"content-length: 3 0\r\n\r\n", BAD),
        (LINE + b"content-length:\r\n\r\n", BAD),
        (LINE + b"content-length: 9999999999999999999\r\n\r\n", BAD),
        (LINE + b"content-length: 18446744073709551619\r\n\r\n", BAD),
        (LINE + b"transfer-encoding: gzip, chunked\r\n\r\n", UNKNOWN_CODING),
        (LINE + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n", UNKNOWN_CODING),
        (LINE + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", UNKNOWN_CODING),
        (LINE + b"transfer-encoding: xchunked\r\n\r\n", None),
        (LINE + b"transfer-encoding: chunked;q=1\r\n\r\n", None),
        (LINE + b"transfer-encoding:\r\n\r\n", UNKNOWN_CODING),
        (LINE + b"transfer-encoding: chunked\r\n\r\n-1\r\n", BAD),
        (LINE + b"transfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n", BAD),
        (LINE + b"transfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n", BAD),
        (LINE + b"transfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", BAD),
        (LINE + b"transfer-encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", BAD),
        (LINE + b"transfer-encoding: chunked\r\n\r\n11111111111111111\r\n", BAD),
        # fields
        (LINE + b"x : 1\r\n\r\n", BAD),
        (LINE + b" x: 1\r\n\r\n", BAD),
        (LINE + b"x: 1\r\n 2\r\n\r\n", BAD),
        (LINE + b"x: a\0b\r\n\r\n", CHARACTERS),
        (LINE + b"x\0: a\r\n\r\n", CHARACTERS),
        (b"GET /\x7f HTTP/1.1\r\nhost: h\r\n\r\n", CHARACTERS),
        (LINE + b"x: a\rb\r\n\r\n", BAD),
        (LINE + b"x: a\nb: c\r\n\r\n", BAD),
        (LINE + b"x\r\n\r\n", BAD),
        (LINE + b": 1\r\n\r\n", BAD),
        (LINE + b"x(y: 1\r\n\r\n", BAD),
        (LINE + b"connection: x-forwarded-for\r\n\r\n", "400 http1.connection_header_rejected"),
        (LINE + b"connection: close, :path\r\n\r\n", "400 http1.connection_header_rejected"),
        (LINE + b"connection: " + b",".join(b"a%d" % n for n in range(10)) + b"\r\n\r\n",
         "400 http1.connection_header_rejected"),
        # lines
        (b"get / HTTP/1.1\r\nhost: h\r\n\r\n", BAD),
        (b"FOO / HTTP/1.1\r\nhost: h\r\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", "400 http.invalid_authority"),
        (b"GET /\tHTTP/1.1\r\nhost: h\r\n\r\n", BAD),
        (b"GET /a b HTTP/1.1\r\nhost: h\r\n\r\n", BAD),
        (b"GET / HTTP/1.1 \r\nhost: h\r\n\r\n", BAD),
        (b"GET / http/1.1\r\nhost: h\r\n\r\n", BAD),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_malformed_is_refused(data: bytes, failure: str | None) -> None:
    got = Requests().read(data, b"GET /next HTTP/1.1\r\nhost: h\r\n\r\n")
    if failure is None:
        assert got.failed is not None
        assert got.failed[:3] in ("400", "501")
    else:
        assert got.failed == failure
    assert ("end",) not in got.events


def test_http_10_where_it_is_accepted() -> None:
    got = Requests(http_10=True).read(b"GET / HTTP/1.0\r\n\r\n")
    assert (got.heads[0].version_minor, got.heads[0].has_host, got.heads[0].keep_alive) == (0, False, False)
    got = Requests(http_10=True).read(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" * 2)
    assert [head.keep_alive for head in got.heads] == [True, True]
    got = Requests(http_10=True).read(b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
    assert got.failed == BAD


def test_a_request_without_host_is_told_from_one_with_an_empty_host() -> None:
    got = Requests().read(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nhost:\r\n\r\n")
    assert [(head.has_host, head.authority) for head in got.heads] == [(False, b""), (True, b"")]


def test_white_space_around_values_is_no_part_of_them() -> None:
    got = Requests().read(b"GET / HTTP/1.1\r\nhost: \t h \t \r\na: \t x y \t \r\nb:\r\nc: \t\r\n\r\n")
    assert got.heads[0].authority == b"h"
    assert fields(got) == [(b"a", b"x y"), (b"b", b""), (b"c", b"")]


def test_fields_of_one_hop_are_taken_out() -> None:
    got = Requests().read(
        LINE + b"connection: keep-alive, X-Hop ,te\r\nx-hop: 1\r\nkeep-alive: 5\r\nproxy-connection: x\r\n"
        b"te: gzip\r\nx-end: 2\r\n\r\n"
    )
    assert fields(got) == [(b"x-end", b"2")]


@pytest.mark.parametrize(("te", "kept"), [(b"trailers", 1), (b"gzip, Trailers;q=0.5", 1), (b"gzip", 0)])
def test_te_keeps_trailers_alone(te: bytes, kept: int) -> None:
    got = Requests().read(LINE + b"te: " + te + b"\r\n\r\n")
    assert fields(got) == [(b"te", b"trailers")] * kept


def test_what_frames_cannot_be_nominated_away() -> None:
    got = Requests().read(
        LINE + b"cookie: a\r\ncontent-length: 1\r\nconnection: cookie, content-length\r\n\r\nx"
    )
    assert [name for name, _ in fields(got)] == [b"content-length"]


def test_a_nominated_host_is_none() -> None:
    assert Requests().read(LINE + b"connection: host\r\n\r\n").heads[0].authority == b""


@pytest.mark.parametrize(
    ("target", "authority", "path", "scheme"),
    [
        (b"http://b/x?y", b"b", b"/x?y", b"http"),
        (b"HTTPS://b:8443/", b"b:8443", b"/", b"https"),
        (b"http://b", b"b", b"/", b"http"),
        (b"http://b?q=/x", b"b", b"/?q=/x", b"http"),
        (b"/http://b/", b"h", b"/http://b/", b""),
        (b"//b/x", b"h", b"//b/x", b""),
        (b"*", b"h", b"*", b""),
    ],
)
def test_the_forms_of_a_target(target: bytes, authority: bytes, path: bytes, scheme: bytes) -> None:
    head = Requests().read(b"OPTIONS " + target + b" HTTP/1.1\r\nhost: h\r\n\r\n").heads[0]
    assert (head.authority, head.path, head.scheme) == (authority, path, scheme)


def test_an_absolute_target_needs_no_host_and_overrules_it() -> None:
    got = Requests().read(b"GET http://b/ HTTP/1.1\r\nx: 1\r\nhost: h\r\n\r\n")
    assert got.heads[0].authority == b"b"
    got = Requests().read(b"GET http://b/ HTTP/1.1\r\n\r\n")
    assert (got.heads[0].authority, got.heads[0].has_host) == (b"b", True)


def test_an_absolute_target_is_a_path_like_any_other_where_it_is_not_allowed() -> None:
    got = Requests(absolute_url=False).read(b"GET http://b/x HTTP/1.1\r\nhost: h\r\n\r\n")
    assert (got.heads[0].authority, got.heads[0].path) == (b"h", b"http://b/x")
    assert Requests(absolute_url=False).read(b"GET x HTTP/1.1\r\nhost: h\r\n\r\n").failed == BAD


def test_nothing_is_read_behind_a_request_that_closes() -> None:
    got = Requests().read(
        b"GET /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\nGET /b HTTP/1.1\r\nhost: h\r\n\r\n", b"\0\0"
    )
    assert got.events == [("head", b"GET", b"/a", b"h", NO_BODY), ("end",)]
    assert not got.heads[0].keep_alive
    assert got.failed is None


def test_nothing_is_read_behind_a_connect() -> None:
    got = Requests().read(b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n")
    assert got.events == [("head", b"CONNECT", b"", b"a:443", NO_BODY), ("end",)]
    assert not got.heads[0].keep_alive


UPGRADE = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n"


@pytest.mark.parametrize(
    ("framing", "body", "kind"),
    [
        (b"", b"", NO_BODY),
        (b"content-length: 3\r\n", b"abc", LENGTH),
        (b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n", CHUNKED),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_upgrade_is_read_like_any_request(framing: bytes, body: bytes, kind: int, size: int) -> None:
    data = LINE + UPGRADE + framing + b"\r\n" + body + b"GET /next HTTP/1.1\r\nhost: h\r\n\r\n"
    got = Requests().read(*(data[place : place + size] for place in range(0, len(data), size)))
    first = [("head", b"POST", b"/p", b"h", kind), ("data", b"abc"), ("end",)]
    assert join(got.events) == [
        *(event for event in first if kind != NO_BODY or event[0] != "data"),
        ("head", b"GET", b"/next", b"h", NO_BODY), ("end",),
    ]  # fmt: skip
    assert got.heads[0].upgrade == b"h2c"
    assert not [name for name, _ in fields(got) if name in (b"upgrade", b"http2-settings", b"connection")]


def test_an_upgrade_needs_both_fields() -> None:
    assert Requests().read(LINE + b"upgrade: websocket\r\n\r\n").heads[0].upgrade == b""
    assert Requests().read(LINE + b"connection: upgrade\r\n\r\n").heads[0].upgrade == b""
    both = b"connection: Upgrade\r\nupgrade: WebSocket\r\n\r\n"
    assert Requests().read(LINE + both).heads[0].upgrade == b"websocket"


def test_many_upgrades_in_one_piece_are_read_one_after_the_other() -> None:
    one = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
    assert len(Requests().read(one * 3000).heads) == 3000


def test_expect_100_continue_is_told_and_other_expectations_are_passed_on() -> None:
    head = Requests().read(LINE + b"expect: 100-Continue\r\ncontent-length: 1\r\n\r\n").heads[0]
    assert head.expect_continue
    assert head.headers.items == [(b"content-length", b"1")]
    head = Requests().read(LINE + b"expect: more\r\n\r\n").heads[0]
    assert not head.expect_continue
    assert head.headers.items == [(b"expect", b"more")]


# -- limits


def test_heads_have_at_most_so_many_bytes() -> None:
    def head(spare: int) -> bytes:
        start = b"GET /1234 HTTP/1.1\r\nhost: h\r\nconnection: close\r\nab: "
        return start + b"x" * (1000 - len(start) - 4 - spare) + b"\r\n\r\n"

    for limited in (Requests(max_bytes=1000), Requests(max_bytes=1000).read(LINE + b"\r\n")):
        assert limited.read(head(0)).failed is None
    assert Requests(max_bytes=1000).read(head(-1)).failed == "431 http1.headers_too_large"
    unfinished = head(-1)[:1001]
    assert Requests(max_bytes=1000).read(unfinished[:1000]).failed is None
    assert Requests(max_bytes=1000).read(unfinished).failed == "431 http1.headers_too_large"
    pipelined = Requests(max_bytes=1000).read((LINE + b"\r\n") * 40 + head(0))
    assert (len(pipelined.heads), pipelined.failed) == (41, None)
    url = b"GET /" + b"x" * 1000 + b" HTTP/1.1\r\nhost: h\r\n\r\n"
    assert Requests(max_bytes=1000).read(url).failed == "431 http1.headers_too_large"


def test_heads_have_at_most_so_many_fields() -> None:
    def head(count: int) -> bytes:
        return b"GET / HTTP/1.1\r\nhost: h\r\n" + b"x: 1\r\n" * (count - 1) + b"\r\n"

    assert Requests(max_count=10).read(head(10)).failed is None
    assert Requests(max_count=10).read(head(11)).failed == "431 http1.too_many_headers"


def test_the_limits_are_those_of_each_request() -> None:
    one = b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"y" * 900 + b"\r\n\r\n"
    assert Requests(max_bytes=1000, max_count=2).read(one * 50).failed is None


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nhost: h\r\nx: ", b"GET / HTTP/1.1\r\nx"])
@pytest.mark.parametrize("size", [100, 1000, 60_000])
def test_a_head_without_end_is_refused_when_it_is_too_long(start: bytes, size: int) -> None:
    got = Requests(max_bytes=50_000).read(start)
    fed = 0
    while got.failed is None and fed < 200_000:
        got.read(b"x" * size)
        fed += size
    assert got.failed == "431 http1.headers_too_large"
    assert fed < 60_000 + size


def test_trailers_are_dropped() -> None:
    got = Requests().read(
        LINE + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nHost: evil\r\nT: 1\r\n\r\n"
        b"GET /next HTTP/1.1\r\nhost: h\r\n\r\n"
    )
    assert [head.path for head in got.heads] == [b"/p", b"/next"]
    assert got.heads[0].authority == b"h"
    assert fields(got) == []
    assert got.failed is None


@pytest.mark.parametrize("trailer", [b"t: 1\r\n", b"t: " + b"x" * 1000, b"x" * 1000])
def test_trailers_without_end_are_refused(trailer: bytes) -> None:
    got = Requests(max_bytes=10_000, max_count=100).read(LINE + b"transfer-encoding: chunked\r\n\r\n0\r\n")
    fed = 0
    while got.failed is None and fed < 100_000:
        got.read(trailer)
        fed += len(trailer)
    assert got.failed == "431 http1.headers_too_large"
    assert fed < 14_000


def test_a_long_body_before_the_start_of_the_next_head_is_not_counted_as_head() -> None:
    got = Requests().read(LINE + b"content-length: 250000\r\n\r\n" + b"x" * 250_000 + b"GET /next HT")
    assert got.failed is None
    got.read(b"TP/1.1\r\nhost: h\r\n\r\n")
    assert got.heads[1].path == b"/next"


def test_a_long_body_in_small_chunks_is_no_long_trailer() -> None:
    got = Requests(max_bytes=1000).read(LINE + b"transfer-encoding: chunked\r\n\r\n")
    got.read(*([b"1\r\na\r\n"] * 5000))
    assert got.failed is None


def test_names_that_peers_make_up_are_not_kept() -> None:
    ORDINARY.clear()
    for number in range(50):
        Requests().read(b"G", b"ET / HTTP/1.1\r\nhost: h\r\n%s%d: x\r\n\r\n" % (b"n" * 20_000, number))
    for number in range(5000):
        Requests().read(b"G", b"ET / HTTP/1.1\r\nhost: h\r\nn%d: x\r\n\r\n" % number)
    assert len(ORDINARY) <= 2048
    assert max(len(name) for name in ORDINARY) <= 64


# -- errors of this program


def test_an_unexpected_exception_of_the_handler_is_not_the_peers_fault() -> None:
    got = Requests(bug=LookupError("bug"))
    with pytest.raises(LookupError, match="bug"):
        got.read(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    assert got.failed is None


# -- any chunking gives the same events

CHUNKS = b"5;a=b\r\nhello\r\n2\r\n!!\r\n0\r\nT: v\r\n\r\n"
PARTS = [
    b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-Long: " + b"v" * 50 + b"\r\n\r\n",
    b"POST /b HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS,
    b"POST /d HTTP/1.1\r\nhost: h\r\n" + UPGRADE + b"content-length: 2\r\n\r\nab",
    b"POST /e HTTP/1.1\r\nhost: h\r\n" + UPGRADE + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"\r\nGET http://z/f HTTP/1.1\r\nhost: h\r\n" + UPGRADE + b"\r\n",
    b"GET /last HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    b"GET /bad HTTP/1.1\r\nhost: h\r\nhost: h\r\n\r\n",
    b"POST /g HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n",
    b"POST /h HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
]


@given(st.lists(st.sampled_from(PARTS), max_size=6), st.lists(st.integers(1, 400), max_size=30))
def test_any_chunking_gives_the_same_events(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    whole = Requests().read(*([data] if data else []))
    places = sorted({0, len(data), *(cut * 7 % (len(data) + 1) for cut in cuts)})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    for split in (pieces, [data[place : place + 1] for place in range(len(data))]):
        got = Requests().read(*split)
        assert join(got.events) == join(whole.events)
        assert got.failed == whole.failed
        assert [head.headers.items for head in got.heads] == [head.headers.items for head in whole.heads]
