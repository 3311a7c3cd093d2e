"""What of a request is hashed; that the hashes are Envoy's is for the conformance tests."""

from typing import Any

import msgspec
import pytest

from proxyd.codec.headers import Headers
from proxyd.codec.xxh64 import xxh64
from proxyd.config.route import HashPolicy
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.hash_policy import NO_KEY, HashPolicies, ip_key

HEADER = {"header": {"header_name": "X-Key"}}
COOKIE = {"cookie": {"name": "sess"}}
QUERY = {"query_parameter": {"name": "k"}}
ADDRESS = {"connection_properties": {"source_ip": True}}


def key(policies: list[dict[str, Any]], path: bytes = b"/", address: str = "", **headers: list[bytes]) -> int:
    info = StreamInfo()
    info.method = b"GET"
    info.path = path
    info.downstream_remote_address = address
    items = [(name.replace("_", "-").encode(), value) for name, values in headers.items() for value in values]
    info.request_headers = Headers(items)
    return HashPolicies(msgspec.convert(tuple(policies), tuple[HashPolicy, ...])).key(info)


def mixed(one: int, two: int) -> int:
    return ((one << 1 | one >> 63) & 0xFFFFFFFFFFFFFFFF) ^ two


@pytest.mark.parametrize("policy", [HEADER, COOKIE, QUERY, ADDRESS])
def test_nothing_to_hash(policy: dict[str, Any]) -> None:
    assert key([policy], b"/?kk=1&x", "/a/path", x_ke=[b"v"], cookie=[b"sessx=1; xsess=2"]) == NO_KEY


def test_headers() -> None:
    assert key([HEADER], x_key=[b"v"]) == xxh64(b"v")
    assert key([HEADER], x_key=[b"w", b"v"]) == xxh64(b"w", xxh64(b"v"))
    assert key([{"header": {"header_name": ":method"}}]) == xxh64(b"GET")
    rewrite = {"pattern": {"regex": "[0-9]+"}, "substitution": "n"}
    assert key([{"header": {"header_name": "x-key", "regex_rewrite": rewrite}}], x_key=[b"v12"]) == xxh64(
        b"vn"
    )


def test_cookies() -> None:
    assert key([COOKIE], cookie=[b"a=b", b'c=d;  sess="v"']) == xxh64(b"v")
    assert key([COOKIE], cookie=[b"sess=v; sess=w"]) == xxh64(b"v")


def test_parameters_of_the_query() -> None:
    assert key([QUERY], b"/a?b=c&k=v&k=w") == xxh64(b"v")


@pytest.mark.parametrize(("address", "ip"), [("127.0.0.1:80", "127.0.0.1"), ("[::1]:80", "::1")])
def test_addresses(address: str, ip: str) -> None:
    assert key([ADDRESS], address=address) == ip_key(ip) == xxh64(ip.encode())


def test_several_are_mixed_in_their_order() -> None:
    both = xxh64(b"v"), xxh64(b"w")
    assert key([HEADER, QUERY], b"/?k=w", x_key=[b"v"]) == mixed(*both)
    assert key([QUERY, HEADER], b"/?k=w", x_key=[b"v"]) == mixed(*both[::-1])
    assert key([HEADER, HEADER], x_key=[b"v"]) == mixed(both[0], both[0])
    assert key([HEADER, QUERY], b"/?k=w") == both[1]


def test_a_terminal_one_is_the_last_that_is_asked_if_it_finds_something() -> None:
    policies = [{**HEADER, "terminal": True}, QUERY]
    assert key(policies, b"/?k=w", x_key=[b"v"]) == xxh64(b"v")
    assert key(policies, b"/?k=w") == xxh64(b"w")
