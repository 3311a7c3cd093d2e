"""Paths and authorities as Envoy 1.40 normalises them; every result here was seen there."""

import pytest

from proxyd.snapshot.normalization import (
    ANY_PORT,
    GOES_ON,
    KEEP_UNCHANGED,
    MATCHING_PORT,
    NO_PORT,
    REDIRECTED,
    REFUSED,
    REJECT_REQUEST,
    UNESCAPE_AND_FORWARD,
    UNESCAPE_AND_REDIRECT,
    AuthorityNormalization,
    PathNormalization,
    canonical_path,
    merge_slashes,
)


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        (b"/", b"/"),
        (b"//", b"//"),
        (b"/b//c/", b"/b//c/"),
        # dot segments
        (b"/./b", b"/b"),
        (b"/a/../b", b"/b"),
        (b"/a/./b/", b"/a/b/"),
        (b"/../../b", b"/b"),
        (b"/a/b/..", b"/a/"),
        (b"/a/b/.", b"/a/b/"),
        (b"/a/b/../", b"/a/"),
        (b"/..", b"/"),
        (b"/a//../b", b"/a/b"),
        (b"/a///../b", b"/a//b"),
        (b"/a/b//../../c", b"/a/c"),
        (b"/..//..//b", b"//b"),
        (b"/b/..//", b"//"),
        (b"/a/...", b"/a/..."),
        (b"/a/.b/..b/b../a..", b"/a/.b/..b/b../a.."),
        # written otherwise
        (b"/%2e/b", b"/b"),
        (b"/a/%2e%2E/.%2e/b", b"/b"),
        (b"/a\\..\\b", b"/b"),
        (b"/a/..\\b", b"/b"),
        (b"/\\\\b", b"///b"),
        # with parameters
        (b"/a/..;x/b", b"/b"),
        (b"/a/.;x", b"/a/"),
        (b"/a/..;x%2fb/c", b"/c"),
        (b"/a/%2e%2e;x/b", b"/a/..;x/b"),
        (b"/a/..,x/b", b"/a/..,x/b"),
        (b"/a/...;x/b", b"/a/...;x/b"),
        # escapes
        (b"/%41%62%7e%2d%5f%2e%30", b"/Ab~-_.0"),
        (b"/a%2f..%2fb", b"/a%2f..%2fb"),
        (b"/a%5cb%5C", b"/a%5cb%5C"),
        (b"/%20%21%3f%c3%A9", b"/%20%21%3f%c3%A9"),
        (b"/%zz%", b"/%zz%"),
        (b"/a%4", b"/a%4"),
        (b"/a%252fb", b"/a%252fb"),
        (b'/"<>^`{|}', b"/%22%3C%3E%5E%60%7B%7C%7D"),
        (b"/[]:@!$&'()*+,;=-._~", b"/[]:@!$&'()*+,;=-._~"),
        (b"/a%00b", None),
    ],
)
def test_canonical_path(path: bytes, canonical: bytes | None) -> None:
    assert canonical_path(path) == canonical


@pytest.mark.parametrize(
    ("path", "merged"),
    [(b"/b//c", b"/b/c"), (b"//b", b"/b"), (b"/b///", b"/b/"), (b"/", b"/"), (b"///", b"//")],
)
def test_merge_slashes(path: bytes, merged: bytes) -> None:
    assert merge_slashes(path) == merged


@pytest.mark.parametrize(
    ("action", "target", "fate", "path"),
    [
        (KEEP_UNCHANGED, b"/a%2fb", GOES_ON, b"/a%2fb"),
        (REJECT_REQUEST, b"/a%2Fb?c%2fd", REFUSED, b"/a/b?c%2fd"),
        (REJECT_REQUEST, b"/a?b%2fc", GOES_ON, b"/a?b%2fc"),
        (UNESCAPE_AND_REDIRECT, b"/a%5cb?x", REDIRECTED, b"/a\\b?x"),
        (UNESCAPE_AND_REDIRECT, b"/a%252fb", GOES_ON, b"/a%252fb"),
        (UNESCAPE_AND_FORWARD, b"/a%2f%2e%2e%2Fb", GOES_ON, b"/a/%2e%2e/b"),
    ],
)
def test_escaped_slashes(action: int, target: bytes, fate: int, path: bytes) -> None:
    assert PathNormalization(False, False, action).apply(target) == (fate, path)


@pytest.mark.parametrize(
    ("action", "target", "fate", "path"),
    [
        (UNESCAPE_AND_FORWARD, b"/a%2f..%2f/b?%2f..//", GOES_ON, b"/b?%2f..//"),
        (UNESCAPE_AND_REDIRECT, b"/a%5c..%5cb", REDIRECTED, b"/b"),
        (UNESCAPE_AND_REDIRECT, b"/a//b", GOES_ON, b"/a/b"),
        (UNESCAPE_AND_FORWARD, b"/a%00%2fb?q", REFUSED, b"/a%00/b?q"),
    ],
)
def test_all_together(action: int, target: bytes, fate: int, path: bytes) -> None:
    assert PathNormalization(True, True, action).apply(target) == (fate, path)


def test_nothing_to_do_is_known_at_load() -> None:
    assert not PathNormalization(False, False, KEEP_UNCHANGED).active
    assert PathNormalization(False, True, KEEP_UNCHANGED).active
    assert not AuthorityNormalization(NO_PORT, False).active
    assert AuthorityNormalization(NO_PORT, True).active


@pytest.mark.parametrize(
    ("authority", "matching", "any_port"),
    [
        (b"h", b"h", b"h"),
        (b"h:80", b"h:80", b"h"),
        (b"h:8080", b"h", b"h"),
        (b"h:08080", b"h", b"h"),
        (b"h:+80", b"h:+80", b"h"),
        (b"h:", b"h:", b"h:"),
        (b"h:80x", b"h:80x", b"h:80x"),
        (b"h:99999999999", b"h:99999999999", b"h:99999999999"),
        (b"h:" + b"9" * 5000, b"h:" + b"9" * 5000, b"h:" + b"9" * 5000),
        (b"[::1]", b"[::1]", b"[::1]"),
        (b"[::1]:8080", b"[::1]", b"[::1]"),
    ],
)
def test_ports(authority: bytes, matching: bytes, any_port: bytes) -> None:
    assert AuthorityNormalization(MATCHING_PORT, False).apply(authority, 8080) == matching
    assert AuthorityNormalization(ANY_PORT, False).apply(authority, 8080) == any_port


@pytest.mark.parametrize(
    ("authority", "without"),
    [
        (b"h.x", b"h.x"),
        (b"h.", b"h"),
        (b"h..", b"h."),
        (b"h.:80", b"h:80"),
        (b"h:80", b"h:80"),
        (b"[::1.2.3.4]:80", b"[::1.2.3.4]:80"),
    ],
)
def test_trailing_dot(authority: bytes, without: bytes) -> None:
    assert AuthorityNormalization(NO_PORT, True).apply(authority, 80) == without


def test_dot_and_port() -> None:
    assert AuthorityNormalization(ANY_PORT, True).apply(b"h.:80", 8080) == b"h"
