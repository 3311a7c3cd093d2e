import pytest

from proxyd.snapshot.domains import CACHED_AUTHORITIES, CACHED_AUTHORITY_BYTES, DomainIndex, without_port
from proxyd.snapshot.route_index import RouteIndex

# What Envoy 1.40 answered for these domains, without and with ignore_port_in_host_matching.
DOMAINS = {
    "exact": ["a.com", "A.net:81"],
    "suffix": ["*.foo.com"],
    "longer suffix": ["*-bar.foo.com"],
    "prefix": ["foo.*"],
    "longer prefix": ["foo.b*"],
    "v6": ["[::1]", "[::2]:80"],
    "any": ["*"],
}
RANKED = [
    ("a.com", "exact", "exact"),
    ("A.COM", "exact", "exact"),
    ("a.com:80", "any", "exact"),
    ("a.com:", "any", "exact"),
    ("a.net", "any", "any"),
    ("A.NET:81", "exact", "any"),
    ("x.foo.com", "suffix", "suffix"),
    (".foo.com", "any", "any"),
    ("x-bar.foo.com", "longer suffix", "longer suffix"),
    ("-bar.foo.com", "suffix", "suffix"),
    ("x.foo.com:80", "any", "suffix"),
    ("foo.x", "prefix", "prefix"),
    ("foo.", "any", "any"),
    ("foo.b", "prefix", "prefix"),
    ("foo.bc", "longer prefix", "longer prefix"),
    ("foo.foo.com", "suffix", "suffix"),
    ("[::1]", "v6", "v6"),
    ("[::1]:80", "any", "v6"),
    ("[::2]:80", "v6", "any"),
    ("[::2]", "any", "any"),
]


def index(domains: dict[str, list[str]], ignore_port: bool = False) -> DomainIndex:
    built = DomainIndex(ignore_port)
    for name, patterns in domains.items():
        routes = RouteIndex(name, [], False)
        for pattern in patterns:
            assert built.add(pattern.encode(), routes)
    return built


def found(domains: DomainIndex, authority: str) -> str | None:
    routes = domains.find(authority.encode())
    return None if routes is None else routes.name


@pytest.mark.parametrize(("authority", "significant", "ignored"), RANKED)
def test_domains_rank_as_in_envoy(authority: str, significant: str, ignored: str) -> None:
    for ignore_port, expected in ((False, significant), (True, ignored)):
        domains = index(DOMAINS, ignore_port)
        assert found(domains, authority) == expected
        assert found(domains, authority) == expected  # now from the cache


def test_an_authority_that_nothing_serves() -> None:
    domains = index({"a": ["a.com"]})
    assert found(domains, "b.com") is None
    assert found(domains, "b.com") is None


@pytest.mark.parametrize("domain", ["*", "a.com", "A.com", "*.foo.com", "foo.*"])
def test_a_domain_belongs_to_one_virtual_host(domain: str) -> None:
    domains = index({"a": ["*", "a.com", "*.foo.com", "foo.*"]})
    assert not domains.add(domain.encode(), RouteIndex("b", [], False))


def test_the_cache_is_bounded_in_number_and_in_size() -> None:
    domains = index({"a": ["a.com"], "any": ["*"]})
    for number in range(CACHED_AUTHORITIES + 5):
        assert found(domains, f"{number}.example") == "any"
    assert len(domains._cache) == 5
    long = "x" * (CACHED_AUTHORITY_BYTES + 1)
    assert found(domains, long) == "any"
    assert long.encode() not in domains._cache


def test_without_port() -> None:
    assert without_port(b"a:1") == b"a"
    assert without_port(b"a") == b"a"
    assert without_port(b"[::1]") == b"[::1]"
    assert without_port(b"[::1]:1") == b"[::1]"
