"""The reader of a client's first message: real ones, any chunking, any garbage."""

import itertools
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.codec.client_hello import (
    BROKEN,
    HELLO,
    MAX_BYTES,
    MORE,
    NO_TLS,
    TLS_1_3,
    TOO_LARGE,
    ClientHelloReader,
)


def real(server_name: str | None = "A.Example", alpn: tuple[str, ...] = ("h2", "http/1.1")) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, False, server_name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


REAL = real()


def in_records(message: bytes, *sizes: int) -> bytes:
    """The same handshake message cut into other records."""
    body = message[5:]
    made = b""
    for size in sizes:
        made += b"\x16\x03\x01" + len(body[:size]).to_bytes(2, "big") + body[:size]
        body = body[size:]
    return made + b"\x16\x03\x01" + len(body).to_bytes(2, "big") + body


def test_what_a_client_offers() -> None:
    reader = ClientHelloReader()
    assert reader.feed(REAL) == HELLO
    hello = reader.hello
    assert hello is not None
    assert (hello.server_name, hello.alpn) == ("a.example", ["h2", "http/1.1"])
    assert TLS_1_3 in hello.versions
    assert 0x1301 in hello.ciphers
    assert 29 in hello.groups
    assert 0x0403 in hello.signatures
    assert reader.received == REAL


def test_a_client_may_offer_neither_name_nor_protocols() -> None:
    reader = ClientHelloReader()
    assert reader.feed(real(None, ())) == HELLO
    assert reader.hello is not None
    assert (reader.hello.server_name, reader.hello.alpn) == ("", [])


def test_a_message_in_crumbs_is_not_put_together() -> None:
    """Each look at it costs as much as it has records."""
    assert ClientHelloReader().feed(in_records(REAL, *[1] * 31)) == HELLO
    assert ClientHelloReader().feed(in_records(REAL, *[1] * 32)) == BROKEN


@pytest.mark.parametrize("sizes", [(1,), (3, 1), (4,), (100, 100)])
def test_it_may_come_in_several_records(sizes: tuple[int, ...]) -> None:
    reader = ClientHelloReader()
    assert reader.feed(in_records(REAL, *sizes)) == HELLO
    assert reader.hello is not None
    assert reader.hello.server_name == "a.example"


@given(st.lists(st.integers(1, len(REAL) - 1), max_size=8))
def test_any_chunking_finds_the_same(cuts: list[int]) -> None:
    reader = ClientHelloReader()
    places = [0, *sorted(set(cuts)), len(REAL)]
    found = [reader.feed(REAL[begin:end]) for begin, end in itertools.pairwise(places)]
    assert found == [MORE] * (len(found) - 1) + [HELLO]
    assert reader.hello is not None
    assert reader.hello.server_name == "a.example"
    assert reader.received == REAL


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"GET / HTTP/1.1\r\n", NO_TLS),
        (b"\x80\x2e\x01\x00\x02", NO_TLS),
        (b"\x16\x02", NO_TLS),
        (b"\x16", MORE),
        (b"\x16\x03\x01\x00\x00", BROKEN),
        (b"\x16\x03\x01\x40\x01", BROKEN),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", BROKEN),
        (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", BROKEN),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", BROKEN),
        (b"\x16\x03\x01\x00\x01\x01\x17\x03\x03\x00\x01\x00", BROKEN),
        (b"\x16\x03\x01\x40\x00\x01\x00\x40\x00" + bytes(MAX_BYTES), TOO_LARGE),
    ],
)
def test_what_is_none(data: bytes, found: int) -> None:
    reader = ClientHelloReader()
    assert reader.feed(data) == found
    assert reader.hello is None


@given(st.binary(max_size=600))
def test_garbage_is_no_hello(data: bytes) -> None:
    assert ClientHelloReader().feed(data) in (MORE, NO_TLS, BROKEN)


@given(st.data())
def test_a_mutilated_message_raises_nothing(data: st.DataObject) -> None:
    broken = bytearray(REAL)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    assert ClientHelloReader().feed(bytes(broken)) in (MORE, HELLO, NO_TLS, BROKEN)


def test_no_client_makes_it_keep_more_than_its_limit() -> None:
    reader = ClientHelloReader(1000)
    small = b"\x16\x03\x01\x00\x01\x01" + b"\x16\x03\x01\x00\x01\x00" * 2
    found = reader.feed(small)
    fed = len(small)
    while found == MORE:
        found = reader.feed(b"\x16\x03\x01\x00\x01\x00")
        fed += 6
    assert found in (TOO_LARGE, BROKEN)
    assert fed < 1100
