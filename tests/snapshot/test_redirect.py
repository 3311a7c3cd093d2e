"""Locations as Envoy 1.40 assembled them."""

import pytest

from proxyd.snapshot.redirect import Redirect


def redirect(
    scheme: bytes = b"",
    host: bytes = b"",
    port: bytes = b"",
    path: bytes = b"",
    prefix_rewrite: bytes = b"",
    strip_query: bool = False,
) -> Redirect:
    return Redirect(scheme, host, port, path, prefix_rewrite, strip_query)


HTTPS = redirect(scheme=b"https")
AUTHORITIES = [
    (HTTPS, b"x", b"http", b"https://x/p"),
    (HTTPS, b"x:80", b"http", b"https://x/p"),
    (HTTPS, b"x:80", b"https", b"https://x:80/p"),
    (HTTPS, b"x:443", b"http", b"https://x:443/p"),
    (HTTPS, b"x:8080", b"http", b"https://x:8080/p"),
    (HTTPS, b"[::1]", b"http", b"https://[::1]/p"),
    (HTTPS, b"[::1]:80", b"http", b"https://[::1]/p"),
    (HTTPS, b"", b"http", b"https:///p"),
    (redirect(scheme=b"http"), b"x:443", b"https", b"http://x/p"),
    (redirect(scheme=b"http"), b"x:80", b"http", b"http://x:80/p"),
    (redirect(scheme=b"ftp"), b"x:80", b"http", b"ftp://x/p"),
    (redirect(port=b":8443"), b"x:80", b"http", b"http://x:8443/p"),
    (redirect(port=b":8443"), b"[::1]:80", b"https", b"https://[::1]:8443/p"),
    (redirect(scheme=b"https", port=b":8443"), b"x", b"http", b"https://x:8443/p"),
    (redirect(host=b"new.example:99"), b"x:80", b"http", b"http://new.example:99/p"),
    (redirect(host=b"new.example:99", port=b":77"), b"x", b"http", b"http://new.example:99:77/p"),
]


@pytest.mark.parametrize(("rule", "authority", "scheme", "location"), AUTHORITIES)
def test_authorities(rule: Redirect, authority: bytes, scheme: bytes, location: bytes) -> None:
    assert rule.location(scheme, authority, b"/p", 0, scheme) == location


PATHS = [
    (redirect(path=b"/new"), b"/path/", b"/path/", b"/new"),
    (redirect(path=b"/new"), b"/path/", b"/path/?a=1", b"/new?a=1"),
    (redirect(path=b"/new?b=2"), b"/path/", b"/path/?a=1", b"/new?b=2"),
    (redirect(path=b"/new?b=2", strip_query=True), b"/path/", b"/path/?a", b"/new?b=2"),
    (redirect(path=b"/new", strip_query=True), b"/path/", b"/path/?a=1", b"/new"),
    (redirect(path=b"new"), b"/rel/", b"/rel/a?b", b"/new?b"),
    (redirect(prefix_rewrite=b"/x"), b"/pre/", b"/pre/a?b=1", b"/xa?b=1"),
    (redirect(prefix_rewrite=b"x"), b"/a/", b"/a/b", b"/xb"),
    (redirect(prefix_rewrite=b"/x?c=1", strip_query=True), b"/pres/", b"/pres/a?b=1", b"/x"),
    (redirect(prefix_rewrite=b"/n?z=1"), b"/q", b"/q?y=2", b"/n?z=1?y=2"),
    (redirect(strip_query=True), b"/strip/", b"/strip/?a?b", b"/strip/"),
    (redirect(), b"/none", b"/none?a", b"/none?a"),
]


@pytest.mark.parametrize(("rule", "matched", "path", "expected"), PATHS)
def test_paths(rule: Redirect, matched: bytes, path: bytes, expected: bytes) -> None:
    assert rule.location(b"http", b"x", path, len(matched), b"http") == b"http://x" + expected
