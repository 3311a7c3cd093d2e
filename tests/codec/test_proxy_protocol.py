"""The PROXY protocol, against the specification's own examples and against what nobody should take."""

import pytest

from proxyd.codec.proxy_protocol import ABSENT, BROKEN, FOUND, MORE, ProxyHeaderReader, write_header

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
V4 = SIGNATURE + bytes.fromhex("2111000c c0000201 c6336402 1f90 01bb")
V6 = (
    SIGNATURE
    + bytes.fromhex("21210024")
    + b"\x20\x01\x0d\xb8"
    + bytes(11)
    + b"\1"
    + bytes(15)
    + b"\1\0\7\0\x09"
)


def told(data: bytes) -> tuple[int, str, str, bytes]:
    reader = ProxyHeaderReader()
    found = reader.feed(data)
    header = reader.header
    if header is None:
        return found, "", "", b""
    remote = f"{header.remote_ip}:{header.remote_port}"
    return found, remote, f"{header.local_ip}:{header.local_port}", reader.rest


@pytest.mark.parametrize(
    ("data", "remote", "local"),
    [
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n", "192.0.2.1:8080", "198.51.100.2:443"),
        (b"PROXY TCP6 2001:db8::1 ::1 7 9\r\n", "2001:db8::1:7", "::1:9"),
        (b"PROXY UNKNOWN\r\n", ":0", ":0"),
        (b"PROXY UNKNOWN ffff:f::1 ffff:f::2 1 2\r\n", ":0", ":0"),
        (V4, "192.0.2.1:8080", "198.51.100.2:443"),
        (V6, "2001:db8::1:7", "::1:9"),
        (V4.replace(b"\x21\x11", b"\x21\x12"), "192.0.2.1:8080", "198.51.100.2:443"),  # UDP
        (SIGNATURE + b"\x20\x00\0\0", ":0", ":0"),  # LOCAL
        (SIGNATURE + b"\x21\x00\0\0", ":0", ":0"),  # PROXY for an unspecified family
        (SIGNATURE + bytes.fromhex("2111000f c0000201 c6336402 1f90 01bb 040000"), "192.0.2.1:8080",
         "198.51.100.2:443"),  # a TLV behind
    ],
    ids=["v1-4", "v1-6", "unknown", "more", "v2-4", "v2-6", "v2-udp", "v2-local", "v2-unspecified", "v2-tlv"],
)  # fmt: skip
def test_headers(data, remote, local):
    assert told(data) == (FOUND, remote, local, b"")
    assert told(data + b"GET / ") == (FOUND, remote, local, b"GET / ")
    reader = ProxyHeaderReader()
    found = [reader.feed(data[place : place + 1]) for place in range(len(data))]
    assert found == [MORE] * (len(data) - 1) + [FOUND]


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 65536\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 7 9\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 8080 443\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 8080 443\r\n",
        b"PROXY TCP4  192.0.2.1 198.51.100.2 8080 443\r\n",
        b"PROXY TCP5 192.0.2.1 198.51.100.2 8080 443\r\n",
        b"PROXY \r\n",
        SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),  # version 3
        SIGNATURE + b"\x22\x11\0\x0c" + bytes(12),  # no command
        SIGNATURE + b"\x21\x11\0\x0b" + bytes(11),  # too short for its addresses
        SIGNATURE + b"\x21\x31\0\xd8" + bytes(216),  # Unix
    ],
)
def test_what_is_no_header(data):
    assert told(data)[0] == BROKEN


@pytest.mark.parametrize(
    "data", [b"PROXY " + b"x" * 101, b"GET / HTTP/1.1\r\n", b"\r\n\r\nX", b"PROXZ", b"\x16\3\1"]
)
def test_something_else(data):
    assert told(data)[0] == ABSENT


def test_writes_what_it_reads():
    for remote, local in ((("192.0.2.1", 8080), ("198.51.100.2", 443)), (("2001:db8::1", 7), ("::1", 9))):
        for version in (1, 2):
            data = write_header(version, remote, local)
            assert told(data) == (FOUND, f"{remote[0]}:{remote[1]}", f"{local[0]}:{local[1]}", b"")
    assert write_header(2, ("192.0.2.1", 8080), ("198.51.100.2", 443)) == V4
    assert write_header(1, ("192.0.2.1", 8080), ("198.51.100.2", 443)) == (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n"
    )


@pytest.mark.parametrize("version", [1, 2])
def test_nobody_behind_it(version):
    assert told(write_header(version, None, None)) == (FOUND, ":0", ":0", b"")
    assert told(write_header(version, ("192.0.2.1", 1), ("::1", 2))) == (FOUND, ":0", ":0", b"")
