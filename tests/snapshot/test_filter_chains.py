"""Envoy's order of specificity."""

from typing import Any

import msgspec
import pytest

from proxyd.config.core import PIPE
from proxyd.config.listener import FilterChainMatch
from proxyd.snapshot.filter_chains import ConnectionFacts, DuplicateMatchError, FilterChainIndex


def index(*matches: dict[str, Any] | None) -> FilterChainIndex:
    return FilterChainIndex(
        [None if each is None else msgspec.convert(each, FilterChainMatch) for each in matches]
    )


def find(
    chains: FilterChainIndex,
    local: tuple[str, int] = ("10.0.0.1", 443),
    remote: tuple[str, int] = ("192.0.2.7", 5000),
    name: str = "",
    protocol: str = "tls",
    alpn: tuple[str, ...] = (),
) -> int:
    facts = ConnectionFacts(*local, *remote)
    facts.server_name = name
    facts.transport_protocol = protocol
    facts.application_protocols = alpn
    return chains.find(facts)


def block(text: str) -> dict[str, Any]:
    address, _, size = text.partition("/")
    return {"address_prefix": address, "prefix_len": int(size)}


def test_without_a_match_everything_fits() -> None:
    assert find(index(None)) == 0
    assert find(index({})) == 0
    assert index(None).single
    assert not index({"server_names": ["a"]}).single


def test_port_then_address_then_name() -> None:
    chains = index(
        {"server_names": ["a.b"]},
        {"prefix_ranges": [block("10.0.0.0/8")]},
        {"prefix_ranges": [block("10.0.0.0/24")]},
        {"destination_port": 8443},
    )
    assert find(chains, name="a.b") == 2  # the address counts more than the name
    assert find(chains, ("10.1.0.1", 443), name="a.b") == 1
    assert find(chains, ("11.0.0.1", 443), name="a.b") == 0
    assert find(chains, ("10.0.0.1", 8443), name="a.b") == 3
    assert find(chains, ("::1", 8443)) == 3
    assert find(chains, ("::1", 443)) == -1


def test_names_exact_then_the_longest_suffix() -> None:
    chains = index(
        {"server_names": ["*.com"]},
        {"server_names": ["*.example.com", "www.Other.com"]},
        {"server_names": ["x.example.com"]},
    )
    assert find(chains, name="x.example.com") == 2
    assert find(chains, name="a.x.example.com") == 1
    assert find(chains, name="www.other.com") == 1
    assert find(chains, name="example.com") == 0
    assert find(chains, name="com") == -1
    assert find(chains, name="") == -1


def test_there_is_no_way_back() -> None:
    """The name fits one chain alone, and that wants another protocol: nothing else is looked at."""
    chains = index({"server_names": ["a.b"], "application_protocols": ["h2"]}, {})
    assert find(chains, name="a.b", alpn=("http/1.1",)) == -1
    assert find(chains, name="a.b", alpn=("x", "h2")) == 0
    assert find(chains, name="c.d") == 1


def test_transport_protocol_and_alpn() -> None:
    chains = index(
        {"transport_protocol": "raw_buffer"},
        {"transport_protocol": "tls", "application_protocols": ["a"]},
        {},
    )
    assert find(chains, protocol="raw_buffer") == 0
    assert find(chains, alpn=("b", "a")) == 1
    assert find(chains, alpn=("b",)) == -1


def test_sources() -> None:
    chains = index(
        {"source_type": 1} | {"source_type": 1},
        {"source_prefix_ranges": [block("192.0.2.0/24")], "source_ports": [5000]},
        {"source_prefix_ranges": [block("192.0.2.0/24")]},
        {"direct_source_prefix_ranges": [block("198.51.100.0/24")]},
    )
    assert find(chains, remote=("127.0.0.1", 1)) == 0
    assert find(chains, remote=("10.0.0.1", 1)) == 0  # the listener's own address
    assert find(chains) == 1
    assert find(chains, remote=("192.0.2.7", 5001)) == 2
    assert find(chains, remote=("198.51.100.1", 1)) == 3
    assert find(chains, remote=("203.0.113.1", 1)) == -1
    external = index({"source_type": 2}, {})
    assert find(external) == 0
    assert find(external, remote=("127.0.0.1", 1)) == 1


def test_two_chains_for_the_same_connections() -> None:
    with pytest.raises(DuplicateMatchError) as caught:
        index({}, {"server_names": ["a", "b"]}, {"server_names": ["b"]})
    assert (caught.value.first, caught.value.second) == (1, 2)


def test_a_unix_domain_socket_has_no_address_and_is_local() -> None:
    at: dict[str, Any] = {"local": ("/run/listener", PIPE), "remote": ("", PIPE)}
    everywhere = index({"prefix_ranges": [block("0.0.0.0/0")]}, {"prefix_ranges": [block("10.0.0.0/8")]})
    assert find(everywhere, **at) == 0
    chains = index({"transport_protocol": "tls"}, {"source_type": 1})
    assert find(chains, **at, protocol="raw_buffer") == 1
    assert find(chains, **at, protocol="tls") == 0
    assert find(index({"source_type": 2}), **at) == -1
