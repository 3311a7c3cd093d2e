"""Where requests came from, as hosts are told it: results as seen of Envoy 1.40."""

from pathlib import Path
from typing import Any

import pytest

from proxyd.codec.headers import HeaderBlock, Headers, write_fields
from proxyd.config.core import Node
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import StreamInfo
from proxyd.net.forwarding import Forwarding, last_address
from proxyd.net.request_id import RequestIds
from proxyd.snapshot.forwarding import ForwardingSnapshot
from tests.net.playbook import _bootstrap

EDGE = {"use_remote_address": True}
RANGES = {
    "internal_address_config": {
        "cidr_ranges": [
            {"address_prefix": "10.1.2.3", "prefix_len": 8},
            {"address_prefix": "fd00::", "prefix_len": 8},
        ]
    }
}
ID = b"11111111-2222-3333-4444-555555555555"
NODE = Node(id="n", cluster="c")


def compiled(options: dict[str, Any], node: Node | None = NODE) -> Forwarding:
    text = _bootstrap(Path("/dev/null"), None, options, {}, {}, None, ())
    (listener,) = load_text(Text("test", text)).static_resources.listeners
    manager = listener.filter_chains[0].filters[0].typed_config
    assert isinstance(manager, HttpConnectionManager)
    return Forwarding(ForwardingSnapshot(manager, node), RequestIds(), "192.0.2.9")


class Seen:
    """A request after its headers were prepared."""

    def __init__(
        self,
        options: dict[str, Any],
        *headers: tuple[bytes, bytes],
        remote: str = "10.0.0.7",
        scheme: bytes = b"",
        node: Node | None = NODE,
    ) -> None:
        self.info = StreamInfo()
        self.info.scheme = scheme
        self.info.request_headers = Headers(list(headers))
        connection = ConnectionInfo()
        connection.remote_ip = remote
        connection.local_address = "[::1]:8080"
        self.info.connection = connection
        self.internal = compiled({"generate_request_id": False, **options}, node).prepare(self.info)
        self.client = self.info.downstream_remote_address

    def __getitem__(self, name: str) -> list[bytes]:
        return self.info.request_headers.get_all(name.encode())


@pytest.mark.parametrize(
    ("value", "skip", "address"),
    [
        (b"1.2.3.4", 0, "1.2.3.4"),
        (b"1.2.3.4, 5.6.7.8", 0, "5.6.7.8"),
        (b"1.2.3.4 , 5.6.7.8", 1, "1.2.3.4"),
        (b"1.2.3.4", 1, ""),
        (b"1.2.3.4,", 0, ""),
        (b"", 0, ""),
        (b"junk", 0, ""),
        (b"1.2.3.4:80", 0, ""),
        (b"[::5]:80", 0, ""),
        (b"::5", 0, "::5"),
        (b"01.2.3.4", 0, ""),
        (b"\xff", 0, ""),
    ],
)
def test_last_address(value: bytes, skip: int, address: str) -> None:
    assert last_address(value, skip) == address


def test_behind_a_proxy_the_list_is_kept_and_its_last_address_is_the_client() -> None:
    seen = Seen({}, (b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-for", b"5.6.7.8"))
    assert seen["x-forwarded-for"] == [b"1.2.3.4,5.6.7.8"]
    assert seen.client == "5.6.7.8:0"
    assert seen["x-envoy-external-address"] == []
    assert Seen({}, (b"x-forwarded-for", b"::5")).client == "[::5]:0"
    assert Seen({}, (b"x-forwarded-for", b"junk")).client == ""
    assert Seen({"xff_num_trusted_hops": 1}, (b"x-forwarded-for", b"1.2.3.4, 5.6.7.8")).client == "1.2.3.4:0"


def test_at_the_edge_the_peer_is_appended() -> None:
    seen = Seen(EDGE, (b"x-forwarded-for", b"1.2.3.4"))
    assert seen["x-forwarded-for"] == [b"1.2.3.4,10.0.0.7"]
    assert seen["x-envoy-external-address"] == [b"10.0.0.7"]
    assert seen.client == ""
    assert Seen(EDGE)["x-forwarded-for"] == [b"10.0.0.7"]
    assert Seen(EDGE, (b"x-forwarded-for", b""))["x-forwarded-for"] == [b"10.0.0.7"]
    assert Seen({**EDGE, "skip_xff_append": True})["x-forwarded-for"] == []


@pytest.mark.parametrize("loopback", ["127.0.0.1", "::1"])
def test_a_loopback_peer_is_appended_as_this_machine(loopback: str) -> None:
    seen = Seen(EDGE, remote=loopback)
    assert seen["x-forwarded-for"] == [b"192.0.2.9"]
    assert seen["x-envoy-external-address"] == [loopback.encode()]
    assert Seen(EDGE, remote="127.0.0.2")["x-forwarded-for"] == [b"127.0.0.2"]


def test_trusted_hops_at_the_edge() -> None:
    hops = {**EDGE, "xff_num_trusted_hops": 2}
    seen = Seen(hops, (b"x-forwarded-for", b"1.1.1.1,2.2.2.2"), (b"x-forwarded-proto", b"https"))
    assert seen.client == "1.1.1.1:0"
    assert seen["x-envoy-external-address"] == [b"1.1.1.1"]
    assert seen["x-forwarded-for"] == [b"1.1.1.1,2.2.2.2,10.0.0.7"]
    assert seen["x-forwarded-proto"] == [b"https"]
    assert Seen(hops, (b"x-forwarded-for", b"2.2.2.2"))["x-envoy-external-address"] == [b"10.0.0.7"]


@pytest.mark.parametrize(
    ("options", "said", "told", "scheme"),
    [
        ({}, b"https", b"https", b"https"),
        ({}, b"HTTPS", b"HTTPS", b"https"),
        ({}, b"ftp", b"ftp", b"http"),
        (EDGE, b"https", b"http", b"http"),
        ({"scheme_header_transformation": {"scheme_to_overwrite": "https"}}, b"ftp", b"https", b"https"),
    ],
)
def test_forwarded_proto(options: dict[str, Any], said: bytes, told: bytes, scheme: bytes) -> None:
    seen = Seen(options, (b"x-forwarded-proto", said))
    assert (seen["x-forwarded-proto"], seen.info.scheme) == ([told], scheme)


def test_a_request_that_is_said_to_have_come_by_nothing_has_no_scheme() -> None:
    assert Seen({}, (b"x-forwarded-proto", b"")).info.scheme == b""
    assert Seen(EDGE, (b"x-forwarded-proto", b"")).info.scheme == b"http"


def test_the_scheme_of_the_target_counts_more() -> None:
    seen = Seen({}, (b"x-forwarded-proto", b"https"), scheme=b"http")
    assert (seen["x-forwarded-proto"], seen.info.scheme) == ([b"https"], b"http")
    assert Seen({}, scheme=b"https").info.scheme == b"https"


def test_forwarded_port() -> None:
    port = {**EDGE, "append_x_forwarded_port": True}
    assert Seen(port, (b"x-forwarded-port", b"1"))["x-forwarded-port"] == [b"8080"]
    trusting = {**port, "xff_num_trusted_hops": 1}
    assert Seen(trusting, (b"x-forwarded-port", b"1"))["x-forwarded-port"] == [b"1"]
    assert Seen(trusting)["x-forwarded-port"] == [b"8080"]
    behind = {"append_x_forwarded_port": True}
    assert Seen(behind)["x-forwarded-port"] == [b"8080"]
    assert Seen(behind, (b"x-forwarded-port", b"1"))["x-forwarded-port"] == [b"1"]


COMMANDS = (b"x-envoy-force-trace", b"x-envoy-original-url", b"x-envoy-upstream-rq-timeout-ms")
CLAIMS = (b"x-envoy-original-path", b"x-envoy-external-address", b"x-envoy-decorator-operation")


def kept(options: dict[str, Any], *headers: tuple[bytes, bytes], remote: str = "10.0.0.7") -> set[bytes]:
    given = [(name, b"1") for name in (*COMMANDS, *CLAIMS, b"x-envoy-internal", b"x-envoy-retry-on")]
    seen = Seen(options, *given, *headers, remote=remote)
    items = seen.info.request_headers.items
    assert ((b"x-envoy-internal", b"true") in items) == seen.internal
    return {name for name, value in items if value == b"1"}


def test_who_may_say_what() -> None:
    assert kept({}) == set(CLAIMS)
    assert kept(EDGE) == set()
    assert kept({**EDGE, **RANGES}) == {*COMMANDS, *CLAIMS}
    assert kept({**EDGE, **RANGES}, remote="11.0.0.1") == set()
    assert kept({**EDGE, **RANGES}, remote="fd12::1") == {*COMMANDS, *CLAIMS}
    # Only who names nobody else is internal, and behind a proxy nobody is without being named.
    assert kept({**EDGE, **RANGES}, (b"x-forwarded-for", b"10.0.0.1")) == set()
    assert kept(RANGES) == set(CLAIMS)
    assert kept(RANGES, (b"x-forwarded-for", b"10.0.0.1")) == {*COMMANDS, *CLAIMS}
    assert kept(RANGES, (b"x-forwarded-for", b"10.0.0.1, 10.0.0.2")) == set(CLAIMS)
    trusting = {**RANGES, "xff_num_trusted_hops": 1}
    assert kept(trusting, (b"x-forwarded-for", b"10.0.0.1, 10.0.0.2")) == set(CLAIMS)


@pytest.mark.parametrize(
    ("mode", "passes"),
    [
        ("SANITIZE", False),
        ("FORWARD_ONLY", False),
        ("APPEND_FORWARD", False),
        ("SANITIZE_SET", False),
        ("ALWAYS_FORWARD_ONLY", True),
    ],
)
def test_client_certificates_of_others(mode: str, passes: bool) -> None:
    seen = Seen({"forward_client_cert_details": mode}, (b"x-forwarded-client-cert", b"z"))
    assert seen["x-forwarded-client-cert"] == ([b"z"] if passes else [])


def test_user_agent() -> None:
    options = {"add_user_agent": True}
    seen = Seen(options, (b"x-envoy-downstream-service-node", b"z"))
    assert seen["user-agent"] == seen["x-envoy-downstream-service-cluster"] == [b"c"]
    assert seen["x-envoy-downstream-service-node"] == [b"n"]
    assert Seen(options, (b"user-agent", b""))["user-agent"] == [b"c"]
    assert Seen(options, (b"user-agent", b"curl"))["user-agent"] == [b"curl"]
    nameless = Seen(options, node=None)
    assert nameless["x-envoy-downstream-service-cluster"] == [b""]
    assert nameless["x-envoy-downstream-service-node"] == []


def test_via() -> None:
    assert Seen({"via": "v"})["via"] == [b"v"]
    assert Seen({"via": "v"}, (b"via", b"a"), (b"via", b"b"))["via"] == [b"a,b, v"]
    assert Seen({}, (b"via", b"a"))["via"] == [b"a"]


@pytest.mark.parametrize(
    ("options", "said", "told"),
    [
        ({}, ID, ID),
        ({}, b"abc", b"abc"),
        (EDGE, ID, None),
        ({**EDGE, "preserve_external_request_id": True}, b"abc", b"abc"),
        # A stranger does not decide whether the request is traced.
        ({**EDGE, "preserve_external_request_id": True}, ID, ID[:14] + b"4" + ID[15:]),
        ({**EDGE, **RANGES}, ID, ID),
        ({}, b"", None),
    ],
)
def test_request_id(options: dict[str, Any], said: bytes, told: bytes | None) -> None:
    seen = Seen({**options, "generate_request_id": True}, (b"x-request-id", said))
    (request_id,) = seen["x-request-id"]
    assert request_id == seen.info.request_id
    if told is None:
        assert len(request_id) == 36
        assert request_id != said
    else:
        assert request_id == told


def test_without_generation_an_id_is_kept_and_none_is_made() -> None:
    assert Seen(EDGE, (b"x-request-id", b"a"))["x-request-id"] == [b"a"]
    assert Seen(EDGE)["x-request-id"] == []


def test_what_one_request_of_a_connection_says_is_not_held_against_the_next() -> None:
    forwarding = compiled({"use_remote_address": True}, NODE)
    connection = ConnectionInfo()
    connection.remote_ip = "192.0.2.1"
    plain = HeaderBlock([(b"a", b"b")], b"a: b\r\n")
    spoofed = HeaderBlock(
        [(b"x-envoy-internal", b"true"), (b"x-forwarded-for", b"10.0.0.1")],
        b"x-envoy-internal: true\r\nx-forwarded-for: 10.0.0.1\r\n",
    )
    for block, further in [
        (plain, []),
        (plain, []),
        (plain, []),
        (spoofed, []),
        (spoofed, []),
        (None, [(b"x-envoy-internal", b"true")]),
        (plain, []),
        (plain, [(b"x-envoy-internal", b"true")]),
        (plain, []),
    ]:
        info = StreamInfo()
        info.scheme = b""
        if block is not None:
            info.request_headers.share(block)
        info.request_headers.items += further
        info.connection = connection
        assert not forwarding.prepare(info)
        assert info.request_headers.wire() == write_fields(info.request_headers.items)
        assert info.request_headers.get(b"x-envoy-internal") is None
        expected = b"10.0.0.1,192.0.2.1" if block is spoofed else b"192.0.2.1"
        assert info.request_headers.get_all(b"x-forwarded-for") == [expected]
        assert info.request_headers.get_all(b"x-envoy-external-address") == [b"192.0.2.1"]
        assert info.request_headers.get_all(b"x-request-id") == [info.request_id]
        assert info.scheme == b"http"
